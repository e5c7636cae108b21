# SPDX-License-Identifier: MIT
"""Workers that end with 0, because a queue is empty or a job is done."""
import re

import pytest

from harness import *


def jobs(ends):
    return "sh", "-c", f"echo job >> done; exec sh -c '{ends}'"


def test_workers_that_find_nothing_to_do_are_no_failure():
    it = launch("-d -n 2 --restart-pause 200ms", *jobs("exit 0"))
    assert it.process.wait(60) == 0
    it.wait_there()
    it.wait(lambda: read("done").count("job") > 20)
    # at once, where a slow machine let one live for 1 s
    assert all(e.next_try in (0, 0.2) and e.level == "info" for e in it.happened("exited"))
    it.event("done")
    assert "restart = never" in it.happened("done")[0].text and len(it.happened("done")) == 1
    status = it.verb("status").out
    assert "failed" not in status and it.cluster().state == "running"
    it.verb("restart").ok()
    it.stop()


def test_between_two_runs_of_its_jobs_a_cluster_is_well():
    it = launch("-d -n 2 --http 9100 --restart-pause 1h", *jobs("exit 0"))
    assert it.process.wait(60) == 0
    it.wait_there()
    it.wait(lambda: [w.state for w in it.workers()] == ["waiting"] * 2)
    said = it.verb("status").ok()
    assert "running, 2 of 2 ready" in said and len(re.findall("waiting .*next run in", said)) == 2
    it.verb("status", target="it.1").ok()
    assert get("/readyz", 9100).status == 200
    assert 'nclust_workers{cluster="it",state="waiting"} 2' in get("/metrics", 9100).body
    it.verb("scale", "3").ok()
    it.wait(lambda: it.worker(2).state == "waiting")
    it.stop()


def test_a_run_of_a_job_that_follows_another_is_no_server_that_starts():
    it = start("-n 1", "sh", "-c", "[ ! -e again ] || exec sleep 1000; echo > again", clock=True)
    it.event("exited")
    it.advance(1)
    it.event("started", 2)
    assert it.worker().state == "ready" and it.cluster().ready == 1
    assert "waits for" not in it.verb("status").ok()


def test_a_server_that_ends_with_0_is_not_known_to_open_no_port():
    os.mkfifo("go")
    it = start("-n 1 -l 8000", "sh", "-c", 'read -r _ <"$0"', path("go"), clock=True)
    it.event("started")
    it.advance(2)
    write("go", "\n")
    it.event("exited")
    it.advance(1)
    it.event("started", 2)
    it.advance(3, step=0.5)
    assert not it.happened("ready")


INPUT = "; if it ends with its standard input: that is /dev/null; to keep one open: sh -c '"


@pytest.mark.parametrize("options, words", (("-n 1", ("cat",)), ("-c Procfile", ())))
def test_one_that_may_have_ended_with_its_input_is_told_how_to_keep_that_open(options, words):
    write("Procfile", "cat: true\n")  # where it has one that does not end
    said = start(options, *words).event("done").text
    assert "restart = never" in said and (INPUT in said) == bool(words)


def test_a_server_that_ends_with_its_input_is_told_so_where_the_start_fails():
    it = launch("-d -n 1 -l 8000 --backoff-max 100ms", "cat")
    assert it.process.wait(60) == 1
    assert it.says(f"died three times in a row before any worker was ready{INPUT}")


def test_one_that_fails_at_the_end_of_its_input_without_a_word_is_told_so():
    it = launch("-d -n 1 --backoff-max 100ms", "sh", "-c", "read -r _ || exit 1")
    assert it.process.wait(60) == 1
    assert it.says(INPUT)


def test_those_that_fail_fail_the_start():
    it = launch("-d -n 2 --backoff-max 100ms", *jobs("exit 3"))
    assert it.process.wait(60) == 1
    assert it.says("died three times in a row")


def test_a_server_that_ends_with_0_is_told_as_before():
    it = launch("-d -n 1 -l 8000 --backoff-max 100ms", *jobs("exit 0"))
    assert it.process.wait(60) == 1


@pytest.mark.parametrize("code, said", ((3, " with exit 3; last output: no such table: shop"),
                                        (0, " with exit 0")))
def test_a_job_that_ends_after_its_start_is_told_by_every_verb(code, said):
    gate = Gate()
    it = launch("-d -n 1 --restart never --ready alive", "sh", "-c",
                f"""until [ -e {gate} ]; do sleep 0.01; done; echo 'no such table: shop' >&2; exit {code}""")
    assert it.process.wait(60) == 0
    it.wait_there()
    gate.open()
    wait(lambda: not os.path.exists(f"{it.directory}/control"))
    for verb in ("status", "logs", "events"):
        told = it.verb(verb)
        assert told.status in (3, 69) and said in told.err + told.out
        assert re.search(r"it ended \d{4}-\d\d-\d\d \d\d:\d\d with exit", told.err + told.out)
    assert said in nclust("status").err and said in nclust("restart it/it").err
    assert "ended" not in nclust("status other").err
    again = cluster("-n 1", "sleep", "1000")  # its words are of the past now
    again.stop()
    assert " with exit" not in it.verb("status").err
