# SPDX-License-Identifier: MIT
"""`before` the start and each rollout, `before-stop` the stop."""
from harness import *
from harness import lab


def script(name="migrate", text=""):
    """A command that notes each of its runs; it waits while there is a file NAME.hold."""
    write(f"{name}.ran", "")
    os.chmod(f"{name}.ran", 0o666)
    return "sh " + write(name, f"echo $$ >>{path(name)}.ran\n"
                         f"while [ -e {path(name)}.hold ]; do sleep 0.01; done\n{text}\n")


def runs(name="migrate"):
    """The pids of all its runs."""
    return [int(line) for line in lines(f"{name}.ran")]


def ran(count, name="migrate"):
    """Wait for so many; returns the last one."""
    return wait(lambda: len(runs(name)) >= count and runs(name)[count - 1])


def hold(name="migrate"):
    write(f"{name}.hold", "")


def let_go(name="migrate"):
    os.unlink(f"{name}.hold")


def ini(*more):
    return section("web", f"{HEAR} --notify", "drain = off", *more)


OTHER = ("[cluster:other]", f"command = {HEAR} --notify", "ready = notify")


# ---- before ----

def test_it_runs_once_before_the_start_and_before_each_rollout_also_of_the_next_nclust():
    it = cluster(ini=ini(f"before = {script()}", "orphans = keep"))
    assert len(runs()) == 1
    it.reborn()
    it.call("scale", count=3)
    assert len(runs()) == 1
    for n, do in enumerate(("restart", "upgrade", "restart", "reload"), 2):
        it.call(do)
        assert len(runs()) == (2, 2, 3, 3)[n - 2]
    it.reload(read("it.ini") + "env = A=b\n")
    assert len(runs()) == 4
    hold()
    it.call("restart", no_wait=True)
    command_of_it = ran(5)
    before = it.pids()
    it.kill()  # which has not begun a rollout
    wait_gone(command_of_it)
    let_go()
    it = cluster(f"-c {path('it.ini')}")
    assert it.pids() == before and len(runs()) == 5
    it.call("restart")
    assert len(runs()) == 6


def test_no_worker_starts_before_it_has_ended_and_status_tells_that_it_runs():
    hold()
    it = start(ini=ini(f"before = {script()}", *OTHER))
    ran(1)
    assert it.pids("web") == [] and it.cluster("web").waits_for == "its 'before'"
    let_go()
    it.wait_ready()
    old = it.pids("web")
    hold()
    it.call("restart", target="web", no_wait=True)
    ran(2)
    assert it.pids("web") == old
    assert "rolling to generation 2: 0 of 2 done, running 'before'" in it.verb("status").out
    kill(old[0])  # one that dies meanwhile comes back as it was
    assert it.event("ready", 2, cluster="web", slot=0).generation == 1
    let_go()
    it.event("rollout-done")
    it.call("stop", target="web")
    hold()
    it.call("restart", target="web", no_wait=True)  # nor when it begins anew
    ran(3)
    assert it.pids("web") == []
    let_go()
    it.wait_ready()


def test_it_runs_as_the_workers_do_and_writes_where_they_do():
    need_root()
    os.mkdir("place")
    facts = 'echo "$(id -un) $(pwd) $COLOUR $NCLUST_EVENT $NCLUST_CLUSTER $NCLUST_GENERATION"'
    it = cluster(f"--log prefix,file:{path('out')}", ini=ini(
        f"before = {script(text=f'{facts}; echo two >&2')}", "user = nobody",
        f"directory = {path('place')}", "env = COLOUR={cluster}{slot}"))
    said = f"nobody {path('place')} web0 before web 1"
    for text in said, "two":
        wait(lambda: text in read("out"))
        it.logged(f"web.0 | {text}")
        wait(lambda: text in it.verb("logs").out)


def test_if_it_fails_the_old_workers_serve_on_and_who_asked_is_told_why():
    it = cluster("--log prefix", ini=ini(
        f"before = {script(text='echo table users is locked >&2; [ ! -e broken ]')}"))
    write("broken", "")
    old = it.pids()
    why = f"'before' ('sh {path('migrate')}') failed: exit 1"
    it.verb("restart").fails(1, f"restart failed: {why}; last output: table users is locked; "
                             "the old workers keep serving")
    assert it.pids() == old and it.cluster().state == "running"
    assert why in it.verb("status").out
    write("it.ini", read("it.ini") + "env = A=b\n")
    it.verb("reload").fails(1, why)
    assert it.pids() == old
    os.unlink("broken")
    it.call("restart")
    assert not set(old) & set(it.pids())


def test_at_the_start_its_failure_is_that_of_the_cluster_until_a_restart_with_its_command():
    write("it.ini", ini("before = sh -c 'echo no such table >&2; exit 3'"))
    nclust(f"-d -c {path('it.ini')}").fails(1, "no such table", "failed: exit 3; it is not started")
    write("it.ini", ini("before = /nowhere/at/all"))
    nclust(f"-d -c {path('it.ini')}").fails(1, "'before' ('/nowhere/at/all') failed: ")
    it = start(ini=ini(f"before = {script(text='[ -e good ]')}", *OTHER))
    it.event("before-failed")
    is_refused("'before' .* failed: exit 1", it.call, "restart", target="web")
    write("good", "")
    it.call("restart", target="web")
    assert (len(runs()), it.cluster("web").ready) == (3, 2)


@pytest.mark.parametrize("more", ("", "env = A=b"), ids=("the command alone", "a rollout"))
@pytest.mark.parametrize("text", ("", "exit 3"), ids=("well", "failed"))
def test_after_a_reload_meanwhile_its_end_counts_no_more_and_the_new_one_runs(more, text):
    hold("old")
    it = start(ini=ini(f"before = {script('old', text)}"))
    ran(1, "old")
    write("it.ini", ini(f"before = {script('new')}", more))
    it.call("reload", no_wait=True)
    let_go("old")
    it.wait_ready()
    assert len(runs("old")) == len(runs("new")) == 1 and not it.says("failed")


def test_one_that_hangs_is_killed_after_start_timeout_with_its_children():
    it = cluster(ini=ini(f"before = {script(text='[ ! -e hang ] || { sleep 999 & wait; }')}",
                         "start-timeout = 200ms"), clock=True)
    write("hang", "")
    old = it.pids()
    answer = it.begin("restart")
    ran(2)
    wait(lambda: "sleep 999" in map(command, living()))
    it.advance(0.1)
    assert is_alive(ran(2))
    lab.clock.flow()
    is_refused("killed, it took too long", answer)
    assert it.pids() == old
    wait(lambda: sorted(p for p in living() if p != it.pid and "logger" not in command(p)) == old)


def test_one_that_floods_or_daemonises_is_no_obstacle_and_a_second_restart_waits_for_it():
    it = cluster("--log off", ini=ini("before = " + script(
        text="[ ! -e flood ] || yes 'no end of this'; setsid sleep 999 &")))
    write("flood", "")
    it.call("restart", no_wait=True)
    first = ran(2)
    flood = wait(lambda: next((p for p in living() if command(p).startswith("yes")), None))
    answer = it.begin("restart")
    it.status()
    assert is_alive(first) and len(runs()) == 2
    os.unlink("flood")
    kill(flood)
    assert "generation 3" in answer().text
    assert len(runs()) == 3


def test_a_stop_kills_it():
    it = start(ini=ini(f"before = {script(text='exec sleep 999')}"))
    ran(1)
    kill(it.pid, SIGTERM)
    it.exit()
    wait(lambda: living() == [])


@pytest.mark.parametrize("key, name", (("before", "migrate"), ("before-stop", "deregister")))
def test_an_upgrade_waits_for_it(key, name):
    hold(name)
    it = start(ini=ini(f"{key} = {script(name)}", *OTHER))
    if key == "before-stop":
        it.wait_ready()
        it.call("stop", target="web", no_wait=True)
    command_of_it = ran(1, name)
    if key == "before-stop":
        it.verb("restart", target="it/web").fails(75, "'web' is stopping")
    it.call("upgrade", no_wait=True)
    it.event("upgrade-waits")
    assert is_alive(command_of_it)
    let_go(name)
    it.event("upgraded")
    it.wait(lambda: it.cluster("web").state == ("running" if key == "before" else "stopped"))
    assert len(runs(name)) == 1


# ---- before-stop ----

def test_before_stop_is_waited_for_before_the_workers_are_told_to_stop():
    it = cluster(ini=ini(f"before-stop = {script('deregister')}"))
    it.call("restart")
    it.logged(" TERM", 2)  # those of the old workers, once the logger has written them
    hold("deregister")
    assert runs("deregister") == []
    kill(it.pid, SIGTERM)
    ran(1, "deregister")
    c = it.cluster()
    assert (c.ready, c.state, c.waits_for) == (2, "running", "its 'before-stop'")
    assert it.log().count(" TERM") == 2
    let_go("deregister")
    assert it.exit() == 0
    assert it.log().count(" TERM") == 4 and len(runs("deregister")) == 1


def test_before_stop_may_drain_the_host_of_an_nclust_that_is_stopped():
    it = cluster(ini=ini(f"before-stop = {inside(PROGRAM)} drain it")).follow()
    kill(it.pid, SIGTERM)
    it.event("host-empty")
    it.exit()
    assert not it.says("failed")


@pytest.mark.parametrize("text, bound, why", (
    ("exit 2", "1h", "exit 2"), ("exec sleep 999", "200ms", "killed, it took too long")))
def test_before_stop_that_fails_or_hangs_does_not_keep_it_from_stopping(text, bound, why):
    it = cluster(ini=ini(f"before-stop = {script('deregister', text)}", f"stop-timeout = {bound}"))
    kill(it.pid, SIGTERM)
    it.exit()
    assert it.says(f"web: 'before-stop' ('sh {path('deregister')}') failed: {why}; "
                   "it is stopped anyway")


def test_a_second_signal_and_stop_now_do_not_wait_for_before_stop_nor_a_reload_without_it():
    it = cluster(ini=ini(f"before-stop = {script('deregister')}", "stop-timeout = 1h", *OTHER))
    it.call("stop", target="web")
    it.call("restart", target="web")
    write("it.ini", "\n".join(OTHER))
    it.call("reload")  # one that it removes
    assert len(runs("deregister")) == 2 and [c.name for c in it.status().clusters] == ["other"]
    it.stop()
    hold("deregister")
    for n in 2, 3:
        it = cluster(ini=ini("before-stop = sh deregister", "stop-timeout = 1h"), clock=True)
        if n == 2:
            it.call("stop", now=True)
        else:
            kill(it.pid, SIGTERM)
            ran(3, "deregister")
            it.advance(0.3)
            kill(it.pid, SIGTERM)
        it.exit()
        wait(lambda: living() == [])
        assert len(runs("deregister")) == n
