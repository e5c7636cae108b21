# SPDX-License-Identifier: MIT
"""Commands that are run when something has happened, and that they never hold nclust up."""
from harness import *


def tell():
    """A hook that tells what it was told: a file for each event, whole ones only."""
    make("told", mode=0o777)
    return write("tell", f"""#!/bin/sh
        told={path('told')}
        {{ env; echo "uid=$(id -u)"; echo "cwd=$(pwd)"; readlink /proc/self/fd/0; }} >$told/.$$
        mv $told/.$$ $told/$NCLUST_EVENT.$$
        """, 0o755)


def told(event, **facts):
    """One that has these."""
    wanted = {f"{'' if name.islower() else 'NCLUST_'}{name}={facts[name]}" for name in facts}
    for name in os.listdir("told"):
        if name.startswith(event) and wanted <= set(lines(f"told/{name}")):
            return read(f"told/{name}")
    return None


def wait_told(event, **facts):
    return wait(lambda: told(event, **facts), f"told of {event}: {facts}")


def running(words):
    return [pid for pid in living() if command(pid).startswith(words)]


def test_a_workers_beginning_and_end_are_told_with_the_facts():
    need_root()
    hook = tell()
    it = cluster("-n 2 --ready alive:1ms --user nobody --directory / "
                 f"--env mine={{cluster}}{{slot+40}} --on-ready {hook} "
                 f"--on-exit {hook} --on-crash {hook} --on-scale ./not-there", *NAP)
    pid = it.worker(1).pid
    facts = {"NAME": "it", "CLUSTER": "it", "SLOT": 1, "WORKER_PID": pid, "GENERATION": 1,
             "mine": "it41", "uid": 65534, "cwd": "/"}  # as the workers run, and where
    assert "/dev/null" in wait_told("ready", **facts)
    kill(pid, signal.SIGSEGV)
    for event in "exit", "crash":
        assert "NCLUST_REASON=killed by SIGSEGV" in wait_told(event, EXIT_SIGNAL="SIGSEGV", **facts)
    for count in 3, 4:  # one that fails is told once
        it.call("scale", count=count)
        it.logged("the hook on-scale ('./not-there') failed:")
    it.stop()
    assert it.log().count("the hook on-scale") == 1


@pytest.mark.parametrize("options", ("", "--accept -l 8000"), ids=("workers", "accept"))
def test_a_hook_of_another_user_has_no_file_of_nclusts_open_to_write(options):
    need_root()
    hook = write("hook", f"""#!/bin/sh
        exec 3>&1
        readlink /proc/$$/fd/2 /proc/$$/fd/3 >{path('told')}/where
        echo "it was told" >&2
        touch {path('told')}/done
        """, 0o755)
    make("told", mode=0o777)
    it = cluster(f"-n 1 {options or '--ready alive:1ms'} --user nobody --on-scale {hook}", *NAP)
    it.call("scale", count=2)
    wait(lambda: os.path.exists("told/done"))
    assert all(line.startswith("pipe:") for line in lines("told/where"))
    it.logged("it was told")


def test_what_is_asked_for_is_no_crash_and_scales_and_rollouts_are_told():
    hook = tell()
    it = cluster("-n 1 --ready notify --drain off " + " ".join(
        f"--on-{event} {hook}" for event in ("exit", "crash", "stop", "scale", "rollout")),
        "sh", "-c", """[ ! -e broken ] || exit 3
        trap 'exit 7' TERM
        "$0" READY=1 --barrier --exit 0
        while :; do sleep 0.01; done""", NOTIFY, clock=True)
    it.call("scale", count=3)
    wait_told("scale", COUNT=3, WANTED=3)
    it.call("restart")
    wait_told("rollout", OUTCOME="started", ROLLOUT=1, COUNT=3)
    wait_told("rollout", OUTCOME="done", ROLLOUT=1)
    write("broken", "")
    is_refused("", it.call, "restart")
    wait_told("rollout", OUTCOME="failed", ROLLOUT=2, SLOT=0)
    wait_told("rollout", OUTCOME="started", ROLLOUT=2)
    wait_told("crash", EXIT_CODE=3)
    exits = len(it.happened("exited"))  # of those that the restart has replaced, too
    wait(lambda: sum(name.startswith("exit.") for name in os.listdir("told")) == exits)
    os.unlink("broken")
    for name in os.listdir("told"):
        os.unlink(f"told/{name}")
    assert it.stop() == 0
    wait_told("exit", EXIT_CODE=7, REASON="exit 7")
    wait_told("stop", CLUSTER="it")
    assert not told("crash")


def test_why_nclust_has_ended_a_worker_is_in_the_reason():
    start(f"-n 1 --ready notify --start-timeout 50ms --on-crash {tell()}", "sleep", 999)
    wait_told("crash", REASON="killed by SIGTERM (not ready in time)")


def test_a_stop_is_told_also_where_no_worker_lives():
    it = cluster(f"-n 1 --ready notify --drain off --on-stop {tell()}", HEAR, "--notify")
    it.call("scale", count=0)
    it.stop()
    wait_told("stop", WANTED=0)


def test_one_that_hangs_holds_nothing_up_not_even_the_end():
    it = cluster("-n 1 --ready notify --drain off --on-ready 'sleep 999'", HEAR, "--notify",
                 clock=True)
    wait(lambda: len(running("sleep 999")) == 1)
    it.call("restart")
    wait(lambda: len(running("sleep 999")) == 2)
    it.call("stop", no_wait=True)
    it.event("state", state="stopped")
    assert len(running("sleep 999")) == 2
    it.advance(2.1)
    assert it.exit() == 0
    wait(lambda: living() == [])  # they are killed, and need a CPU to end


def test_at_the_end_those_that_have_not_begun_are_told_apart():
    it = cluster("-n 17 --ready notify --drain off --on-ready 'sleep 999' --on-stop 'touch stopped'",
                 HEAR, "--notify", clock=True)
    wait(lambda: len(running("sleep 999")) == 16)
    it.call("stop", no_wait=True)
    it.event("state", state="stopped")
    it.advance(2.1)
    assert it.exit() == 0
    assert it.says("16 hooks did not end in time: killed")
    assert it.says("2 hooks had not begun: not run (16 of a cluster run at a time)")
    assert not os.path.exists("stopped")


def test_how_many_were_lost_is_told_also_as_nclust_ends():
    it = cluster("-n 1 --ready alive:1ms --on-scale 'sleep 999'", *NAP, clock=True)
    for count in range(200):
        it.call("scale", count=count % 2, no_wait=True)
        if it.happened("hooks-dropped"):
            break
    it.call("stop", no_wait=True)
    it.event("state", state="stopped")
    it.advance(2.1)
    assert it.exit() == 0
    assert it.says("1 hooks were not run")


def test_what_a_hook_leaves_behind_is_ended_and_nobody_is_taken_for_a_worker():
    leave = "sleep 999 & echo $! >>left"
    it = cluster(f"-n 1 --ready notify --drain off --on-ready \"sh -c '{leave}; {leave}'\"",
                 HEAR, "--notify", clock=True)
    it.call("restart")
    left = [int(pid) for pid in wait(lambda: len(lines("left")) == 4 and lines("left"))]
    wait_gone(*left)
    it.advance(1.1)  # who has ended unseen is found each second
    wait(lambda: not [pid for pid in pids() if state(pid) == "Z"])
    assert [w.restarts for w in it.workers()] == [0]
