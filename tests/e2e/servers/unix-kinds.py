# SPDX-License-Identifier: MIT
"""A server of a unix socket for datagrams or packets, which comes as descriptor 3; it
answers its pid: unix-kinds.py dgram|seqpacket"""
import os
import socket
import sys

listener = socket.socket(fileno=3)
while sys.argv[1] == "dgram":
    _, who = listener.recvfrom(100)
    listener.sendto(b"%d" % os.getpid(), who)
while True:
    client, _ = listener.accept()
    with client:
        while client.recv(100):
            client.send(b"%d" % os.getpid())
