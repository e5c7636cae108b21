# SPDX-License-Identifier: MIT
"""A client of servers that run a process per connection.

accept.py ADDRESS once [TEXT]     send it, end, print all that comes
accept.py ADDRESS hold COUNT      connect so often, say "N connected" and then how
                                  many have got a line, until standard input ends
accept.py ADDRESS load AT_ONCE    ask all the time, until standard input ends;
                                  then one line: answered=… refused=… lost=…

ADDRESS is HOST:PORT or a path; "from=127.0.0.2" before it: as that host.
"""

import select
import socket
import sys
import threading

arguments = sys.argv[1:]
source = None
if arguments[0].startswith("from="):
    source = (arguments.pop(0)[5:], 0)
address, mode = arguments[:2]
rest = arguments[2:]


def connect():
    if address.startswith("/"):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(20)
        s.connect(address)
        return s
    host, port = address.rsplit(":", 1)
    return socket.create_connection((host, int(port)), 20, source)


def everything(s):
    parts = []
    while part := s.recv(65536):
        parts.append(part)
    return b"".join(parts)


def once():
    s = connect()
    s.sendall(rest[0].encode() if rest else b"")
    s.shutdown(socket.SHUT_WR)
    sys.stdout.buffer.write(everything(s))


def hold():
    held = [connect() for _ in range(int(rest[0]))]
    print(len(held), "connected", flush=True)
    heard = 0
    waiting = {s.fileno(): s for s in held}
    while True:
        ready, _, _ = select.select([sys.stdin, *waiting.values()], [], [])
        if sys.stdin in ready:
            return
        for s in ready:
            line = s.recv(4096)
            heard += bool(line)
            if not line:
                del waiting[s.fileno()]
        print(heard, "heard", flush=True)


def load():
    counts = {"answered": 0, "refused": 0, "lost": 0}
    lock = threading.Lock()
    over = threading.Event()

    def ask():
        while not over.is_set():
            try:
                s = connect()
            except OSError:
                with lock:
                    counts["refused"] += 1
                continue
            try:
                with s:
                    s.sendall(b"question\n")
                    s.shutdown(socket.SHUT_WR)
                    got = everything(s)
            except OSError:
                got = b""
            with lock:
                counts["answered" if got.startswith(b"ok") else "lost"] += 1

    threads = [threading.Thread(target=ask) for _ in range(int(rest[0]))]
    for t in threads:
        t.start()
    print("started", flush=True)
    sys.stdin.read()
    over.set()
    for t in threads:
        t.join()
    print(*(f"{k}={v}" for k, v in counts.items()))


{"once": once, "hold": hold, "load": load}[mode]()
