# SPDX-License-Identifier: MIT
"""The stop signal below a shell, npm or a pool: who gets it, and how often."""
import re

from harness import *

# The server, which goes on after each signal but USR1: it is at work.
SERVER = HEAR, "--notify", "--to", "heard", "--end-on", "USR1"


def finish_stop(it, stop, pid):
    """Have the server end, which has got its signal."""
    kill(pid, signal.SIGUSR1)
    wait_gone(pid)
    it.advance(1)
    stop()
    assert it.exit() == 0
    assert heard() == ["start", "TERM", "USR1"]


# Of each: what runs it, and whether its processes are told only at half of the time.
WRAPPERS = {
    "a shell without exec": ('"$@"; true', False),
    # as npm does, which does not wait for what is below its shell
    "one that dies as its child did": (
        "trap 'kill $!; wait $!; trap - TERM; kill $$' TERM; sh -c '\"$@\"; true' - \"$@\" & wait",
        False),
    "two of them": ('sh -c \'"$@"; true\' - "$@"; true', False),
    "one that sends it on and ends": ("trap 'kill $!; exit' TERM; \"$@\" & wait", False),
    "one that sends it on and waits": ("trap 'kill $!' TERM; \"$@\" & wait; wait $!; wait $!", False),
    "one that does not send it on": ("trap 'exit 0' TERM; \"$@\" & wait", True),
    "one with a trap, in the foreground": ("trap 'exit 0' TERM; \"$@\"; true", True),
}

# A job runner: it waits for its pool, which is not to hear of it.
POOL = """
import signal, subprocess, sys
signal.signal(signal.SIGTERM, lambda *_: None)
subprocess.run(sys.argv[1:])
"""


def heard(pid=""):
    return [line.split()[-1] for line in lines("heard") if f"pid={pid}" in line and "CONT" not in line]


def wait_ticking(it, holds):
    """Its clock goes on meanwhile, but by little: by less than half of stop-timeout."""
    ticks = iter(range(400))
    wait(lambda: holds() or (next(ticks, None) is not None and it.advance(0.01)))


def server_pid():
    return int(wait(lambda: re.search(r"pid=(\d+)", read("heard"))).group(1))


@pytest.mark.parametrize("how", WRAPPERS)
def test_each_server_gets_one_stop_signal_and_all_the_time_that_it_needs(how):
    script, late = WRAPPERS[how]
    it = cluster("-n 1 --ready notify --stop-timeout 10s --drain off", "sh", "-c", script, "-",
                 *SERVER, clock=True)
    pid = server_pid()
    main = it.worker().pid
    stop = it.begin("stop")
    it.event("stopping")
    if late and "foreground" not in how:
        wait_gone(main)
    if late:
        it.advance(4, step=0.5)
        assert it.worker().state == "stopping" and heard() == ["start"]
        it.advance(1.5, step=0.5)
    wait_ticking(it, lambda: "TERM" in heard())
    it.advance(2, step=0.5)
    assert it.worker().state == "stopping" and is_alive(pid)
    finish_stop(it, stop, pid)
    assert it.says("'exec' before the last command") == ("foreground" in how)
    assert it.says("its main process has ended by itself") == (late and "foreground" not in how)


def test_below_a_shell_that_waits_all_of_a_hundred_processes_get_the_signal():
    it = cluster("-n 1 --ready notify --stop-timeout 10s --drain off", "sh", "-c",
                 """trap 'exit 0' TERM; for n in $(seq 99); do "$@" & done; "$@"; true""", "-",
                 *SERVER[:1], "--notify", "--to", path("heard"), clock=True)
    wait_ticking(it, lambda: len(heard()) == 100)
    stop = it.begin("stop")
    it.event("stopping")
    it.advance(5.5, step=0.5)
    wait_ticking(it, lambda: it.process.poll() is not None)
    stop()
    assert heard().count("TERM") == 100
    assert not it.says("did not end in time")


# as yarn 1 does: tells its shell, which dies of it, and takes its time to end
YARN = """
import os, signal, subprocess, sys
def leave(number, frame):
    shell.send_signal(number)
    LAST
    os._exit(1)
shell = subprocess.Popen(["sh", "-c", '"$@"; true', "-", *sys.argv[1:]])
signal.signal(signal.SIGTERM, leave)
while True:
    signal.pause()
"""


@pytest.mark.parametrize("last", ("pass", "os.waitid(os.P_PID, shell.pid, os.WEXITED)"))
def test_a_server_whose_shell_dies_of_the_signal_gets_it_at_once_where_the_main_process_leaves(last):
    it = cluster("-n 1 --ready notify --stop-timeout 10s", "python3", "-c",
                 YARN.replace("LAST", last), *SERVER, clock=True)
    pid = server_pid()
    main = it.worker().pid
    stop = it.begin("stop")
    if last == "pass":
        wait_gone(main)  # all below it are frozen as long as nclust's clock stands still
    wait_ticking(it, lambda: heard() == ["start", "TERM"])
    finish_stop(it, stop, pid)
    assert not it.says("its main process has ended by itself")


def test_the_pool_below_a_main_process_may_use_the_whole_time():
    it = cluster("-n 1 --ready notify --stop-timeout 10s --drain off", "python3", "-c", POOL,
                 *SERVER, clock=True)
    pid = server_pid()
    stop = it.begin("stop")
    it.event("stopping")
    it.advance(9, step=0.5)
    assert it.worker().state == "stopping" and heard() == ["start"]
    it.advance(2, step=0.5)
    wait_ticking(it, lambda: it.process.poll() is not None)
    stop()
    assert is_gone(pid)
    assert it.says("did not end in time, sending SIGKILL")


@pytest.mark.parametrize("ends", (True, False))
def test_a_main_process_that_dies_leaves_the_others_the_same_time(ends):
    it = cluster("-n 1 --ready notify --stop-timeout 10s", "sh", "-c", '"$@"; true', "-", *SERVER,
                 clock=True)
    pid = server_pid()
    kill(it.worker().pid)
    wait_ticking(it, lambda: heard() == ["start", "TERM"])
    assert it.worker().state == "stopping"
    if ends:
        kill(pid, signal.SIGUSR1)
        wait_gone(pid)
        it.advance(1)
    else:
        it.advance(11, step=0.5)
        wait_gone(pid)
        it.advance(1)
    it.event("exited", exit="killed by SIGKILL")
    it.event("ready", n=2)


@pytest.mark.parametrize("how", [how for how in WRAPPERS if not WRAPPERS[how][1]])
def test_a_restart_waits_for_what_the_old_worker_has_left(how):
    it = cluster("-n 1 --surge 1 --ready notify --stop-timeout 1h", "sh", "-c", WRAPPERS[how][0], "-", *SERVER)
    pid = server_pid()
    restart = it.begin("restart")
    wait(lambda: "TERM" in heard())
    assert {w.state for w in it.workers()} == {"stopping", "ready"}
    kill(pid, signal.SIGUSR1)
    restart()
    assert is_gone(pid)
    assert heard(pid) == ["start", "TERM", "USR1"]


def test_an_upgrade_waits_for_what_dead_workers_have_left_also_one_that_is_stopped_meanwhile():
    it = cluster("-n 2 --ready notify --stop-timeout 1h", "sh", "-c", '"$@"; true', "-", *SERVER)
    pids = [int(pid) for _, pid in sorted(re.findall(r"slot=(.) pid=(\d+) start", read("heard")))]
    kill(it.worker(0).pid)
    wait(lambda: heard(pids[0]) == ["start", "TERM"])
    upgrade = it.begin("upgrade")
    assert "has left" in it.event("upgrade-waits").text
    it.call("scale", count=1, no_wait=True)
    wait(lambda: heard(pids[1]) == ["start", "TERM"])
    for slot, pid in enumerate(pids):
        assert it.worker(slot).state == "stopping"
        kill(pid, signal.SIGUSR1)
        it.event("exited", slot=slot)
    assert upgrade().ok
    for pid in pids:
        assert heard(pid) == ["start", "TERM", "USR1"]


def test_with_leftovers_keep_what_a_worker_has_started_outlives_its_restart():
    it = cluster("-n 1 --ready notify --leftovers keep", "sh", "-c",
                 'setsid "$@" & exec "$0" --notify', HEAR, HEAR, "--to", path("heard"))
    pid = server_pid()
    it.call("restart")
    wait(lambda: heard() == ["start"] * 2)  # in a session of its own by then
    kill(it.worker().pid)
    it.event("ready", n=3)
    wait(lambda: heard() == ["start"] * 3)
    assert is_alive(pid)
    it.stop()
    assert heard() == ["start"] * 3 and is_alive(pid)


def test_sigkill_reaches_what_is_in_a_session_of_its_own():
    it = cluster("-n 1 --ready notify --stop-timeout 1h", "sh", "-c",
                 'setsid "$0" & exec "$0" --notify', fixture("deaf"))
    it.verb("stop", "--now").ok()
    assert it.exit() == 0
    assert living() == [] and not it.says("unkillable")


# It is left in a session of its own, and drops its environment at the first signal.
CHANGED = """
setsid sh -c 'trap "exec env -i $0 --to heard --end-on USR1" TERM; : >there; sleep 1000 & wait' "$0" &
exec sleep 1000
"""


def test_one_that_is_known_by_its_first_signal_alone_gets_the_second_too():
    it = cluster("-n 1 --ready alive:1ms --stop-signal 'TERM:2s USR1:1h' --drain off", "sh", "-c",
                 CHANGED, HEAR, clock=True)
    wait_ticking(it, lambda: it.worker().state == "ready" and os.path.exists("there"))
    stop = it.begin("stop")
    wait_ticking(it, lambda: heard() == ["start"])
    wait_ticking(it, lambda: it.process.poll() is not None)
    stop()
    assert heard() == ["start", "USR1"]
