"""A worker that gives nclust descriptors whose close(2) waits: TCP sockets with data
that nobody reads, and SO_LINGER for an hour.

    unclosable.py HOW [PATH]

HOW: notify (to its notify socket), flood (the same without a pause), channel (by its
message channel), node (by Node's, without a pause), unread (left in the notify socket by one of its processes when it
ends), control (to PATH).
"""
import array
import os
import socket
import struct
import sys
import threading
import time


def unclosable():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one = socket.create_connection(listener.getsockname())
        two, _ = listener.accept()
    kept.append(two)  # it never reads
    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    one.setblocking(False)
    try:
        for _ in range(64):
            one.send(b"x" * 65536)
    except BlockingIOError:
        pass
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 3600))
    return one


def pass_on(to, data, fds):
    to.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])


def drop(s):
    """If the receiver has closed it before us, it is we who wait."""
    threading.Thread(target=os.close, args=[s.detach()], daemon=True).start()


kept = []
how = sys.argv[1]
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
if how != "node":
    notify.connect(os.environ["NOTIFY_SOCKET"])
if how == "unread" and os.fork() == 0:
    # outlives the worker: sends to a socket that is not read any more
    os.setsid()
if how != "node":
    notify.send(b"READY=1")
count = 0
while True:
    if how == "control":
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        s.connect(sys.argv[2])
        held = unclosable()
        try:
            pass_on(s, b'{"jsonrpc":"2.0"', [held.fileno()])
        except PermissionError:
            held.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 0, 0)
            )
        drop(held)
        s.close()
    else:
        to = notify
        data = b"X=1"
        if how == "channel":
            to = socket.socket(fileno=os.dup(int(os.environ["NCLUST_CHANNEL_FD"])))
            data = b'"x"\n'
        elif how == "node":
            to = socket.socket(fileno=os.dup(int(os.environ["NODE_CHANNEL_FD"])))
            data = b'"x"\n'
        held = [unclosable() for _ in range(1 if how == "node" else 3)]
        pass_on(to, data, [h.fileno() for h in held])
        for h in held:
            drop(h)
    count += 1
    if count == 20:
        print("passed", flush=True)
    time.sleep(0 if how in ("flood", "node") else 0.1)
