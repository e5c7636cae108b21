# SPDX-License-Identifier: MIT
"""Node workers as they die, are replaced, lack something, or do what they must not: nclust is
their primary all the time."""
import re
import select
import shutil

from harness import lab

from nodes import *

WAYS = pytest.mark.parametrize("balance", ("auto", "rr", "random"),
                               ids=("shared", "by-turns", "by-chance"))


def held(it, gate, balance, path="/?until={}"):
    """Five requests with each of two workers."""
    requests = []
    for n, pid in enumerate(it.pids(), 1):
        others = [p for p in it.pids() if p != pid and balance != "rr"]
        freeze(*others)
        requests += [Request(path.format(gate)) for _ in range(5)]
        wait_asked(count=5 * n)
        thaw(*others)
    return requests


# ---- under requests ----

def test_by_turns_none_is_lost_by_restarts_and_few_by_a_death():
    it = node("leave.js", PORT, options="--balance rr")
    life = Life(it, drains=True, at_once=3)
    life.death_under_load()
    life.restart_under_load()
    life.restart_under_load()
    assert set(counts(40)) == set(it.pids())
    assert [w.last_exit.text for w in it.workers()] == 2 * ["exit 0"]  # they end by themselves
    life.nothing_stays()


def test_by_turns_what_dead_workers_have_not_taken_goes_to_others():
    # Node's own primary leaves those to their fate
    it = node("plain.js", PORT, options="--balance rr")
    for count, left in ((1, 0), (2, 4)):  # who has one of them gets no more
        dead = it.pids()[:count]
        freeze(*dead)
        requests = [Request() for _ in range(6)]
        wait(lambda: queued() == left)
        for pid in dead:
            kill(pid)
        for answer in [request.answer() for request in requests]:
            assert answer.pid not in dead and answer.part("worker").isdigit()
        wait(lambda: not set(dead) & set(it.pids()))
        it.wait_ready()


@WAYS
def test_replaced_under_requests_on_kept_connections_none_is_lost(balance):
    it = node("leave.js", PORT, options=f"--balance {balance}")
    load = Steady(PORT, "--rate", 100, "--mode", "keep", "--connections", 16,
                  "--path", "/:9", "--path", "/?ms=100:1")
    it.call("restart")
    it.call("restart")
    load.loses_nothing()
    ends_cleanly(it)
    # it closes those that are idle: those that have asked for nothing while it was drained,
    # which are not all of the 32 that the four replaced ones had
    told = [int(n) for n in re.findall("told with (.*) connections", it.log())]
    assert len(told) == 6 and sum(told) < 32


@WAYS
def test_an_upgrade_under_requests_same_workers_and_none_is_lost(balance):
    it = node("plain.js", PORT, options=f"--balance {balance}")
    pids = it.pids()
    load = Visits()
    load.more()
    for _ in range(2):
        it.call("upgrade")
        load.more()
    load.loses_nothing()
    assert it.pids() == pids
    before = {get().part("worker") for _ in range(20)}
    it.call("restart")  # they are replaced by others, whose numbers nobody had
    after = {get().part("worker") for _ in range(20)}
    assert min(map(int, after)) > max(map(int, before))


def test_what_disconnects_or_kills_itself_is_replaced():
    it = node("web.js", PORT)
    for n, what in enumerate(("/disconnect", "/kill"), 2):
        ask(it.worker(0).pid, it, what)
        it.event("ready", slot=0, n=n)
        it.wait_ready()
        each_is_worker(it)
    assert [w.restarts for w in it.workers()] == [2, 0]
    assert int(ask(it.worker(0).pid, it).part("worker")) > 2  # no number is used twice


# ---- the end ----

@pytest.mark.parametrize("balance", ("auto", "rr"), ids=("shared", "by-turns"))
def test_stopped_with_requests_under_way_all_are_answered(balance):
    gate = Gate()
    it = node("plain.js", PORT, options=f"--balance {balance}", clock=True)
    lab.clock.flow()
    requests = held(it, gate, balance)
    it.call("stop", no_wait=True)
    it.advance(6)
    gate.open()
    assert all(request.answer().part("worker") for request in requests)
    assert it.exit() == 0


def test_where_nobody_can_look_in_a_worker_answers_what_it_was_asked():
    need_root()
    program = shutil.copy(os.path.realpath(shutil.which("node")), path("node"))
    os.chmod(program, 0o711)  # execve(2) makes such a process unreadable
    for balance in ("auto", "rr"):
        gate = Gate(balance)
        it = node("leave.js", PORT, options=f"--user nobody --balance {balance}", program=program,
                  name=balance, under=(fixture("confine"), "docker", "--"))
        requests = held(it, gate, balance)
        it.call("stop", no_wait=True)
        it.logged("told with ", 2)
        assert sum(map(int, re.findall("told with (.*) connections", it.log()))) == 10
        gate.open()
        assert all(request.answer().part("worker") for request in requests)
        assert it.exit() == 0
        assert it.says("they get their stop signal at once")


def test_what_stays_open_is_left_to_the_worker_when_the_time_is_over():
    it = node("leave.js", PORT, options="--drain-timeout 1h", clock=True)
    lab.clock.flow()
    requests = held(it, None, "auto", "/poll")
    it.call("stop", no_wait=True)
    it.advance(3590)
    assert not it.says("told with")
    assert not select.select([r.socket for r in requests], [], [], 0)[0]
    it.advance(20)
    assert {request.answer().body for request in requests} == {"nothing more\n"}
    assert it.exit() == 0


def test_what_a_worker_does_not_finish_in_time_is_reported():
    it = node("plain.js", PORT, options="--drain-timeout 1s --bake 0")
    requests = held(it, Gate(), "auto")
    it.call("restart")
    done = it.event("rollout-done")
    assert done.busy == len(requests) == sum(e.busy for e in it.happened("drained") if e.forced)
    assert it.says("connections were still busy") and it.says("drained by force")


def test_nclust_is_killed_the_workers_end_as_nodes_do():
    it = node("plain.js", PORT)
    it.kill()
    wait(lambda: living() == [])


@pytest.mark.parametrize("balance", ("share", "rr"))
def test_with_orphans_keep_they_serve_on_and_are_taken_over(balance):
    # with rr they are replaced, as nobody gives them connections.  Each ends once it has closed its
    # server, not after half of this time
    options = f"--orphans keep --balance {balance} --stop-timeout 1h"
    it = node("leave.js", PORT, options=options)
    old = it.pids()
    it.kill()
    if balance == "share":
        assert set(counts(10)) <= set(old)
    it = node("leave.js", PORT, options=options)
    it.wait(lambda: it.cluster().state == "running")
    assert set(counts(10)) <= set(it.pids())
    it.call("restart")
    assert set(counts(10)) <= set(it.pids())
    assert it.worker().last_exit.text == "exit 0"
    assert it.stop() == 0


# ---- too little of something ----

def test_a_worker_without_descriptors_the_others_wait_and_nclust_rests():
    it = node("net.js", PORT, options="-n 1 --balance rr --limit-nofile 40", clock=True)
    lab.clock.flow()
    clients = [dial() for _ in range(60)]
    assert clients[0].recv(100).startswith(b"pid=")
    it.logged("has no descriptor left")
    lab.clock.stand()
    assert not it.spins()
    assert not select.select(clients[59:], [], [], 0)[0]
    lab.clock.flow()
    for s in clients[:59]:  # as places become free, they have their turn
        s.close()
    assert clients[59].recv(100).startswith(f"pid={it.worker().pid} ".encode())
    assert it.worker().restarts == 0


# ---- hostile workers ----

def hostile(how, options="", **more):
    """A worker that is none of Node's, but is started as one, beside a good cluster."""
    os.mkdir("bin")
    os.symlink(shutil.which("python3"), "bin/node")
    return start(ini=section("bad", f"{path('bin/node')} {server('primary.py')} {how} 8001",
                             options, workers=1, ready="alive:1ms")
                 + section("good", f"{SERVE} --notify", "listen = 8000"), **more).wait_ready("good")


def the_good_is_well(it):
    load = Visits()
    load.more()
    it.call("restart", target="good")
    load.more()
    load.loses_nothing()
    assert [w.restarts for w in it.workers("good")] == [0, 0]
    peak = int(re.search(r"VmHWM:\s+(\d+)", read(f"/proc/{it.pid}/status")).group(1))
    assert lab.SANITIZED or peak < 16384
    assert len(descriptors(it.pid)) < 128
    assert it.stop() == 0


@pytest.mark.parametrize("how", ("acks", "nonsense", "endless", "handles", "deaf"))
def test_a_worker_that_misuses_the_protocol_harms_nobody(how):
    it = hostile(how)
    it.logged("after 0")
    if how == "deaf":
        with pytest.raises(Refused):  # it loses its own messages
            for _ in range(60):
                it.call("send", target="bad", message=f'"{"x" * 60000}"')
    the_good_is_well(it)


def test_a_worker_gets_no_more_servers_than_there_is_room_for():
    it = hostile("many")
    it.logged("refused ")
    assert int(re.search(r"refused (\d+)", it.log()).group(1)) >= 1900
    assert len(it.cluster("bad").listeners) <= 64
    the_good_is_well(it)


def test_a_worker_gets_no_port_path_or_descriptor_that_it_may_not_have():
    need_root()
    it = hostile("ports", "user = nobody")
    for text in ("low -13", "path -13", "fd 0 -22", "fd 3 -22", "fd 7 -22", "fd 1000000 -22"):
        it.logged(text)
    assert not listens(80) and not os.path.exists("/run/nclust-test-no")
    the_good_is_well(it)


def test_a_worker_without_descriptors_is_told_so():
    it = hostile("nack", "ipc = on")
    it.logged("errno -24")
    assert it.says("has no descriptor left")
