# SPDX-License-Identifier: MIT
# A server that opens its sockets by itself, and some that are its own alone; with --notify it says
# READY=1 when all are there, and it answers by its pid: python3 own.py KIND WHERE [--notify]
# KIND is tcp or udp (with SO_REUSEPORT) at a port, path (one that it removes first), or none.
import os
import socket
import sys

kind, where = sys.argv[1:3]
me = b"pid=%d\n" % os.getpid()
mine = socket.create_server(("127.0.0.1", 0))  # an inspector's, a client's ...
path = socket.socket(socket.AF_UNIX)
path.bind("own.%d" % os.getpid())
path.listen()
asks = socket.socket(type=socket.SOCK_DGRAM)
asks.bind(("127.0.0.1", 0))
if kind == "none":
    s = mine
elif kind == "path":
    s = socket.socket(socket.AF_UNIX)
    try:
        os.unlink(where)
    except FileNotFoundError:
        pass
    s.bind(where)
    s.listen()
else:
    s = socket.socket(type=socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    s.bind(("127.0.0.1", int(where)))
    if kind == "tcp":
        s.listen()
if sys.argv[3:]:
    socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
if kind == "udp":
    while True:
        s.sendto(me, s.recvfrom(100)[1])
while True:
    c, _ = s.accept()
    c.sendall(me)
    c.close()
