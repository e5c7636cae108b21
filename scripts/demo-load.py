#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The visitors of scripts/demo: demo-load.py PORT SECONDS PER_SECOND.

Each request is a connection of its own, begun on time whether the earlier ones
were answered or not.  Prints what became of them, as shell variables:

answered   with 200, and in full
lost       accepted by a worker that ended before it had answered
refused    nobody listened
timed_out  nothing came within five seconds
"""

import collections
import re
import socket
import sys
import threading
import time

PORT, SECONDS, RATE = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
seen = collections.Counter()
lock = threading.Lock()


def visit():
    what = "lost"
    try:
        with socket.create_connection(("127.0.0.1", PORT), timeout=5) as to:
            to.sendall(b"GET / HTTP/1.0\r\n\r\n")
            reply = b""
            while True:
                data = to.recv(4096)
                if not data:
                    break
                reply += data
        head, _, body = reply.partition(b"\r\n\r\n")
        length = re.search(rb"\r\nContent-Length: (\d+)", head)
        if re.match(rb"HTTP/1\.. 200 ", head) and len(body) == int(length[1]):
            what = "answered"
    except ConnectionRefusedError:
        what = "refused"
    except socket.timeout:
        what = "timed_out"
    except OSError:
        what = "lost"
    with lock:
        seen[what] += 1


start = time.monotonic()
visits = []
for i in range(int(SECONDS * RATE)):
    time.sleep(max(0, start + i / RATE - time.monotonic()))
    visits.append(threading.Thread(target=visit))
    visits[-1].start()
for v in visits:
    v.join()
for what in ("answered", "lost", "refused", "timed_out"):
    print("%s=%d" % (what, seen[what]))
