# SPDX-License-Identifier: MIT
"""Rolling restarts and scaling, under load and disturbed."""
import shutil
import socket

from harness import *

def gated(count, options="", **more):
    """Workers that are ready once there is a file `gate`."""
    Gate().open()
    return cluster(f"-n {count} --ready notify {options}", fixture("slow-ready"), path("gate"),
                   **more)


def shut():
    os.unlink("gate")


def generations(it):
    return [w.generation for w in it.workers()]


def at_path(name, command=f"{SERVE} --notify", **more):
    return section("web", command, f"listen = unix:{path(name)}", **more)


# ---- that go well ----

def test_restarts_and_scales_under_load_fail_no_request_and_leave_the_others_alone():
    it = cluster("-n 3 -l 8000 --ready notify", SERVE, "--notify")
    load = Clients(PORT, "--clients", 2)
    for generation in 2, 3:
        it.call("restart")
        assert generations(it) == [generation] * 3
    before = it.pids()
    for number, count in ((15, 15), ("-11", 4), ("+1", 5), (3, 3)):
        it.verb("scale", number).ok()
        assert it.cluster().ready == count
    assert it.pids() == before
    it.verb("scale", 10001).fails(64, "10000")
    it.verb("scale", "many").fails(64)
    load.loses_nothing()
    assert [w.restarts for w in it.workers()] == [0] * 3


@pytest.mark.parametrize("options, story", (
    ("", "started0 ready0 exited0 started1 ready1 exited1 started2 ready2 exited2"),
    ("--surge 0 --max-unavailable 1",
     "exited0 started0 ready0 exited1 started1 ready1 exited2 started2 ready2")))
def test_one_slot_at_a_time_the_new_one_first_or_the_old_one(options, story):
    it = gated(3, options)
    since = it.mark()
    it.call("restart")
    it.mark()
    assert " ".join(f"{e.event}{e.slot}" for e in it.events[since:]
                    if e.event in ("started", "ready", "exited")) == story
    assert not it.happened("state", state="degraded")


def test_status_tells_where_a_roll_is_surge_takes_two_at_a_time():
    it = gated(4, "--surge 2")
    shut()
    it.call("restart", no_wait=True)
    it.event("started", 6)
    c = it.cluster()
    assert (c.state, c.ready, len(c.workers)) == ("rolling", 4, 6)
    assert (c.rollout.to, c.rollout.done, c.rollout.of) == (2, 0, 4)
    assert c.rollout.step.startswith("waiting for it.")
    it.verb("status").ok()
    Gate().open()
    it.event("rollout-done")
    assert it.cluster().rollout is None


def test_one_slot_can_be_restarted_alone_and_a_restart_of_nobody_comes_back_at_once():
    it = gated(2)
    first, second = it.pids()
    it.call("restart", target="it.1")
    assert it.worker(0).pid == first and it.worker(1).pid != second
    it.verb("restart", target="it.2").fails(69, "slots 0 and 1 only")
    it.call("scale", count=0)
    it.call("restart")
    it.call("scale", count=1)
    assert generations(it) == [3]


# ---- that fail ----

def test_a_bad_binary_stops_it_the_old_ones_serve_on_and_why_is_told():
    shutil.copy(SERVE, "server")
    it = cluster("-n 2 -l 8000 --ready notify --log prefix", path("server"), "--notify")
    before = it.pids()
    load = Clients()
    for bad, says in (("#!/bin/sh\necho 'no database' >&2\nexit 3\n", ("exit 3", "no database")),
                      (None, ("cannot execute", "No such file or directory"))):
        os.unlink("server")
        if bad:
            write("server", bad, 0o755)
        it.verb("restart").fails(1, "failed: it.", *says, "the old workers keep serving")
        c = it.cluster()
        assert it.pids() == before and (c.generation, c.ready, c.state) == (1, 2, "running")
    shutil.copy(SERVE, "server")
    it.call("restart")
    load.loses_nothing()


def test_a_new_one_that_is_not_ready_in_time_or_is_killed_ends_it():
    it = gated(2, "--start-timeout 900ms --drain off", clock=True)
    before = it.pids()
    shut()
    for n, (end, says) in enumerate((
            (lambda pid: it.advance(1), "not ready after 1"), (kill, "killed by SIGKILL")), 3):
        answer = it.begin("restart")
        end(it.event("started", n).pid)
        is_refused(f"{says}.*the old workers keep serving", answer)
        it.wait(lambda: it.pids() == before)
    answer = it.begin("scale", count=3)  # the same is told of more workers
    it.event("started", 5)
    it.advance(1)
    is_refused("start-timeout", answer)
    assert it.worker(0).state == "ready"


def test_one_that_fails_half_way_ends_with_workers_of_before_only():
    gate = Gate("go.{slot}")
    for slot in 0, 1:
        gate.open(slot)
    it = cluster("-n 2 --ready notify", fixture("slow-ready"), gate)
    os.unlink("go.1")
    answer = it.begin("restart")
    kill(it.event("started", slot=1, generation=2).pid)
    is_refused("the old workers keep serving; replaced again by the previous settings: 1", answer)
    it.event("rollout-done", rollout=2)
    assert generations(it) == [3, 1]


# ---- that are disturbed ----

def test_a_second_restart_a_scale_and_deaths_during_it_all_slots_are_filled_once():
    it = gated(3)
    shut()
    answers = [it.begin("restart")]
    it.event("started", 4)
    answers.append(it.begin("restart"))
    it.event("rollout-superseded")
    it.call("scale", count=5, no_wait=True)
    it.event("scaled")
    # the one that is being replaced, and one whose turn has not come
    for slot in 0, 2:
        kill(next(w.pid for w in it.workers() if w.slot == slot and w.generation == 1))
        it.event("exited", slot=slot, generation=1)
    Gate().open()
    for answer in answers:
        assert answer().ok
    it.wait_ready()
    assert [(w.slot, w.generation) for w in it.workers()] == [(slot, 3) for slot in range(5)]


def test_a_stop_during_it_wins_and_who_waited_is_told():
    it = gated(2)
    shut()
    answer = it.begin("restart")
    it.event("started", 3)
    assert it.stop() == 0
    with pytest.raises(Refused, match="it.0: interrupted, the cluster stops") as told:
        answer()
    assert "keep serving" not in str(told.value) and not it.says("keep serving")


def test_a_file_put_back_in_its_midst_goes_back_to_what_was():
    it = cluster(ini=at_path("old"))
    write("it.ini", at_path("new", f"{fixture('slow-ready')} never"))
    it.call("reload", no_wait=True)
    assert it.cluster().state == "rolling"
    it.reload(at_path("old"))
    assert it.cluster().state == "running"
    assert it.cluster().listeners[0].address == f"unix:{path('old')}"
    assert get(unix=path("old")).pid and not os.path.exists("new")


# ---- scale ----

def test_scale_0_parks_and_connections_wait_those_that_do_not_find_room_are_counted():
    it = cluster("-n 2 -l 127.0.0.1:8000,backlog=4 --ready notify", SERVE, "--notify")
    it.call("scale", count=0)
    assert it.workers() == [] and it.cluster().wanted == 0
    requests = [Request() for _ in range(5)]  # one more than the backlog
    wait(lambda: it.cluster().listeners[0].queue == 5)
    assert it.cluster().listeners[0].queue_limit == 4
    with socket.socket() as one_more:
        one_more.setblocking(False)
        one_more.connect_ex(("127.0.0.1", 8000))
        wait(lambda: it.cluster().listeners[0].dropped > 0)
    assert "drop" in it.verb("status").out
    it.call("scale", count=1)
    assert {request.answer().slot for request in requests} == {0}


def test_a_stopped_cluster_that_is_parked_or_scaled_up_and_down_holds_up_no_stop():
    it = cluster(ini="".join(section(name, f"{HEAR} --notify") for name in ("a", "b")))
    it.call("stop", target="a")
    it.call("scale", target="a", count=0)
    it.call("scale", target="a", count=1)  # begins anew
    assert it.cluster("a").ready == 1
    it.call("stop", target="a")
    it.call("scale", target="a", count=0)
    assert it.cluster("a").ready == 0
    assert it.stop() == 0
