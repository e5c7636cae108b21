# SPDX-License-Identifier: MIT
"""A server that waits by poll(2) and answers each request 100 ms later: at all sockets that it is
given, and else at ports of 127.0.0.1, the first for all slots and the others for slot 0.

    ports.py PORT...
"""
import os
import select
import socket
import sys
import threading
import time


def answer(client):
    client.recv(4096)
    time.sleep(0.1)
    client.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n")
    client.close()


def bound(port):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", int(port)))
    s.listen()
    return s


own = sys.argv[1:] if os.environ["NCLUST_SLOT"] == "0" else sys.argv[1:2]
given = range(int(os.environ.get("LISTEN_FDS", 0)))
doors = [socket.socket(fileno=3 + i) for i in given] + [bound(port) for port in own]
doors = {s.fileno(): s for s in doors}
waits = select.poll()
for s in doors.values():
    s.setblocking(False)
    waits.register(s, select.POLLIN)
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
    told.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
while True:
    for fd, _ in waits.poll():
        try:
            taken = doors[fd].accept()[0]
        except BlockingIOError:
            continue
        taken.setblocking(True)
        threading.Thread(target=answer, args=(taken,)).start()
