# SPDX-License-Identifier: MIT
"""greedy.py HOW PORT: the worker of slot 0 does it as often as it can.

notify: it sends notify messages; message: it sends lines that are no JSON on its
message channel; all: the workers of all slots send notify messages; bind: it binds PORT and the 15 after it, one after
the other, while 16 processes with 4,000 descriptors each hold what they have bound.
All workers send READY=1 and, those of other slots, WATCHDOG=1 each 100 ms.
"""
import os
import resource
import socket
import sys
import time

notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.connect(os.environ["NOTIFY_SOCKET"])


def bind(port):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.7.1", port))
    return s


def hold(port):
    """Another process, with the descriptors that this one has."""
    heard, said = os.pipe()
    if os.fork() == 0:
        s = bind(port)
        os.write(said, b"x")
        while s:
            time.sleep(1000)
    os.read(heard, 1)
    os.close(heard)
    os.close(said)


def binds(port):
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    for _ in range(min(4000, most - 64)):
        os.dup(2)
    for i in range(16):
        hold(port + 16 + i)
    print("greedy", flush=True)
    while True:
        for i in range(16):
            try:
                bind(port + i).close()
            except OSError:
                pass


def main(how, port):
    notify.send(b"READY=1")
    if os.environ["NCLUST_SLOT"] != "0" and how != "all":
        while True:
            notify.send(b"WATCHDOG=1")
            time.sleep(0.1)
    if how == "bind":
        binds(port)
    print("greedy", flush=True)
    if how == "message":
        with socket.socket(fileno=int(os.environ["NCLUST_CHANNEL_FD"])) as channel:
            while True:
                channel.sendall(b"{]\n" * 1000)
    while True:
        notify.send(b"STATUS=busy\nWATCHDOG=1")


main(sys.argv[1], int(sys.argv[2]))
