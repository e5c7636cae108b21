# SPDX-License-Identifier: MIT
"""takes.py WAY: a server that binds port 8000 (WAY: bind), or takes the socket that it gets as
it is, without listen(2), and waits for connections so: accept, thread, poll, select, epoll; or
leaves it alone (idle).  greet: it speaks first; two: two processes wait by epoll; threads: 300."""
import os
import select
import socket
import sys
import threading

way = sys.argv[1]
s = socket.create_server(("127.0.0.1", 8000)) if way == "bind" else socket.socket(fileno=3)


def serve():
    poll = select.epoll() if way in ("epoll", "two") else select.poll()
    if way in ("poll", "epoll", "two", "select"):
        poll.register(s, select.POLLIN)
        s.setblocking(False)
    while True:
        if way == "select":
            select.select([s], [], [])
        elif way in ("poll", "epoll", "two"):
            poll.poll()
        try:
            c = s.accept()[0]
        except BlockingIOError:
            continue
        c.setblocking(True)
        if way == "greet":
            c.sendall(b"220\r\n")
        c.recv(4096)
        c.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + way.encode())
        c.close()


if way == "two":
    os.fork()
if way == "thread":
    threading.Thread(target=serve).start()
for _ in range(300 if way == "threads" else 0):
    threading.Thread(target=threading.Event().wait).start()
if way in ("thread", "idle"):
    threading.Event().wait()
serve()
