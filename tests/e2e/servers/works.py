# SPDX-License-Identifier: MIT
"""An event loop on descriptor 3 that begins each answer, computes until the file GATE is there,
and ends it: works.py GATE"""
import os
import select
import socket
import sys

listener = socket.socket(fileno=3)
loop = select.epoll()
loop.register(listener, select.EPOLLIN)
while loop.poll():
    client = listener.accept()[0]
    client.recv(4096)
    client.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nbegin\n")
    while not os.path.exists(sys.argv[1]):
        pass
    client.sendall(b"end\n")
    client.close()
