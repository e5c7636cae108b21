# SPDX-License-Identifier: MIT
"""essential = yes: nclust ends with that cluster, and with its exit status."""
from harness import *


def ini(status, *more):
    """A helper cluster, and one that ends when there is a file `end`."""
    return section("side", f"{HEAR} --notify", workers=1) + section(
        "main", f"{DIE} --notify --after {path('end')} --exit {status}", *more, workers=1)


@pytest.mark.parametrize("status, more, with_it, says", (
    (7, "restart = never", 7, "has ended"),
    (0, "restart = never", 0, "has ended"),
    (3, "give-up = 1/1m", 1, "has failed"),
))
def test_nclust_ends_with_the_status_of_its_essential_cluster_the_others_gracefully(
        status, more, with_it, says):
    it = cluster(ini=ini(status, more, "essential = yes"))
    side = it.worker(cluster="side").pid
    Gate("end").open()
    assert it.exit() == with_it
    assert it.says(f"main: {says}, and is essential: nclust ends with status {with_it}")
    assert it.says(f"slot=0 pid={side} TERM") and not it.says("SIGKILL")


def test_a_reload_makes_one_essential_and_an_upgrade_keeps_that():
    it = cluster(ini=ini(9, "restart = never"))
    it.reload(ini(9, "restart = never", "essential = yes"))
    it.call("upgrade")
    Gate("end").open()
    assert it.exit() == 9
