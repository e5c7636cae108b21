#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# A server as many write it: the socket is descriptor 3.
import os
import signal
import socket


class Stop(Exception):
    pass


def stop(*_):
    raise Stop


signal.signal(signal.SIGTERM, stop)
listener = socket.fromfd(3, socket.AF_INET, socket.SOCK_STREAM)
body = b"pid=%d\n" % os.getpid()
try:
    while True:
        connection, _ = listener.accept()
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + body)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
except Stop:
    pass
