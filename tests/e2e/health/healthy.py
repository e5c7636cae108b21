# SPDX-License-Identifier: MIT
"""What the tests of this room share: time that passes only when all who are well have done what
they have to do."""
import itertools
import select
import time

from harness import *
from harness import lab

THERE = "--ready tcp --drain off --stop-timeout 1s --bake 0 --log-level info"


def is_busy(pid):
    """Does one of its threads run, or wait for a CPU?"""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except FileNotFoundError:
        return False
    return any(stat(f"{pid}/task/{t}")[:1] == ["R"] for t in threads)


def until(it, holds, step=0.02, but=()):
    """Its clock goes on until that is so, after each step when no worker `but` these is busy.
    (While a check waits to be accepted nclust looks each 16 ms, and what a step is longer is
    time for which it believes to have stood still.)"""
    end = time.monotonic() + BOUND
    while not (got := holds()):
        workers = [w.pid for c in it.status().clusters for w in c.workers if w.pid]
        wait(lambda: not any(is_busy(p) for p in workers if p not in but), "workers rest")
        lab.clock.advance(step)
        assert time.monotonic() < end, f"not so: {lab.source(holds)}"
    return got


def go_by(it, seconds):
    """So much time."""
    steps = itertools.count()
    until(it, lambda: next(steps) >= seconds * 50)


def under_load(it, holds):
    """Its clock, which flows, is ahead more and more until that is so, a few times as fast as
    the workers' at most."""
    return wait(lambda: [it.advance(0.4), holds()][1])


def checks(it, slot=0):
    return it.worker(slot).get("checks") or Object(ok=0, failed=0, last=None)


def ready(it, count):
    """So many are ready, and none is on its way."""
    found = it.cluster()
    return found.ready == len(found.workers) == count


def replaced(it, pid, count):
    """All are ready again, and that one is not among them."""
    return ready(it, count) and pid not in (
        w.pid for c in it.last_status.clusters for w in c.workers)


def begin(options, *command, count=1, **more):
    """A cluster whose time stands, and all are ready."""
    it = start(f"-n {count} {THERE} {options}", *command, clock=True, **more)
    until(it, lambda: ready(it, count))
    return it


def is_taken(request):
    port = request.socket.getsockname()[1]
    return any(s.inode and s.remote == port for s in sockets("established", PORT))


class Queue:
    """Clients that wait in a queue for so many workers of the fixture unwell, each until its own
    gate opens."""

    def __init__(self, count, workers=1):
        self.came, self.served, self.workers = 0, 0, workers
        self.waiting = []
        for _ in range(count):
            self.come()

    def come(self):
        self.waiting.append(Request(f"/until{path(str(self.came))}"))
        self.came += 1

    def serve(self, it):
        """The first of them is answered; so is a check that is before it."""
        write(str(self.served), "")
        self.served += 1
        first = self.waiting.pop(0)
        while not select.select([first.socket], [], [], 0.02)[0]:
            it.advance(0.02)
        assert first.answer().status == 200
        next_ones = self.waiting[:self.workers]  # who is seen with a new client is at work
        until(it, lambda: all(map(is_taken, next_ones)))
