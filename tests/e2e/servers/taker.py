#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
#
# A server that takes a socket which listens already and never calls listen(2), as
# those of systemd's activation do.  It sends READY=1, once DIR/go is there, and
# answers each line of a client with its pid.  It takes nobody while DIR/hold is there.
#
#   taker.py DIR [epoll]
import os
import socket
import sys
import threading
import time

listener = socket.socket(fileno=3)


def serve(client):
    with client:
        while client.recv(100):
            client.sendall(b"pid=%d\n" % os.getpid())


def take():
    while True:
        client, _ = listener.accept()
        threading.Thread(target=serve, args=(client,), daemon=True).start()


def say_ready():
    while not os.path.exists(os.path.join(sys.argv[1], "go")):
        threading.Event().wait(0.01)
    path = os.environ.get("NOTIFY_SOCKET")
    if path:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.connect("\0" + path[1:] if path[0] == "@" else path)
            s.send(b"READY=1")


while os.path.exists(os.path.join(sys.argv[1], "hold")):
    time.sleep(0.01)
threading.Thread(target=say_ready, daemon=True).start()
if sys.argv[2:] == ["epoll"]:
    import select

    listener.setblocking(False)
    poll = select.epoll()
    poll.register(listener, select.EPOLLIN | select.EPOLLEXCLUSIVE)
    while True:
        poll.poll()
        try:
            client, _ = listener.accept()
        except BlockingIOError:
            continue
        client.setblocking(True)
        threading.Thread(target=serve, args=(client,), daemon=True).start()
else:
    take()
