# SPDX-License-Identifier: MIT
"""A reload applies the difference, or nothing."""
import socket

from harness import *

HEARS = f"{HEAR} --notify"


def ini(*more, name="web", command=HEARS, workers=2):
    return section(name, command, *more, workers=workers)


def put(*more, **changed):
    write("it.ini", ini(*more, **changed))


def reload(it, *more, **changed):
    """With that file: what it says."""
    put(*more, **changed)
    return it.call("reload").text


def is_as(it):
    """What must stay as it is."""
    c = it.cluster()
    return c.generation, c.rollout, c.wanted, c.command, [w.pid for w in c.workers]


# ---- the difference ----

def test_nothing_then_a_live_key_then_a_key_of_the_process():
    it = cluster(ini=ini("stop-timeout = 1h"))
    before = is_as(it)
    assert it.call("reload").text.startswith("web: no change; to start")
    assert is_as(it) == before
    assert "stop-timeout" in reload(it, "stop-timeout = 50ms", "stop-signal = USR1")
    assert is_as(it) == before

    said = reload(it, "stop-timeout = 50ms", "stop-signal = USR1", "env = COLOUR=green")
    assert "env" in said
    assert it.cluster().generation == 2 and not set(it.pids()) & set(before[-1])
    assert environment(it.worker(1).pid)["COLOUR"] == "green"
    # hear goes on after USR1: killed after 50 ms, not after an hour
    assert it.log().count("did not end in time, sending SIGKILL") == 2


def test_only_what_changed_is_rolled_new_clusters_come_and_old_ones_go():
    it = cluster(ini=ini(name="one") + ini(name="two") + ini(name="three"))
    one, two, three = map(it.pids, ("one", "two", "three"))
    # else it would be one of before by another name
    write("it.ini",
          ini(name="one") + ini("umask = 027", name="two") + ini("env = A=1", name="four"))
    said = it.call("reload").text
    assert "four: new" in said and "three: removed" in said
    wait_gone(*three)
    it.wait_ready()
    assert [c.name for c in it.status().clusters] == ["one", "two", "four"]
    assert it.pids("one") == one and not set(it.pids("two")) & set(two)


def test_a_number_of_workers_counts_if_the_file_changed_it_else_a_scale_holds():
    it = cluster(ini=ini())
    it.call("scale", count=3)
    for seconds in 5, 6, 5:
        reload(it, f"stop-timeout = {seconds}s")
        assert it.cluster().wanted == 3
    reload(it, "stop-timeout = 5s", workers=1)
    wait(lambda: len(it.workers()) == 1)
    assert it.cluster().wanted == 1


def test_a_cluster_that_was_stopped_stays_so_and_starts_with_what_the_file_has_then():
    it = cluster(ini=ini() + ini(name="other"))
    it.call("stop", target="web")
    for workers, more in (3, "nice = 1"), (3, "env = A=1"), (1, "env = A=1"):
        it.reload(ini(more, workers=workers) + ini(name="other"))
        assert it.cluster("web").state == "stopped"
    before = it.pids("other")
    kill(it.pid, SIGHUP)
    it.event("rollout-done", cluster="other")
    assert it.pids("web") == [] and not set(before) & set(it.pids("other"))
    it.call("scale", target="web", count=2)
    assert [environment(pid).get("A") for pid in it.pids("web")] == ["1"] * 2
    it.call("stop", target="web")
    it.reload(ini("env = A=2") + ini(name="other"))
    it.call("restart", target="web")
    assert [environment(pid).get("A") for pid in it.pids("web")] == ["2"] * 2


def test_a_new_address_is_served_and_the_old_one_until_then():
    it = cluster(ini=ini("listen = 8000", command=f"{SERVE} --notify"))
    load = Clients()
    reload(it, "listen = 8000", "listen = 8001", command=f"{SERVE} --notify")
    load.loses_nothing()
    reload(it, "listen = 8001", command=f"{SERVE} --notify")
    assert get(port=8001).pid
    assert not listens(8000)


def test_the_log_level_and_a_cluster_that_had_given_up():
    it = start(ini=ini("give-up = 2/1m", "backoff-min = 1ms", "backoff-max = 1ms", command=DIE)
               + ini(name="other"))
    it.event("gave-up")
    said = it.reload("[nclust]\nlog-level = debug\n" + ini("give-up = 2/1m") + ini(name="other"))
    assert said.startswith("nclust: log-level note → debug: applied; web: ")
    it.wait_ready()
    kill(it.pid, signal.SIGWINCH)
    it.logged("received SIGWINCH")


# ---- or nothing ----

def test_a_broken_file_is_told_by_file_and_line_and_changes_nothing():
    it = cluster(ini=ini())
    before = is_as(it)
    put("wrokers = 3", "stop-timeout = soon")
    said = it.verb("reload").fails(78, f"{path('it.ini')}:5: cluster:web.wrokers: unknown key; did",
                                   "it.ini:6: ", "soon")
    assert len(said.err.splitlines()) == 2
    kill(it.pid, SIGHUP)  # the same by signal
    it.logged("it.ini:5: ", 2)
    os.unlink("it.ini")
    file = path("it.ini")
    said = it.verb("reload").fails(78)
    assert said.err == (f"'{file}' is gone; what runs stays as it is ('nclust config it >{file}' "
                        "writes it again)\n")
    it.logged("reload failed, nothing was changed: '")
    assert is_as(it) == before
    assert "stop-timeout" in reload(it, "stop-timeout = 5s")


@pytest.mark.parametrize("more, command, says", (
    (("listen = 127.0.0.1:8001", "stop-timeout = 1s"), HEARS, ("127.0.0.1:8001", "in use")),
    (("listen = 8002",), f"{DIE} --exit 4", ("exit 4",)),
    (("listen = 8000", "[nclust]", "pidfile = /run/it.pid"), HEARS, ("pidfile", "restart")),
), ids=("address in use", "roll that fails", "needs a restart of nclust"))
def test_what_cannot_be_applied_leaves_all_as_it_was(more, command, says):
    it = cluster(ini=ini("listen = 8000"))
    before = is_as(it)
    with socket.create_server(("127.0.0.1", 8001)):
        put(*more, command=command)
        it.verb("reload").fails(1, *says)
    wait(lambda: is_as(it) == before)
    assert [at.address for at in it.cluster().listeners] == ["tcp:[::]:8000"]
    assert listens(8000) and not listens(8002)


def test_after_a_roll_that_fails_half_way_the_settings_of_before_hold_and_the_file_differs():
    it = cluster(ini=ini())
    put("directory = /", command=f"""sh -c '[ "$NCLUST_SLOT" -eq 0 ] || exit 9; exec {HEARS}'""")
    for _ in range(2):
        it.verb("reload").fails(1, "web.1: exit 9")
        it.event("rollout-done", rollout=2)  # it has gone back
        c = it.cluster()
        assert (c.state, c.ready, c.command[0]) == ("running", 2, HEAR)
        assert c.failed_restart.reload and "try again: nclust reload it" in it.verb("status").out
        assert [command(pid) for pid in it.pids()] == [HEARS] * 2
    pid = it.reborn()
    assert command(pid) == HEARS and os.readlink(f"/proc/{pid}/cwd") == path()
    assert reload(it).startswith("web: no change; to start")


def test_where_a_new_cluster_fails_it_says_that_the_file_is_in_force():
    it = cluster(ini=ini())
    write("it.ini", ini("stop-timeout = 5s") + section("new", f"{DIE} --exit 4"))
    it.verb("reload").fails(1, "new.", "exit 4", "; the file is in force", "; web: stop-timeout", "applied; new: new")
    assert "stop-timeout = 5s" in it.verb("config").ok() and it.cluster("new").ready == 0
    # but not where a rollout fails
    write("it.ini", ini("stop-timeout = 6s", command=f"{DIE} --exit 5"))
    it.verb("reload").fails(1, "exit 5", "the old workers keep serving", "; the file is in force, except where old workers", "new: removed")
    assert it.cluster("web").command[0] == HEAR


def test_a_reload_awaits_what_an_earlier_one_has_begun():
    it = cluster(ini=ini())
    put(command="sh -c 'until [ -e go ]; do sleep 0.01; done; exit 9'")
    it.call("reload", no_wait=True)
    again = it.begin("reload")
    it.event("reloaded", 2)
    write("go", "")
    with pytest.raises(Refused, match="web.0: exit 9"):
        again()


def test_drop_ports_counts_for_what_an_earlier_reload_has_begun():
    it = cluster(ini=section("web", f"{PLAIN} 8000 --loopback", ready=None))
    write("it.ini", section("web", f"{PLAIN} 8001 --loopback", ready=None))
    it.call("reload", no_wait=True)
    it.call("reload", drop_ports=True)
    it.wait(lambda: [at.address for at in it.cluster().listeners] == ["tcp:127.0.0.1:8001"])
    assert it.cluster().state == "running"


def test_a_name_service_that_does_not_answer_holds_up_the_reload_alone():
    need_root()
    it = cluster(ini=ini("user = nobody", "drain = off"), clock=True)
    before = it.pids()
    os.mkfifo("passwd", 0o644)
    run("mount", "--bind", path("passwd"), "/etc/passwd").ok()
    put("user = nobody", "drain = off", "stop-timeout = 1s")
    answer = it.begin("reload")

    wait(lambda: any(read(f"/proc/{pid}/wchan") == "wait_for_partner" for pid in living()))
    assert it.pids() == before
    kill(it.pid, SIGHUP)  # begins the look-up again
    it.call("restart")
    assert it.cluster().generation == 2
    assert "stop-timeout = 1s" not in it.call("config").ini
    it.advance(7, step=0.1)
    is_refused("not read within 5 s: .*name service", answer)
    run("umount", "--lazy", "/etc/passwd").ok()
    assert "stop-timeout" in it.call("reload").text


# ---- SIGHUP ----

def test_hup_reads_the_file_and_rolls_everything_once_and_of_a_storm_the_last_file_wins():
    it = cluster(ini=ini())
    before = it.pids()
    put("stop-timeout = 5s")
    kill(it.pid, SIGHUP)
    it.event("rollout-done")
    assert not set(it.pids()) & set(before)
    assert "stop-timeout = 5s" in it.call("config").ini
    assert len(it.happened("rollout-started")) == 1
    for step in range(1, 11):
        os.replace(write("new.ini", ini(f"env = STEP={step}")), path("it.ini"))
        kill(it.pid, SIGHUP)
    it.wait(lambda: it.cluster().state == "running" and [
        environment(pid).get("STEP") for pid in it.pids()] == ["10"] * 2)


def test_hup_without_a_file_is_a_rolling_restart_and_ignored_at_the_start_it_is_nothing():
    it = cluster("-n 2 --ready notify", HEAR, "--notify")
    kill(it.pid, SIGHUP)
    it.event("rollout-done")
    it.verb("reload").fails(1, "no configuration file")
    it.stop()
    it = cluster(ini=ini(), under=("sh", "-c", 'trap "" HUP; exec "$@"', "-"))
    before = is_as(it)
    put("env = A=1")
    kill(it.pid, SIGHUP)
    kill(it.pid, SIGUSR1)  # it hears signals in the order of their numbers
    it.logged("USR1")
    assert is_as(it) == before and not it.happened("reloaded")
