# SPDX-License-Identifier: MIT
"""Workers that do nothing to help are stopped without losing a request: at a quiet moment.
What cannot be drained is told."""
import re
import subprocess

from drains import *
from harness import lab

DOCKER = (fixture("confine"), "docker", "--")
QUIET = "--ready notify --drain quiet --drain-timeout 10m --log-level debug"
SHORT = ("--rate", 60, "--jitter", "--path", "/fast:5", "--path", "/slow:5")
# restart_syscall(2) of x86-64, and of arm64
RESTARTED = (["219"], ["128"])
# clock_nanosleep(2) and nanosleep(2) of both
ASLEEP = (["230"], ["35"], ["115"], ["101"])
# what nclust is told, the server, how it is asked, and how many clients are idle meanwhile
HELPLESS = {
    "connections that idle": ("-l 8000", [RUDE, "--slow", 60], SHORT, 24),
    "each process has all connections": (
        "-l 8000", [RUDE, *"--blocking --fork --keep --chunks 4 --gap 150".split()],
        ["--mode", "stream", "--rate", 8, "--path", "/stream"]),
    "a header, and its body later": ("-l 8000", [RUDE, "--chunks", 1, "--gap", 60], [
        "--mode", "stream", "--rate", 50, "--path", "/stream"]),
    "a process for each request": ("--ready listen --bake 0", [
        "python3", server("forking.py"), PORT], ["--rate", 20, "--path", "/slow"]),
    "behind a shell": ("-l 8000", [
        "sh", "-c", f"{inside(PROGRAM)} exec -- {RUDE} --slow 50; true"], SHORT),
    "behind a shell with job control": ("-l 8000", [
        "bash", "-c", f'set -m; {inside(PROGRAM)} exec -- {RUDE} & wait; echo "$?" >"$0"',
        "seen"], SHORT, 24),
    "below a parent with job control": ("-l 8000", [
        "python3", server("jobs.py"), "seen", RUDE], SHORT, 24),
    "another user's": ("-l 8000 --user nobody", [RUDE, "--slow", 50], SHORT),
    # the kernel is asked
    "one whose descriptors cannot be had": ("-l 8000", [RUDE, "--slow", 50], SHORT),
}
SELDOM = ("a header, and its body later", "a process for each request",
          "below a parent with job control")


@pytest.mark.parametrize("kind", (
    pytest.param(kind, marks=pytest.mark.nightly) if kind in SELDOM else kind
    for kind in HELPLESS))
def test_a_server_that_dies_on_its_stop_signal_loses_nothing(kind):
    options, command, load, *idlers = HELPLESS[kind]
    if kind == "another user's":
        need_root()
    it = cluster(f"-n 2 {QUIET} {options}", *command, under=DOCKER if "cannot" in kind else ())
    clients = [idle() for _ in range(*idlers or [0])]
    asks = Steady(PORT, *load)
    it.call("restart")
    all_quiet(it, 2)
    for client in clients:
        client.wait_end()
    asks.loses_nothing()
    assert not os.path.exists("seen")  # nobody has noticed a stop


def test_with_drain_off_it_is_stopped_in_the_midst_of_its_request():
    it = cluster("-n 2 -l 8000 --ready notify --drain off", RUDE, "--slow", 1, "--until", Gate())
    request = Request("/slow")
    wait_asked()
    it.call("restart")
    with pytest.raises(ConnectionResetError):
        request.answer()
    assert it.happened("drained") == []


@pytest.mark.nightly
def test_tls_handshakes_over_40_ms_are_not_cut():
    run(need("openssl"), *"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "
        "-subj /CN=localhost -keyout key -out cert".split()).ok()
    it = cluster(f"-n 2 {QUIET} --ready listen --bake 0", "python3", server("tls.py"), PORT,
                 path("cert"), path("key"))
    asks = begin_program("python3", f"{SRC}/tests/e2e/drain/handshakes.py", PORT, 12, 40,
                         stdin=subprocess.PIPE, stdout="asked")
    wait(lambda: "ready" in read("asked"))
    for _ in range(3):
        it.call("restart")
    all_quiet(it, 6)
    asks.stdin.close()
    wait(lambda: "lost=0" in read("asked") or asks.poll() is not None)
    assert "lost=0" in read("asked")


# ---- one request, as long as it takes ----

class Busy:
    """A worker that is drained while it has a request, which it answers when the gate opens."""

    def __init__(self, options="", *args):
        self.gate = Gate("go")
        self.it = cluster(f"-n 1 -l 8000 {QUIET} {options}", RUDE, "--slow", 1, "--until",
                          self.gate, *args)
        self.pid = self.it.worker().pid
        self.request = Request("/slow")
        wait_asked()

    def drain(self):
        """Returns when it has stood still, and been looked at: who is idle has been ended."""
        client = idle()
        self.it.call("restart", no_wait=True)
        client.wait_end()
        return self

    def answer(self):
        self.gate.open()
        assert self.request.answer().pid == self.pid
        self.it.event("rollout-done")
        all_quiet(self.it, 1)
        assert self.it.worker().state == "ready"


def nothing(it):
    pass


def suspend(it):
    kill(it.pid, signal.SIGTSTP)
    wait(lambda: state(it.pid) == "T")
    kill(it.pid, SIGCONT)


def upgrade(it):
    it.call("upgrade", no_wait=True)


@pytest.mark.parametrize("deed", (nothing, suspend, upgrade))
def test_a_request_is_waited_for_whatever_nclust_goes_through(deed):
    busy = Busy().drain()
    deed(busy.it)
    busy.answer()
    if deed == upgrade:
        wait(lambda: busy.it.status().upgrades == 1)


def test_a_worker_that_somebody_has_stopped_answers_what_it_has():
    busy = Busy()
    freeze(busy.pid)
    busy.it.call("restart", no_wait=True)
    busy.it.event("draining")
    busy.answer()


def test_stop_now_does_not_wait_for_a_quiet_moment():
    busy = Busy().drain()
    busy.it.call("stop", now=True)
    assert busy.it.exit() == 0
    assert not busy.it.says("drained by force")


def test_a_worker_that_is_killed_while_it_is_drained():
    busy = Busy().drain()
    kill(busy.pid)
    busy.it.event("rollout-done")
    assert busy.it.cluster().ready == 1


@pytest.mark.parametrize("under, who", (((), r"\S*127\.0\.0\.1\S*:\d+"), (DOCKER, "a peer")),
                         ids=("", "where no descriptor can be had"))
def test_a_worker_that_is_never_quiet_is_told_of_with_its_connection(under, who):
    it = cluster(f"-n 2 -l 8000 {QUIET} --drain-timeout 500ms", RUDE, "--until", Gate(),
                 under=under)
    request = Request("/slow")
    wait_asked()
    it.call("restart")
    with pytest.raises(ConnectionResetError):
        request.answer()
    assert re.search(rf"drained by force: 1 connection still busy: {who} \(", it.log())
    forced = it.event("drained", forced=1)
    assert forced.busy == 1 and forced.took_ms >= 450


def test_auto_who_dies_of_its_signal_is_not_trusted():
    it = cluster("-n 1 -l 8000 --ready notify --drain-timeout 400ms", RUDE, "--until", Gate())
    for n in (1, 2):
        request = Request("/slow")
        wait_asked()
        it.call("restart")
        with pytest.raises(ConnectionResetError):
            request.answer()
        it.event("drained", n=n, forced=1)


# ---- what is quiet, and what is not ----

TOKENS = """
import http.server, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        while True:
            self.wfile.write(b"token ")
            time.sleep(0.4)
http.server.ThreadingHTTPServer(("127.0.0.1", 8000), Handler).serve_forever()
"""


def test_a_stream_that_may_have_been_cut_is_reported_so():
    """As one of a language model, whose tokens come one by one: no pause says that it is the last."""
    it = cluster("-n 1 --bake 0 --drain-timeout 3s", "python3", "-c", TOKENS)
    stream = Request("/")
    wait(lambda: silence(stream.socket) > 200)
    it.call("restart")
    done = it.event("rollout-done")
    assert (done.guessed, done.busy) == (1, 0)
    assert it.says("1 answer may have been cut in a pause, because half of drain-timeout was over")


def test_clients_that_ask_again_at_once_and_wait_for_long():
    # an answer and the next request within one tick of the kernel's clock
    gate = Gate("go")
    it = cluster(f"-n 1 -l 8000 {QUIET}", RUDE, "--slow", 1, "--until", gate)
    clients = [idle().ask("/slow") for _ in range(6)]
    last = idle()
    it.call("restart", no_wait=True)
    last.wait_end()  # it is quiet since later than all others
    gate.open()
    assert [client.answer().part("generation") for client in clients] == ["1"] * 6
    all_quiet(it, 1)


def test_an_event_loop_that_runs_in_the_midst_of_an_answer_is_waited_for():
    # of three workers that answer and are silent then, the first one is at work
    gate = Gate("go")
    it = cluster(f"-n 1 -l 8000 {QUIET} --ready alive:1ms --bake 0", "python3",
                 server("works.py"), gate)
    client = Kept("/work")
    assert client.socket.recv(4096, socket.MSG_PEEK)
    wait(lambda: silence(client.socket) > 100)
    it.call("restart", no_wait=True)
    it.event("draining")
    wait(lambda: silence(client.socket) > 500)
    gate.open()
    assert client.answer().body.endswith("end\n")
    all_quiet(it, 1)


def pausing(options="", *args, **more):
    """A worker with two processes: one pauses in its answer, the other one is idle."""
    it = cluster(f"-n 1 -l 8000 {QUIET} {options}", "python3", server("pauses.py"), *args, **more)
    stream = Kept("/stream")
    assert b"begin" in stream.socket.recv(4096)
    pid = it.worker().pid
    # a signal that comes before it sleeps does not end its sleep
    wait(lambda: any(read(f"/proc/{p}/syscall").split()[:1] in ASLEEP for p in session(pid)))
    return it, pid, stream.socket, idle()


def test_a_process_that_pauses_in_its_answer_is_waited_for_and_an_idle_one_is_not():
    it, pid, stream, client = pausing()
    it.call("restart", no_wait=True)
    client.wait_end()
    os.killpg(pid, SIGUSR1)
    assert stream.recv(10) == b"end\n"
    all_quiet(it, 1)
    assert it.event("drained").ended == 1


def test_so_it_is_if_the_worker_takes_long_to_stop():
    os.mkfifo("hold")
    it, pid, stream, client = pausing("", path("hold"))
    wait(lambda: "D" in map(state, session(pid)))
    it.call("restart", no_wait=True)
    # the kernel does not tell any more what this one sleeps in: it was stopped, in vain
    wait(lambda: any(read(f"/proc/{p}/syscall").split()[:1] in RESTARTED for p in session(pid)))
    write("hold", "")
    client.wait_end()
    os.killpg(pid, SIGUSR1)
    assert stream.recv(10) == b"end\n"
    all_quiet(it, 1)


def test_a_worker_that_never_stops_is_stopped_when_its_time_is_over():
    os.mkfifo("hold")
    it, pid, stream, client = pausing("--drain-timeout 1s --stop-timeout 1s", path("hold"))
    wait(lambda: "D" in map(state, session(pid)))
    it.call("restart")
    wait(lambda: session(pid) == [])


def test_a_request_that_comes_while_its_worker_stands_still_is_answered():
    os.mkfifo("hold")
    it = cluster(f"-n 1 -l 8000 {QUIET}", "python3", server("pauses.py"), path("hold"), clock=True)
    pid = it.worker().pid
    wait(lambda: "D" in map(state, session(pid)))
    client = idle()
    wait(lambda: silence(client.socket) > 600)  # it does not ask again soon
    it.call("restart", no_wait=True)
    wait(lambda: [state(p) for p in session(pid)].count("T") == 2 or lab.clock.creep())
    client.ask()
    wait(lambda: any(s.unread for s in sockets("established", PORT)))
    write("hold", "")
    assert client.answer().status == 200
    lab.clock.flow()
    it.event("rollout-done")
    all_quiet(it, 1)


def test_a_connection_between_processes_of_one_worker_is_nobodys_request():
    it = cluster(f"-n 2 -l 8000 {QUIET} --ready alive:1ms", "python3", server("inner.py"),
                 path("inner"))
    it.call("restart")
    all_quiet(it, 2)


# its database has the last word
CLIENT = "import socket; s = socket.create_connection(('127.0.0.1', 8001)); s.recv(1); s.recv(1)"


@pytest.mark.parametrize("options", ("", "-l unix:@web"))
def test_nor_is_one_to_a_database_where_no_port_is_known(options):
    with socket.create_server(("127.0.0.1", 8001)) as database:
        it = cluster(f"-n 1 {QUIET} --ready alive:1ms {options}", "python3", "-c", CLIENT)
        with database.accept()[0] as connection:
            connection.send(b"+")
            wait(lambda: [s.unread for s in sockets("established", to=8001)] == [0])
            it.call("restart")
    all_quiet(it, 1)


# ---- the kernel wakes one worker for each connection ----

def test_who_was_woken_for_a_connection_and_ends_without_taking_it_another_one_does():
    # whoever comes after it takes long to start
    it = cluster("-n 2 -l 8000 --ready notify", "sh", "-c",
                 '[ ! -e "$1" ] || exec sleep 1000; exec "$0" --doze "$1"', RUDE, path("dozes"))
    request = Request()
    slot = int(wait(lambda: read("dozes")))
    kill(it.worker(slot).pid)
    assert request.answer().slot == 1 - slot


def test_who_is_emptied_and_was_woken_for_a_connection_another_one_takes_it():
    it = cluster("-n 1 -l 8000 --ready notify --surge 0 --max-unavailable 1 --drain quiet "
                 "--drain-timeout 10m", RUDE, "--slow", 600000, "--doze", path("dozes"),
                 "--doze-busy")
    request = Request("/slow")
    wait_asked()
    wait(lambda: state(it.worker().pid) == "S")  # for an event, all the time
    it.call("scale", count=2)  # the second one waits behind the first
    late = Request()
    wait(lambda: read("dozes") == "0")
    it.call("restart", target="it.0", no_wait=True)
    assert late.answer().slot == 1
    assert not queued() and request
