# SPDX-License-Identifier: MIT
"""Programs of which only one copy can run: why the next one does not come up, and what to do."""
from harness import *
from harness import lab

REMEDY = "workers = 1, surge = 0, max-unavailable = 1"
LOCKS = ("flock", "lock", PLAIN, PORT)
ENDS = ("sh", "-c", f"mkdir pid || exit 7; exec {PLAIN} {PORT}")


def begins_to_wait():
    wait(lambda: "-> FLOCK" in read("/proc/locks"))


def passes(it, seconds):
    it.advance(seconds, step=0.5)


def one(options, command, within="5s"):
    return cluster(f"-n 1 --start-timeout {within} --drain off --bake 0 {options}", *command,
                   clock=True)


def test_a_restart_names_the_lock_who_has_it_and_what_to_do_and_that_works():
    it = one("--surge 1", LOCKS)
    old = it.worker().pid
    answer = it.begin("restart")
    it.event("started", n=2)
    begins_to_wait()
    passes(it, 3.5)
    lock = f"waits for the lock of {path('lock')}, which it.0 (process "
    said = it.event("waits").text
    assert lock in said and f") has; if only one copy can run at a time: {REMEDY}" in said
    assert lock in it.verb("status").out
    passes(it, 2)
    with pytest.raises(Refused) as refused:
        answer()
    said = str(refused.value)
    assert lock in said and REMEDY in said and "drop-ports" not in said + it.log()
    lab.clock.flow()
    it.wait(lambda: it.pids() == [old])
    it.stop()

    it = one("--surge 0 --max-unavailable 1", LOCKS, within="1h")  # time is the machine's now
    it.call("restart")


def test_a_restart_whose_new_worker_ends_names_it_too():
    it = one("", ENDS)
    is_refused(f"exit 7 after .*the old workers keep serving; .*{REMEDY}", it.call, "restart")


def test_a_release_that_says_what_is_wrong_with_it_is_not_taken_for_one():
    it = one("", ("sh", "-c", f"""mkdir pid 2>err || exec python3 -c =
        exec {PLAIN} {PORT}"""))
    with pytest.raises(Refused) as refused:
        it.call("restart")
    assert str(refused.value).endswith("SyntaxError: invalid syntax; the old workers keep serving")


@pytest.mark.parametrize("command, says", ((LOCKS, "waits for the lock of"), (ENDS, "exit 7")))
def test_two_copies_in_the_background_end_after_start_timeout(command, says):
    it = launch("-d -n 2 --start-timeout 5s --backoff-max 100ms", *command, clock=True).wait_there()
    it.event("ready")
    if command is LOCKS:
        begins_to_wait()
    else:
        wait(lambda: passes(it, 0.5) or it.says("not once ready in 3 tries, while others run"))
    for _ in range(20):
        if it.process.poll() is not None:
            break
        passes(it, 0.5)
    lab.clock.flow()  # the one that serves is still to end
    assert it.exit() == 1
    assert it.says(says) and it.says(REMEDY)


def test_a_spare_that_waits_for_a_lock_is_told_the_same():
    it = start("-n 1 --spare 1 --start-timeout 5s", *LOCKS, clock=True)
    it.event("ready")
    begins_to_wait()
    passes(it, 6)
    cause = it.event("exited", why="start-timeout").cause
    assert REMEDY in cause and "alive" not in cause
