# SPDX-License-Identifier: MIT
"""Connections that are in use all the time, as a proxy keeps them, on which silence never comes: they
are taken between two requests, and the second one is handed on to another worker."""
import itertools

from drains import *
from harness.trace import Trace

KEPT = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "6")
        self.end_headers()
        self.wfile.write(b"hello\\n")
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", 8000), Handler).serve_forever()
"""
UNIX = """
import os, socketserver
class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
if os.path.exists("own"):
    os.unlink("own")
Server(os.path.abspath("own"), Handler).serve_forever()
"""
SERVERS = {
    "threads": ("", ("python3", "-c", KEPT), PORT),
    "an event loop": ("-l 8000", (RUDE,), PORT),
    "poll": ("-l 8000", (RUDE, "--poll"), PORT),
    "Node": ("", ("node", server("plain.js"), 8000), PORT),
    "a unix socket": ("-l unix:{dir}/socket", (RUDE,), "socket"),
    "a unix path of its own": (
        "--ready listen", ("python3", "-c", KEPT[:KEPT.rindex("http.server.")] + UNIX), "own"),
}


@pytest.mark.parametrize("kind", SERVERS)
def test_of_connections_in_use_all_the_time_requests_are_handed_on(kind):
    options, command, at = SERVERS[kind]
    if kind == "Node":
        need("node")
    it = cluster(f"-n 2 --bake 0 --drain-timeout 10m {options.format(dir=path())}", *command)
    loads = without_a_pause(path(at) if isinstance(at, str) else at)
    for restarts in itertools.count(1):  # a slow machine's clients may pause
        it.call("restart")
        all_quiet(it, 2 * restarts)
        if handed_on(it) > 0:
            break
    loads.end(opens_late=at == "own")


def test_so_they_are_if_each_answer_takes_long():
    need("node")
    write("slow.js", "require('http').createServer((_, r) => setTimeout(() => r.end('hello'), 400))"
          ".listen(8000)")
    it = cluster("-n 1 --ready listen --bake 0 --drain-timeout 10m", "node", path("slow.js"))
    loads = without_a_pause(clients=10)
    it.call("restart")
    all_quiet(it, 1)
    loads.end()


def test_threads_that_compute_in_turn_within_their_answers_are_waited_for():
    """Some of the times at which they are stopped, each waits for Python's lock."""
    works = KEPT.replace("        self.wfile", "        sum(range(1000000))\n        self.wfile")
    it = cluster("-n 2 --bake 0 --drain-timeout 10h", "python3", "-c", works)
    loads = without_a_pause(clients=12)
    it.call("restart", bound=10 * BOUND)
    all_quiet(it, 2)
    loads.end()


def test_who_waits_for_its_answer_is_waited_for_meanwhile():
    it = cluster("-n 1 -l 8000 --ready notify --drain-timeout 10m", RUDE, "--slow", 1, "--until",
                 Gate("go"))
    old = it.worker().pid
    poll = idle().ask("/slow")  # read, after a short answer
    loads = without_a_pause()
    restart = it.begin("restart")
    wait(lambda: sum(s.inode in inodes(old) for s in sockets("established", PORT)) == 1)
    Gate("go").open()
    assert poll.answer().status == 200
    restart()
    all_quiet(it, 1)
    loads.end()


def test_a_request_that_comes_in_the_moment_of_the_close_is_asked_again():
    """The worker runs on, as another client still waits: it would read the request, and its
    answer would go nowhere."""
    it = cluster("-n 1 -l 8000 --ready notify --drain-timeout 10m", RUDE, "--slow", 1, "--until",
                 Gate("go"))
    client = idle()
    poll = idle().ask("/slow")
    wait_asked(count=2)
    trace = Trace(it.pid, "-e", "trace=shutdown", "-e", "inject=shutdown:delay_enter=600s")
    restart = it.begin("restart")
    wait(lambda: "shutdown(" in read("trace"), "nclust is about to close it")
    client.ask()
    trace.end()
    client.wait_end()
    Gate("go").open()
    assert poll.answer().status == 200
    restart()
    all_quiet(it, 1)
    assert asked_again(it) == 1
