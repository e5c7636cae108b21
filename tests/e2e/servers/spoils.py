# SPDX-License-Identifier: MIT
# A server of one socket, which it spoils for all others: a unix listener when it is
# asked to stop ("shutdown", "unlink"); any listener as often as it can, while FILE is
# there ("while" FILE); a datagram socket, once FILE is there ("connect" FILE).
import contextlib
import os
import signal
import socket
import sys
import time

how = sys.argv[1]
listener = socket.socket(fileno=3)


def stop(*_):
    if how == "shutdown":
        listener.shutdown(socket.SHUT_RDWR)
    elif how == "unlink" and os.path.exists(listener.getsockname()):
        os.unlink(listener.getsockname())
    os._exit(0)


def spoil():
    if how == "while":
        while os.path.exists(sys.argv[2]):
            try:
                listener.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
    if how == "connect":
        listener.settimeout(0.05)
        while not os.path.exists(sys.argv[2]):
            answer()
        listener.settimeout(None)
        listener.connect(("127.0.0.1", 9))
        print("connected now", flush=True)


def answer():
    try:
        if listener.type == socket.SOCK_DGRAM:
            _, who = listener.recvfrom(100)
            listener.sendto(b"pid=%d\n" % os.getpid(), who)
            return
        client, _ = listener.accept()
    except OSError:
        time.sleep(0.01)
        return
    with client, contextlib.suppress(OSError):  # it may be gone
        client.recv(1000)
        client.sendall(b"HTTP/1.0 200 OK\r\n\r\npid=%d\n" % os.getpid())


signal.signal(signal.SIGTERM, stop)
ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
ready.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
spoil()
while True:
    answer()
