# SPDX-License-Identifier: MIT
"""What the tests with Node share.  Who answers says "pid=PID worker=ID slot=SLOT", with
"worker=no" where Node's cluster module does not take it for a worker."""
from harness import *

# what scripts/setup has got by npm
MODULES = os.path.join(os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")),
                       "nclust/node/node_modules")

OTHERS = [pytest.param(f"{MODULES}/node{major}/bin/node", id=f"node{major}",
                       marks=pytest.mark.nightly) for major in (16, 18, 22, 24)]

# Else V8 sets itself a timer where the machine is slow, and such a worker has not finished.
NO_TIMER = "--no-memory-reducer"


def js(name):
    return f"{SRC}/tests/e2e/node/{name}"


def node(script, *words, options="", program="node", **more):
    """Two workers, which listen."""
    return cluster(f"-n 2 --ready listen {options}", program, js(script), *words, **more)


def ask(pid, it, path="/", **how):
    """The answer of this worker, as all others stand still."""
    others = [p for p in it.pids() if p != pid]
    freeze(*others)
    try:
        return get(path, **how)
    finally:
        thaw(*others)


def each_is_worker(it, **how):
    """Each answers by itself, and is a worker for Node's cluster module too: their numbers."""
    found = []
    for pid in it.pids():
        got = ask(pid, it, **how)
        assert got.pid == pid
        found.append(int(got.part("worker")))
    return found


def ends_cleanly(it):
    assert it.stop() == 0
    assert living() == []


def counts(number, **how):
    """Who has answered how many of so many requests."""
    found = [get(**how).pid for _ in range(number)]
    return {pid: found.count(pid) for pid in found}
