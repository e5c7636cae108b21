# SPDX-License-Identifier: MIT
"""`nclust events`: what is known, also after an upgrade and a crash, and which of it is shown."""
import json
import re
import time

from harness import *
from two import TWO


def kept(count=2):
    return cluster(f"-n {count} --orphans keep --ready notify", HEAR, "--notify")


def shown(*args):
    return [json.loads(line) for line in nclust("events it --json", *args).ok().splitlines()]


def names(*args):
    return [event["event"] for event in shown(*args)]


def check_known(before):
    """All events of before are there as they were; the names of those behind them."""
    now = shown()
    assert now[:len(before)] == before
    assert [e["time"] for e in now] == sorted(e["time"] for e in now)
    return [e["event"] for e in now[len(before):]]


def test_400_events_outlive_upgrades_and_an_nclust_that_is_killed():
    it = kept()
    while len(shown()) < 400:
        it.call("scale", count=20)
        it.call("scale", count=2)
    for _ in range(2):
        before = shown()
        it.call("upgrade")
        assert check_known(before)[-1] == "upgraded"
        before = shown()
        it.kill()
        it = kept()
        assert check_known(before).count("adopted") == 1


def test_a_new_keeper_holds_them_too():
    it = kept()
    keeper = it.role("logger")
    kill(keeper)
    it.role("logger", but=keeper)
    it.call("scale", count=3)
    before = shown()
    it.kill()
    kept(3)
    check_known(before)


def test_events_as_lines_and_as_json_of_all_or_of_some():
    it = cluster(ini=TWO)
    it.call("restart", target="web")
    it.call("scale", target="api", count=2)
    said = nclust("events it").ok()
    assert "web: rollout 1 done" in said and "api" in said
    assert all(e["time"] > 0 and e["event"] and e["text"] for e in shown())
    # as it was sent: milliseconds, no digits that a double makes up
    assert not re.search(r'"time":[0-9]+\.[0-9]{4}', nclust("events it --json").ok())
    for words, slots in (("events it/web --json", {0, 1, None}), ("events web.1 --json", {1}),
                         ("events web.1 --json -n 2", {1}),
                         ("events web.1 --cluster web --json", {1})):
        some = [json.loads(line) for line in nclust(words).ok().splitlines()]
        assert {e["cluster"] for e in some} == {"web"} and {e.get("slot") for e in some} == slots
        assert ("-n 2" in words) == (len(some) == 2)
    assert nclust("events it -n 0").ok() == ""


def test_events_of_some_kinds_of_a_cluster_and_since_a_time():
    it = cluster(ini=TWO)
    assert names("--cluster web --kind ready,all-ready") == ["ready", "ready", "all-ready"]
    assert names("--kind ready -n 1") == ["ready"]
    hour = time.strftime("'%Y-%m-%d %H:%M:%S'", time.localtime(time.time() - 3600))
    for since in ("1h", hour):
        assert names("--kind ready --since", since) == ["ready"] * 3
    assert names("--since @4000000000") == []
    last = shown("-n 1")[0]["time"]
    begin_program(inside(PROGRAM), "events", "-f", "--json", "--kind", "exited,started",
                  "--cluster", "web", "it", "--since", f"@{last + 0.001}", stdout="follower")
    begin_program(inside(PROGRAM), "events", "-f", "--json", "--kind", "exited,ready", "it/api",
                  stdout="api")
    wait(lambda: len(lines("api")) == 1)
    kill(it.worker(0, "api").pid)
    wait(lambda: len(lines("api")) == 3)
    kill(it.worker(1, "web").pid)
    wait(lambda: "started" in read("follower"))
    seen = list(map(json.loads, lines("follower")))
    assert [(e["event"], e["cluster"], e.get("why")) for e in seen] == [
        ("exited", "web", "crash"), ("started", "web", None)]
    assert [json.loads(line)["event"] for line in lines("api")] == ["ready", "exited", "ready"]
    # of one that is gone
    edit("it.ini", "[cluster:api]\nworkers = 1\n", "")
    it.call("reload")
    assert names("--cluster api --kind ready") == ["ready"] * 2
    nclust("events it --cluster none").fails(69, "no cluster 'none'")


def test_events_that_follow_end_with_their_reader_and_with_nclust():
    it = cluster("-n 2 --ready notify", HEAR, "--notify")
    run("bash", "-c", '"$0" events it -f | head -n 1', inside(PROGRAM)).ok()
    follower = begin_program(inside(PROGRAM), "events", "it.1", "-f", stdout="one",
                             stderr="why")
    wait(lambda: "ready" in read("one"))
    it.stop()
    wait(lambda: follower.poll() is not None)
    assert "has ended" in read("why")
    assert "it.0" not in read("one")
