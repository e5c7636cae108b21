# SPDX-License-Identifier: MIT
"""nclust is root, its workers are not: one that asks nclust for something without end is heard
for a tenth of nclust's time.  Only itself waits.  (How much of a CPU: scripts/hostile.)"""
import re

from harness import *


def switches(pids):
    """How often they have run."""
    return [sum(numbers(read(f"/proc/{p}/status"), r"voluntary_ctxt_switches:\s+(\d+)"))
            for p in pids]


@pytest.mark.parametrize("how, options, says", (
    ("notify", "-n 2 --intercept off", r"it\.0: worker \d+ "),
    ("message", "-n 2 --intercept off --ipc on", r"it\.0: worker \d+ "),
    ("bind", "-n 2 --intercept on --limit-nofile 5000", r"it\.0: worker \d+ "),
    ("all", "-n 10 --intercept off", "it: its workers together keep nclust busy"),
), ids=("notify", "message", "bind", "all"))
def test_who_asks_without_end_waits_alone(how, options, says):
    need_root()
    it = cluster(f"{options} --ready notify --user nobody --watchdog 0 --log prefix", "python3",
                 server("greedy.py"), how, 8000, clock=True)
    it.logged("nclust now spends at most")
    assert re.search(f"{says}.*nclust now spends at most", it.log())
    greedy = it.pids() if how == "all" else it.pids()[:1]

    def wait_alone():
        """They are kept in a system call all the time in which nclust answers others."""
        before = switches(greedy)
        for _ in range(20):
            it.status()
        return {state(p) for p in greedy} == {"S"} and switches(greedy) == before

    for _ in range(2):
        wait(wait_alone)
        before = switches(greedy)
        it.advance(2)
        wait(lambda: switches(greedy) != before)  # they are heard again
    assert it.log().count("nclust now spends at most") == 1
    assert [w.restarts for w in it.workers()] == [0] * len(it.workers())
    assert not it.says("it.1: worker")
