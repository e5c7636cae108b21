# SPDX-License-Identifier: MIT
"""One connection to a control socket: nclust-control(7)."""
import json
import os
import select
import socket
import time

from . import lab


class Object(dict):
    """A JSON object whose members are attributes, too."""

    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"no member '{name}' in {self!r}") from None


class Refused(Exception):
    """The error of a request."""

    def __init__(self, error):
        super().__init__(error["message"])
        self.code, self.message = error["code"], error["message"]


class Closed(Exception):
    """nclust has closed the connection."""


class Control:
    def __init__(self, path):
        """Raises OSError where nobody listens."""
        self.socket = socket.socket(socket.AF_UNIX)
        place = os.open(os.path.dirname(path), os.O_PATH)
        try:  # a path that is too long for an address
            self.socket.connect(f"/proc/self/fd/{place}/{os.path.basename(path)}")
        except OSError:
            self.socket.close()
            raise
        finally:
            os.close(place)
        self.text = b""
        self.last = 0
        self.events = []  # the params of all notifications that have come
        self.hello = self.read().params

    def close(self):
        self.socket.close()

    def read(self, bound=lab.BOUND):
        """The next message; None if there was none until then."""
        end = time.monotonic() + bound
        while b"\n" not in self.text:
            left = end - time.monotonic()
            if not select.select([self.socket], [], [], max(left, 0))[0]:
                return None
            try:
                piece = self.socket.recv(1 << 20)
            except ConnectionResetError:
                piece = b""
            if piece == b"":
                raise Closed
            self.text += piece
        line, _, self.text = self.text.partition(b"\n")
        return json.loads(line, object_hook=Object)

    def send(self, method, **params):
        self.last += 1
        request = {"jsonrpc": "2.0", "id": self.last, "method": method, "params": params}
        self.socket.sendall(json.dumps(request).encode() + b"\n")
        return self.last

    def answer(self, number, bound=lab.BOUND):
        """The result of that request; what comes before is added to `events`."""
        end = time.monotonic() + bound
        while True:
            message = self.read(max(end - time.monotonic(), 0))
            assert message is not None, f"no answer within {bound:.0f} s"
            if message.get("method") == "event":
                self.events.append(message.params)
            elif message.get("id") == number:
                if "error" in message:
                    raise Refused(message.error)
                return message.result

    def call(self, method, bound=lab.BOUND, **params):
        return self.answer(self.send(method, **params), bound)
