#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A service manager with a descriptor store, as small as can be.

    keepstore.py SOCKET PIDFILE COMMAND...

Runs the command with NOTIFY_SOCKET, keeps what it stores (FDSTORE=1,
FDNAME=...; FDSTOREREMOVE=1), and starts it again with all of that in
LISTEN_FDS when a signal has killed it.  The pid of each is written to PIDFILE.
Ends when the command does, with its status.
"""
import fcntl
import os
import select
import signal
import socket
import sys

where, pidfile, command = sys.argv[1], sys.argv[2], sys.argv[3:]
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.bind(where)
store = []  # (name, fd)


def start():
    ready, go = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.read(ready, 1)
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 200) for _, fd in store]
        for number, fd in enumerate(high):
            os.dup2(fd, 3 + number)
        os.closerange(3 + len(high), 4096)
        if store:
            os.environ["LISTEN_PID"] = str(os.getpid())
            os.environ["LISTEN_FDS"] = str(len(store))
            os.environ["LISTEN_FDNAMES"] = ":".join(n for n, _ in store)
        os.environ["NOTIFY_SOCKET"] = where
        os.execvp(command[0], command)
    with open(pidfile + ".new", "w") as out:
        out.write(f"{pid}\n")
    os.rename(pidfile + ".new", pidfile)
    os.write(go, b"x")
    os.close(ready)
    os.close(go)
    return pid


def take(message, fds):
    fields = dict(line.split("=", 1) for line in message.decode().splitlines() if "=" in line)
    if fields.get("FDSTORE") == "1":
        for fd in fds:
            store.append((fields["FDNAME"], fd))
        return
    for fd in fds:
        os.close(fd)
    if fields.get("FDSTOREREMOVE") == "1":
        for item in [i for i in store if i[0] == fields["FDNAME"]]:
            os.close(item[1])
            store.remove(item)


def run_one():
    pid = start()
    pidfd = os.pidfd_open(pid)
    while True:
        ready, _, _ = select.select([notify, pidfd], [], [])
        if notify in ready:
            message, fds, _, _ = socket.recv_fds(notify, 4096, 8)
            take(message, fds)
            continue
        _, status = os.waitpid(pid, 0)
        os.close(pidfd)
        return status


signal.signal(signal.SIGCHLD, signal.SIG_DFL)
while True:
    status = run_one()
    if not os.WIFSIGNALED(status):
        sys.exit(os.WEXITSTATUS(status))
