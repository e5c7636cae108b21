# SPDX-License-Identifier: MIT
"""A broken release does not get past the first worker: the old ones serve on, and the exit status
says so."""
import re

from harness import *

# What is taken for ready when it listens; it answers by its generation.
LISTENS = (RUDE, "8000", "--mute", "--graceful")
KEEP = "the old workers keep serving"


def gen():
    return int(get().part("generation"))


def is_as_before(it, pids_of_it):
    """All is as it was, once the new one is gone."""
    it.wait(lambda: it.pids() == pids_of_it)
    c = it.cluster()
    return (c.ready, c.wanted, c.generation) == (len(pids_of_it), len(pids_of_it), 1)


# ---- what happens after a worker was taken for ready ----

def test_one_that_listens_and_ends_soon_after_is_noticed_before_an_old_one_goes():
    it = cluster("-n 4 --stable-after 20s --drain off", *LISTENS, clock=True)
    before = it.pids()
    answer = it.begin("restart", command=[*LISTENS, "--die", path("die")])
    assert "the first new worker is ready, watching it for 20s" in it.event("baking").text
    assert set(before) < set(it.pids())
    Gate("die").open()
    is_refused(f"failed: it.0: exit 3 after .*{KEEP}", answer)
    assert is_as_before(it, before) and gen() == 1


def test_who_is_in_a_hurry_or_says_itself_that_it_is_ready_is_not_made_to_wait():
    it = cluster("-n 2 --drain off", *LISTENS, clock=True)
    answer = it.begin("restart")
    it.event("baking")
    it.advance(1.1)
    assert "generation 2" in answer().text
    it.verb("restart", "--bake", 0).ok()
    assert len(it.happened("baking")) == 1
    it = cluster("-n 2 -l 8001 --ready notify --drain off", SERVE, "--notify", name="says",
                 clock=True)
    it.call("restart")
    assert not it.happened("baking")


def test_where_nothing_can_serve_a_restart_and_a_scale_have_failed_and_claim_nobody():
    it = start("-n 2 --stable-after 20s --backoff-min 60s --backoff-max 60s --log prefix", "sh",
               "-c", 'echo no database; exec "$@"', "-", *LISTENS, "--die", 10)
    it.wait(lambda: [w.state for w in it.workers()] == ["backoff"] * 2)
    for verb, says in (("restart", ": exit 3 after "), ("scale 3", "ended with exit 3")):
        said = it.verb(verb.split()[0], *verb.split()[1:]).fails(1, says, "no database")
        assert KEEP not in said.err


# ---- where the old ones listen ----

def begins(it, n, steps):
    """The n-th worker waits, or has done all that it will; half a second for each step passes."""
    pid = it.event("started", n).pid
    wait(lambda: os.path.exists(f"waits.{pid}"))
    for _ in range(steps):
        it.advance(0.5)
    return pid


def waits_in_vain(it, n):
    """It does not listen on all that the old ones do: until start-timeout, 5 s."""
    pid = begins(it, n, 11)
    assert "does not listen on tcp:" in it.event("not-listening", pid=pid).text


@pytest.mark.parametrize("options", ("", "--ready listen --ipc off"), ids=("auto", "listen"))
def test_a_private_unix_path_makes_nobody_ready(options):
    Gate("go").open()
    it = cluster(f"-n 2 --start-timeout 5s --drain off --bake 0 {options}", "python3",
                 server("gate.py"), "path", 8000, clock=True)
    before = it.pids()
    os.unlink("go")
    answer = it.begin("restart")
    waits_in_vain(it, 3)
    why = ("it.0: does not listen on tcp:127.0.0.1:8000, unlike generation 1 "
           "('--drop-ports' permits that), not ready after 5")
    with pytest.raises(Refused, match=re.escape(why)) as told:
        answer()
    assert KEEP in str(told.value) and is_as_before(it, before) and get().pid in before
    answer = it.begin("restart")
    it.event("started", 4)
    Gate("go").open()
    assert answer().ok and get().pid in it.pids()


def test_a_release_that_ends_or_stays_between_its_two_ports_changes_nothing_but_if_permitted():
    write("go", "")
    it = cluster("-n 2 --bake 0 --drain off --start-timeout 5s", "python3",
                 server("gate.py"), 8001, 8000, clock=True)
    before = it.pids()
    wait(lambda: all(os.path.exists(f"listens.{pid}") for pid in before))
    os.unlink("go")
    answer = it.begin("restart")
    it.event("started", 3)
    write("go.new", "os._exit(1)")
    os.rename("go.new", "go")
    is_refused(f"failed: it.0: exit 1 after .*{KEEP}", answer)
    assert is_as_before(it, before)
    write("go", "threading.Event().wait()")
    answer = it.begin("restart")
    waits_in_vain(it, 4)
    is_refused("does not listen on tcp:127.0.0.1:8000, unlike generation", answer)
    assert is_as_before(it, before) and get().pid in before
    for n, how in ((5, {"drop_ports": True}), (7, {})):  # then it is not waited for any more
        answer = it.begin("restart", **how)
        for worker in n, n + 1:
            begins(it, worker, 2)
        assert answer().ok and get(port=8001).pid in it.pids()


def addresses(it):
    return sorted(x.address[-4:] for x in it.cluster().listeners)


def test_a_port_that_was_opened_seconds_after_the_first_is_asked_of_the_successor():
    """As of a server whose metrics are there at once and whose work begins when it is prepared."""
    it = cluster("-n 2 --bake 0 --drain off --start-timeout 5s", "python3", server("gate.py"), 8001,
                 8000, clock=True)
    before = it.pids()
    it.advance(9, step=0.5)
    write("go", "")
    wait(lambda: all(os.path.exists(f"listens.{pid}") for pid in before))
    os.unlink("go")
    it.advance(3, step=0.5)
    answer = it.begin("restart")
    begins(it, 3, 2)
    assert it.pids() != before and set(before) < set(it.pids())
    write("go.new", "os._exit(1)")
    os.rename("go.new", "go")
    is_refused(f"failed: it.0: exit 1 after .*{KEEP}", answer)
    assert is_as_before(it, before) and get().pid in before


def test_ports_that_a_worker_has_closed_are_in_no_status_and_asked_of_no_successor():
    write("go", "for port in range(9000, 9012): open_port(port).server_close()")
    it = cluster("-n 2 --bake 0 --drain off --start-timeout 5s", "python3", server("gate.py"), 8001,
                 8000, clock=True)
    wait(lambda: all(os.path.exists(f"listens.{pid}") for pid in it.pids()))
    assert len(addresses(it)) == 14
    it.advance(4, step=0.5)
    assert addresses(it) == ["8000", "8001"]
    write("go", "")
    answer = it.begin("restart")
    for worker in 3, 4:
        begins(it, worker, 2)
    assert answer().ok and addresses(it) == ["8000", "8001"]


def test_what_a_worker_opened_later_is_asked_of_no_successor_and_is_forgotten_once_closed():
    write("go", """import signal
late = []
signal.signal(signal.SIGUSR1, lambda *_: late.append(open_port(9229)))
signal.signal(signal.SIGUSR2, lambda *_: late.pop().server_close())""")
    it = cluster("-n 2 --bake 0 --drain off --start-timeout 5s", "python3", server("gate.py"), 8001,
                 8000, clock=True)
    wait(lambda: all(os.path.exists(f"listens.{pid}") for pid in it.pids()))
    assert addresses(it) == ["8000", "8001"]
    it.advance(11, step=0.5)
    kill(it.worker(0).pid, SIGUSR1)
    wait(lambda: addresses(it) == ["8000", "8001", "9229"])
    it.call("restart")
    it.advance(15, step=0.5)  # the port has no owner any more
    assert addresses(it) == ["8000", "8001"]
    kill(it.worker(1).pid, SIGUSR1)
    wait(lambda: addresses(it) == ["8000", "8001", "9229"])
    wait(lambda: listens(9229))  # it was kept at its bind(2)
    it.advance(2, step=0.5)
    assert listens(9229)
    late, = sockets("listen", 9229)
    kill(it.worker(1).pid, SIGUSR2)
    wait(lambda: late.inode not in inodes(it.worker(1).pid))
    it.advance(3, step=0.5)
    assert addresses(it) == ["8000", "8001"] and not listens(9229)


def test_a_release_that_calls_no_listen_as_it_takes_a_socket_is_ready_by_waiting():
    def ini(way):
        more = [] if way == "bind" else ["listen = 127.0.0.1:8000"]
        if way == "idle":
            more.append("start-timeout = 1s")
        return section("it", f"python3 {server('takes.py')} {way}", "bake = 0", *more, workers=1,
                       ready="auto")

    it = cluster(ini=ini("bind"))
    for way in "accept", "thread", "poll", "bind", "select", "epoll":
        it.reload(ini(way))
        assert get().body == way
        it.reborn()
    write("it.ini", ini("idle"))  # it leaves the socket alone
    it.verb("reload").fails(1)
    assert get().body == "epoll"


def test_a_socket_that_nclust_passes_counts_also_after_a_take_over():
    options = f"-n 1 --orphans keep --ipc off --listen unix:{path('socket')} --bake 0"
    it = cluster(options, "node", server("listen-fd.js"))
    it.kill()
    it = cluster(options, "node", server("listen-fd.js"))
    it.call("restart", target="it.0")
    assert it.cluster().ready == 1


# ---- one that ends soon after the rollout was done ----

def release(good, *more):
    """Alive is ready, so that is a guess: each is watched for stable-after.  Of one that is not
    good slot 1 ends when there is a file `die.1`."""
    die = path("never" if good else "die.{slot}")
    return "\n".join((
        "[cluster:it]",
        f"command = {DIE} --stderr {'good' if good else 'bad'} --after {die} --exit 1",
        "workers = 2", "ready = alive:1ms", "bake = 1ms", "stable-after = 300s", "log = prefix",
        "backoff-max = 200ms", f"on-rollout = {path('tell')}", *more, ""))


def tell():
    """Two hooks of the same moment run at the same time."""
    write("tell", f"#!/bin/sh\necho $NCLUST_ROLLOUT-$NCLUST_OUTCOME >>{path('told')}\n", 0o755)


def are(it, what):
    return all(f"--stderr {what} " in command(pid) for pid in it.pids())


LATE = r"it: restart failed .* s after it was done: it.1: exit 1 after .*; "


@pytest.mark.parametrize("upgraded", (False, True), ids=("", "upgraded"))
def test_a_reload_whose_second_worker_ends_soon_after_goes_back(upgraded):
    tell()
    it = cluster(ini=release(True, "shared-memory = 64k", "listen = 8001"))
    it.reload(release(False))
    assert are(it, "bad") and it.cluster().shared_memory is None and not listens(8001)
    if upgraded:
        it.call("upgrade")
    Gate("die.1").open()
    it.event("rollout-done", rollout=2)
    assert re.search(LATE + "going back to the previous settings", it.log())
    assert are(it, "good")
    # one after the other, first the slot that was empty
    assert [e.slot for e in it.happened("rollout-step", rollout=2)] == [1, 0]
    wait(lambda: sorted(lines("told")) == [
        "1-done", "1-failed", "1-started", "2-done", "2-started"])
    # that it has gone back is no success
    failed = it.cluster().failed_restart
    assert failed.rollout == 1 and re.fullmatch(
        "last restart failed .* ago: it.1: exit 1 .*; generation 3 keeps serving", failed.text)
    assert "last restart failed " in it.verb("status").ok()
    # what only the settings of before listen on, or share, is there again
    assert listens(8001) and it.cluster().shared_memory.size == 65536
    for slot in 0, 1:
        pid = it.worker(slot).pid
        memory = environment(pid)
        assert memory["NCLUST_SHM_SIZE"] == "65536"
        assert (os.stat(f"/proc/{pid}/fd/{memory['NCLUST_SHM_FD']}").st_ino
                == it.cluster().shared_memory.inode)
    os.unlink("die.1")
    it.call("reload")
    assert are(it, "bad") and it.cluster().failed_restart is None


def test_a_restart_has_nothing_to_go_back_to_and_says_so():
    tell()
    it = cluster(ini=release(False))
    it.call("restart")
    Gate("die.1").open()
    it.event("rollout-failed")
    assert re.search(LATE + "the settings had not changed, so there is nothing to go back to",
                     it.log())
    os.unlink("die.1")
    it.wait_ready()
    c = it.cluster()
    assert (c.generation, c.failed_restart.rollout) == (2, 1)
    assert [e.event for e in it.events if e.get("rollout") == 1][-2:] == [
        "rollout-done", "rollout-failed"]
    # who is in a hurry has not failed a restart
    it.verb("restart", "--bake", 0).ok()
    it.reborn(1)
    assert it.cluster().failed_restart is None


def test_a_verb_that_waits_for_another_cluster_yet_has_failed():
    tell()
    Gate("go").open()
    it = cluster(ini=release(False, "[cluster:slow]", "ready = notify", "workers = 1",
                             f"command = {fixture('slow-ready')} {path('go')}"))
    os.unlink("go")
    answer = it.begin("restart")
    it.event("rollout-done", cluster="it")
    Gate("die.1").open()
    it.event("rollout-failed", cluster="it")
    assert it.cluster("slow").rollout.id == 1
    Gate("go").open()
    is_refused("it: restart failed .* s after it was done: it.1", answer)
