# SPDX-License-Identifier: MIT
"""Clients that ask an HTTPS server from afar, again and again.

handshakes.py PORT AT_ONCE MS    until standard input ends; each answer of the
                                 server is read that long after it has come.
                                 "ready" at the first one; at the end one line:
                                 answered=… lost=… away=…

Away are those lost who had let the server wait for longer than any client so far
away would, as this machine gave them no CPU.
"""

import socket
import ssl
import struct
import sys
import threading
import time

port, at_once, delay = (int(argument) for argument in sys.argv[1:])
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
over = threading.Event()
counts = {"answered": 0, "lost": 0, "away": 0}
AWAY = 90  # ms; after 100 nclust takes a connection for quiet
LAST_DATA_RECV = 52  # of struct tcp_info: ms ago; at first, since the beginning
lock = threading.Lock()


class Afar:
    def __init__(self):
        self.socket = socket.create_connection(("127.0.0.1", port), 20)
        self.came, self.left = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.came, self.left)
        self.away = False

    def send(self, data):
        info = self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
        ago = struct.unpack_from("I", info, LAST_DATA_RECV)[0]
        self.away = self.away or ago > AWAY
        self.socket.sendall(data)

    def run(self, step, *arguments):
        """One step of TLS, with as many ways there and back as it takes."""
        while True:
            done = True
            try:
                result = step(*arguments)
            except ssl.SSLWantReadError:
                done = False
            if self.left.pending:
                self.send(self.left.read())
            if done:
                return result
            data = self.socket.recv(65536)
            if not data:
                raise ConnectionError("closed")
            time.sleep(delay / 1000)
            self.came.write(data)


def ask(client):
    client.run(client.tls.do_handshake)
    client.run(client.tls.write, b"GET / HTTP/1.0\r\n\r\n")
    return b"200 OK" in client.run(client.tls.read, 4096)


def go_on():
    while not over.is_set():
        client = None
        kind = "lost"
        try:
            client = Afar()
            if ask(client):
                kind = "answered"
        except OSError as error:
            print(error, file=sys.stderr)
        if client:
            client.socket.close()
            if kind == "lost" and client.away:
                kind = "away"
        with lock:
            counts[kind] += 1
            if kind == "answered" and counts[kind] == 1:
                print("ready", flush=True)


threads = [threading.Thread(target=go_on) for _ in range(at_once)]
for thread in threads:
    thread.start()
sys.stdin.read()
over.set()
for thread in threads:
    thread.join()
print(" ".join(f"{kind}={count}" for kind, count in counts.items()))
