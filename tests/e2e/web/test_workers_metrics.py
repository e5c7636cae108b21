# SPDX-License-Identifier: MIT
"""/metrics/CLUSTER: each worker is asked for its own metrics, behind the port that all share, and
nothing that one of them says harms the others or nclust."""
import re
import select

from harness import *

WEB = 9000
PATH = "/metrics/it"


def served(options, *args, at="-l 127.0.0.1:8000 --ready alive:0s", **more):
    """Workers that tell metrics; the file modes/SLOT says how one of them misbehaves."""
    os.makedirs("modes", exist_ok=True)
    os.chmod("modes", 0o777)
    return cluster(f"--http {WEB} --metrics http:/metrics {at} {options}", "python3", "-u",
                   server("metrics.py"), path("modes"), *args, **more)


def ask(path=PATH, **more):
    return get(path, WEB, **more)


class Scrape:
    def __init__(self, text):
        self.text, self.lines = text, text.splitlines()
        self.errors = self.of("nclust_worker_scrape_error")
        self.pids = self.of("app_pid")

    def of(self, name):
        """Slot -> value."""
        return {int(slot): int(n) for slot, n in re.findall(
            rf'^{name}\{{slot="(\d+)"[^}}]*\}} (\d+)$', self.text, re.M)}


def whole(it):
    """What is told, if each slot has its own worker's metrics, once."""
    scrape, wanted = Scrape(ask().body), {w.slot: w.pid for w in it.workers()}
    assert scrape.pids.items() <= wanted.items()  # never a wrong one
    return (scrape.pids == wanted and len(re.findall("^app_pid", scrape.text, re.M)) == len(wanted)
            and scrape)


def soon(it, request):
    """Its answer; time goes on in steps, so that nobody is too slow."""
    wait(lambda: select.select([request.socket], [], [], 0)[0] or it.advance(0.005))
    return request.answer()


def scrape(it, slots, hangs=0):
    """What is told once these slots have been asked, and all but so many have answered."""
    it.advance(4)  # since the one before
    for name in os.listdir("modes"):
        if name.startswith("asked"):
            os.unlink(f"modes/{name}")
    request, web = Request(PATH, WEB), it.role("web")

    def have_answered():
        ours = inodes(web)
        if not slots:  # nobody accepts, and they have been connected with
            return sockets("established", to=PORT)
        return all(os.path.exists(f"modes/asked.{slot}") for slot in slots) and hangs == sum(
            s.inode in ours and s.state in ("established", "close-wait") for s in sockets(to=PORT))

    wait(lambda: have_answered() or it.advance(0.005))
    it.advance(1.1)  # nobody waits longer for those who take no connection
    if hangs:
        soon(it, Request("/healthz", WEB))  # the web process has heard that those were all
        it.advance(1.1)
    return Scrape(soon(it, request).body)


def test_each_workers_metrics_come_once_with_its_slot_while_workers_are_replaced():
    it = served("-n 3")
    got = wait(lambda: whole(it))
    assert got.lines.count("# TYPE app_seconds histogram") == 1
    # a family's samples stand together
    names = re.findall("^app_[a-z]+", got.text, re.M)
    assert [n for n, before in zip(names, [None] + names) if n != before] == [
        "app_pid", "app_requests", "app_seconds"]
    assert ask(method="HEAD").headers["Content-Type"].startswith("text/plain; version=0.0.4")
    it.call("restart")
    wait(lambda: whole(it))
    it.call("scale", count=5)
    wait(lambda: whole(it))
    it.call("upgrade")
    wait(lambda: whole(it))


@pytest.mark.nightly
def test_promtool_has_no_complaint():
    served("-n 4")
    write("metrics", ask().body)
    with open("metrics") as f:
        assert run(need("promtool"), "check", "metrics", stdin=f).ok() == ""


def test_what_is_not_there_or_off_or_no_business_of_guests_is_told():
    start(f"--http {WEB}", ini="".join(
        f"[cluster:{name}]\ncommand = sleep 1000\nworkers = 1\nready = alive:0s\n{option}\n"
        for name, option in (("off", ""), ("deaf", "metrics = http:/m"))))
    for path, status, says in (
            ("off", 404, "'metrics' of 'off' is off\n"),
            ("none", 404, "there is no cluster 'none' in 'it'\n"),
            ("deaf", 404, "deaf: it has no listener that could be asked (yet)\n"),
            ("deaf.0", 404, "name the cluster"), ("", 404, ""), ("0" * 300, 404, "")):
        got = ask(f"/metrics/{path}")
        assert got.status == status and got.body.startswith(says), (path, got)
    assert ask("/metrics/deaf", method="POST").status == 405
    assert ask("/metrics/deaf%00x").status in (400, 404)
    assert ask("/healthz").body == "ok\n"


def test_a_unix_socket_is_never_asked_as_its_path_may_lead_elsewhere():
    nclust("--name x --metrics http:/m -l", f"unix:{path('app')} -- true").fails(
        64, "--metrics: workers are asked over TCP only, and")
    os.mkdir("modes")
    cluster(f"-n 1 --ready alive:0s -l unix:{path('app')}", "python3", "-u", server("metrics.py"),
            path("modes"))
    nclust("ask it.0 GET /").fails(1, "it: its workers can be asked over TCP only, and")


WRONG = {  # its answer -> what is said of it; "": nothing, its metrics are there
    "well": "", "endless": "it sent over 512 KiB", "never": "it did not answer in time",
    "long": "it closed the connection in its answer", "big": "it sent over 512 KiB",
    "invalid": "line 1 is not Prometheus' text format", "forged": "", "shut": "it closed the",
    "error": "its status is not 200"}


def test_workers_that_misbehave_cost_their_own_metrics_and_nobody_waits():
    it = served("-n 9" + (" --user nobody" if os.geteuid() == 0 else ""), clock=True)
    for slot, how in enumerate(WRONG):
        write(f"modes/{slot}", how, 0o644)
    got = scrape(it, range(9), hangs=1)
    assert got.errors == {slot: int(bool(says)) for slot, says in enumerate(WRONG.values())}
    assert set(got.of("nclust_worker_scrape_asked").values()) == {1}
    for slot, says in enumerate(WRONG.values()):
        assert not says or re.search(rf"^# slot {slot}: {re.escape(says)}", got.text, re.M)
    # its own label is another, and it cannot speak for nclust
    assert 'app_pid{slot="6",exported_slot="x"} 1' in got.lines
    assert "nclust_workers_ready" not in got.text
    assert set(got.pids) == {0, 6} and len(got.text) < 100_000
    # others are answered while one hangs, and so are all when it is over
    request = Request(PATH, WEB)
    assert soon(it, Request("/healthz", WEB)).body == "ok\n"
    kill(it.role("web"))  # in the midst of it
    with pytest.raises(OSError):
        request.answer()
    assert soon(it, Request("/healthz", WEB)).body == "ok\n"


def test_one_that_says_much_leaves_the_others_their_place():
    it = served("-n 10", clock=True)
    write("modes/0", "lines")
    got = scrape(it, range(10))
    assert got.errors == {slot: int(slot == 0) for slot in range(10)}
    assert re.search(r"^# slot 0: it has over \d+ lines, its share of", got.text, re.M)
    for slot in range(9):
        write(f"modes/{slot}", "large")
    got = scrape(it, range(10))
    assert sum(got.errors.values()) == 1 and got.errors[9] == 0
    assert len(re.findall(r"^# slot .: all workers together sent over 4 MiB", got.text, re.M)) == 1


def test_workers_that_stand_still_cost_only_their_own_metrics_and_their_queue_is_not_filled():
    it = served("-n 3", clock=True)
    pids = it.pids()
    freeze(pids[1])
    got = scrape(it, (0, 2))
    assert got.errors == {0: 0, 1: 1, 2: 0}
    assert got.of("nclust_worker_scrape_asked") == {0: 1, 1: 0, 2: 1}
    assert got.pids == {0: pids[0], 2: pids[2]}
    freeze(pids[0], pids[2])
    for _ in range(5):
        assert scrape(it, ()).errors == {0: 1, 1: 1, 2: 1}
    assert queued() <= 20
    thaw(*pids)
    assert scrape(it, range(3)).pids == dict(enumerate(pids))


def test_those_who_ask_at_the_same_time_share_an_answer_and_too_many_keep_nobody_out():
    it = served("-n 2", clock=True)
    before = scrape(it, (0, 1)).of("app_requests_total")
    it.advance(4)
    pids = it.pids()
    freeze(*pids)
    waiting = [Request(PATH, WEB) for _ in range(16)]
    assert ask().status == 503
    assert soon(it, Request("/healthz", WEB)).body == "ok\n"
    thaw(*pids)
    for request in waiting:
        got = Scrape(soon(it, request).body)
        assert got.pids == dict(enumerate(pids))
        assert got.of("app_requests_total") == {slot: n + 1 for slot, n in before.items()}


@pytest.mark.parametrize("at, args", (
    ("", (PORT,)), ("", (PORT, "--reuseport")),
    ("-l 127.0.0.1:8000,defer-accept=2s --ready alive:0s", ())),
    ids=("bound", "reuseport", "defer"))
def test_a_server_that_binds_by_itself_or_an_address_that_defers_accepting(at, args):
    it = served("-n 3", *args, at=at)
    for _ in (1, 2):
        wait(lambda: whole(it))


@pytest.mark.nightly
@pytest.mark.parametrize("balance", ("rr", "share"))
def test_nodes_cluster_and_a_plain_node_server(balance):
    it = cluster(f"--http {WEB} --metrics http:/metrics -n 3 --balance {balance}", "node", "-e",
                 "require('http').createServer((q, a) => a.end(`app_pid ${process.pid}\\n`))"
                 f".listen({PORT})")
    wait(lambda: whole(it))
