# SPDX-License-Identifier: MIT
"""A worker that, while it leads, appends its pid to a file: leads.py FILE [OPTION]...

--message: it leads when nclust says so, instead of by flock(2).
--leave: it leaves a process of another session behind, which has the lock, too.
--linger PATH: after SIGTERM it goes on until that file is there.
"""
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

FILE = sys.argv[1]
LINGER = sys.argv[sys.argv.index("--linger") + 1] if "--linger" in sys.argv else "/"


def lead():
    out = os.open(FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    if "--leave" in sys.argv:
        fd = int(os.environ["NCLUST_LEADER_FD"])
        subprocess.Popen(["setsid", "sleep", "1000"], pass_fds=[fd])
    os.write(out, b"begin %d\n" % os.getpid())
    while True:
        os.write(out, b"%d\n" % os.getpid())
        time.sleep(0.005)


def by_lock():
    fcntl.flock(int(os.environ["NCLUST_LEADER_FD"]), fcntl.LOCK_EX)
    lead()


def by_message():
    channel = socket.socket(fileno=int(os.environ["NCLUST_CHANNEL_FD"]))
    for line in channel.makefile():
        if json.loads(line).get("nclust") == "leader":
            threading.Thread(target=lead, daemon=True).start()


def notify(text):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.connect(os.environ["NOTIFY_SOCKET"])
        s.send(text)


def on_term(*_):
    while not os.path.exists(LINGER):
        time.sleep(0.01)
    os._exit(0)


signal.signal(signal.SIGTERM, on_term)
target = by_message if "--message" in sys.argv else by_lock
threading.Thread(target=target, daemon=True).start()
notify(b"READY=1")
while True:
    signal.pause()
