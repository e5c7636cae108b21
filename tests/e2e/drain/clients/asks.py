#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Clients that ask kinds.py or its like again at once, and repeat nothing (http.client).

  asks.py METHOD COUNT AT PATH...    so many, at PORT or /SOCKET; each asks for one of the paths

PAUSE is how long they wait before they ask again, in seconds, in the mean.  "ready" when each has been
answered; at SIGTERM what is under way is waited for, and one JSON object
tells what became of the requests.  Each has an id of its own, and a cookie of its connection:

  answered    with the right answer
  errors      not: how many of each kind
  strange     of these, with the answer to another request, or one that another connection has asked
  rested      those whose connection had ended without a word of an answer, where the client had not
              asked for RESTS seconds: nclust-drain(7) promises nothing to these, and a client that gets
              no CPU may be one
  ended       answers that said that their connection ends
  handed      answers to requests that the server got with "Connection: close", which none of these
              clients says: their number, and the median and the 99th percentile in ms
  others      the other ones: the same
"""
import collections
import http.client
import itertools
import json
import os
import random
import signal
import socket
import sys
import threading
import time

method, count, at, *paths = sys.argv[1:]
count = int(count)
pause = float(os.environ.get("PAUSE", 0))
RESTS = .5
connections = itertools.count(1)
over = threading.Event()
answered = collections.Counter()
errors = collections.Counter()
took = {"handed": [], "others": []}
ended = 0
strange = 0
rested = 0


class Strange(Exception):
    pass


class Unheard(Exception):
    """The connection had ended without a word of an answer."""


def connect():
    if at[0] != "/":
        return http.client.HTTPConnection("127.0.0.1", int(at), timeout=60)
    c = http.client.HTTPConnection("localhost", timeout=60)
    c.sock = socket.socket(socket.AF_UNIX)
    c.sock.settimeout(60)
    c.sock.connect(at)
    c.auto_open = False
    return c


def ask(connection, path, said, cookie):
    """Whether it was handed on, and whether the connection ends."""
    body = b"x" * 500 if method == "POST" else None
    try:
        connection.request(method, path, body, {"X-Id": said, "Cookie": cookie})
        answer = connection.getresponse()
    except ConnectionError as e:
        raise Unheard(type(e).__name__)
    got = answer.read()
    if answer.status != 200:
        raise OSError(f"status {answer.status}")
    asked = answer.getheader("X-Asked", "").split()
    if asked[:3] != [said, str(len(body or b"")), cookie]:
        raise Strange(str(asked))
    if (len(got) > 1 << 20) != path.startswith(("/long", "/chunked")):
        raise OSError(f"{len(got)} bytes")
    return asked[3].lower() == "close", answer.will_close


def be_client(number):
    global ended, strange, rested
    path = paths[number % len(paths)]
    connection = None
    began = time.monotonic()
    for n in itertools.count():
        if over.is_set():
            return
        before, began = began, time.monotonic()
        try:
            if connection is None:
                connection, cookie = connect(), f"c={next(connections)}"
                is_kept = False
            handed, ends = ask(connection, path, f"{number}-{n}", cookie)
        except Unheard as e:
            if is_kept and began - before >= RESTS:
                rested += 1
            else:
                errors[str(e)] += 1
            connection = None
            continue
        except (OSError, http.client.HTTPException, Strange) as e:
            what = str(e) if type(e) is OSError and e.errno is None else type(e).__name__
            errors[what] += 1
            strange += isinstance(e, Strange)
            connection = None
            continue
        took["handed" if handed else "others"].append((time.monotonic() - began) * 1000)
        answered[number] += 1
        is_kept = True
        ended += ends
        if ends:
            connection.close()
            connection = None
        if pause:
            time.sleep(random.uniform(0, 2 * pause))


def summary(times):
    times.sort()
    return [len(times)] + [round(times[int(len(times) * part)], 1) for part in (.5, .99) if times]


signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
threads = [threading.Thread(target=be_client, args=(n,)) for n in range(count)]
for t in threads:
    t.start()
while len(answered) < count and not errors:
    time.sleep(.005)
print("ready", flush=True)
signal.sigwait({signal.SIGTERM})
over.set()
for t in threads:
    t.join()
print(json.dumps({"answered": sum(answered.values()), "errors": errors, "strange": strange,
                  "rested": rested, "ended": ended,
                  **{kind: summary(times) for kind, times in took.items()}}))
