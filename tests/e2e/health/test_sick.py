# SPDX-License-Identifier: MIT
"""One sick worker among several behind a shared port: the others answer, and it is found all the
same.  Workers that take no connection of a check: who has failed, and who has not?"""
import itertools
import re
import socket

from healthy import *

SICK = fixture("sick")
CHECKED = ("-l 8000 --balance share --check http:/ --check-interval 200ms --check-timeout 1s "
           "--check-failures 2")


def come_to(request, pid, others):
    """It reaches that worker, as the others stand still."""
    freeze(*others)
    request = Request(request)
    wait(lambda: is_taken(request))
    thaw(*others)
    return request


def is_locked(pid):
    return any(read(f"/proc/{pid}/task/{t}/wchan").startswith("futex")
               for t in os.listdir(f"/proc/{pid}/task"))


AWAY = "took no connection, and did nothing else"
# the server, a signal for one that is idle or what it is asked, what becomes of it, what is said
SICKNESS = {
    "it loops without a connection": ([], SIGUSR1, is_busy, f"{AWAY}.*thread {{}}: R"),
    "it loops in a request": ([], "/loop/1", is_busy, f"{AWAY}.*thread {{}}: R"),
    "it is stopped": ([], SIGHUP, is_stopped, f"{AWAY}.*thread {{}}: T"),
    "its pool waits for a lock": (["--pool", 1], "/lock/1", is_locked, AWAY),
    "the threads that it feeds are locked": (["--feed", 2], "/lock/1", is_locked,
                                             r"no answer within 1s \(check-timeout\)"),
}


@pytest.mark.parametrize("what", SICKNESS)
def test_one_that_is_sick_is_found_among_several(what):
    server, harm, is_sick, says = SICKNESS[what]
    it = begin(CHECKED, SICK, *server, count=3)
    first, sick, third = it.pids()
    until(it, lambda: all(checks(it, slot).ok for slot in range(3)))
    if isinstance(harm, str):
        request = come_to(harm, sick, (first, third))
        assert request
    else:
        kill(sick, harm)
    wait(lambda: is_sick(sick))
    until(it, lambda: replaced(it, sick, 3), but=(sick,))
    wait(lambda: re.search(f"worker {sick} .*{says.format(sick)}", it.log()))
    if AWAY in says:
        assert it.log().count(f"worker {sick} {AWAY}") == 1
    assert it.pids()[::2] == [first, third]


def test_idle_ones_behind_another_that_takes_everything_are_left_alone():
    it = begin(f"{CHECKED} --ready alive:0", SICK, "--unlucky", count=3)
    before = it.pids()
    until(it, lambda: checks(it).ok >= 12)
    assert it.pids() == before
    assert (checks(it, 1).failed, checks(it, 2).failed) == (0, 0)


def test_one_that_computes_for_less_than_interval_times_failures_is_left_alone():
    it = begin(f"{CHECKED} --check-failures 20", SICK, count=2)
    before = it.pids()
    gate = Gate()
    request = Request(f"/burn{gate}")
    wait(lambda: any(map(is_busy, before)))
    for _ in range(75):
        lab.clock.advance(0.02)
        it.status()
    gate.open()
    assert request.answer().status == 200
    assert it.pids() == before
    assert not it.says("took no connection")


def test_one_that_waits_for_a_cpu_has_time_until_it_has_used_that_much():
    it = begin("-l 8000 --check http:/ --check-interval 1s --check-timeout 1s --check-failures 10",
               SICK, count=2)
    until(it, lambda: checks(it).ok and checks(it, 1).ok)
    pid = it.pids()[0]
    kill(pid, SIGUSR1)
    wait(lambda: is_busy(pid))
    end = it.status().uptime + 15
    while it.status().uptime < end and not it.says(f"worker {pid} {AWAY}"):
        used = sum(map(int, stat(pid)[11:13])) / os.sysconf("SC_CLK_TCK")
        rest(it, but=(pid,))
        lab.clock.advance(sleep_of(it))
    assert used >= 9 or not it.says(f"worker {pid} {AWAY}")


@pytest.mark.parametrize("balance", ("share", "rr"))
def test_one_that_is_silent_to_checks_is_drained_at_once(balance):
    it = begin(f"-l 8000 --balance {balance} --check http:/mute --check-interval 200ms "
               "--check-timeout 1s --check-failures 2 --drain auto --drain-timeout 10m",
               SICK, "--pool", 8, count=3)
    pid = it.worker(1).pid
    kill(pid, SIGUSR2)
    it.logged("wrote what it does")
    until(it, lambda: it.happened("unwell"))
    load = Visits() if balance == "share" else None
    if load:
        load.more()
    lab.clock.flow()
    wait_gone(pid)
    got = load and load.end()
    assert not load or got.answered > 0 and got.refused == 0
    # a check that it did not answer is none of its requests
    assert not it.says("drained by force") and not it.says("still busy")


def test_those_that_accept_nothing_are_drained_at_once_as_checks_wait_in_their_queue():
    # half of drain-timeout is when it would not wait for its queue any more
    it = cluster("-n 2 -l 8000 --ready notify --check tcp --check-interval 200ms "
                 "--check-timeout 200ms --check-failures 2 --drain quiet --drain-timeout 10m "
                 "--log-level debug", RUDE, "--poll", "--graceful", "--deaf")
    assert it.event("drained").forced == 0


# ---- request-timeout: judged by the kernel's times ----

def timed(options, *mode):
    """Some worker has a request that it never answers; which one."""
    it = cluster(f"-n 2 -l 8000 --ready tcp --request-timeout 1s --stop-timeout 1s --bake 0 "
                 f"--log-level info {options}", SICK, *mode)
    return it, Request("/never")


def test_request_timeout_its_successor_first_and_the_drain_does_not_wait_for_it():
    it, request = timed("--drain-timeout 10m", "--pool", 4)
    load = Visits()
    load.more()
    hang = it.event("hang")
    assert re.search(r"hangs: no answer to \S+ for .*; thread \d+: [RS]", hang.text)
    assert hang.age >= 1 and hang.cpu >= 0
    gone = it.event("exited", worker=hang.worker)
    got = load.end()
    assert got.answered > 0 and got.refused == 0
    assert gone.exit == "killed by SIGTERM" and gone.why == "hang" and request
    it.logged("(a request hung)")
    assert not it.says("drained by force")
    assert [e.event for e in it.events if e.get("slot") == hang.slot and e.event in (
        "ready", "hang", "exited")] == ["ready", "hang", "ready", "exited"]


def test_request_timeout_on_hang_runs_while_it_lives_and_hang_signal_before_the_end():
    hook = write("hook", """#!/bin/sh
state=$(cut -d' ' -f3 "/proc/$NCLUST_WORKER_PID/stat")
echo "$NCLUST_EVENT $NCLUST_WORKER_PID $state $NCLUST_REASON" >"${0%/*}/facts"
""", 0o755)
    it = begin(f"-l 8000 --request-timeout 1s --on-hang {hook} --hang-signal USR2", SICK, "--pool",
               4, count=2)
    request = Request("/never")
    until(it, lambda: it.happened("hang"))
    pid = it.event("hang").pid
    # its threads are woken now and then, so it may run as well as sleep
    assert re.match(rf"hang {pid} [SR] no answer to ", wait(lambda: read("facts")))
    until(it, lambda: it.happened("exited", pid=pid))
    it.logged("wrote what it does")
    assert request


def test_request_timeout_idle_and_streaming_connections_are_left_alone():
    # the one who has the idle connection takes no other
    it = begin("-l 8000 --balance share --request-timeout 1s", UNWELL, count=2)
    idle = dial()
    drip = Request("/drip/40")

    def come():
        """What has come so far."""
        return drip.socket.recv(4096, socket.MSG_PEEK)

    assert come()  # nclust looks when it is answered
    until(it, lambda: come().endswith(b"x" * 40))
    assert drip.answer().body.endswith("x" * 40) and idle
    assert not it.says("hangs")


# ---- who takes no connection of a check ----

TAKES = ("-l 8000 --check http:/ --check-interval 200ms --check-timeout 200ms --check-failures 4")


def deaf(options, count=1):
    it = begin(options, "python3", server("takesnone.py"), count=count)
    until(it, lambda: all(checks(it, slot).ok for slot in range(count)))
    return it, it.worker().pid


@pytest.mark.parametrize("balance", ("share", "rr"))
def test_one_that_takes_clients_at_another_port_only_has_failed(balance):
    it, pid = deaf(f"{TAKES} -l 8001 --balance {balance}")
    kill(pid, SIGUSR1)

    def found():
        """While clients come and go there."""
        with dial(8001) as client:
            client.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert client.recv(1000)
        return it.happened("unwell")

    until(it, found)
    until(it, lambda: replaced(it, pid, 1))
    it.logged("(its checks failed)")


def test_one_whose_clients_leave_and_that_takes_no_other_has_failed():
    it, pid = deaf(TAKES)
    clients = [Request() for _ in range(100)]
    wait(lambda: all(map(is_taken, clients)))
    kill(pid, SIGUSR1)

    steps = itertools.count()

    def found():
        if next(steps) % 4 == 0:
            clients.pop().socket.close()
        return it.happened("unwell")

    until(it, found)
    assert clients
    it.logged("no worker has taken a check's connection")


def test_one_with_a_full_queue_at_a_unix_socket_has_failed():
    it, pid = deaf(f"-l unix:{path('s')},backlog=5 --check http:/ --check-interval 1s "
                   "--check-timeout 200ms --check-failures 2")
    kill(pid, SIGUSR1)
    clients = []

    def is_full():
        clients.append(socket.socket(socket.AF_UNIX))
        clients[-1].setblocking(False)
        return clients[-1].connect_ex("s") != 0

    wait(is_full)
    until(it, lambda: replaced(it, pid, 1))
    it.logged("(its checks failed)")


def test_one_of_two_that_takes_nothing_at_its_own_path_has_failed():
    it = begin("--check http:/ --check-interval 1s --check-timeout 200ms --check-failures 2",
               "python3", server("own-path.py"), "s", count=2)
    until(it, lambda: all(checks(it, slot).ok for slot in (0, 1)))
    pid = it.worker().pid
    kill(pid, SIGSTOP)
    until(it, lambda: replaced(it, pid, 2))
    it.logged("(its checks failed)")
    assert len(it.happened("unwell")) == 1


def test_one_is_found_though_another_is_restarted_again_and_again():
    it, pid = deaf(f"{TAKES} --balance rr", count=3)
    kill(pid, SIGUSR1)
    for _ in range(20):
        it.call("restart", target="it.1", no_wait=True)
        until(it, lambda: it.cluster().rollout is None and len(it.pids()) == 3)
        go_by(it, 0.2)
        if it.happened("unwell", slot=0):
            break
    until(it, lambda: replaced(it, pid, 3))
    it.logged("(its checks failed)")


@pytest.mark.nightly
def test_workers_of_node_that_have_more_clients_than_they_can_serve_have_not_failed():
    it = node("Atomics.wait(zero, 0, 0, 50); s.end('pid=')", "--check tcp --check-interval 300ms "
              "--check-timeout 300ms --check-failures 2")
    before = it.pids()
    load = Clients(PORT, "--clients", 40, "--count", 4)
    assert load.result().answered == 160
    assert it.pids() == before
    assert not it.says("replacing it")


def test_one_of_node_that_loops_has_failed_though_a_thread_of_node_itself_waits_in_epoll():
    it = node("if (q.url === '/loop') for (;;);\n  s.end('pid=' + process.pid + '\\n')",
              "--check http:/ --check-interval 200ms --check-failures 5 --drain-timeout 1s")
    request = Request("/loop")
    it.logged("(its checks failed)")
    assert request


@pytest.mark.nightly
@pytest.mark.parametrize("setting", ("stall", "request-timeout"))
def test_what_nodes_workers_owe_their_clients_is_seen(setting):
    it = node("if (q.url !== '/never') s.end('x')", f"--{setting} 1s --drain-timeout 1s")
    request = Request("/never")
    it.logged("replacing it")
    assert request


def node(answer, options):
    app = write("app.js", f"""
const zero = new Int32Array(new SharedArrayBuffer(4))
require('http').createServer((q, s) => {{
  s.setHeader('connection', 'close')
  {answer}
}}).listen(8000, '127.0.0.1')""")
    it = cluster(f"-n 2 --balance rr {options}", need("node"), app)
    wait_listened()
    return it
