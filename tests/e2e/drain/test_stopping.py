# SPDX-License-Identifier: MIT
"""A worker that has its stop signal, or is about to get it, takes no new connection: what it has
read it has time to answer.  (That those who are replaced lose nothing: test_replace.py.)"""
from drains import *


@pytest.mark.parametrize("command", (
    ("-l 127.0.0.1:8000 --ready notify", RUDE),
    ("--ready listen", RUDE, 8000, "--late", 200),
), ids=("an event loop", "one that binds for itself, and ends a little later"))
def test_a_stop_under_load_loses_nothing_that_was_read(command):
    it = cluster(f"-n 2 --drain-timeout 10m {command[0]}", *command[1:], "--mark", path("read"))
    load = Steady(PORT, "--rate", 100, "--path", "/slow", "--lost", path("lost"))
    wait(lambda: len(lines("read")) > 20)
    assert it.stop() == 0
    load.end()
    assert not set(lines("lost")) & set(lines("read"))
    assert not it.says("by force")


def test_nginx_that_ends_before_its_successor_begins_loses_no_request():
    nginx()
    it = cluster("-n 1 --surge 0 --max-unavailable 1", "nginx", "-c", path("nginx.conf"), "-g",
                 f"pid {path('pid')};")
    loads = Loads(options="--rate 300", own_end=True)
    for _ in range(5):
        it.call("restart")
    loads.end()


def test_a_main_thread_that_sleeps_hears_the_signal_however_many_serve():
    it = cluster("-n 4 -l 8000 --ready notify --stop-timeout 10m", "python3", server("sleeps.py"))
    it.call("restart")


def test_a_unix_socket_who_catches_its_signal_is_left_what_nobody_can_see():
    it = cluster(f"-n 2 -l unix:{path('socket')} --ready notify --drain-timeout 10m", RUDE,
                 "--mark", path("read"), "--slow", 400, "--graceful")
    load = Steady(path("socket"), "--mode", "keep", "--connections", 8, "--rate", 16, "--path",
                  "/slow", "--lost", path("lost"))
    it.call("restart", target="it.0")
    load.end()
    assert not set(lines("lost")) & set(lines("read"))
    assert not it.says("by force")
