# SPDX-License-Identifier: MIT
"""A worker that gives nclust descriptors whose close(2) waits: TCP sockets with data
that nobody reads, and SO_LINGER for an hour.

    unclosable.py HOW [PATH] [PORT]

HOW: notify (to its notify socket), flood (the same without a pause), channel (by its
message channel), unread (left in the notify socket by one of its processes when it
ends), control (to PATH), answer (with each answer to a check at the unix socket that it
has got, and before), client (no worker: to PATH, until the end of what comes from
there); listener (it makes such a socket of the listener that it has
got, connected with PORT), rr (of each connection that it gets as a worker of Node's
cluster at PORT), peer (no worker: it listens at PORT, and never reads).
"""
import array
import contextlib
import ctypes
import fcntl
import json
import os
import signal
import socket
import struct
import sys
import termios
import threading
import time


def unclosable():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one = socket.create_connection(listener.getsockname())
        two, _ = listener.accept()
    kept.append(two)  # it never reads
    return fill(one)


def fill(one):
    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    one.setblocking(False)
    full = 0
    while full < (1 if kept else 10):  # the other end may take more for a while
        try:
            one.send(b"x" * 65536)
            full = 0
        except BlockingIOError:
            full += 1
            time.sleep(0 if kept else 0.02)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 3600))
    return one


def pass_on(to, data, fds):
    to.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])


def unread(s):
    """How much of what was sent the other end has not read."""
    return struct.unpack("i", fcntl.ioctl(s, termios.TIOCOUTQ, bytes(4)))[0]


def drop(s):
    """If the receiver has closed it before us, it is we who wait."""
    threading.Thread(target=os.close, args=[s.detach()], daemon=True).start()


def offer(to, data):
    """The data at least, where the kernel refuses it for the receiver."""
    held = unclosable()

    def send():
        try:
            pass_on(to, data, [held.fileno()])
        except PermissionError:
            none = struct.pack("ii", 0, 0)
            held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, none)
            to.send(data)
        except BrokenPipeError:
            pass  # it is gone
        held.close()  # at once, so that the receiver is the last to have it

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    sender.join(2)


def answer_checks():
    listener = socket.socket(fileno=3)
    count = 0
    while True:
        s, _ = listener.accept()
        for data in (b"HTTP/1.1 2", b"00 OK\r\n\r\n"):
            offer(s, data)
        kept.append(s)
        count += 1
        if count == 2:
            print("passed", flush=True)


def spoil_listener(port):
    """Once it has SIGUSR1, then it stops itself.  nclust would make it listen again."""
    signal.sigwait([signal.SIGUSR1])
    ctypes.CDLL(None).connect(3, struct.pack("H14x", socket.AF_UNSPEC), 16)
    s = socket.socket(fileno=3)
    s.connect(("127.0.0.1", port))
    kept.append(fill(s))
    os.kill(os.getpid(), signal.SIGSTOP)


def spoil_connections(port):
    """nclust keeps a duplicate until the worker says that it has it."""
    channel = socket.socket(fileno=int(os.environ["NODE_CHANNEL_FD"]))

    def say(cmd="NODE_CLUSTER", **message):
        line = json.dumps({"cmd": cmd, **message}, separators=(",", ":"))
        channel.sendall(line.encode() + b"\n")

    say(act="online", seq=0)
    say(act="queryServer", index=0, data=None, seq=1, address="127.0.0.1", port=port, addressType=4)
    said = b""
    while True:
        data, fds, _, _ = socket.recv_fds(channel, 65536, 8)
        said += data
        if b"newconn" not in said:
            continue
        message = json.loads(next(x for x in said.split(b"\n") if b"newconn" in x))["msg"]
        said = b""
        say("NODE_HANDLE_ACK")
        fill(socket.socket(fileno=fds[0])).close()
        say(ack=message["seq"], accepted=True)
        if not kept:
            print("passed", flush=True)
            kept.append(channel)


kept = []
how = sys.argv[1]
if how == "peer":
    kept.append(socket.create_server(("127.0.0.1", int(sys.argv[2]))))
    time.sleep(1000)
if how == "answer":
    answer_checks()
if how == "client":
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.connect(sys.argv[2])
    s.send(b"GET")
    while unread(s):  # it is accepted when this is over
        time.sleep(0.005)
    offer(s, b" / HTTP/1.0\r\n\r\n")
    print("sent", flush=True)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        while s.recv(4096):
            pass
        while True:  # until it is closed
            s.send(b"x")
            time.sleep(0.05)
    print("passed", flush=True)
    time.sleep(1000)
if how == "rr":
    spoil_connections(int(sys.argv[2]))
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.connect(os.environ["NOTIFY_SOCKET"])
if how == "unread" and os.fork() == 0:
    # outlives the worker: sends to a socket that is not read any more
    os.setsid()
if how == "listener":
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
notify.send(b"READY=1")
if how == "listener":
    spoil_listener(int(sys.argv[3]))
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
        held = [unclosable() for _ in range(3)]
        pass_on(to, data, [h.fileno() for h in held])
        for h in held:
            drop(h)
    count += 1
    if count == 20:
        print("passed", flush=True)
    time.sleep(0 if how == "flood" else 0.02)
