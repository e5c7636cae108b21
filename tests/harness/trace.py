# SPDX-License-Identifier: MIT
"""System calls that fail, or at which a process stops or is killed (strace(1))."""
import signal

from . import lab


def injection(call, what, when=1):
    """Options of strace: the when-th such call of each process has error=EMFILE, signal=KILL
    (before it), signal=STOP (after it), ..."""
    return "-e", f"trace={call}", "-e", f"inject={call}:{what}:when={when}"


def traced(*options, to="trace"):
    """What to start a program under, with strace beside it: start(..., under=traced(...))."""
    lab.need("strace")
    return "strace", "-D", "-qq", "-o", lab.path(to), *options


def stopped(pid, trace="trace"):
    """Wait until a call with signal=STOP has stopped it."""
    lab.wait(lambda: "--- stopped by SIGSTOP ---" in lab.read(trace), f"{pid} is stopped")


class Trace:
    """strace of a process that runs already; what it sees goes to a file of that name."""

    def __init__(self, pid, *options, to="trace"):
        lab.need("strace")
        self.to, said = to, lab.path(f"{to}.said")
        with open(said, "wb") as err:
            self.process = lab.begin_program(
                "strace", "-o", lab.path(to), *options, "-p", pid, stderr=err)
        # from then on no call is missed
        lab.wait(lambda: "attached" in lab.read(said), "strace is attached")

    def end(self):
        """Let go of what it traces; returns what it has seen."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        lab.wait(lambda: self.process.poll() is not None, "the end of strace")
        return lab.read(self.to)


def calls(trace):
    """The names of the calls in a file that a traced() program has made, each with how often it
    had been made by then: what injection() counts."""
    count = {}
    for line in lab.lines(trace):
        name = line.partition("(")[0]
        if name.isidentifier():
            count[name] = count.get(name, 0) + 1
            yield name, count[name], line
