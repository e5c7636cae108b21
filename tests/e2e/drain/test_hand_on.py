# SPDX-License-Identifier: MIT
"""Requests that a worker has not read when it is to stop are answered by another one."""
import http.client
import itertools
import re
import threading
import time

from drains import *

KINDS = {
    "python": ("python3", server("kinds.py"), PORT),
    "node": ("node", server("kinds.js"), PORT),
}
UNREAD = """
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        with open("asked", "a") as f:
            f.write(self.path + "\\n")
        left = int(self.headers.get("content-length", 0))
        while left > 0:
            left -= len(self.rfile.read1(left))
        self.send_response(STATUS)
        self.send_header("Content-Length", "100")
        self.end_headers()
        self.wfile.write(b"x" * 100)
    do_POST = do_GET
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", 8000), Handler).serve_forever()
"""


def serve(status="200", options=""):
    return cluster(f"-n 2 --bake 0 {options}", "python3", "-c", UNREAD.replace("STATUS", status))


class Askers:
    """Clients that ask without a pause, and repeat nothing: each answer is of its own request."""

    def __init__(self, count=6, port=PORT, path="/length"):
        self.port, self.path, self.failed, self.answered = port, path, [], 0
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self.ask, args=(i,)) for i in range(count)]
        [t.start() for t in self.threads]
        wait(lambda: self.answered > 2 * count or self.failed)

    def ask(self, number):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=BOUND)
        for i in itertools.count():
            if self.stop.is_set():
                return
            method, asked = "POST" if i % 2 else "GET", f"{number}-{i}"
            try:
                c.request(method, self.path, b"x" * 500 if i % 2 else None, {"X-Id": asked})
                answer = c.getresponse()
                said = answer.read().decode()
                assert answer.status < 500, said
                assert self.path != "/length" or said.endswith(f" {asked}\n"), (asked, said)
                self.answered += 1
            except (OSError, AssertionError, http.client.HTTPException) as e:
                self.failed.append((method, repr(e)))
                c.close()

    def end(self):
        self.stop.set()
        [t.join() for t in self.threads]
        return self.failed


def restart_until(it, holds):
    """A slow machine's clients may have nothing unread just then."""
    while not holds():
        it.call("restart", bound=BOUND)


def courier(it):
    """Its pid; None: there is none."""
    return next((p for p in pids() if "nclust-courier" in str(command(p))), None)


@pytest.mark.parametrize("name", KINDS)
def test_no_client_that_repeats_nothing_sees_an_error(name):
    it = cluster("-n 2 --bake 0 --drain-timeout 10m", *KINDS[name])
    clients = Askers()
    restart_until(it, lambda: handed_on(it) >= 5)
    assert clients.end() == []
    assert asked_again(it) == 0


def test_nor_of_a_server_that_has_once_finished_a_request_after_its_stop_signal():
    """It ends then, and its kept connections with it, on which requests may be on their way."""
    program = UNREAD.replace("STATUS", "200").replace("import ", "import signal, threading, time, ")
    write("server.py", program.replace("        left =", """        if self.path == "/slow":
            busy.set()
            while not os.path.exists("go"):
                time.sleep(0.01)
            busy.clear()
        left =""", 1).replace("http.server.Th", """busy = threading.Event()
def end(*_):
    while busy.is_set():
        time.sleep(0.01)
    time.sleep(0.1)
    os._exit(0)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=end).start())
http.server.Th"""))
    ini = section("it", f"python3 {path('server.py')}", "bake = 0", "drain-timeout = %s", workers=1,
                  ready=None)
    it = cluster(ini=ini % "1s")
    slow = Request("/slow")
    wait(lambda: lines("asked") == ["/slow"])
    it.call("restart", no_wait=True)
    it.event("drained", forced=1)
    write("go", "")
    assert slow.answer().status == 200
    it.event("rollout-done")
    it.reload(ini % "10m")
    clients = Askers(path="/")
    for _ in range(3):
        it.call("restart", bound=BOUND)
    assert clients.end() == []


def test_no_client_of_a_proxy_without_a_second_try_sees_an_error_over_a_unix_socket():
    program = UNREAD[:UNREAD.rindex("http.server.")].replace("STATUS", "200").replace("100", "2000")
    it = cluster(f"-n 2 --bake 0 --drain-timeout 10m -l unix:{path('up')}", "python3", "-c",
                 program + """
import socket, socketserver
class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    def get_request(self):
        return self.socket.accept()[0], ("", 0)
s = Server("", Handler, bind_and_activate=False)
s.socket = socket.socket(fileno=3)
s.serve_forever()
""")
    write("nginx.conf", f"""
        daemon off; pid {path("nginx.pid")}; error_log stderr; events {{}} {
        "user root;" if os.geteuid() == 0 else ""}
        http {{ access_log off; client_body_temp_path {path("b")}; proxy_temp_path {path("p")};
            fastcgi_temp_path {path("f")}; uwsgi_temp_path {path("u")}; scgi_temp_path {path("s")};
            upstream up {{ server unix:{path("up")}; keepalive 10; }}
            server {{ listen 127.0.0.1:8002; location / {{
                proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection "";
                proxy_next_upstream off; }} }} }}""")
    begin_program("nginx", "-c", path("nginx.conf"), "-p", path())
    wait_listened(8002)
    clients = Askers(port=8002, path="/")
    restart_until(it, lambda: handed_on(it) >= 5)
    assert clients.end() == []
    assert asked_again(it) == 0


def test_nor_one_who_rests_while_the_worker_has_others_request():
    """Its own may be on its way, however long it has been quiet."""
    it = cluster("-n 1 --bake 0 --drain-timeout 10m", "python3", "-c", "import time" + UNREAD.replace(
        "STATUS", "200").replace("        left =", """        while self.path == "/slow" and not os.path.exists("go"):
            time.sleep(0.01)
        left =""", 1))
    old = it.worker().pid
    rests = http.client.HTTPConnection("127.0.0.1", PORT, timeout=BOUND)
    rests.request("GET", "/")
    assert rests.getresponse().read()
    rests.auto_open = False
    slow = Request("/slow")
    clients = Askers(3, path="/")
    restart = it.begin("restart")
    wait(lambda: sum(s.inode in inodes(old) for s in sockets("established", PORT)) <= 2)
    wait(lambda: silence(rests.sock) > 1500)
    rests.request("POST", "/", b"x" * 500)
    assert rests.getresponse().status == 200
    write("go", "")
    assert slow.answer().status == 200
    restart()
    assert clients.end() == []


def test_nor_one_of_a_unix_socket_who_takes_long_to_ask_again():
    """For longer than a worker that stands still is first waited for."""
    it = cluster(f"-n 1 --bake 0 --drain-timeout 10m -l unix:{path('up')}", "python3",
                 server("kinds.py"), path("up"))
    over, failed = threading.Event(), []

    def ask():
        connection = None
        while not over.is_set():
            try:
                if connection is None:
                    connection = http.client.HTTPConnection("localhost", timeout=BOUND)
                    connection.sock = dial(unix=path("up"))
                    connection.auto_open = False
                connection.request("POST", "/length", b"x" * 500)
                time.sleep(.05)  # an answer that is yet to be read when the worker is looked at
                answer = connection.getresponse()
                assert answer.status == 200 and answer.read()
                if answer.will_close:
                    connection = None
                time.sleep(.05)
            except (OSError, AssertionError, http.client.HTTPException) as e:
                failed.append(repr(e))
                connection = None

    clients = [threading.Thread(target=ask) for _ in range(2)]
    [c.start() for c in clients]
    restart_until(it, lambda: handed_on(it) >= 2)
    over.set()
    [c.join() for c in clients]
    assert failed == []


def test_a_body_that_looks_like_requests_is_never_asked():
    it = serve(options="--drain-timeout 2s")
    clients = Askers(path="/")
    evil = b"GET /evil HTTP/1.1\r\nHost: a\r\n\r\n"
    stop = threading.Event()

    def attack(expect):
        while not stop.is_set():
            try:
                with dial() as s:
                    s.sendall(b"POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n%s\r\n"
                              % (len(evil) * 400, b"Expect: 100-continue\r\n" if expect else b""))
                    if expect:
                        s.recv(100)
                    for _ in range(400):
                        s.sendall(evil)
                        stop.wait(0.001)
                    s.recv(1000)
            except OSError:
                pass  # by force, when its time was over

    threads = [threading.Thread(target=attack, args=(i % 2,)) for i in range(6)]
    [t.start() for t in threads]
    restart_until(it, lambda: handed_on(it) >= 3 and len(it.happened("rollout-done")) >= 3)
    stop.set()
    [t.join() for t in threads]
    clients.end()
    assert "/body" in read("asked")
    assert "/evil" not in read("asked")


def test_without_its_courier_nclust_goes_on_and_starts_another():
    it = serve(options="--drain-timeout 10m")
    clients = Askers(path="/")
    restart_until(it, lambda: handed_on(it) > 0)
    first = courier(it)
    kill(first)
    wait_gone(first)
    before = handed_on(it)
    restart_until(it, lambda: handed_on(it) > before)
    assert courier(it) not in (None, first)
    clients.end()


def test_answers_that_a_killed_courier_has_are_lost_and_counted_and_none_is_asked_again():
    """As by the OOM killer, which sends SIGKILL as well."""
    held = UNREAD.replace("STATUS", "200").replace("self.path", 'self.headers["X-Id"]').replace(
        "        left =", """        if self.headers["Connection"] == "close":
            open("held", "w").close()
            while not os.path.exists("go"):
                time.sleep(0.01)
        left =""", 1)
    it = cluster("-n 2 --bake 0 --drain-timeout 10m", "python3", "-c", "import time" + held)
    clients = Askers(path="/")
    for restarts in itertools.count(1):  # a slow machine's clients may have nothing unread
        it.call("restart", no_wait=True)
        wait(lambda: os.path.exists("held") or len(it.happened("rollout-done")) == restarts)
        if os.path.exists("held"):
            break
    kill(courier(it))
    wait(lambda: it.says("that it passed on"))
    lost = int(re.search(r"(\d+) answers? that it passed on", it.log()).group(1))
    wait(lambda: len(clients.failed) >= lost)
    write("go", "")
    wait(lambda: len(it.happened("rollout-done")) == restarts)
    # others may have been about to be handed on just then
    assert len(clients.end()) >= lost > 0
    assert len(set(lines("asked"))) == len(lines("asked"))


def test_so_it_is_where_the_workers_are_in_network_namespaces_of_their_own():
    it = cluster("-n 2 --bake 0 --drain-timeout 10m -l 8000", "unshare", "-n", "python3", "-c",
                 UNREAD[:UNREAD.rindex("http.server.")].replace("STATUS", "200") + """
import socket
s = http.server.ThreadingHTTPServer(("127.0.0.1", 8000), Handler, bind_and_activate=False)
s.socket = socket.socket(fileno=3)
s.serve_forever()
""")
    clients = Askers(path="/")
    restart_until(it, lambda: handed_on(it) >= 5)
    assert clients.end() == []


def test_an_upgrade_goes_on_with_the_courier():
    it = serve(options="--drain-timeout 10m")
    clients = Askers(path="/")
    restart_until(it, lambda: handed_on(it) > 0)
    first = courier(it)
    it.call("upgrade")
    before = handed_on(it)
    restart_until(it, lambda: handed_on(it) > before)
    assert courier(it) == first
    assert clients.end() == []


def test_a_listener_that_answers_400_keeps_its_requests():
    """As one does whose clients begin with a header of the PROXY protocol."""
    it = serve(status='400 if self.headers.get("Connection") == "close" else 200',
               options="--drain-timeout 2s")
    clients = Askers(path="/")
    restart_until(it, lambda: it.happened("hand-on"))
    before = handed_on(it)
    it.call("restart", bound=BOUND)
    assert handed_on(it) == before
    assert len(it.happened("hand-on")) == 1
    clients.end()


def test_off_hands_nothing_on():
    it = serve(options="--drain-timeout 10m --hand-on off")
    clients = Askers(path="/")
    restart_until(it, lambda: asked_again(it) > 0)
    assert handed_on(it) == 0
    assert courier(it) is None
    clients.end()
