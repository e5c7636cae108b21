# SPDX-License-Identifier: MIT
"""What the tests of this room share: clients that stay, and loads that must lose nothing."""
import shlex
import socket
import struct

from harness import *
from harness import lab
from harness.load import asked_again, handed_on
from harness.net import Answer

PLAIN_USER = ("setpriv", "--bounding-set", "-sys_admin,-net_admin,-net_raw,-bpf")


class Kept(Request):
    """A request over a connection that stays open."""

    def answer(self):
        return Answer(self.http.getresponse())

    def ask(self, path="/"):
        self.http.auto_open = False
        self.http.request("GET", path)
        return self

    def wait_end(self):
        """Until the server has closed it."""
        try:
            assert self.socket.recv(1) == b""
        except ConnectionResetError:
            pass


def idle(**more):
    """A client that has been answered, and stays."""
    client = Kept(**more)
    client.answer()
    return client


def all_quiet(it, count):
    """So many workers were drained, and none by force."""
    it.event("drained", n=count)
    assert [e.forced for e in it.happened("drained")] == [0] * count


def silence(s):
    """For how many milliseconds nothing has come to this socket of TCP, as the kernel has it."""
    return struct.unpack_from("I", s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 60), 52)[0]


# ---- servers that are replaced under load ----

class Loads:
    """One for each of the modes of openload."""

    def __init__(self, at=PORT, modes="short", options="--rate 80", own_end=False):
        self.own_end = own_end
        self.loads = [Steady(at, "--mode", mode, "--connections", 16, "--jitter", *options.split())
                      for mode in modes.split()]

    def end(self, **more):
        """Nothing was lost."""
        between = sum(load.loses_nothing(own_end=self.own_end, **more) for load in self.loads)
        assert self.own_end or between == 0 or between <= asked_again(*lab.instances)


def without_a_pause(at=PORT, clients=3):
    """Clients that ask as soon as they are answered."""
    return Loads(at, "keep", f"--rate 20000 --connections {clients} --at-once {clients}")


class Kind:
    """A server, the options of nclust, where it is asked, and by which loads.  own_end: see
    Load.loses_nothing()."""

    def __init__(self, command, options="", at=PORT, modes="short", load="--rate 80",
                 prepare=None, own_end=False):
        self.command, self.options, self.at = command, options, at
        self.modes, self.load, self.prepare, self.own_end = modes, load, prepare, own_end

    def fill(self, text):
        return text.format(dir=path(), rude=RUDE, servers=server(""), slot="{slot}")

    def start(self, options="", **more):
        if self.prepare:
            self.prepare()
        return cluster(f"-n 2 --drain-timeout 10m {options} {self.fill(self.options)}",
                       *shlex.split(self.fill(self.command)), **more)

    def ask(self):
        at = self.fill(self.at) if isinstance(self.at, str) else self.at
        return Loads(at, self.modes, self.load, self.own_end)


def java(program):
    run(need("javac"), "-d", path(), server(program)).ok()


def files():
    write("files/hello", "hello\n" * 10000)


def nginx(serves="return 200 hello;"):
    """SIGTERM ends it at once, and its worker process after it."""
    temporary = "".join(f"{kind}_temp_path {path(kind)}; "
                        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    write("nginx.conf", f"""
daemon off;
{"user root;" if os.geteuid() == 0 else ""}
worker_processes 1;
error_log stderr;
events {{}}
http {{
    access_log off; {temporary}
    server {{ listen 8000; location / {{ {serves} }} }}
}}""")


def nginx_before():
    """Before a server that lives on."""
    nginx(f"proxy_pass http://unix:{path('behind')};")
    begin_program(RUDE, path("behind"), "--slow", 100)
    wait_listened(path("behind"))


SOME_SLOW = "--rate 80 --path /:9 --path /slow:1"
UNIX = "-l unix:{dir}/socket"
STREAM = {"modes": "stream", "load": "--rate 20 --path /stream"}
# Each binds its port by itself, if no listener is named, and most die at once of SIGTERM.
KINDS = {
    "one at a time": Kind("{rude} 8000 --blocking --work 5 --close", load="--rate 200"),
    "an event loop": Kind("{rude} 8000 --slow 100", modes="short keep", load=SOME_SLOW),
    "streams": Kind("{rude} 8000 --chunks 10", **STREAM),
    "a unix socket": Kind("{rude} --slow 100", UNIX, "{dir}/socket", load=SOME_SLOW),
    "python": Kind("python3 -m http.server --directory {dir}/files 8000",
                   load="--rate 50 --path /hello", prepare=files),
    # These cannot be taken off their socket: it is steered.
    "poll": Kind("{rude} --poll", "-l 127.0.0.1:8000", load="--rate 100 --path /slow"),
    "poll, streams": Kind("{rude} --poll --chunks 10", "-l 127.0.0.1:8000", **STREAM),
    "poll, by itself": Kind("{rude} --poll 8000", load="--rate 100 --path /slow"),
    # at a higher rate a quiet moment of the worker that is replaced alone is a matter of luck
    "poll, kept": Kind("{rude} --poll", "-l 8000", modes="keep", load="--rate 30 --path /slow"),
    "poll, IPv6": Kind("{rude} --poll", "-l [::1]:8000", "[::1]:8000",
                       load="--rate 100 --path /slow"),
    # They end a little after their signal, and accept until then.
    "late": Kind("{rude} --late 200 --slow 15", "-l 8000", load="--rate 150 --path /slow"),
    "late, one at a time": Kind("{rude} --blocking --late 100 --slow 8", "-l 8000",
                                load="--rate 80 --path /slow"),
    # Here the kernel tells less.
    "a unix socket, kept": Kind("{rude}", UNIX + " --drain-timeout 3s", "{dir}/socket", "keep"),
    "a unix socket, slow": Kind("{rude} --slow 400", UNIX, "{dir}/socket",
                                load="--rate 40 --path /slow --path /fast"),
    "a unix socket, kept and slow": Kind("{rude} --slow 1500", UNIX, "{dir}/socket", "keep",
                                         "--rate 4 --path /slow --for 2000"),
    "a unix socket of Node": Kind("node {servers}slow.js {dir}/socket", at="{dir}/socket",
                                  load="--rate 40 --path /slow"),
    "a unix socket of gunicorn": Kind(
        "gunicorn --chdir {servers} -w 1 --threads 8 --worker-tmp-dir {dir} slow:app", UNIX,
        "{dir}/socket", load="--rate 15 --path /slow"),
    "Node": Kind("node {servers}slow.js 8000", modes="short keep", load=SOME_SLOW),
    "Node, never quiet": Kind("node {servers}slow.js 8000", load="--rate 100 --path /slow"),
    "gunicorn": Kind("gunicorn --chdir {servers} -w 1 --threads 4 --worker-tmp-dir {dir} "
                     "-b 127.0.0.1:8000 slow:app", modes="short keep",
                     load="--rate 40 --path /:9 --path /slow:1"),
    # ngx_worker_process_cycle() ends when it has heard the signal, whatever lies unread by then
    "nginx": Kind("nginx -c {dir}/nginx.conf -g 'pid {dir}/nginx.{slot}.pid;'",
                  modes="short keep", load=SOME_SLOW, prepare=nginx_before, own_end=True),
    "Java": Kind("java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xmx64m -cp {dir} Slow 8000",
                 modes="short keep", load=SOME_SLOW, prepare=lambda: java("Slow.java")),
    "Java, one at a time": Kind(
        "java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xmx32m -cp {dir} Accept 8000 {dir}/read 5",
        load="--rate 30 --path /slow", prepare=lambda: java("Accept.java")),
}
