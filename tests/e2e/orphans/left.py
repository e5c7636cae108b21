# SPDX-License-Identifier: MIT
"""What the tests of this room share."""
from harness import *
from harness.instance import words

SERVING = (SERVE, "--notify")


def kept(options="", command=SERVING, **more):
    """Three workers that outlive nclust, and all are ready."""
    return cluster(f"-n 3 -l 8000 --orphans keep --ready notify {options}", *command, **more)


def serving():
    """All processes that run the fixture `serve`, whoever knows them."""
    return [p for p in living() if command(p).startswith(SERVE)]


def settled():
    """All that live, once of a killed nclust only workers and keepers are left."""
    now, left = living(), {*serving(), *keepers()}
    return now if now and left.issuperset(now) else None


def refuses(*says, options="", under=(), ini=None):
    """A start fails, and says that; nobody is harmed, nobody is born."""
    before = wait(settled)
    result = run(*under, inside(PROGRAM), "--name", "it", *words(
        f"-n 3 -l 8000 --orphans keep --ready notify {options}"), "--", *SERVING)
    assert result.status != 0, repr(result)
    for text in says:
        assert text in result.err, f"not said: {text}\n{result!r}"
    wait(lambda: living() == before)
    return result
