# SPDX-License-Identifier: MIT
"""A client of the control socket that may say anything, for the tests.

PEER_SOCKET in the environment is the socket.  All waiting is bounded; a test
fails by an exception.
"""
import json
import os
import select
import socket
import struct
import time

PATIENCE = float(os.environ.get("PATIENCE", "1"))
PATH = os.environ.get("PEER_SOCKET", "")


class Closed(Exception):
    """The server has closed the connection."""


class Peer:
    def __init__(self, path=None, hello=True, timeout=5):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.timeout = timeout * PATIENCE
        self.socket.settimeout(self.timeout)
        self.socket.connect(path or PATH)
        self.data = b""
        self.hello = None
        if hello:
            self.hello = self.receive()

    def send(self, data):
        """Bytes or text as they are, anything else as a line of JSON."""
        if isinstance(data, str):
            data = data.encode()
        elif not isinstance(data, bytes):
            data = json.dumps(data).encode() + b"\n"
        self.socket.sendall(data)

    def line(self, timeout=None):
        """The next line as bytes; Closed at the end."""
        end = time.monotonic() + (timeout or self.timeout)
        while b"\n" not in self.data:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.socket], [], [], left)[0]:
                raise TimeoutError("no line in time, but %r" % self.data[:200])
            try:
                more = self.socket.recv(1 << 16)
            except (ConnectionResetError, BrokenPipeError):
                more = b""
            if not more:
                raise Closed(self.data)
            self.data += more
        line, self.data = self.data.split(b"\n", 1)
        return line

    def receive(self, timeout=None):
        return json.loads(self.line(timeout).decode("utf-8"))

    def answer(self, timeout=None):
        """The next message that is no event."""
        while True:
            message = self.receive(timeout)
            if message.get("method") != "event":
                return message

    def ask(self, method, id=1, timeout=None, **params):
        self.send({"jsonrpc": "2.0", "id": id, "method": method,
                   "params": params})
        return self.answer(timeout)

    def result(self, method, **params):
        message = self.ask(method, **params)
        assert "result" in message, message
        return message["result"]

    def code(self, data, timeout=None):
        """Send it; the code of the error that comes back."""
        self.send(data)
        message = self.answer(timeout)
        assert message["error"]["message"], message
        return message["error"]["code"]

    def wait_closed(self, timeout=5):
        try:
            while True:
                self.line(timeout * PATIENCE)
        except Closed:
            return

    def is_open(self):
        """Nothing of an end has arrived."""
        ready = select.select([self.socket], [], [], 0)[0]
        if not ready:
            return True
        try:
            return self.socket.recv(1, socket.MSG_PEEK) != b""
        except ConnectionResetError:
            return False

    def close(self):
        self.socket.close()


def request(method, id=1, **params):
    return (json.dumps({"jsonrpc": "2.0", "id": id, "method": method,
                        "params": params}) + "\n").encode()


def fd_count(pid):
    return len(os.listdir("/proc/%d/fd" % pid))


def rss(pid):
    """Resident anonymous memory, in bytes."""
    with open("/proc/%d/status" % pid) as status:
        for line in status:
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    return 0


def wait_until(condition, timeout=5, what="it"):
    end = time.monotonic() + timeout * PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("%s did not come true" % what)
        time.sleep(0.01)


def peer_pid(sock):
    return struct.unpack("3i", sock.getsockopt(
        socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
