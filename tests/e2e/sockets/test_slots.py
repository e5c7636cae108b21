# SPDX-License-Identifier: MIT
"""One worker among several is replaced, or taken away, while the others serve on by the very
socket that it has: under a load that never pauses nothing is lost."""
from harness import *

SLOW = ("--rate", 80, "--path", "/slow")
THREADS = ("python3", "-c", """
import http.server, time
class Slow(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep(0.15)
        self.send_response(200)
        self.send_header('Content-Length', '2')
        self.end_headers()
        self.wfile.write(b'ok')
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer(('127.0.0.1', 8000), Slow).serve_forever()""")


def one_socket():
    return len(sockets("listen", PORT)) == 1


def end_well(it, load):
    load.loses_nothing()
    assert not it.says("by force")


def test_one_slot_of_a_server_with_threads_is_replaced_and_nothing_is_lost():
    it = cluster("-n 2 --bake 0s --ready listen", *THREADS)
    load = Steady(PORT, *SLOW)
    it.call("restart", target="it.0")
    end_well(it, load)


def test_one_that_waits_by_poll_gets_a_successor_with_a_socket_of_its_own_for_a_while():
    it = cluster("-n 2 --bake 0s -l 8000", RUDE, "--poll")
    load = Steady(PORT, *SLOW)
    for slot in (0, 1, 0):
        it.call("restart", target=f"it.{slot}")
    it.call("upgrade")
    it.call("restart", target="it.1")
    it.call("restart")
    end_well(it, load)
    wait(one_socket)


def test_those_that_have_grown_too_much_are_replaced_without_loss():
    it = cluster("-n 2 -l 8000 --max-memory 40M", "sh", "-c",
                 '[ ! -e fixed ] || exec "$0"\nexec "$0" --eat 60', RUDE)
    write("fixed", "")
    load = Steady(PORT, *SLOW)
    for slot in (0, 1):
        assert it.event("exited", slot=slot).why == "memory"
    end_well(it, load)
    wait(one_socket)


def test_an_upgrade_while_one_is_emptied_loses_nothing():
    gate = Gate()
    it = cluster("-n 2 -l 8000", RUDE, "--until", gate, "--slow", 1, "--mark", path("read"))
    asked = [Request(f"/slow?{n}") for n in range(8)]
    wait(lambda: len(lines("read")) == 8)
    slot = it.pids().index(holders()[0])
    it.call("restart", target=f"it.{slot}", no_wait=True)
    it.event("draining", slot=slot)
    upgrade = it.control.send("upgrade")
    it.event("upgrade-waits")
    gate.open()
    assert [request.answer().status for request in asked] == [200] * 8
    it.control.answer(upgrade)
    assert it.cluster().generation == 2


def test_a_rolling_restart_comes_to_those_that_are_idle_first():
    # slot 0 alone takes connections, and so is the one that is busy
    gate = Gate()
    it = cluster("-n 3 -l 8000 --bake 0s", "sh", "-c", f"""
        [ "$NCLUST_SLOT" = 0 ] || set -- --deaf
        exec "$0" --until {gate} --slow 1 --mark {path('read')} "$@\"""", RUDE)
    asked = Request("/slow?1")
    wait(lambda: read("read"))
    it.call("restart", no_wait=True)
    for slot in (1, 2):
        it.event("exited", slot=slot)
    assert not it.happened("exited", slot=0)
    gate.open()
    assert asked.answer().slot == 0
    it.event("rollout-done")
