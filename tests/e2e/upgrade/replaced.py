# SPDX-License-Identifier: MIT
"""What the tests of this room share: an nclust whose binary is ours to replace."""
import collections
import re
import shutil

from harness import *

SERVING = (SERVE, "--notify")
TWO = "-n 2 -l 8000 --ready notify"
OURS = inside(PROGRAM)


def put(binary=OURS, copy=False):
    """It is what stands there from now on: a link, or a copy."""
    shutil.copy(binary, path(".new")) if copy else os.symlink(binary, path(".new"))
    os.rename(path(".new"), path("nclust"))
    return path("nclust")


def begin(options="", *command, binary=None, clock=False, **more):
    """start() of what put() has put there."""
    return start(options, *command, clock=clock, **more,
                 program=put(binary or (variant("clock") if clock else OURS)))


def two(options="", command=SERVING, **more):
    """Two workers that take their socket from outside, ready."""
    return begin(f"{TWO} {options}", *command, **more).wait_ready()


class Before:
    """What stays the same, whoever is nclust."""

    def __init__(self, it):
        self.it = it
        self.upgrades = it.status().upgrades
        self.workers = self.now()

    def now(self):
        status = self.it.status()
        return status.pid, [(w.id, w.pid) for c in status.clusters for w in c.workers]

    def lasts(self, upgrades=1):
        """The same process has the same workers, after so many upgrades."""
        assert self.now() == self.workers
        assert self.it.status().upgrades == self.upgrades + upgrades


def kinds(it):
    """How many descriptors it has of each kind, once it counts OOM kills: that comes last.
    (To start programs it keeps some of /dev/null, which an exec closes.)"""
    wait(lambda: re.search(r"/(memory\.events|memory\.oom_control|vmstat)'",
                           repr(descriptors(it.pid))))
    return collections.Counter(re.sub(r"\d+", "", d) for d in descriptors(it.pid).values()
                               if d != "/dev/null")


def all_cloexec(it):
    """No program that it may start gets any of its descriptors."""
    for number, what in descriptors(it.pid).items():
        flags = re.search(r"flags:\s+(\d+)", read(f"/proc/{it.pid}/fdinfo/{number}"))
        assert number <= 2 or not flags or int(flags[1], 8) & os.O_CLOEXEC, (number, what)


def works(it):
    """All that an operator does still works, up to the end."""
    it.call("restart")
    it.call("scale", count=3)
    assert it.cluster().ready == 3
    assert it.stop() == 0
    assert not os.path.exists(it.directory)
    wait(lambda: not [p for p in living() if command(p).startswith(SERVE)])
