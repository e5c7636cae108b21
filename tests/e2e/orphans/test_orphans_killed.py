# SPDX-License-Identifier: MIT
"""nclust is killed at any moment: the next one has all workers, no others, and no request
is lost.  `orphans = keep`."""
import re

from harness import *
from harness.trace import Trace, calls, injection, stopped, traced
from left import *

# nclust can be killed before each of these; between others it changes nothing.
CHANGES = set("""accept4 bind clone clone3 close connect dup2 epoll_ctl execveat fallocate fcntl
    ftruncate listen madvise memfd_create mkdirat mmap openat pidfd_open pidfd_send_signal poll
    pwritev recvmsg renameat sendmsg sendto setsockopt shutdown socket socketpair unlinkat vfork
    wait4 waitid write writev""".split())
OPTIONS = "--log prefix --intercept off"
# Some of all moments; make nightly tries them all.
PARTS = ["some", *(pytest.param(n, marks=pytest.mark.nightly) for n in range(4))]


def moments(part, trace="trace"):
    """(name, n) of the calls of a trace, from main() on, that are to be tried."""
    begun = trace != "trace"
    found, told = [], None
    for name, n, line in calls(trace):
        begun = begun or name == "geteuid"
        if begun and name in CHANGES:
            found.append((name, n))
        if told is None and "READY=1" in line:
            told = len(found)  # then it takes the message away, and looks for another one
    assert len(found) > 50
    if part != "some":
        return found[part::4]
    return found[7::len(found) // 8] + (found[told:told + 3] if told else [])


def dies_or_kill(it):
    """It is killed as it is told; where it never comes to that, it is killed now."""
    wait(lambda: it.process.poll() is not None or it.is_there())
    it.process.poll() is not None or it.kill()
    it.forget()


@pytest.mark.parametrize("part", PARTS)
def test_killed_as_it_takes_over(part):
    it = kept(OPTIONS)
    pids = it.pids()
    it.kill()
    kept(OPTIONS, under=traced()).kill()
    load = Steady(PORT, "--rate", 100)
    for moment in moments(part):
        dies_or_kill(launch(f"-n 3 -l 8000 --orphans keep --ready notify {OPTIONS}", *SERVING,
                            under=traced(*injection(moment[0], "signal=KILL", moment[1]))))
        it = kept(OPTIONS)
        assert it.pids() == pids and sorted(pids) == serving(), moment
        it.kill()
    load.loses_nothing()


@pytest.mark.leaks
@pytest.mark.parametrize("part", PARTS)
def test_killed_as_it_starts_its_first_workers(part):
    it = kept(OPTIONS, under=traced())
    it.stop()
    for moment in moments(part):
        dies_or_kill(launch(f"-n 3 -l 8000 --orphans keep --ready notify {OPTIONS}", *SERVING,
                            under=traced(*injection(moment[0], "signal=KILL", moment[1]))))
        alive = set(serving())
        it = kept(OPTIONS)
        assert sorted(it.pids()) == serving(), moment
        assert alive <= set(it.pids()), moment
        it.call("stop", now=True)
        it.exit()
        wait(lambda: not living())


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("verb", ("restart", "upgrade"))
def test_killed_in_the_midst_of(verb, part):
    it = kept(OPTIONS)
    trace = Trace(it.pid, to="whole")
    it.call(verb)
    trace.end()
    load = Steady(PORT, "--rate", 100)
    for moment in moments(part, "whole"):
        pids = it.pids()
        trace = Trace(it.pid, *injection(moment[0], "signal=KILL", moment[1]))
        try:
            it.call(verb)
        except (Closed, OSError):  # it may be killed before the request, by what else it does
            it.forget()
        trace.end()
        if it.process.poll() is None and is_alive(it.pid):
            it.kill()
        it = kept(OPTIONS)
        wait(lambda: it.cluster().rollout is None)
        it.wait_ready()
        wait(lambda: sorted(it.pids()) == serving())
        assert len(serving()) == 3, moment
        assert verb == "restart" or it.pids() == pids, moment
    load.loses_nothing()


@pytest.mark.parametrize("when", ("before", "after"))
@pytest.mark.parametrize("call", ("setsid", "close_range", "execve"))
def test_killed_while_a_worker_is_being_born(call, when):
    """The new process is stopped at that call, and goes on before or after the next start."""
    options = f"-n 3 -l 8000 --orphans keep --ready notify {OPTIONS}"
    it = cluster(options, *SERVING)
    pids = it.pids()
    trace = Trace(it.pid, "-f", *injection(call, "signal=STOP"))
    it.call("scale", count=4, no_wait=True)
    child = int(wait(lambda: re.search(r"(\d+) +--- stopped by SIGSTOP", read("trace")))[1])
    it.kill()
    trace.end()
    if when == "before":
        kill(child, SIGCONT)
        wait(lambda: child in serving())
    it = launch(options, *SERVING)
    if when == "after" and call == "setsid":  # until then the name is not free
        assert it.exit() == 75
        kill(child, SIGCONT)
        wait(lambda: child in serving())
        it = launch(options, *SERVING)
    it.wait_there()
    kill(child, SIGCONT)
    it.wait_ready()
    wait(lambda: sorted(it.pids()) == serving())
    assert set(pids) <= set(it.pids())
    assert it.stop() == 0
    wait(lambda: not living())


@pytest.mark.leaks
def test_of_five_that_take_over_at_once_one_wins_and_nobody_starts_others():
    it = kept()
    pids = it.pids()
    load = Steady(PORT, "--rate", 100)
    it.kill()
    options = "-n 3 -l 8000 --orphans keep --ready notify"
    # the first is stopped in the midst of it
    first = launch(options, *SERVING, under=traced(*injection("connect", "signal=STOP")))
    stopped(first.pid)
    others = [launch(options, *SERVING) for _ in range(4)]
    for other in others:
        assert other.exit() == 75
    assert it.log().count(f"is already running (pid {first.pid})") == 4
    kill(first.pid, SIGCONT)
    first.wait_there().wait_ready()
    assert first.pids() == pids and len(serving()) == 3
    load.loses_nothing()


@pytest.mark.parametrize("count, moment", ((2, "the new one starts"), (1, "the old one drains")))
def test_killed_in_the_midst_of_a_rollout_there_is_one_worker_a_slot_in_the_end(count, moment):
    go, answer = Gate("go"), Gate("answer")
    go.open()
    options = f"-n {count} -l 8000 --orphans keep --ready notify --drain quiet"
    server = RUDE, "--start", go, "--until", answer
    it = cluster(options, *server)
    old = it.pids()
    requests = []
    if moment == "the new one starts":
        os.unlink("go")
        it.call("restart", no_wait=True)
        it.event("started", n=count + 1)
    else:
        requests = [Request("/slow") for _ in range(4)]
        wait_asked(count=4)
        it.call("restart", no_wait=True)
        it.event("draining")
    assert len(it.workers()) == count + 1
    it.kill()
    it = start(options, *server)
    go.open()
    answer.open()
    assert {r.answer().pid for r in requests} <= set(old)
    wait(lambda: it.cluster().rollout is None and it.cluster().ready == count == len(it.pids()))
    wait(lambda: sorted(p for p in living() if command(p).startswith(RUDE)) == sorted(it.pids()))
    assert [w.slot for w in it.workers()] == list(range(count))
