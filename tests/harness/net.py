# SPDX-License-Identifier: MIT
"""Clients, and what the kernel knows of connections."""
import http.client
import re
import socket

from . import lab

PORT = 8000


def dial(port=PORT, host="127.0.0.1", unix=None, source=None):
    """A connection, from that address of this machine."""
    if unix is not None:
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(lab.BOUND)
        s.connect(unix)
    else:
        s = socket.create_connection((host, port), lab.BOUND, source and (source, 0))
    return s


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read().decode(errors="surrogateescape")

    def __repr__(self):
        return f"{self.status} {self.body!r}"

    def part(self, name):
        """Of a body such as "pid=7 slot=0"."""
        found = re.search(rf"\b{name}=(\S+)", self.body)
        return found and found.group(1)

    @property
    def pid(self):
        return int(self.part("pid"))

    @property
    def slot(self):
        return int(self.part("slot"))


class Request:
    """One that has been sent, by a connection of its own."""

    def __init__(self, path="/", port=PORT, host="127.0.0.1", unix=None, method="GET",
                 headers=None, body=None, source=None):
        self.http = http.client.HTTPConnection(host, port, timeout=lab.BOUND)
        self.http.sock = self.socket = dial(port, host, unix, source)
        self.http.request(method, path, body, headers or {})

    def answer(self):
        """Wait for it."""
        try:
            return Answer(self.http.getresponse())
        finally:
            self.http.close()


def get(path="/", port=PORT, **more):
    return Request(path, port, **more).answer()


def slots(count, port=PORT, path="/"):
    """Those that answer so many requests."""
    return {get(path, port).slot for _ in range(count)}


# ---- the kernel's tables: of this test's network alone ----

STATES = {"01": "established", "06": "time-wait", "08": "close-wait", "0A": "listen"}


class Socket:
    def __init__(self, fields):
        self.local, self.remote = (int(a.rpartition(":")[2], 16) for a in fields[1:3])
        self.state = STATES.get(fields[3], fields[3])
        self.unsent, self.unread = (int(n, 16) for n in fields[4].split(":"))
        self.inode = int(fields[9])


def sockets(state=None, port=None, to=None, kind="tcp"):
    """All in that state, of that local port, or connected to that port.  `unread` of one that
    listens is how many connections wait to be accepted."""
    found = []
    for name in (kind, f"{kind}6"):
        with open(f"/proc/net/{name}") as f:
            found += [Socket(line.split()) for line in f.readlines()[1:]]
    return [s for s in found if state in (None, s.state) and port in (None, s.local)
            and to in (None, s.remote)]


def queued(port=PORT):
    """How many connections wait there to be accepted."""
    return sum(s.unread for s in sockets("listen", port))


def listens(at=PORT):
    """Does somebody listen at that port, HOST:PORT, or path?"""
    if isinstance(at, str) and at[0] not in "/@":
        at = int(at.rpartition(":")[2])
    if isinstance(at, int):
        return bool(sockets("listen", at))
    with open("/proc/net/unix") as f:
        return any(line.rstrip("\n").endswith(f" {at}") for line in f)


def wait_listened(at=PORT):
    lab.wait(lambda: listens(at), f"somebody listens at {at}")


def asked(port=PORT, count=1):
    """Have servers read so many requests, and not answered?"""
    here = sockets("established", port)
    there = sockets("established", to=port)
    return (len(here) == len(there) == count
            and not any(s.unread or s.unsent for s in here + there))


def wait_asked(port=PORT, count=1):
    lab.wait(lambda: asked(port, count), f"{count} requests are read at {port}")


def inodes(pid):
    """Of all sockets that a process has."""
    return {int(text[8:-1]) for text in lab.descriptors(pid).values()
            if text.startswith("socket:[")}


def holders(port=PORT):
    """The processes that have accepted connections there."""
    wanted = {s.inode for s in sockets("established", port)}
    found = []
    for pid in lab.living():
        try:
            found += [pid] if wanted & inodes(pid) else []
        except (FileNotFoundError, ProcessLookupError):
            pass  # it has ended meanwhile
    return found
