#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
#
# slow.py SOCKET COUNT: so many clients that connect and say nothing, and then
# one that sends a header every half second.  "begun", and in the end the status
# that the last one got.

import select
import socket
import sys
import time


def connect():
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(20)
    s.connect(sys.argv[1])
    return s


quiet = [connect() for _ in range(int(sys.argv[2]))]
print("begun", flush=True)
time.sleep(1.2)
slow = connect()
slow.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n")
answer = b""
while not answer:
    if select.select([slow], [], [], 0.5)[0]:
        answer = slow.recv(4096) or b"none none"
    else:
        slow.sendall(b"X: y\r\n")
print("ended:", answer.split()[1].decode(), flush=True)
