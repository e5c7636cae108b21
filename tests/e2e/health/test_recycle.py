# SPDX-License-Identifier: MIT
"""Workers that have grown too much, or too old, or got so many connections are replaced, one at a
time."""
import re

from healthy import *


def one_at_a_time(it, count):
    """Never were there two more than wanted: each begins when the one before has ended."""
    it.mark()
    there = 0
    for event in it.events:
        there += (event.event == "started") - (event.event == "exited")
        assert there <= count + 1


# ---- memory ----

def test_one_that_takes_too_much_memory_is_replaced_and_the_figure_is_told():
    it = begin("-l 8000 --max-memory 64M", UNWELL, count=2)
    hungry = get("/eat/80")
    other = it.worker(1 - hungry.slot).pid
    until(it, lambda: replaced(it, hungry.pid, 2))
    told = it.event("memory", pid=hungry.pid)
    assert re.search(f"worker {hungry.pid} uses 8[0-9] MiB, 'max-memory' is 64 MiB", told.text)
    assert it.event("exited").why == "memory"
    it.logged("(used too much memory)")
    assert ", generation 1, max-memory 64M" in nclust("status it").out
    assert re.search(rf"it.{hungry.slot} .* over max-memory after ", nclust("status it").out)
    assert it.worker(1 - hungry.slot).pid == other


def test_when_all_have_grown_they_go_one_at_a_time_and_no_request_is_lost():
    it = start("-n 3 -l 8000 --ready tcp --bake 0 --max-memory 20M --drain-timeout 10m", "sh", "-c",
               '[ -e fixed ] && exec "$0"; exec "$0" --eat 30', UNWELL, clock=True)
    lab.clock.flow()
    it.wait_ready()
    old = it.pids()
    write("fixed", "")
    load = Clients()
    under_load(it, lambda: all(map(is_gone, old)))
    load.loses_nothing()
    assert it.wait_ready().cluster().ready == 3
    one_at_a_time(it, 3)


def test_what_forked_processes_share_is_not_counted_for_each():
    # 30 MiB, and five children that have the same pages
    it = cluster("-n 1 --ready notify --max-memory 64M", "python3", "-c", """
import os, socket, time
memory = bytearray(os.urandom(1 << 20) * 30)
for i in range(5):
    if os.fork() == 0:
        time.sleep(1000)
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
    told.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
time.sleep(1000)""", clock=True)
    go_by(it, 12)  # it has been looked at, twice
    assert it.happened("memory") == []
    assert 30 << 20 <= it.worker().memory_bytes < 64 << 20


def test_one_that_takes_too_much_for_a_moment_stays_and_moments_do_not_add_up():
    it = cluster("-n 1 --ready notify --max-memory '32M for 5s'", "python3", "-c", """
import os, signal, socket, sys
signals = {signal.SIGUSR1, signal.SIGUSR2}
signal.pthread_sigmask(signal.SIG_BLOCK, signals)
told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
told.connect(os.environ["NOTIFY_SOCKET"])
told.send(b"READY=1")
held = [os.urandom(20 << 20)]
while True:
    if signal.sigwait(signals) == signal.SIGUSR1:
        held.append(os.urandom(30 << 20))
    else:
        held.pop()
    told.send(b"STATUS=%d" % len(held))
""", clock=True)

    def hold(count, seconds):
        kill(it.worker().pid, SIGUSR1 if count == 2 else SIGUSR2)
        wait(lambda: it.worker().get("status") == str(count))
        go_by(it, seconds)

    go_by(it, 6)
    for _ in range(2):
        hold(2, 3)
        hold(1, 2)
    assert it.happened("memory") == []
    hold(2, 7)
    assert "'max-memory' is 32 MiB for 5s" in it.event("memory").text


# ---- age ----

def test_those_that_are_old_go_one_at_a_time():
    # time goes on also while one has no CPU to end in: then it is waited for
    it = begin("-l 8000 --max-age 10s --stop-timeout 1h", UNWELL, count=2)
    old = it.pids()
    go_by(it, 8)
    assert it.pids() == old
    until(it, lambda: all(map(is_gone, old)))
    it.logged("(was too old)", 2)
    one_at_a_time(it, 2)


# ---- connections ----

def ask(times):
    for _ in range(times):
        assert get().status == 200


def requests(it):
    return [w.get("requests") for w in it.workers()]


def test_max_requests_of_others_than_nodes_cluster_is_refused_and_what_to_set_is_said():
    advice = "set 'max-age' or 'max-memory' instead"
    nclust(f"-n 1 -l 8000 --max-requests 10 -- {RUDE}").fails(78, "'max-requests'", advice)
    it = cluster(ini=section("it", RUDE, "listen = 127.0.0.1:8000"))
    write("it.ini", section("it", RUDE, "listen = 127.0.0.1:8000", "max-requests = 10"))
    it.verb("reload").fails(1, advice)
    write("it.ini", section("it", RUDE, "max-requests = 10", "sticky = client-address"))
    nclust("config --check -c it.ini").fails(78, "it.max-requests: ", advice)


@pytest.mark.nightly
def test_max_requests_nclust_counts_what_it_gives_to_workers_of_nodes_cluster():
    app = write("app.js", """
require('http').createServer((q, s) => {
  s.setHeader('connection', 'close')
  s.end('pid=' + process.pid)
}).listen(8000, '127.0.0.1')""")
    it = cluster("-n 2 --stable-after 100ms --bake 0 --max-requests 50", need("node"), app,
                 clock=True)
    wait_listened()
    ask(30)
    it.call("upgrade")  # which loses none of them
    it.wait(lambda: requests(it) == [15, 15])
    lab.clock.flow()
    old = it.pids()
    ask(90)
    under_load(it, lambda: all(map(is_gone, old)))
    for n in (1, 2):
        assert it.event("exited", n=n).why == "requests"
