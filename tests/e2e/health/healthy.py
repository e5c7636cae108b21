# SPDX-License-Identifier: MIT
"""What the tests of this room share: time that passes only when all who are well have done what
they have to do."""
import select
import time
from glob import glob

from harness import *
from harness import lab

THERE = "--ready tcp --drain off --stop-timeout 1s --bake 0 --log-level info"


def is_busy(pid):
    """Does one of its threads run, or wait for a CPU?"""
    return any(stat(t.removeprefix("/proc/"))[:1] == ["R"] for t in glob(f"/proc/{pid}/task/*"))


# epoll_wait and epoll_pwait of x86-64, epoll_pwait of arm64
EPOLL = ("232", "281", "22")
LEAST, MOST = 0.001, 0.25


def sleep_of(it):
    """For how many seconds it is going to sleep; MOST at most."""
    def timeout():
        call = read(f"/proc/{it.pid}/syscall").split()
        return call[4] if call and call[0] in EPOLL else None

    # it is about to, as a rule
    found = next(filter(None, (timeout() for _ in range(40))), None)
    ms = int(found or wait(timeout, "nclust sleeps"), 16) & 0xffffffff
    return min(max(ms / 1000, LEAST), MOST)


def rest(it, but=()):
    """Until no worker `but` these is busy."""
    it.turns(1)  # and in the next one all of this is over
    workers = [w.pid for c in it.status().clusters for w in c.workers if w.pid]
    wait(lambda: not any(is_busy(p) for p in workers if p not in but), "workers rest")


def until(it, holds, but=()):
    """Its clock goes on until that is so: each time to the moment at which it has something to
    do, and when no worker `but` these is busy."""
    end = time.monotonic() + 2 * BOUND  # many steps, each of which has its own bound
    while not (got := holds()):
        rest(it, but)
        lab.clock.advance(sleep_of(it))
        assert time.monotonic() < end, f"not so: {lab.source(holds)}"
    return got


def go_by(it, seconds):
    """So much time."""
    begun = it.status().uptime
    until(it, lambda: it.status().uptime >= begun + seconds)


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
            rest(it)
            it.advance(0.02)
        assert first.answer().status == 200
        next_ones = self.waiting[:self.workers]  # who is seen with a new client is at work
        until(it, lambda: all(map(is_taken, next_ones)))
