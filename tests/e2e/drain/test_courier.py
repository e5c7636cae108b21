# SPDX-License-Identifier: MIT
"""The courier alone, with real servers and clients: the test is nclust, and the worker."""
import array
import hashlib
import http.client
import re
import socket
import struct
import threading

from harness import *
from harness import lab
from harness.instance import inside

ASK, HOLD, LET_GO, ENDED, SERVER, WANT, DONE = range(1, 8)
ANSWERED, REFUSED, MIXED, BROKEN, LEFT, IDLE = range(1, 7)
PACKET = struct.Struct("IIQQIIQQ")
SO_COOKIE = 57
FRONT = 8001


class Courier:
    """Its process, and all that a worker at port FRONT has: each request is taken out of it, or
    each connection is held, and the worker ends at once."""

    def __init__(self, how, port=PORT):
        self.how, self.port = how, port
        self.outcomes = []
        self.workers = []  # the worker's sockets stay open
        self.ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        theirs.setblocking(False)
        self.process = begin_program(
            "bash", "-c", f"exec $0 --role courier 65520 3<&{theirs.fileno()}", inside(PROGRAM),
            pass_fds=(theirs.fileno(),))
        theirs.close()
        self.listener = socket.create_server(("127.0.0.1", FRONT), backlog=100)
        for what in (self.accept, self.hear):
            threading.Thread(target=what, daemon=True).start()

    def say(self, kind, cookie, *fds, request=b"", worker=0):
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.ours.sendmsg([PACKET.pack(kind, 0, cookie, worker, 0, len(request), 0, 0) + request],
                          rights)

    def accept(self):
        while True:
            s = self.listener.accept()[0]
            if self.how == "ask":
                threading.Thread(target=self.take, args=(s,), daemon=True).start()
            else:
                self.hold(s)

    def take(self, s):
        """Take the request out."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += s.recv(65536)
        head = data.split(b"\r\n\r\n")[0]
        length = re.search(rb"(?i)content-length: *(\d+)", head)
        whole = len(head) + 4 + int(length[1] if length else 0)
        while len(data) < whole:
            data += s.recv(65536)
        with dial(self.port) as server:
            self.say(ASK, cookie(s), s.fileno(), server.fileno(), request=data)
        self.workers.append(s)

    def hold(self, s):
        number = cookie(s)
        self.say(HOLD, number, s.fileno(), worker=number)
        s.close()
        self.say(ENDED, 0, worker=number)

    def hear(self):
        while True:
            data, fds, _, _ = socket.recv_fds(self.ours, 4096, 1)
            if not data:
                return
            kind, outcome, number, *_ = PACKET.unpack(data)
            if kind == DONE:
                self.outcomes.append(outcome)
                continue
            os.close(fds[0])
            with dial(self.port) as server:
                self.say(SERVER, number, server.fileno())

    def end(self):
        """What it has under way goes on."""
        self.ours.shutdown(socket.SHUT_RDWR)
        assert self.process.wait(BOUND) == 0


def cookie(s):
    return struct.unpack("Q", s.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8))[0]


SERVERS = {
    "python": ("python3", server("kinds.py"), PORT),
    "node": ("node", server("kinds.js"), PORT),
    "gthread": ("gunicorn", "--chdir", os.path.dirname(server("kinds.py")), "-k", "gthread",
                "--threads", "4", "-b", f"127.0.0.1:{PORT}", "kinds:app"),
}
each_server = pytest.mark.parametrize("name", SERVERS)
each_way = pytest.mark.parametrize("how", ("ask", "hold"))


def serve(name):
    begin_program(*SERVERS[name])
    wait_listened()


def summary(method, body, asked):
    return f"{method} {len(body)} {hashlib.md5(body).hexdigest()} {asked}\n"


@each_way
@each_server
def test_an_answer_of_each_kind_comes_whole_and_its_client_hears_of_the_end(name, how):
    serve(name)
    it = Courier(how)
    body = bytes(range(256)) * 200
    for kind in ("length", "chunked", "until-close", "none", "slow"):
        for method, sent in (("GET", b""), ("POST", body), ("HEAD", b"")):
            r = Request(f"/{kind}", port=FRONT, method=method, headers={"X-Id": f"{kind}7"},
                        body=sent or None)
            answer = r.http.getresponse()
            assert answer.status == (204 if kind == "none" else 200), (kind, method)
            assert answer.will_close
            assert answer.getheader("Keep-Alive") is None
            said = summary(method, sent, f"{kind}7").encode()
            long = b"0123456789abcdef" * 65536 if kind == "chunked" else b""
            assert answer.read() == (b"" if method == "HEAD" or kind == "none" else said + long)
            r.http.close()
    wait(lambda: len(it.outcomes) == 15)
    assert set(it.outcomes) == {ANSWERED}
    it.end()


@each_way
@each_server
def test_many_clients_that_repeat_nothing_see_no_error(name, how):
    serve(name)
    it = Courier(how)
    failed = []

    def visit(number):
        c = http.client.HTTPConnection("127.0.0.1", FRONT, timeout=BOUND)
        for i in range(20):
            try:
                asked = f"{number}-{i}"
                c.request("POST", "/length", b"x" * i * 100, {"X-Id": asked})
                said = c.getresponse().read().decode()
                assert said == summary("POST", b"x" * i * 100, asked)
            except (OSError, AssertionError, http.client.HTTPException) as e:
                failed.append(repr(e))

    clients = [threading.Thread(target=visit, args=(i,)) for i in range(20)]
    [c.start() for c in clients]
    [c.join() for c in clients]
    assert not failed, it.outcomes
    wait(lambda: len(it.outcomes) == 400)
    assert set(it.outcomes) == {ANSWERED}
    it.end()


FETCH = """
const ids = [...Array(200).keys()]
const failed = []
await Promise.all(Array.from({ length: 20 }, async () => {
  for (let id; (id = ids.pop()) !== undefined;) try {
    const r = await fetch('http://127.0.0.1:%d/length', { method: id %% 2 ? 'POST' : 'GET',
      headers: { 'X-Id': `${id}` }, body: id %% 2 ? 'x'.repeat(500) : undefined })
    const t = await r.text()
    if (!t.endsWith(` ${id}\\n`)) failed.push(t)
  } catch (e) { failed.push(String(e.cause ?? e)) }
}))
console.log(JSON.stringify(failed))
""" % FRONT


@each_way
@each_server
def test_fetch_of_node_sees_no_error(name, how):
    serve(name)
    it = Courier(how)
    assert lab.run("node", write("fetch.mjs", FETCH)).ok() == "[]\n"
    wait(lambda: len(it.outcomes) == 200)
    assert set(it.outcomes) == {ANSWERED}
    it.end()


@each_server
def test_an_answer_before_the_body_was_read_arrives(name):
    serve(name)
    it = Courier("hold")
    with dial(FRONT) as s:
        s.sendall(b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")
        try:
            for _ in range(100):
                s.sendall(b"x" * 1000000)
        except OSError:
            pass
        assert s.recv(12) == b"HTTP/1.1 413"
    it.end()


def test_nginx_without_a_second_try_before_it():
    """Keep-alive to its upstream, which the courier ends each time."""
    serve("python")
    it = Courier("ask")
    write("nginx.conf", f"""
        daemon off; pid {path("nginx.pid")}; error_log stderr; events {{}}
        http {{ access_log off; client_body_temp_path {path("b")}; proxy_temp_path {path("p")};
            fastcgi_temp_path {path("f")}; uwsgi_temp_path {path("u")}; scgi_temp_path {path("s")};
            upstream up {{ server 127.0.0.1:{FRONT}; keepalive 10; }}
            server {{ listen 127.0.0.1:8002; location / {{
                proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection "";
                proxy_next_upstream off; }} }} }}""")
    begin_program("nginx", "-c", path("nginx.conf"), "-p", path())
    wait_listened(8002)
    for i in range(100):
        body = b"x" * i * 100
        a = Request("/length", port=8002, method="POST", headers={"X-Id": str(i)}, body=body).answer()
        assert a.status == 200
        assert a.body == summary("POST", body, i)
    assert set(it.outcomes) == {ANSWERED}
    it.end()
