# SPDX-License-Identifier: MIT
"""Clients that ask all the time (tests/fixtures/visit.c and openload.c)."""
import json
import re
import signal

from . import lab
from .control import Object
from .instance import fixture
from .net import PORT, wait_listened


def asked_again(*instances):
    """So many requests lay unread in connections that were closed between two of them: by drains
    until their stop signal, or by rollouts, which count what comes after it, too."""
    return sum(max(sum(e.asked_again for e in it.happened(name))
                   for name in ("drained", "rollout-done")) for it in instances)


def handed_on(*instances):
    """So many requests that a worker had not read were answered by another one."""
    return sum(max(sum(e.handed_on for e in it.happened(name))
                   for name in ("drained", "rollout-done")) for it in instances)


class Load:
    """A program that says when it has begun; the counts are there when it has ended."""
    begun = None

    def __init__(self, program, *args, wait=True):
        if wait:
            wait_listened(args[0])
        self.out = lab.path(f"{program}.{len(lab.started)}")
        with open(self.out, "wb") as out:
            self.process = lab.begin_program(fixture(program), *args, stdout=out)
        if self.begun:
            lab.wait(self.has_begun, f"the first answer to {program}")

    def has_begun(self):
        return self.begun in lab.read(self.out) or self.process.poll() is not None

    def last(self):
        lines = lab.lines(self.out)
        return lines[-1] if lines else ""

    def end(self):
        """Stop it, wait for what is under way, and return the counts."""
        self.process.send_signal(signal.SIGTERM)
        return self.result()

    def result(self):
        """The counts of one that ends by itself."""
        lab.wait(lambda: self.process.poll() is not None, "the end of a load")
        return self.counts(self.last())

    def loses_nothing(self, opens_late=False, own_end=False):
        """End it: all that was asked has been answered, but for what was asked on a connection
        that was then closed, and lay unread, as nclust says.  opens_late: the server refuses
        clients itself, at a path of its own, from its bind to its listen.  own_end: it hears its
        stop signal, and closes its idle connections itself; what comes between the signal and that
        lies unread, too, which no nclust can see."""
        got = self.end()
        between = got.get("between", 0)
        refused = got.refused if opens_late else 0
        assert got.answered > 0 and got.refused == refused and not (got.late or got.get("own"))
        assert got.lost == between + refused
        assert own_end or between == 0 or between <= asked_again(*lab.instances)
        return between

    def counts(self, line):
        print(line)
        return Object((name, int(n)) for name, n in re.findall(r"(\w+)=(\d+)", line))


class Clients(Load):
    """Some that ask without a pause: answered, refused, lost, late."""
    begun = "\n"

    def __init__(self, port=PORT, *args):
        super().__init__("visit", port, "--pause", 0, "--clients", 4, *args)


class Visits(Load):
    """A few, with pauses; `more` waits until others have been answered."""

    def __init__(self, port=PORT, *args):
        super().__init__("visit", port, *args, wait=False)

    def answered(self):
        return int(self.last() or 0)

    def more(self):
        before = self.answered()
        lab.wait(lambda: self.answered() > before, "more answers")


class Steady(Load):
    """Requests by a schedule, of several kinds, eight at once at most: all that openload's
    report has, `lost` among it."""
    begun = "ready"

    def __init__(self, at=PORT, *args, at_once=8):
        super().__init__("openload", at, "--at-once", at_once, "--patience", 600000, *args)

    def counts(self, line):
        print(line)
        return json.loads(line, object_hook=Object)
