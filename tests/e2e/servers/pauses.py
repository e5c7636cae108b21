# SPDX-License-Identifier: MIT
"""A server on descriptor 3 with a process for each connection, which stays open: pauses.py [FIFO]

/stream begins an answer, and sleeps until SIGUSR1 before it ends it; all else is answered at
once.  With FIFO the worker has a process that SIGSTOP cannot stop, until somebody opens that
for writing: it waits by vfork(2).
"""
import ctypes
import os
import signal
import socket
import sys


def be_unstoppable(fifo):
    wait = (os.POSIX_SPAWN_OPEN, 0, fifo, os.O_RDONLY, 0)
    os.waitpid(os.posix_spawn("/bin/true", ["true"], {}, file_actions=[wait]), 0)
    signal.pause()


def serve(client):
    while request := client.recv(4096):
        if b" /stream" in request:
            client.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nbegin\n")
            ctypes.CDLL(None).sleep(1000)
            client.sendall(b"end\n")
            return
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


signal.signal(signal.SIGUSR1, lambda *_: None)
listener = socket.socket(fileno=3)
if len(sys.argv) > 1 and os.fork() == 0:
    be_unstoppable(sys.argv[1])
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
    told.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
while True:
    taken = listener.accept()[0]
    if os.fork() == 0:
        serve(taken)
        os._exit(0)
    taken.close()
