# SPDX-License-Identifier: MIT
"""What the tests of this room share."""
from harness import *
from harness.instance import words

SERVING = (SERVE, "--notify")


def kept(options="", command=SERVING, **more):
    """Three workers that outlive nclust, and all are ready."""
    return cluster(f"-n 3 -l 8000 --orphans keep --ready notify {options}", *command, **more)


def keepers():
    """The loggers that hold the instance's directory."""
    found = []
    for pid in living():
        try:
            if command(pid).startswith("nclust-logger") and any(
                    d.startswith(path("run/it")) for d in descriptors(pid).values()):
                found.append(pid)
        except FileNotFoundError:
            pass  # it is gone
    return found


def serving():
    """All processes that run the fixture `serve`, whoever knows them."""
    return [p for p in living() if command(p).startswith(SERVE)]


def kill_keeper_and(it, *others):
    """All of them, before one can put another keeper in the place of the first."""
    kill(it.pid, SIGSTOP)
    pids = *keepers(), it.pid, *others
    for pid in pids:
        kill(pid)
    wait_gone(*pids)
    it.forget()


def refuses(*says, options="", under=(), ini=None):
    """A start fails, and says that; nobody is harmed, nobody is born."""
    before = living()
    result = run(*under, inside(PROGRAM), "--name", "it", *words(
        f"-n 3 -l 8000 --orphans keep --ready notify {options}"), "--", *SERVING)
    assert result.status != 0, repr(result)
    for text in says:
        assert text in result.err, f"not said: {text}\n{result!r}"
    assert living() == before
    return result
