# SPDX-License-Identifier: MIT
"""A worker that has not passed its `ready` probe gets no client while others are ready: it has a
socket of its own, to which nclust's own probe alone is led.  Where none is ready clients wait."""
from drains import *
from harness import lab

CURL = "curl -sfo /dev/null http://localhost:8000/health"
# one of IPv6 that does not block, to an address of IPv4
ASK = """
import asyncio, sys
async def main():
    reads, writes = await asyncio.open_connection("::ffff:127.0.0.1", 8000)
    writes.write(b"GET / HTTP/1.0\\r\\n\\r\\n")
    sys.exit(b" 200 " not in await reads.readline())
asyncio.run(main())"""
# who answers is the one that is asked
ASKED = '[ "$(curl -sf http://localhost:8000/)" = "pid=$NCLUST_CHECK_PID" ]'
KINDS = {
    "python, by itself": ("", "python3", server("loads.py"), 8000),
    "python, passed": ("-l 8000", "python3", server("loads.py")),
    "node": ("", "node", server("loads.js"), 8000),
    "node, named": ("-l 8000", "node", server("loads.js"), 8000),
    # each asks by a command, which connects by itself
    "by curl": (f"--ready 'exec:{CURL}'", "python3", server("loads.py"), 8000),
    "by a script": ("-l 8000 --ready 'exec:sh ask.sh'", "node", server("loads.js"), 8000),
    "by python": ("--ready 'exec:python3 ask.py'", "python3", server("loads.py"), 8000),
    "by another user": (f"--user nobody --ready 'exec:{CURL}'", "python3", server("loads.py"), 8000),
}
some = pytest.mark.parametrize("kind", KINDS)


def begin(kind, count, more="", how=cluster, **given):
    options, *command = KINDS[kind]
    if "another" in kind:
        need_root()
    write("ask.py", ASK)
    write("ask.sh", ASKED)
    return how(f"-n {count} --ready http:/health {more} {options}", *command, **given)


def none_early(load):
    """Every answer came from a worker that had loaded."""
    got = load.end()
    assert got.answered > 0 and (got.wrong, got.refused, got.late) == (0, 0, 0)
    return got


@some
def test_in_a_rollout_and_of_more_workers_no_client_sees_one_that_loads(kind):
    need_moved_queues()
    it = begin(kind, 3)
    load = Steady(PORT, "--rate", 100)
    it.call("restart")
    it.call("scale", count=5)
    it.wait_ready()
    got = none_early(load)
    assert got.lost == 0


@some
def test_after_a_crash_neither(kind):
    need_moved_queues()
    it = begin(kind, 2)
    load = Steady(PORT, "--rate", 100)
    it.reborn(0)
    none_early(load)


@some
def test_while_none_is_ready_clients_wait(kind):
    """For one that a command asks, once that was seen to connect to it."""
    need_moved_queues()
    it = begin(kind, 1, "--surge 0 --max-unavailable 1", cluster if kind.startswith("by") else start)
    load = Steady(PORT, "--rate", 20)
    it.reborn()
    it.call("restart")
    none_early(load)
    wait(lambda: len(sockets("listen", PORT)) == 1)


def test_no_longer_than_start_timeout_and_then_they_are_let_in():
    need_moved_queues()
    it = start("-n 1 --ready http:/health", "python3", server("loads.py"), 8000, 1e9, clock=True)
    lab.clock.flow()
    wait_listened(PORT)
    waits = Request("/")
    wait(lambda: queued() > 0)
    it.advance(70, step=0.9)
    wait(lambda: queued() == 0)  # by the worker that start-timeout ends, or by the next one
    assert Request("/").answer().status == 503
    waits.http.close()


def test_a_command_that_an_upgrade_finds_at_work_still_connects_to_whom_it_asks():
    need_moved_queues()
    write("late.sh", f"echo >>up; until [ -e go ] && {ASKED}; do sleep .01; done; echo >>well")
    it = start("-n 2 -l 8000 --ready 'exec:sh late.sh' --check-timeout 1h", "node",
               server("loads.js"), 8000)
    wait(lambda: read("up") == "\n\n")
    wait_listened(PORT)
    it.call("upgrade")
    write("go", "")
    it.wait_ready()
    assert (read("up"), read("well")) == ("\n\n", "\n\n")


def test_and_each_check_asks_its_worker():
    need_moved_queues()
    write("ask.sh", f"{ASKED} && echo >>$NCLUST_SLOT")
    it = cluster("-n 3 --ready 'exec:sh ask.sh' --check 'exec:sh ask.sh' --check-interval 50ms",
                 "python3", server("loads.py"), 8000)
    for slot in range(3):
        wait(lambda: read(str(slot)).count("\n") > 3)
    assert [w.checks.failed for w in it.cluster().workers] == [0, 0, 0]


# ---- where that cannot be ----

LETS_IN = "a worker that has not passed 'ready' gets clients, too: "


def test_without_privileges_one_line_says_so_and_the_way_that_it_names_helps():
    need_root()
    for kind, ways in (("python, by itself", "'balance = rr', or 'surge = all'\n"),
                       ("by curl", "'balance = rr'\n")):  # any new worker may answer it
        it = begin(kind, 2, under=PLAIN_USER)
        it.logged(f"{LETS_IN}bpf(2): Operation not permitted; set {ways}")
        it.stop()
    for kind, way in (("python, by itself", "--balance rr"), ("python, by itself", "--surge all"),
                      ("by curl", "--balance rr")):
        it = begin(kind, 2, way, under=PLAIN_USER)
        load = Steady(PORT, "--rate", 100)
        it.call("restart")
        assert none_early(load).lost == 0
        it.stop()


def test_the_connections_of_a_command_that_are_not_seen():
    need_moved_queues()
    it = begin("python, passed", 2, f"--intercept off --ready 'exec:{CURL}'", start)
    it.logged("cannot be trapped (see 'intercept'), so they may reach any worker, and a new one gets "
              "clients early: use tcp or http:")


def test_a_unix_socket_and_one_that_is_shared_on_request():
    it = cluster(f"-n 2 -l unix:{path('socket')} --ready http:/", RUDE)
    it.logged(LETS_IN + "it is neither TCP nor UDP")
    it.stop()
    it = cluster("-n 2 -l 8000 --ready http:/ --balance share", RUDE, name="one")
    assert len(sockets("listen", PORT)) == 1 and not it.says(LETS_IN)
