# SPDX-License-Identifier: MIT
"""Hooks and `exec` probes that run, or wait, while nclust replaces itself: they run on, have
the time that they had, and their end is heard."""
from harness import *
from replaced import *

# It says that it runs, waits until it may go on, and ends as it is told to.
WAITS = """#!/bin/sh
echo "$NCLUST_SLOT" >>"${0%/*}/begun"
while [ ! -e "${0%/*}/go" ]; do sleep 0.02; done
echo "$NCLUST_SLOT" >>"${0%/*}/ended"
exit "$(cat "${0%/*}/go")"
"""


def waits():
    return write("wait", WAITS, 0o755)


def go(status):
    """All may end, so."""
    write(".go", str(status))
    os.rename(".go", "go")


def begun(count):
    wait(lambda: len(lines("begun")) >= count)
    assert len(lines("begun")) == count


def napping():
    return [p for p in living() if command(p) == "sleep 1000"]


def test_the_end_of_a_hook_that_ran_through_an_upgrade_is_heard():
    it = begin(f"-n 1 --ready alive:0 --on-ready {waits()} --on-scale {path('wait')}", HEAR,
               clock=True)  # no minute is over
    begun(1)
    it.call("upgrade")
    it.call("upgrade")
    go(5)
    assert it.event("hook-failed").text.endswith(f"on-ready ('{path('wait')}') failed: exit 5")
    # ... also that it goes well, in another one
    os.unlink("go")
    it.call("scale", count=2)
    begun(3)
    it.call("upgrade")
    go(0)
    wait(lambda: len(lines("ended")) == 3)
    wait(lambda: not [p for p in pids() if state(p) == "Z"])
    assert len(it.happened("hook-failed")) == 1


def test_a_hook_that_ran_through_an_upgrade_is_killed_when_its_minute_is_over():
    it = begin("-n 1 --ready alive:0 --on-ready \"sh -c 'sleep 1000 & sleep 1000'\"", HEAR,
               clock=True)
    wait(lambda: len(napping()) == 2)
    it.advance(30, step=0.25)
    it.call("upgrade")
    it.advance(29.5, step=0.25)
    assert len(napping()) == 2
    it.advance(4, step=0.25)
    it.logged("killed because it ran for more than a minute")
    wait(lambda: not napping())


def test_hooks_that_wait_for_a_place_run_after_an_upgrade_each_once():
    it = begin(f"-n 20 --ready alive:0 --on-ready {waits()}", HEAR,
               clock=True).wait_ready()
    begun(16)
    it.call("upgrade")
    begun(16)
    go(0)
    wait(lambda: len(lines("ended")) == 20)
    assert sorted(map(int, lines("begun"))) == list(range(20))


def test_the_answer_of_a_readiness_command_that_ran_through_an_upgrade_counts():
    it = begin(f"-n 1 --ready exec:{waits()} --check-timeout 1h", HEAR)
    begun(1)
    it.call("upgrade")
    assert it.worker().state == "starting"
    go(0)
    it.event("ready")
    begun(1)


def test_the_answer_of_a_check_that_ran_through_an_upgrade_counts():
    it = begin(f"-n 1 --ready alive:1ms --check exec:{waits()} --check-interval 1h "
               "--check-timeout 1h --check-failures 1", HEAR)
    begun(1)
    pid = it.worker().pid
    it.call("upgrade")
    go(9)
    it.logged(f"worker {pid} failed 1 check, '{path('wait')}': exit 9")
    assert it.event("ready", n=2).pid != pid


def test_a_check_that_ran_through_an_upgrade_has_the_time_that_it_had():
    it = begin("-n 1 --ready alive:0 --check-interval 1h --check 'exec:sleep 1000' "
               "--check-timeout 8s --check-failures 100 --log-level info", HEAR, clock=True)
    pid, = wait(napping)
    it.advance(5, step=0.1)
    it.call("upgrade")
    it.advance(2.9, step=0.1)
    assert napping() == [pid]
    it.advance(1.5, step=0.1)
    it.logged("failed a check, 'sleep 1000': no answer within 8s (check-timeout)")
    wait_gone(pid)
    assert it.worker().checks.failed == 1
