# SPDX-License-Identifier: MIT
"""A server of a unix path that it binds by itself, and removes as it stops, as gunicorn does;
then it stays while the file HOLD is there; one that begins while the file BROKEN is there
fails: own-path.py PATH [HOLD]"""
import contextlib
import os
import signal
import socket
import sys
import time

path, hold = sys.argv[1], sys.argv[2:]
listener = socket.socket(socket.AF_UNIX)


def remove():
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def stop(*_):
    listener.close()
    remove()
    while hold and os.path.exists(hold[0]):
        time.sleep(0.01)
    os._exit(0)


signal.signal(signal.SIGTERM, stop)
remove()
listener.bind(path)
listener.listen()
if os.path.exists("broken"):
    remove()
    sys.exit(3)
while True:
    client, _ = listener.accept()
    with client, contextlib.suppress(OSError):
        client.recv(1000)
        client.sendall(b"HTTP/1.0 200 OK\r\n\r\npid=%d\n" % os.getpid())
