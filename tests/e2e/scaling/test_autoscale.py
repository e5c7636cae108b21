# SPDX-License-Identifier: MIT
"""workers = MIN..MAX: as many as the load needs, and none without clients."""
import re

from harness import *

# A logger that is asked whether it lives would have to answer at once where time stands.
IDLE = "--idle-after 10m --drain off --bake 0 --log inherit"


def wait_started(it):
    """A worker that starts has all the time of the machine that it needs."""
    wait(lambda: all(w.state != "starting" for w in it.workers()))


def until(it, holds, step=1.0):
    """Let time go on until that is true; it looks at the load each second, or sooner."""
    for _ in range(200):
        wait_started(it)
        if holds():
            return
        it.advance(step)
    pytest.fail(f"not after {200 * step:.0f} s")


def wanted(it):
    return it.cluster().wanted


def wait_closed():
    """Until no client is left: a worker may not have closed its connection yet."""
    wait(lambda: not any(s.state in ("established", "close-wait") for s in sockets()))


def asleep(it):
    """It goes to sleep, after that time and not before."""
    wait_closed()
    wait_started(it)  # it may serve before nclust has seen so
    it.advance(1.1)
    it.advance(1.1)  # by now it has seen that nothing is to be done
    it.advance(590)
    assert wanted(it) >= 1
    until(it, lambda: wanted(it) == 0)
    it.wait(lambda: it.pids() == [])
    it.advance(1.1)  # the worker may have shut its socket down: that is watched again by now


def reasons(it):
    return [event.reason for event in it.happened("scaled")]


def busy(count):
    """So many requests, which are answered once the gate is open; a worker takes one at a time."""
    return [Request("/slow") for _ in range(count)]


def one_at_a_time(options, **more):
    return cluster(f"-l 8000 --ready notify {options}", RUDE, "--blocking", "--until", path("gate"),
                   clock=True, **more)


def test_clients_that_wait_start_more_workers_and_calm_stops_them_but_not_in_a_rollout():
    it = one_at_a_time("-n 2..4 --drain off --log inherit --canary 1 --bake 20s")
    assert (it.cluster().autoscale.min, it.cluster().autoscale.max) == (2, 4)
    it.call("restart", no_wait=True)
    it.event("baking")
    requests = busy(8)
    wait(lambda: queued() == 5)
    for _ in range(19):
        it.advance(1)
    assert wanted(it) == 2
    Gate().open()
    assert all(request.answer().status == 200 for request in requests)
    it.advance(1.1)
    it.event("rollout-done")

    os.unlink("gate")
    requests = busy(8)
    wait(lambda: queued() == 6)
    until(it, lambda: it.cluster().ready == 4, 0.1)
    assert it.says(": connections wait to be accepted (")
    assert it.cluster().autoscale.last.reason == "queue"
    assert re.search(r"2 to 4 workers, by load; last .* ago \(queue\)", it.verb("status").out)
    Gate().open()
    assert all(request.answer().status == 200 for request in requests)
    until(it, lambda: wanted(it) == 2)
    assert it.says("scaled to 2 workers: these are enough")
    for _ in range(60):  # never fewer
        it.advance(1)
    assert wanted(it) == 2
    assert set(reasons(it)) == {"queue", "calm"}


def test_what_a_server_has_others_compute_that_it_forks_for_each_client_counts_as_its_load():
    it = cluster(f"-n 1..2 {IDLE}", "python3", server("forking.py"), PORT, clock=True)
    pid = it.worker().pid
    it.advance(1)
    for _ in range(4):
        assert get("/work").status == 200
        wait(lambda: not read(f"/proc/{pid}/task/{pid}/children"))  # it has ended, and is reaped
        it.advance(1)
    assert wanted(it) == 2 and it.cluster().autoscale.last.reason == "cpu"


def test_without_clients_there_is_no_worker_nor_work_and_the_first_one_waits_for_a_start():
    it = start(f"-n 0..3 -l 8000 --ready notify {IDLE}", SERVE, "--notify", clock=True)
    for n in 1, 2:
        assert wanted(it) == 0
        turns = it.status().process.turns
        it.advance(3600)  # who sleeps does not wake nclust
        assert it.status().process.turns - turns <= 9
        assert get().slot == 0
        assert it.cluster().autoscale.last.reason == "client"
        asleep(it)
    assert reasons(it) == ["client", "idle", "client", "idle"]
    it.verb("status").ok()
    it.verb("restart", target="it.0").fails(
        69, "'it' is asleep: it has no workers until a client comes")
    got = Clients(PORT, "--clients", 20, "--count", 3).result()  # nor are many at once refused
    assert (got.answered, got.refused, got.lost, got.late) == (60, 0, 0, 0)


def test_a_client_that_has_its_connection_open_keeps_a_worker():
    it = start(f"-n 0..3 -l 8000 --ready notify {IDLE}", RUDE, clock=True)
    with dial():
        it.event("ready")
        wait(lambda: holders())
        for _ in range(5):
            it.advance(600)
        assert wanted(it) == 1
    wait_closed()
    until(it, lambda: wanted(it) == 0, 60)


@pytest.mark.parametrize("check", ["tcp", "http:/"])
def test_checks_are_no_clients(check):
    it = start(f"-n 0..3 -l 8000 --ready notify --check {check} --check-interval 100ms "
               "--idle-after 3s --drain off --bake 0", SERVE, "--notify")
    assert get().slot == 0
    it.wait(lambda: wanted(it) == 0)
    assert reasons(it) == ["client", "idle"]


def test_a_server_that_opens_its_port_by_itself_sleeps_and_wakes_also_by_another_one():
    def ini(port):
        return ("[cluster:web]\nworkers = 0..2\nidle-after = 10m\ndrain = off\nbake = 0\n"
                f"log = inherit\ncommand = {PLAIN} {port} --loopback --shut\n[cluster:other]\n"
                f"command = {HEAR} --notify\nready = notify\nlog = inherit\n")

    it = cluster(ini=ini(8000), clock=True)
    asleep(it)
    assert it.cluster().listeners[0].learned
    assert Clients(PORT, "--clients", 4, "--count", 2).result().answered == 8
    asleep(it)
    write("it.ini", ini(8001))  # started once, for the port of the new command
    it.call("reload")
    wait_listened(8001)
    assert reasons(it)[-1] == "port"
    asleep(it)
    assert get(port=8001).pid
    asleep(it)
    it.call("restart", target="web", command=[PLAIN, "8002", "--loopback"])
    assert get(port=8002).pid
    asleep(it)
    it.call("stop", target="web")
    assert not listens(8002)
    it.call("restart", target="web")
    assert get(port=8002).pid
    asleep(it)
    it.verb("restart", "--", DIE, "--exit", 3, target="it/web").fails(1, "exit 3")


def test_without_an_address_there_is_nothing_to_wake_by_a_worker_stays():
    ini = (f"[cluster:web]\ncommand = {HEAR} --notify\nready = notify\nworkers = 0..2\n"
           "drain = off\nlog = inherit\n")
    it = cluster(ini=ini, clock=True)
    for _ in range(5):
        it.advance(600)
    assert it.cluster().ready == 1
    it.reload(ini + "listen = 8000\n")
    until(it, lambda: wanted(it) == 0, 300)
    it.reload(ini)
    until(it, lambda: it.cluster().ready == 1)


def test_a_scale_by_hand_holds_until_a_reload_in_which_the_number_has_changed():
    def ini(workers, *more, command=SERVE + " --notify"):
        return "\n".join(("[cluster:web]", f"command = {command}", "listen = 8000", "drain = off",
                          "log = inherit", "ready = notify", f"workers = {workers}", *more, ""))

    it = start(ini=ini("0..3"), clock=True)
    it.call("scale", count=2)
    assert it.cluster().autoscale.by_hand
    it.reload(ini("0..3", "idle-after = 1m"))
    for _ in range(5):
        it.advance(100)
    assert wanted(it) == 2
    it.call("scale", count=0)  # by hand there is none, and nobody wakes it
    request = Request()
    wait(lambda: queued() == 1)
    it.advance(10)
    assert wanted(it) == 0
    it.reload(ini("1..4"))
    auto = it.cluster().autoscale
    assert (auto.min, auto.max, auto.by_hand) == (1, 4, False)
    assert request.answer().pid
    write("it.ini", ini("2..5", command=f"{DIE} --exit 3"))
    it.verb("reload").fails(1, "exit 3")
    auto = it.cluster().autoscale  # a rollout that has failed takes its limits back
    assert (auto.min, auto.max) == (1, 4)
    write("it.ini", ini("3"))
    it.call("reload", no_wait=True)
    assert (wanted(it), it.cluster().autoscale) == (3, None)


@pytest.mark.parametrize("how", ("upgrade", "kill"))
def test_an_upgrade_and_the_next_nclust_keep_the_number_awake_and_asleep(how):
    options = f"-n 0..3 {IDLE} --orphans keep"
    it = one_at_a_time(options)

    def replace():
        if how == "upgrade":
            it.call("upgrade")
            return it
        it.kill()
        return one_at_a_time(options)

    it = replace()
    assert wanted(it) == 0
    requests = busy(3)
    until(it, lambda: it.cluster().ready >= 2, 0.1)
    Gate().open()
    assert all(request.answer().status == 200 for request in requests)
    count = wanted(it)
    it = replace()
    assert wanted(it) == count
    wait_closed()
    until(it, lambda: wanted(it) == 0, 60)
    it = replace()
    assert wanted(it) == 0 and get().pid
