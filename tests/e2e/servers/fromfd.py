#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# A server as many write it: the socket is descriptor 3.  SIGTERM ends it between
# two requests: it comes as a byte to who waits, so none is cut that was accepted.
import os
import select
import signal
import socket

noticed, wake = socket.socketpair()
wake.setblocking(False)
signal.set_wakeup_fd(wake.fileno())
signal.signal(signal.SIGTERM, lambda *_: None)
listener = socket.fromfd(3, socket.AF_INET, socket.SOCK_STREAM)
listener.setblocking(False)
body = b"pid=%d\n" % os.getpid()
while True:
    readable, _, _ = select.select([listener, noticed], [], [])
    if noticed in readable:
        break
    try:
        connection, _ = listener.accept()
    except BlockingIOError:
        continue
    with connection:
        connection.setblocking(True)
        connection.recv(4096)
        connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + body)
