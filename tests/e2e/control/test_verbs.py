# SPDX-License-Identifier: MIT
"""The verbs, as a user and a script see them: what they print, whom they mean, and their exit
statuses."""
import json
import os
import re
import signal
from signal import SIG_DFL, SIG_IGN, SIGINT, SIGSEGV

from harness import *
from harness.terminal import Terminal
from two import TWO

CHANGES = ("restart", "reload", "stop", "events", "config", "scale 2", "signal USR1")
BREAKS = "#!/bin/sh\necho cannot find the database >&2; exit 7\n"


def quick(count=1, **more):
    return cluster(f"-n {count} --ready notify", HEAR, "--notify", **more)


def breakable(count=1):
    """Its program can be replaced by one that fails."""
    write("server", f'#!/bin/sh\nexec {HEAR} "$@"\n', 0o755)
    return cluster(f"-n {count} --ready notify", path("server"), "--notify")


def shown(*args):
    return json.loads(nclust(*args).out)


# ---- status ----

def test_status_shows_each_worker_as_a_table_and_as_json():
    it = cluster("-n 2 -l '127.0.0.1:8000, name=http' --ready notify", SERVE, "--notify")
    kill(it.worker(1).pid, SIGSEGV)
    it.event("ready", n=3)
    said = nclust("status").ok()
    for text in (f"it  pid {it.pid}", "2 of 2 ready", "127.0.0.1:8000", "queue 0 of ",
                 "killed by SIGSEGV", str(it.worker(0).pid)):
        assert text in said
    said = nclust("status it --json").ok()
    assert said.count("\n") == 1
    status = json.loads(said, object_hook=Object)
    (web,) = status.clusters
    assert (status.name, status.pid, web.wanted, web.ready, web.state, web.rollout) == (
        "it", it.pid, 2, 2, "running", None)
    (http,) = web.listeners
    assert (http.name, http.queue, http.dropped) == ("http", 0, 0) and http.queue_limit > 0
    first, second = web.workers
    assert (second.state, second.restarts, second.last_exit.kind, second.last_exit.code) == (
        "ready", 1, "signal", 11)
    assert first.last_exit is None and second.last_exit.text.startswith("killed by SIGSEGV")


def test_status_exits_0_if_all_are_ready_1_if_some_2_if_none_3_if_not_there():
    for words in ("status", "status it", "status it --json"):
        nclust(words).fails(3)
    gate = Gate("go.{slot}")
    it = start("-n 2 --ready notify", fixture("slow-ready"), gate)
    assert "0 of 2 ready" in nclust("status it").fails(2).out
    gate.open(0)
    it.event("ready", slot=0)
    for words, status in (("it", 1), ("it.0", 0), ("it.1", 2)):
        nclust("status", words).fails(status)
    gate.open(1)
    it.event("all-ready")
    nclust("status it").ok()


def as_third(*words):
    return run("setpriv", "--reuid=4712", "--regid=4712", "--clear-groups", inside(PROGRAM),
               *" ".join(words).split())


def test_an_instance_of_another_user_or_place_is_named_before_none_is_said():
    need_root()
    place = os.environ.pop("NCLUST_RUNTIME_DIR")
    os.chmod(place, 0o755)
    begin_program(*AS_NOBODY, inside(PROGRAM), "-n", "1", "--name", "shop", "--ready",
                  "alive:0s", "--", "sleep", "1000")
    pid = wait(lambda: re.search(r"shop runs as nobody \(pid (\d+)\): sudo -u nobody nclust status "
                                 "shop", nclust("status").fails(3).err))[1]
    nclust("restart shop").fails(69, f"(pid {pid}): sudo -u nobody nclust restart shop")
    nclust("restart shop.2").fails(69, f"(pid {pid}): sudo -u nobody nclust restart shop.2")
    nclust("scale shop/web 2").fails(69, f"(pid {pid}): sudo -u nobody nclust scale shop/web 2")
    nclust("signal HUP").fails(69, f"(pid {pid}): sudo -u nobody nclust signal shop HUP")
    nclust("restart shop --no-wait -- echo 'a b'").fails(
        69, f"(pid {pid}): sudo -u nobody nclust restart shop --no-wait -- echo 'a b'")
    # a third user sees its command line
    third = as_third("status shop").fails(3)
    assert f"shop runs as nobody (pid {pid}): sudo -u nobody nclust status shop" in third.err
    assert "runs as" not in as_third("status", "blog").fails(3).err
    assert "to start one" not in nclust("status").err
    wait(lambda: run(*AS_NOBODY, inside(PROGRAM), "status", "shop").status == 0)
    # root's, asked by another user, who cannot see its name, and is no member of control-group
    begin_program(inside(PROGRAM), "-n", "1", "--name", "own", "--control-group", "#4711", "--ready",
                  "alive:0s", "--", "sleep", "1000")
    wait(lambda: nclust("status own").status == 0)
    run(*AS_NOBODY, inside(PROGRAM), "stop", "shop").ok()
    as_third("status").fails(77, "control-group")
    run("setpriv", "--reuid=4712", "--regid=4711", "--clear-groups", inside(PROGRAM),
        "status").ok()
    nclust("stop own").ok()
    # in a place of its own
    begin_program(inside(PROGRAM), "-n", "1", "--name", "far", "--runtime-directory",
                  path("far"), "--", "sleep", "1000")
    wait(lambda: f"nclust status far --runtime-directory {path('far')}" in nclust("status").err)
    nclust("restart -- echo").fails(
        69, f"nclust restart far --runtime-directory {path('far')} -- echo")


def test_one_of_another_user_whose_name_cannot_be_seen_is_asked_for_its_status_alone():
    need_root()
    os.environ.pop("NCLUST_RUNTIME_DIR")
    write("blog.ini", "[cluster]\ncommand = sleep 1000\nready = alive:0s\n", 0o644)
    os.mkdir("its own")
    os.chown("its own", 65534, 65534)
    begin_program(*AS_NOBODY, inside(PROGRAM), "-c", path("blog.ini"), "--runtime-directory",
                  path("its own"))
    wait(lambda: "blog runs as nobody" in nclust("status").err)
    for words in ("status",), ("restart", "shop"):
        assert re.search(r"an nclust whose name only its user sees runs as nobody \(pid \d+\): sudo "
                         f"-u nobody nclust status --runtime-directory '{path('its own')}'\n",
                         as_third(*words).fails(3 if words == ("status",) else 69).err)


def test_an_instance_that_ends_is_not_named_with_the_same_command():
    it = quick()
    kill(it.pid, signal.SIGSTOP)  # it has its lock, and its control socket no more
    os.unlink("run/it/control")
    for words in ("restart it", "restart it.0", "stop"):
        said = nclust(words).fails(69, f"it (pid {it.pid}) has no control socket now")
        assert "runs as" not in said.err
    kill(it.pid, signal.SIGCONT)


def test_a_verb_with_a_file_in_the_place_of_a_name_has_its_way():
    for word in "ecosystem.config.js", "conf/web.ini":
        nclust("reload", word).fails(69, "what runs with a file: nclust reload NAME; to start one: "
                                     f"nclust -c {word}\n")


def test_without_a_target_status_shows_all_instances_the_others_list_them():
    it, other = quick(), quick(2, name="other")
    assert re.search("it  pid .*other  pid ", nclust("status").ok(), re.S)
    assert [json.loads(line)["name"] for line in nclust("status --json").ok().splitlines()] == [
        "it", "other"]
    for verb in CHANGES:
        nclust(verb).fails(64, "it", "other")
    assert (it.cluster().generation, other.cluster().ready) == (1, 2)


def test_with_none_running_and_with_a_name_that_is_none_they_exit_69():
    for verb in CHANGES:
        nclust(verb).fails(69, "found no running instance", path("run"))
    it = quick()
    for words in ("restart othername", "scale othername/web 2", "restart it/nothing",
                  "restart it.7"):
        nclust(words).fails(69)
    nclust("restart iit").fails(69, "did you mean 'it'")
    assert it.cluster().generation == 1


def test_an_instance_that_is_named_and_not_found_is_told_of_and_no_other_one():
    it, gone = quick(), quick(name="gone")
    gone.kill()
    for words in ("stop gone", "restart gone/web", "scale gone/web.0 2"):
        said = nclust(words).fails(69, "found no running instance 'gone'", "'gone' was killed")
        assert "running: it" in said.err and "'it' was killed" not in said.err
    for words in ("stop far/web", "restart far/web.0"):
        said = nclust(words).fails(69, "found no running instance 'far'; running: it\n")
        assert "was killed" not in said.err
    assert nclust("stop it/nosuch").fails(69).err.endswith("instance 'it' has no cluster 'nosuch'\n")
    assert it.stop() == 0
    assert "'gone' was killed" not in nclust("stop far/web").fails(69, "looked in").err
    assert "'gone' was killed" in nclust("stop").fails(69).err


def test_targets_an_instance_a_cluster_a_cluster_alone_a_slot():
    it, _ = cluster(ini=TWO), quick(name="other")

    def means(target):
        status = shown("status", target, "--json")
        return status["name"], [(c["name"], [w["slot"] for w in c["workers"]])
                                for c in status["clusters"]]

    assert means("it/web") == ("it", [("web", [0, 1])])
    assert means("api") == ("it", [("api", [0])])
    assert means("web.1") == ("it", [("web", [1])])
    assert means("it/web.0") == ("it", [("web", [0])])
    assert means("other") == ("other", [("other", [0])])
    # each of them changes what it means, and nothing else
    web, api = it.pids("web"), it.pids("api")
    nclust("restart web.1").ok()
    assert it.pids("web")[0] == web[0] and it.pids("web")[1] != web[1] and it.pids("api") == api
    nclust("scale api +2").ok()
    assert (it.cluster("api").ready, it.cluster("web").ready) == (3, 2)
    nclust("scale it 3").fails(64, "2 clusters")
    nclust("stop it/api").ok()
    assert (it.cluster("api").state, it.cluster("web").ready) == ("stopped", 2)


def test_status_watch_is_top():
    it = quick()
    screen = Terminal(inside(PROGRAM), "status", "it", "--watch")
    screen.sees("1 of 1 ready")
    it.call("scale", count=3)
    screen.sees("3 of 3 ready")
    it.stop()  # it may come back
    screen.sees("connecting again")
    quick(2)
    screen.sees("2 of 2 ready")
    screen.type("\x03")
    screen.exit()
    assert screen.is_as_before()


# ---- changes ----

def test_restart_waits_for_the_outcome_and_its_status_is_the_outcome():
    it = breakable(2)
    old = it.pids()
    said = nclust("restart it").ok()
    assert re.fullmatch(r"it: rollout 1 done: \d workers? replaced in [0-9.]+ s "
                        r"\(generation 2\)\n", said)
    assert it.cluster().ready == 2 and not set(it.pids()) & set(old)
    assert shown("restart it --json")["ok"]
    old = it.pids()
    write("server", BREAKS)
    nclust("restart it").fails(1, "exit 7")
    nclust("restart it --json").fails(1)
    nclust("scale it 3").fails(1, "exit 7")  # new workers that do not come up
    assert it.pids()[:2] == old


def test_a_scale_to_more_jobs_is_done_when_these_are():
    write("end", "0")
    it = start(ini=section("side", f"{HEAR} --notify", workers=1)
               + section("job", f"sh -c 'exit $(cat {path('end')})'", "restart = on-failure",
                         workers=1, ready="alive:1h"))
    it.event("slot-ended", cluster="job")
    it.wait_ready("side")
    assert nclust("scale job 2").ok() == "job: 2 workers\n"
    write("end", "3")
    nclust("scale job 3").fails(1, "ended with exit 3")


def test_scale_a_number_more_fewer_none_and_what_is_no_number():
    it = quick()
    assert "3 workers" in nclust("scale it 3").ok()
    for words, ready in (("it 3", 3), ("it +1", 4), ("it -2", 2), ("1", 1), ("it 0", 0)):
        assert "1 workers" not in nclust("scale", words).ok()
        assert (it.cluster().wanted, it.cluster().ready, len(it.pids())) == (ready, ready, ready)
    nclust("scale it 4").ok()
    for word in ("many", "1.5", "''", "10001", "--", "'1 2'", "0x3"):
        nclust("scale it", word).fails(64)
    # less than none is refused, and nothing is parked
    nclust("scale it -9").fails(64, "'it' has 4 workers")
    nclust("scale it.0 2").fails(64)
    assert it.cluster().ready == 4


def test_signal_the_next_in_turn_all_one_slot_and_what_is_no_signal():
    cluster("-n 3 --ready notify", HEAR, "--notify", "--to", path("heard"))
    assert re.fullmatch(r"SIGUSR1 sent to it.[012], 1 of 3 workers; --all sends it to all\n",
                        nclust("signal it USR1").ok())
    nclust("signal it SIGUSR1").ok()
    nclust("signal -USR1 it").ok()  # as for kill(1)
    wait(lambda: sorted(line.split()[0] for line in lines("heard") if "USR1" in line) == [
        "slot=0", "slot=1", "slot=2"])
    assert nclust("signal it USR2 --all").ok() == "SIGUSR2 sent to 3 workers\n"
    wait(lambda: read("heard").count("USR2") == 3)
    nclust("signal it.1 HUP").ok()
    wait(lambda: "HUP" in read("heard"))
    assert re.search("slot=1 .*HUP", read("heard"))
    assert shown("signal it WINCH --json")["reached"] == 1
    for word in ("NONE", "NONSENSE", "0", "65", "-65", "''"):
        nclust("signal it", word).fails(64)
    nclust("scale it 0").ok()
    nclust("signal it USR1").fails(1, "no worker")


def test_no_wait_returns_at_once():
    it = start("-n 2 --ready notify --start-timeout 600s", fixture("slow-ready"), "never")
    nclust("restart it --no-wait").ok()
    nclust("scale it 3 --no-wait").ok()
    assert it.cluster().wanted == 3
    assert re.match("draining: .*'nclust undrain'", nclust("drain it --no-wait").ok())
    assert nclust("undrain it --no-wait").ok().startswith("no longer draining: ")
    assert nclust("stop it --no-wait").ok() == "it: stopping\n"
    it.exit()


def test_a_variable_in_front_of_restart_is_told_to_change_nothing():
    it = quick()
    assert "alone" not in nclust("restart it").err
    said = nclust("restart it", env={**os.environ, "COLOR": "blue"})
    assert said.status == 0
    assert "COLOR is set for this verb alone, not for the workers" in said.err
    assert "nclust restart it -- env COLOR=blue COMMAND" in said.err
    nclust("restart it --env COLOR=blue").fails(64, "nclust restart NAME -- env A=1 COMMAND")


def test_start_starts_what_was_stopped_or_scaled_to_0_and_leaves_alone_what_runs():
    it = cluster(ini=TWO)
    before = it.worker(0, "web").pid
    assert nclust("start").ok() == "all clusters run already\n"
    assert "web: runs already; 'nclust restart'" in nclust("start web").ok()
    assert it.worker(0, "web").pid == before
    for down, told in (("stop api", "api was stopped; to start it: nclust start it/api"),
                       ("scale api 0", "api was scaled to 0 workers; to start it: nclust start")):
        nclust(down).ok()
        assert told in " ".join(nclust("status").out.split())
        assert nclust("start").ok() == "api: started\n"
        assert it.cluster("api").ready == 1
    assert it.worker(0, "web").pid == before
    nclust("stop api").ok()
    assert "1 worker started in" in nclust("restart api").ok()
    nclust("start api.0").fails(64, "a slot cannot be started")
    nclust("scale api 0").ok()
    assert "no worker runs; 'nclust start' starts" in nclust("restart api").ok()


def test_a_file_that_has_changed_since_is_told_by_restart_and_status_until_a_reload():
    it = cluster(ini=TWO)
    assert nclust("restart web").ok() and "changed" not in nclust("status").ok()
    write("moved", read("it.ini"))  # of the same text: its time is what counts
    os.utime("moved", (1, 1))
    os.rename("moved", "it.ini")
    said = nclust("restart web")
    assert said.status == 0 and "it.ini has changed since the settings in force were read: nclust reload it" in said.err
    assert "it.ini has changed since the settings in force were read: nclust reload it" in nclust("status").ok()
    it.verb("upgrade").ok()
    assert "has changed since" in nclust("status").ok()
    assert nclust("reload").ok().endswith(
        "no change; to start the same command anew: nclust restart it\n")
    assert "changed" not in nclust("status").ok() and "changed" not in nclust("restart web").err


def test_so_is_one_whose_settings_a_failed_reload_has_taken_back():
    it = cluster(ini=TWO)
    write("it.ini", read("it.ini").replace(HEAR, "/bin/false", 1))
    nclust("reload").fails(1)
    it.wait_ready()
    said = nclust("restart web")
    assert said.status == 0 and "has changed since the settings in force were read" in said.err
    assert "has changed since the settings in force were read" in nclust("status").ok()


def test_but_not_one_that_a_reload_is_still_rolling_out():
    it = cluster(ini=f"[cluster:web]\ncommand = {HEAR} --notify\nworkers = 2\nready = notify\nbake = 1h\n")
    write("it.ini", read("it.ini") + "env = A=b\n")
    it.call("reload", no_wait=True)
    it.event("baking")
    assert "changed" not in nclust("status").out + nclust("status").err


def test_scale_to_0_says_that_a_port_which_workers_opened_is_closed():
    it = cluster("-n 1", PLAIN, PORT)
    assert nclust("scale it 0").ok() == (
        "it: 0 workers; the port that they opened is closed: '-l' keeps one open\n")
    assert it.event("closed").text == f"it: tcp:0.0.0.0:{PORT} closed: no worker uses it any more"
    assert not listens(PORT)
    assert nclust("start").ok() == "it: started\n"
    assert listens(PORT)


def test_other_tools_words_and_the_options_place():
    it = quick()
    assert json.loads(nclust("--json status it").ok())["name"] == "it"
    for word, way in (("update", "nclust reload"), ("reread", "nclust config --check"),
                      ("flush", "nclust logs"), ("save", "systemctl enable --now nclust@NAME"),
                      ("start node x.js", "nclust -n auto -- node x.js"),
                      ("start x.js -i 4 --name x", "nclust -n auto -- node x.js"),
                      ("start ecosystem.config.js", "nclust -c ecosystem.config.js"),
                      ("disable it", "systemctl disable --now nclust@NAME"),
                      ("is-active it", "nclust status it\n"),
                      ("try-restart it", "nclust restart it\n"),
                      ("daemon-reload", "nclust reload\n"),
                      ("reset-failed it", "nclust restart it\n"),
                      ("server.js", "nclust -n auto -- node server.js"),
                      ("docker-compose.yml", "nclust -c docker-compose.yml")):
        nclust(word).fails(64, way)
    write("server.js", "")
    nclust("-- server.js").fails(127, "try: node server.js")
    nclust("-- ./server.js").fails(126, "try: node ./server.js")
    write("ecosystem.config.js", "module.exports = {\n  apps: []\n}\n")
    for words in ("-c", "start", ""):
        said = nclust(words, "ecosystem.config.js").fails(78, "COMING FROM PM2").err
        assert said.count("\n") == 1 and "use: nclust -c" not in said
    two = cluster("-n 1 --ready alive:0s --env 'A=1, B=2'", "sleep", "1000", name="two")
    two.logged("--env: 'A=1, B=2' is one variable: --env is given once for each")
    assert two.stop() == 0
    write("shop.service", "[Unit]\nAfter=x\n[Service]\nExecStart=/x\n")
    assert nclust("-c shop.service").fails(78, "SYSTEMD in nclust-guide").err.count("\n") == 1
    assert it.stop() == 0


@pytest.mark.parametrize("name, text, says", (
    ("docker-compose.yml", "version: '3'\nservices:\n  web:\n    image: x\n",
     "which runs inside of the containers; see COMPOSE in nclust-guide(7)"),
    ("Dockerfile", "# x\nFROM node\nCMD ['node']\n", "see CONTAINER in nclust-guide(7)"),
    ("shop.yaml", "---\napiVersion: apps/v1\nkind: Deployment\n", "KUBERNETES in nclust-guide(7)"),
    ("supervisord.conf", "[supervisord]\n[include]\nfiles = x\n", "COMING FROM SUPERVISORD"),
    ("pm2.json", '{"apps": [{"script": "x.js"}]}\n', "COMING FROM PM2"),
    ("gunicorn.conf.py", "bind = ':80'\n", "COMING FROM GUNICORN"),
    ("package.json", '{"scripts": {"start": "node x"}}\n', "to run a program: nclust -n auto -- COM"),
    ("nginx.conf", "# x\n\nevents {}\nhttp {\n  server {}\n}\n", "nclust.ini(5); to run a prog"),
    ("server.js", "x = 1\n", "if it is the program: nclust -n auto -- node server.js"),
    ("start", "#!/bin/sh\nA=1 exec x\n", "if it is the program: nclust -n auto -- ./start"),
    # of ours, with what is another's in a comment
    ("it.ini", "# [program:x]\n[cluster:a]\n#[Service]\nenv = A=services: 1\n", "wanted a command")))
def test_a_file_that_is_no_ini_file_is_answered_in_one_line_by_what_it_is(name, text, says):
    write(name, text)
    said = nclust("-c", name).fails(78, says).err
    assert said.count("\n") == 1 and said.startswith(f"{name}:"), said


def test_stop_waits_until_it_has_ended():
    it = quick(2)
    assert nclust("stop it").ok() == "it: stopped\n"
    assert read(f"/proc/{it.pid}/stat").rsplit(")")[1].split()[0] == "Z"  # it.exit() reaps it
    assert it.exit() == 0
    it = cluster(ini=TWO)
    assert nclust("stop web").ok() == "web: stopped\n"
    assert nclust("stop api").ok() == "api: stopped; it was the last cluster, so nclust ends\n"
    assert it.exit() == 0 and it.says("no cluster runs any more: nclust ends")


def test_a_stop_during_a_restart_wins_and_the_restart_is_told_so():
    it = cluster("-n 2 --ready notify", "sh", "-c",
                 '[ "$NCLUST_GENERATION" != 1 ] || exec "$1" --notify\nexec "$0" never',
                 fixture("slow-ready"), HEAR)
    restart = begin_program(inside(PROGRAM), "restart", "it", stderr="said")
    it.event("rollout-started")
    nclust("stop it").ok()
    wait(lambda: restart.poll() is not None)
    assert restart.returncode in (1, 75) and read("said")


@pytest.mark.parametrize("ignored", (False, True))
def test_a_restart_whose_client_is_interrupted_goes_on_and_says_so(ignored):
    gate = Gate("go.{slot}")
    it = start("-n 1 --ready notify", fixture("slow-ready"), gate)
    gate.open(0)
    it.event("ready")
    os.unlink("go.0")
    client = begin_program(inside(PROGRAM), "restart", "it", stderr="said", preexec_fn=lambda:
                           signal.signal(SIGINT, SIG_IGN if ignored else SIG_DFL))
    it.event("rollout-started")
    client.send_signal(SIGINT)
    if not ignored:
        assert client.wait(BOUND) == -SIGINT
        assert "interrupted: 'restart' of 'it' goes on: see 'nclust status it'" in read("said")
    gate.open(0)
    it.event("rollout-done")
    assert not ignored or client.wait(BOUND) == 0


@pytest.mark.parametrize("other, words, status, says", (
    (f"ready = notify\ncommand = {HEAR} --notify --end-on never", "", 75, "'b' is stopping"),
    ("command = cat\nlisten = 8001\naccept = yes", "--canary 1", 1, "a process for each")),
    ids=("stopping", "accept"))
def test_a_restart_that_one_cluster_refuses_is_none_of_others(other, words, status, says):
    it = cluster(ini=section("a", f"{HEAR} --notify") + f"[cluster:b]\n{other}")
    if not words:
        it.call("stop", target="b", no_wait=True)
    it.verb(f"restart {words}").fails(status, says)
    assert not it.happened("rollout-started")


def test_more_canaries_than_there_are_workers_are_refused():
    it = cluster(ini=section("a", f"{HEAR} --notify") + section("b", f"{HEAR} --notify", workers=1))
    nclust("restart a --canary 3").fails(64, "--canary 3: 'a' has no more than 2 workers")
    it.verb("restart --canary 3").fails(64, "--canary 3: 'it' has no more than 2 workers")
    nclust(f"restart b --canary 2 -- {HEAR} --notify").fails(64, "'b' has no more than 1 worker")
    assert not it.happened("rollout-started")
    it.verb("restart --canary 2 --bake 0").ok()  # of b it is the only one


def test_on_a_terminal_a_change_shows_its_progress_elsewhere_only_the_outcome():
    breakable(2)
    screen = Terminal(inside(PROGRAM), "restart", "it", columns=200)
    assert screen.exit() == 0
    assert re.search("it.0: worker .* ready", screen.said)
    assert screen.said.count("it: rollout 1 done") == 1
    assert nclust("restart it").ok().count("\n") == 1
    write("server", BREAKS)
    assert Terminal(inside(PROGRAM), "restart", "it").exit() == 1


# ---- config, help, version ----

def test_config_shows_what_is_in_effect_and_where_it_came_from():
    cluster("--nice 3", ini=TWO)
    said = nclust("config it").ok()
    for text in ("[cluster:web]", "; command line\nnice = 3", "it.ini:6\nworkers = 2"):
        assert text in said
    # what was set, unless all is wanted
    assert "; default" not in said and "stop-timeout" not in said
    for words in ("config it --all", "config -c it.ini -a"):
        assert "; default\nstop-timeout = 30s" in nclust(words).ok()
    assert "stop-timeout" not in nclust("config -c it.ini").ok()
    write("one.ini", "[cluster:once]\ncommand = sleep 1000\n[cluster:all]\ncommand = x\nlisten = 80\n")
    once, every = nclust("config -c one.ini --all").ok().split("[cluster:all]")
    assert "; default: one, until it opens a port; one that keeps its state in itself stays one\nworkers = auto" in once
    assert "; default\nworkers = auto" in every
    assert "workers" not in nclust("config -c one.ini").ok()
    assert shown("config it --json")
    # of one cluster alone
    said = nclust("config web").ok()
    assert re.match(r"\[cluster:web\].*workers = 2", said, re.S)
    assert "[nclust]" not in said and "api" not in said
    said = nclust("config it/api.0 --all").ok()
    assert re.match(r"\[cluster:api\].*stop-timeout = 30s", said, re.S) and "cluster:web" not in said
    assert list(shown("config api --json")["settings"]) == ["cluster:api"]
    # which is nothing that could be reloaded
    nclust("reload web").fails(64, "'nclust reload it'", "'nclust restart web'")


VERBS = "status restart reload scale stop signal events config doctor exec help version".split()


def test_help_and_version():
    text = nclust("--help").ok()
    assert "nclust [OPTION]... -- COMMAND" in text
    assert text == nclust("help").ok()
    assert all(f" {verb} " in text for verb in VERBS)
    # without a word the same, as a usage error
    refused = nclust().fails(64)
    assert (refused.out, refused.err) == ("", text)
    for verb in VERBS:
        assert f"usage: nclust {verb}" in nclust("help", verb).ok()
        assert f"usage: nclust {verb}" in nclust(verb, "--help").ok()
    assert "--max-memory size     replace a worker" in nclust("help", "max-memory").ok()
    assert "'nclust reload' applies it at once" in nclust("help", "max-memory").ok()
    assert re.findall(r"--\S+", nclust("help", "memory").ok()) == [
        "--memory-max", "--memory-high", "--shared-memory", "--max-memory"]
    assert nclust("help", "memory-limit").ok() == nclust("help", "memory").ok()
    assert "--memory-max" in nclust("help", "cgroup").ok()
    nclust("help", "restrat").fails(64, "neither a verb nor a key of nclust.ini(5); did you mean 'restart'?")
    for words in ("version", "-V", "--version"):
        assert re.fullmatch(r"nclust \d+\.\d+\.\d+\n", nclust(words).ok())
    assert shown("version --json")["version"]


@pytest.mark.parametrize("words", ("help", "version", "status", "status --json", "events", "logs",
                                   "config", "config --json", "doctor", "--help", "-V"))
def test_an_output_that_takes_nothing_is_a_failure_in_one_line(words):
    cluster("-n 1 --log off --ready alive:1ms", "sh", "-c", "echo said; exec sleep 1000")
    wait(lambda: nclust("logs").out != "")
    with open("/dev/full", "w") as full:
        refused = nclust(words, stdout=full)
    assert (refused.status, refused.err) == (
        1, "nclust: cannot write to standard output: No space left on device\n")


@pytest.mark.parametrize("words", ("restart", "restart --json", "scale 2"))
def test_a_change_that_was_made_is_a_success_even_if_its_report_cannot_be_written(words):
    it = cluster("-n 1 --log off --ready alive:1ms", *NAP)
    with open("/dev/full", "w") as full:
        done = nclust(words, stdout=full)
    assert (done.status, done.err) == (
        0, "nclust: cannot write to standard output: No space left on device\n")
    if "restart" in words:
        assert it.cluster().generation == 2


@pytest.mark.parametrize("args, says", (
    ("ls", "nclust: unknown verb 'ls'; use: nclust status\n"),
    ("status --jsn", "--json"), ("status a/b/c", ""), ("config --check", ""),
    ("--check -c one.ini", "--check: to check a file: nclust config --check -c FILE"),
    ("stop it other", "unexpected word 'other'; it takes one target"),
    ("logs --tail 5", "use -n N"),
    ("config -c one.ini -c two.ini", "--config: is given twice"),
    ("events --kind exit,ready", "no event is called 'exit'"),
    ("events --kind exit", "\n  started            ready              exited "),
    ("events it/it --cluster web", "'it' is not in the cluster 'web'"),
    ("doctor -l nonsense -- true", "nonsense")))
def test_words_that_are_none_are_usage_errors_that_say_what_was_meant(args, says):
    if "it/it" in args:
        quick()
    refused = nclust(args).fails(64, says)
    if says.endswith("\n"):
        assert refused.err == says


# ---- where the instances are ----

def test_the_runtime_directory_by_variable_by_option_by_user():
    need_root()
    make("xdg", 65534, 0o700)
    under = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "env", "-u",
             "NCLUST_RUNTIME_DIR", f"XDG_RUNTIME_DIR={path('xdg')}")

    def status(*more):
        return run(*under, *more).status

    # an ordinary user: XDG_RUNTIME_DIR/nclust
    launch("-n 1 --ready alive:1ms", *NAP, under=under)
    wait(lambda: status(inside(PROGRAM), "status", "it") == 0)
    assert os.path.exists("xdg/nclust/it/control")
    # NCLUST_RUNTIME_DIR goes before it, the option before both; neither: whole/anywhere
    elsewhere = f"NCLUST_RUNTIME_DIR={path('run')}"
    assert status(elsewhere, inside(PROGRAM), "status") == 3
    assert status(elsewhere, inside(PROGRAM), "status", "--runtime-directory",
                  path("xdg/nclust")) == 0
    refused = nclust("-n 1 -- touch ran", env={**os.environ, "NCLUST_RUNTIME_DIR": "run"})
    assert refused.status != 0 and "absolute" in refused.err and not os.path.exists("ran")


def test_roots_is_run_nclust():
    need_root()
    launch("-n 1 --ready alive:1ms", *NAP, under=("env", "-u", "NCLUST_RUNTIME_DIR"))
    env = {k: v for k, v in os.environ.items() if k != "NCLUST_RUNTIME_DIR"}
    wait(lambda: nclust("status it", env=env).status == 0)
    assert [(oct(os.stat(f).st_mode), os.stat(f).st_uid) for f in (
        "/run/nclust", "/run/nclust/it", "/run/nclust/it/control")] == [
            ("0o40755", 0), ("0o40711", 0), ("0o140600", 0)]
    nclust("stop it", env=env).ok()


HOOK = """
import http.server, subprocess, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        done = subprocess.run([sys.argv[1], *self.path[1:].split("/")])
        self.send_response(200 if done.returncode == 0 else 500)
        self.end_headers()
http.server.ThreadingHTTPServer(("127.0.0.1", 8000), Handler).serve_forever()
"""


@pytest.mark.parametrize("path", ("/restart/it", "/restart/it.0"))
def test_a_worker_that_restarts_its_own_cluster_is_not_waited_for(path):
    """A deploy hook by HTTP: nclust waits for its request, and that for the restart."""
    it = cluster("-n 1 --bake 0 --drain-timeout 10m", "python3", "-c", HOOK, inside(PROGRAM))
    assert get(path).status == 200
    it.event("rollout-done")
    assert it.happened("drained")[0].forced == 0
    assert it.worker().generation == 2
