# SPDX-License-Identifier: MIT
"""A server of a unix path that it binds by itself, and removes as it stops, as gunicorn does;
then it stays while the file HOLD is there; one that begins while the file broken is there
fails: own-path.py PATH [HOLD].  A process below it has a path in a directory of its own until
then, as a browser has."""
import contextlib
import os
import select
import signal
import socket
import sys
import tempfile
import time

path, hold = sys.argv[1], sys.argv[2:]
listener = socket.socket(socket.AF_UNIX)


def remove():
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def child():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.close(go)  # it goes with its parent
    place = tempfile.mkdtemp(dir=".")
    own = socket.socket(socket.AF_UNIX)
    own.bind(f"{place}/own")
    own.listen()
    os.write(told, b"!")
    os.read(end, 1)
    os.unlink(f"{place}/own")
    os.rmdir(place)


def stop(*_):
    os.write(go, b"!")
    os.wait()
    listener.close()
    remove()
    while hold and os.path.exists(hold[0]):
        time.sleep(0.01)
    os._exit(0)


end, go = os.pipe()
ready, told = os.pipe()
if os.fork() == 0:
    child()
    os._exit(0)
os.read(ready, 1)
# One that comes just before a call is not lost: it is in the pipe.
came, by = os.pipe()
os.set_blocking(by, False)
signal.set_wakeup_fd(by)
signal.signal(signal.SIGTERM, stop)
while True:
    remove()
    with contextlib.suppress(OSError):  # another one was faster
        listener.bind(path)
        break
listener.listen()
if os.path.exists("broken"):
    remove()
    sys.exit(3)
while True:
    select.select([listener, came], [], [])
    client, _ = listener.accept()
    with client, contextlib.suppress(OSError):
        client.recv(1000)
        client.sendall(b"HTTP/1.0 200 OK\r\n\r\npid=%d\n" % os.getpid())
