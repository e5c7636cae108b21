# SPDX-License-Identifier: MIT
"""What is lost by force is said by the verb, with the setting."""
from harness import *

DEAF = ("sh", "-c", "trap '' TERM; while :; do sleep .05; done")


def deaf(count, name="a-job"):  # ready once it is deaf: it has no port to wait for
    return cluster(f"-n {count} --ready alive --stop-timeout 300ms", *DEAF, name)


@pytest.mark.parametrize("count, said", ((1, "1 worker"), (2, "2 workers")))
def test_a_restart_says_how_many_were_killed_and_each_counts_once(count, said):
    it = deaf(count)
    for _ in range(2):
        out = it.verb("restart").ok()
        assert f"; {said} killed after stop-timeout = 300ms\n" in out


def test_a_stop_says_which_were_killed():
    it = deaf(2)
    out = it.verb("stop").ok()
    assert "it: stopped; it." in out and " killed after stop-timeout = 300ms, also it." in out


def test_a_scale_says_which_were_killed():
    assert "it: 1 worker; it.1 killed after stop-timeout = 300ms\n" in deaf(2).verb("scale", "1").ok()


def test_the_signal_that_a_known_program_stops_by_is_named():
    it = deaf(1, "nginx")
    assert "300ms (stop-signal = QUIT ends it sooner)\n" in it.verb("stop").ok()


def test_who_ends_in_time_is_not_mentioned():
    it = cluster("-n 1 --ready alive", *NAP)
    assert "killed" not in it.verb("restart").out + it.verb("stop").out
