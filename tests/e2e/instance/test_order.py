# SPDX-License-Identifier: MIT
"""after = CLUSTER: what starts when, and what stops before what."""
from harness import *

HEARS = f"{HEAR} --notify --to {{order}}"


def one(name, command, *lines, **more):
    return section(name, command.format(order=path("order")), "drain = off", *lines,
                   **{"workers": 1, **more})


def gated(name, *lines):
    """Ready when there is a file of its name."""
    return one(name, f"sh -c 'until [ -e {path(name)} ]; do sleep 0.01; done; exec {HEARS}'",
               *lines)


def job():
    """It ends when there is a file `end`, with the status that stands in it."""
    return one("job", f"sh -c 'until [ -s {path('end')} ]; do sleep 0.01; done; "
               f"exit $(cat {path('end')})'", "restart = never", ready="alive:1h")


def job_ends(status):
    os.replace(write("end.new", str(status)), path("end"))


def waits_for(it, name):
    return it.cluster(name).get("waits_for")


def births(it, name):
    return len(it.happened("started", cluster=name))


def stops(it, *clusters):
    """What tells in which order these were told to stop."""
    names = {str(pid): name for name in clusters for pid in it.pids(name)}

    def told():
        heard = [line.split("pid=")[1].split() for line in lines("order")]
        return [names[pid] for pid, what in heard if what == "TERM" and pid in names]
    return told


def test_it_starts_when_those_it_is_after_are_ready_and_stops_before_them_over_upgrades():
    it = start(ini=one("web", HEARS, "after = db, cache") + gated("db")
               + gated("cache", "after = db"))
    it.event("started", cluster="db")
    assert waits_for(it, "web") == "db (starting), cache (waiting)"
    assert "waits for db (starting), cache (waiting)" in it.verb("status").out
    it.call("upgrade")
    Gate("db").open()
    it.event("started", cluster="cache")
    assert waits_for(it, "web") == "cache (starting)"
    assert births(it, "web") == 0
    Gate("cache").open()
    pid = it.event("ready", cluster="web").pid
    assert waits_for(it, "web") is None
    it.reborn(cluster="db")  # a dependency that ends later stops nobody
    assert it.pids("web") == [pid]
    it.call("upgrade")
    told = stops(it, "web", "cache", "db")
    kill(it.pid, SIGTERM)
    assert it.exit() == 0
    assert told() == ["web", "cache", "db"]


def test_a_second_signal_does_not_wait_for_the_order():
    it = cluster(ini=one("db", HEARS) + one("web", f"{fixture('deaf')} --notify", "after = db",
                                            "stop-timeout = 1h"), clock=True)
    kill(it.pid, SIGTERM)
    it.event("stopping", cluster="web")
    assert it.cluster("db").state == "running"
    assert waits_for(it, "db") == "those that depend on it, to stop"
    it.advance(0.3)
    kill(it.pid, SIGTERM)
    it.exit()
    assert living() == []


def test_done_waits_for_an_end_with_success_also_after_failures_while_others_run():
    it = start(ini=one("web", HEARS, "after = job: done") + job() + one("other", HEARS))
    it.event("started", cluster="job")
    assert waits_for(it, "web") == "job (starting)"
    job_ends(7)
    it.wait(lambda: waits_for(it, "web") == "job (ended with status 7)")
    job_ends(0)
    it.call("restart", target="job", no_wait=True)
    it.event("ready", cluster="web")


@pytest.mark.parametrize("options, more", (("", ""), ("-d", "other")), ids=("", "daemon"))
def test_a_job_that_fails_is_not_done_a_start_ends_with_its_status(options, more):
    job_ends(7)
    it = launch(options, ini=one("web", "touch ran", "after = job: done") + job()
                + (one("other", HEARS) if more else ""))
    assert it.exit() == 7
    assert it.says("web cannot start: it waits for job (ended with status 7)")
    assert not os.path.exists("ran")


def test_an_essential_one_ends_nclust_if_it_waits_for_what_has_failed_not_for_what_was_stopped():
    it = start(ini=one("web", "touch ran", "after = mid", "essential = yes")
               + one("mid", "touch ran", "after = job: done") + one("other", HEARS) + job())
    it.event("ready", cluster="other")
    told = stops(it, "other")
    it.call("stop", target="job")
    assert waits_for(it, "mid") == "job (stopped)"
    it.call("restart", target="job", no_wait=True)
    it.event("started", 2, cluster="job")
    job_ends(7)
    assert it.exit() == 7
    assert it.says("web cannot start: it waits for mid (waiting)")
    assert told() == ["other"] and not os.path.exists("ran")


def test_one_that_waits_begins_to_accept_only_then_not_for_one_that_needs_no_worker_now():
    it = start(ini=gated("db") + one("idle", SERVE, "listen = 8001", workers="0..2")
               + "[cluster:web]\ncommand = cat\naccept = yes\nlisten = 8000\nafter = db, idle\n")
    it.event("started", cluster="db")
    assert waits_for(it, "web") == "db (starting)"
    with dial() as s:
        s.sendall(b"hello\n")
        wait(lambda: queued() == 1)
        assert it.cluster("web").accept.served == 0
        Gate("db").open()
        assert s.recv(100) == b"hello\n"
    assert births(it, "idle") == 0


def test_a_reload_brings_one_that_waits_and_removes_in_order():
    it = start(ini=gated("db"))
    write("it.ini", gated("db") + one("web", HEARS, "after = db"))
    it.call("reload", no_wait=True)
    assert waits_for(it, "web") == "db (starting)"
    write("it.ini", gated("db") + one("web", HEARS))
    it.call("reload", no_wait=True)
    it.event("ready", cluster="web")
    it.reload(one("other", HEARS) + one("cache", HEARS) + one("web", HEARS, "after = cache"))
    told = stops(it, "web", "cache")
    it.reload(one("other", HEARS))
    assert told() == ["web", "cache"]


def test_what_waits_for_one_that_has_failed_is_told_to_who_waits_for_it():
    why = "web cannot start: it waits for job (ended with status 7)"
    job_ends(7)
    it = start(ini=one("other", HEARS) + job())
    wait(lambda: it.cluster("job").state == "stopped")
    write("it.ini", one("other", HEARS) + job() + one("web", HEARS, "after = job: done"))
    it.verb("reload").fails(1, why)
    it.verb("restart", target="web").fails(1, why)
    job_ends(0)
    it.call("restart", target="job", no_wait=True)
    it.event("ready", cluster="web")


def test_an_order_that_a_failed_reload_turned_round_halfway_holds_up_no_stop():
    it = cluster(ini=one("a", HEARS, "after = b", "surge = 1") + one("b", HEARS))
    write("it.ini", one("a", "false", "surge = 1") + one("b", HEARS, "after = a"))
    it.verb("reload").fails(1, "a: restart failed")
    told = stops(it, "a", "b")
    kill(it.pid, SIGTERM)
    assert it.exit() == 0
    assert told() == ["b", "a"]


def test_with_orphans_kept_workers_that_were_taken_over_do_not_wait():
    ini = one("web", HEARS, "after = db", "orphans = keep") + gated("db", "orphans = keep")
    Gate("db").open()
    it = cluster(ini=ini)
    web, db = it.pids("web"), it.pids("db")
    os.unlink("db")
    it.kill()
    kill(*db)
    wait_gone(*db)
    it = start(ini=ini)
    assert waits_for(it, "web") is None
    assert it.pids("web") == web


def test_a_stop_and_restart_of_a_single_one_wait_for_no_other_and_do_one_that_waits():
    it = start(ini=one("web", HEARS, "after = db") + gated("db") + one("other", HEARS))
    it.call("restart", target="web", no_wait=True)
    assert waits_for(it, "web") == "db (starting)"
    it.call("stop", target="web")
    Gate("db").open()
    it.event("ready", cluster="db")
    assert (it.cluster("web").state, births(it, "web")) == ("stopped", 0)
    it.call("restart", target="web")
    it.call("stop", target="db")
    for verb in "restart", "stop", "restart":
        it.call(verb, target="web")
    assert it.cluster("web").ready == 1
    it.call("restart", target="db")


def test_names_that_are_not_there_and_cycles_are_told_all_at_once():
    clusters = (("a", "b, nobody"), ("b", "c"), ("c", "a"), ("d", "d"), ("e", "a: done"),
                ("f", "a, a"), ("g", "a: soon"))
    write("it.ini", "".join(f"[cluster:{name}]\ncommand = touch ran\nafter = {after}\n"
                            for name, after in clusters))
    said = nclust("-c it.ini").fails(
        78, "it.ini:3: cluster:a.after: wanted clusters of this file, found 'nobody'",
        "it.ini:3: cluster:a.after: these clusters would wait for each other, and none would "
        "start: c, b, a",
        "it.ini:12: cluster:d.after: 'd' cannot wait for itself",
        "it.ini:15: cluster:e.after: 'a' is never done",
        "it.ini:18: cluster:f.after: 'a' is given twice",
        "it.ini:21: cluster:g.after: wanted names of clusters")
    assert said.err.count("for each other") == 1
    assert not os.path.exists("ran")
