#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""How long does a control socket take for an answer?

  ask.py knock SOCKET    to a new connection each time, until its greeting has come
  ask.py ask SOCKET      to a request, over one connection

Again and again, until SIGTERM; "ready" when it has begun, and then the longest time and the
median, in microseconds.
"""
import signal
import socket
import statistics
import sys
import time

REQUEST = b'{"jsonrpc":"2.0","id":1,"method":"events","params":{"last":0}}\n'
how, path = sys.argv[1:]
over = False


def on_term(number, frame):
    global over
    over = True


def connect():
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    lines = sock.makefile("rb")
    lines.readline()
    return sock, lines


signal.signal(signal.SIGTERM, on_term)
sock, lines = connect()
took = []
print("ready", flush=True)
while not over:
    began = time.monotonic()
    if how == "knock":
        connect()
    else:
        sock.sendall(REQUEST)
        while b'"result"' not in (line := lines.readline()):
            assert line, "it has closed the connection"
    took.append((time.monotonic() - began) * 1e6)
    time.sleep(0.0003)
print(round(max(took)), round(statistics.median(took)))
