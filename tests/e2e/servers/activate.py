#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
#
# Do what a service manager does for socket activation, sd_listen_fds(3):
#
#   activate.py NAME=PORT|NAME=udp:PORT|NAME=unix:PATH ... -- COMMAND [ARG]...
import os
import socket
import sys

split = sys.argv.index("--")
names = []
sockets = []
for word in sys.argv[1:split]:
    name, where = word.split("=", 1)
    if where.startswith("unix:"):
        s = socket.socket(socket.AF_UNIX)
        s.bind(where[5:])
    elif where.startswith("udp:"):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.bind(("127.0.0.1", int(where[4:])))
    else:
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", int(where)))
    if s.type == socket.SOCK_STREAM:
        s.listen(64)
    names.append(name)
    sockets.append(s)
# Out of the way first, so that none overwrites another.
high = [os.dup2(s.fileno(), 100 + i) for i, s in enumerate(sockets)]
for i, fd in enumerate(high):
    os.dup2(fd, 3 + i, inheritable=True)
    os.close(fd)
os.environ["LISTEN_PID"] = str(os.getpid())
os.environ["LISTEN_FDS"] = str(len(high))
os.environ["LISTEN_FDNAMES"] = ":".join(names)
os.execvp(sys.argv[split + 1], sys.argv[split + 1:])
