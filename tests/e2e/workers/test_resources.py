# SPDX-License-Identifier: MIT
"""What becomes of nclust and its workers when something runs out: memory, processes, descriptors,
or when any one system call fails."""
import re

from harness import *
from harness.trace import Trace, injection


# ---- memory ----

@pytest.mark.parametrize("limit", (None, "1G"))
def test_a_worker_that_the_kernel_killed_for_memory_is_told_so(make_group, limit):
    group = make_group("memory")
    group.set("memory-max", 64 << 20)
    # its own limit, if it has one, was not reached
    it = start("-n 1 --ready notify --log inherit --stable-after 1h --backoff-min 1h "
               f"--backoff-max 1h {f'--memory-max {limit}' if limit else ''}",
               fixture("eat-memory"), 200, "--notify", under=group.under)
    for n in (1, 2):  # the first time it comes back at once
        exited = it.event("exited", n=n)
        assert (exited.why, exited.exit) == ("out-of-memory", "SIGKILL, out of memory")
    assert it.worker().state == "backoff"
    assert it.worker().last_exit.text == "SIGKILL, out of memory"
    assert it.says("SIGKILL, out of memory")
    assert not it.says("memory-max")


# ---- processes ----

AS_USER = ("setpriv", "--reuid", 54321, "--clear-groups")


def test_no_process_can_be_made_it_stays_waits_tells_why_and_recovers():
    need_root()  # who has no such limit, but others have
    os.chown("run", 54321, 54321)
    it = cluster("-n 3 --ready notify --log inherit --backoff-min 20ms --backoff-max 50ms",
                 HEAR, "--notify", under=("prlimit", "--nproc=5000:5000", *AS_USER))
    run(*AS_USER, "prlimit", "--pid", it.pid, "--nproc=1:").ok()
    for slot in (0, 1):
        kill(it.worker(slot).pid)
    for slot in (0, 1):
        it.event("exited", slot=slot, why="not-started", n=2)
    assert it.says("Resource temporarily unavailable")
    assert it.worker(2).state == "ready"
    assert it.worker(0).last_exit.text == "Resource temporarily unavailable"
    run(*AS_USER, "prlimit", "--pid", it.pid, "--nproc=5000:").ok()
    it.wait_ready()
    assert it.stop() == 0


@pytest.mark.leaks  # of a worker that is still there nothing is freed
def test_a_worker_that_cannot_be_killed_is_told_and_a_stop_ends_all_the_same():
    it = cluster("-n 1 --ready notify --stop-timeout 1s --drain off", HEAR, "--notify", clock=True)
    pid = it.worker().pid
    # a tracer that stops it at its end, and never lets it go
    begin_program("python3", "-c", f"""
import ctypes, os, time
assert ctypes.CDLL(None).ptrace(0x4206, {pid}, 0, 0x40) == 0  # SEIZE, with O_TRACEEXIT
open("traced", "w").close()
time.sleep(1000)""")
    wait(lambda: os.path.exists("traced"))
    it.call("stop", no_wait=True)
    it.advance(1.1)
    it.advance(9.8)
    assert it.says("sending SIGKILL") and not it.says("unkillable")
    it.advance(0.3)
    assert it.says(f"worker {pid} is still there after SIGKILL: unkillable")
    lab.clock.flow()  # it waits a last moment, outside of its loop
    it.exit()
    assert it.says("nclust ends without it")


# ---- descriptors ----

@pytest.mark.parametrize("kernel", ("this one", "linux-6.15"))
def test_out_of_descriptors_status_answers_workers_come_back_and_nothing_spins(kernel):
    under = () if kernel == "this one" else (fixture("confine"), kernel, "--")
    it = cluster("-n 3 --ready notify --log inherit --backoff-max 200ms", HEAR, "--notify",
                 under=(*under, "prlimit", "--nofile=48:48"))
    clients = [dial(unix=f"{it.directory}/control") for _ in range(60)]
    it.verb("status").ok()
    it.reconnect()  # the places of those that have been idle longest were taken
    for slot in range(3):
        it.reborn(slot)
    assert not it.spins()
    assert len(clients) == 60
    assert it.stop() == 0


@pytest.mark.parametrize("count, ready, lack", (
    (9, 9, None), (15, 15, "their output is not captured ("),
    (21, 21, "they have no NOTIFY_SOCKET, and their output is not captured"),
    (28, 28, "they have no NOTIFY_SOCKET, and their output is not captured"),
    (40, 30, "some are not started, and the others' output is not captured")))
def test_what_many_workers_cost_is_counted_before_the_first_one_starts(count, ready, lack):
    it = start(f"-n {count} --ready alive:1ms --log prefix --start-at-once 40", *NAP,
               under=("prlimit", "--nofile=100:100"))
    it.wait(lambda: it.cluster().ready == ready)
    it.reborn(3)
    it.wait(lambda: it.cluster().ready == ready)
    assert not it.says("cannot capture the output")
    assert it.log().count("need more than 100 open files, nclust's limit") == bool(lack)
    assert not lack or it.says(lack)
    if ready == count:
        it.call("restart")  # with a worker more meanwhile


def test_no_descriptor_left_for_another_worker_is_told_and_tried_again():
    it = start("-n 20 --ready notify --log inherit --backoff-max 200ms", HEAR, "--notify",
               under=("prlimit", "--nofile=60:60"))
    it.logged("Too many open files; raise RLIMIT_NOFILE, it is 60")
    it.wait(lambda: it.cluster().ready >= 5)
    it.call("scale", count=3)
    assert (it.cluster().ready, len(it.workers())) == (3, 3)
    it.reborn(1)
    assert it.stop() == 0


# ---- any one system call fails ----

def hears():
    return {p for p in living() if command(p).startswith(HEAR)}


FAILS = (
    "clone EAGAIN", "epoll_ctl ENOMEM", "accept4 EMFILE", "openat EMFILE",
    *(pytest.param(each, marks=pytest.mark.nightly) for each in (
        "clone ENOMEM", "socket EMFILE", "bind EADDRINUSE", "read EIO", "waitid EINTR",
        "recvmsg EAGAIN", "accept4 ECONNABORTED", "sendto EPIPE", "write ENOSPC",
        "unlinkat ENOENT", "pidfd_send_signal EPERM")))


@pytest.mark.parametrize("fails", FAILS)
def test_any_one_call_fails_and_there_is_a_worker_again_after_a_death_and_a_restart(fails):
    it = cluster("-n 1 --ready notify --log inherit --start-timeout 500ms --backoff-min 1ms "
                 "--backoff-max 20ms --backoff-jitter 0%", HEAR, "--notify")
    wait(lambda: has_begun(it))
    it.status()  # that turn is over
    before = len(descriptors(it.pid))
    call, error = fails.split()
    seen = ""
    for n in (1, 2, 3):
        old = it.worker().pid
        trace = Trace(it.pid, *injection(call, f"error={error}", n))
        kill(old)
        wait(lambda: hears() - {old})
        it.verb("restart")  # which may fail, and say so
        seen += trace.end()
        it.reconnect()
        it.wait(lambda: [(w.state, w.pid == old) for w in it.workers()] == [("ready", False)])
    assert "INJECTED" in seen
    assert not it.says("out of memory")
    wait(lambda: len(descriptors(it.pid)) == before)
    assert it.stop() == 0


def has_begun(it):
    """Does it have all that it opens once?  What counts OOM kills comes last."""
    return any(re.search("/(memory.events|memory.oom_control|vmstat)$", target)
               for target in descriptors(it.pid).values())


# ---- growth ----

@pytest.mark.nightly
def test_5000_respawns_later_no_more_memory_and_no_more_descriptors():
    it = start("-n 50 --backoff-min 1ms --backoff-max 1ms --log-level error --log inherit",
               DIE, "--exit", 1)

    def memory_after(respawns):
        """KiB of private memory that it has written to."""
        for so_far in range(0, respawns, 250):  # they go on, however slow the machine is
            it.wait(lambda: it.cluster().counters.started > so_far + 250)
        kill(it.pid, SIGSTOP)
        wait(lambda: is_stopped(it.pid))
        try:
            return sum(numbers(read(f"/proc/{it.pid}/smaps_rollup"), r"Private_Dirty: +(\d+)"))
        finally:
            kill(it.pid, SIGCONT)

    before, after = memory_after(1000), memory_after(6000)
    assert lab.SANITIZED or after <= before * 1.05 + 8  # which keeps what has been freed
    assert len(descriptors(it.pid)) < 20 + 50 * 4  # each worker needs a few
