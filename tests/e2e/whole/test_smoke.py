# SPDX-License-Identifier: MIT
"""One life of a cluster, from start to stop: also under the sanitizers and valgrind."""
from harness import *


def test_a_cluster_starts_answers_loses_a_worker_rolls_scales_and_stops():
    it = cluster("-n 2 -l 8000 --ready notify", SERVE, "--notify")
    assert get().slot in (0, 1)
    assert it.cluster().ready == 2

    old = it.worker(1)
    kill(old.pid)
    assert it.event("exited", worker=old.id).text
    new = it.event("ready", slot=1, n=2)
    assert new.pid != old.pid
    assert it.worker(1).restarts == 1

    it.call("restart")
    assert it.cluster().generation == 2
    assert it.cluster().ready == 2

    it.call("scale", count=3)
    assert it.cluster().ready == 3

    assert it.stop() == 0
    assert not listens()
