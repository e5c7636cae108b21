# SPDX-License-Identifier: MIT
"""`nclust -c Procfile`, as foreman reads it."""
from harness import *


def procfile(*rows):
    write("shop/Procfile.new", "".join(f"{row}\n" for row in rows))
    os.rename("shop/Procfile.new", "shop/Procfile")


def shop(options="", **more):
    os.environ.pop("PORT", None)
    return cluster(f"-c shop/Procfile {options}", **more)


def formation(it):
    return {c.name: c.wanted for c in it.status().clusters}


def variables(it, cluster):
    return environment(it.worker(0, cluster).pid)


def test_each_line_is_a_cluster_with_port_env_and_the_files_directory():
    procfile("# the shop", f"web: {HEAR}", "", f"worker: GREETING=hello {HEAR} --to $HOME/heard")
    write("shop/.env", f'# secrets\nSECRET="a b"\nHOME={path()}\n')
    it = shop()
    assert formation(it) == {"web": 1, "worker": 1}
    assert variables(it, "web")["PORT"] == "5000" and variables(it, "worker")["PORT"] == "5100"
    assert variables(it, "web")["SECRET"] == "a b"
    assert os.readlink(f"/proc/{it.worker(0, 'web').pid}/cwd") == path("shop")
    wait(lambda: "start" in read("heard"))  # the shell has executed it
    assert variables(it, "worker")["GREETING"] == "hello"
    # no shell is left between nclust and the program
    assert os.readlink(f"/proc/{it.worker(0, 'worker').pid}/exe") == HEAR
    assert f"{path('shop/Procfile')}:2" in it.verb("config").ok()


def test_an_empty_port_of_env_stays_empty():
    procfile(f"web: {HEAR}")
    write("shop/.env", "PORT=\n")
    assert variables(shop(), "web")["PORT"] == ""


def test_a_line_that_ends_with_its_input_goes_on():
    procfile("web: sleep 1000", "css: sh -c 'echo watches; cat; touch ended'")
    it = shop("--log prefix --ready alive")
    it.logged("watches")
    pid = it.worker(0, "css").pid
    wait(lambda: any("pipe_read" in read(f"/proc/{p}/wchan") for p in living()))
    it.call("upgrade")
    assert it.worker(0, "css").pid == pid and not os.path.exists("shop/ended")


def test_copies_of_a_server_share_the_port_that_it_opens_by_itself():
    procfile(f"web: {PLAIN} $PORT --loopback")
    it = shop("-n web=2", env={"PORT": "8000"})
    assert formation(it) == {"web": 2} and variables(it, "web")["PORT"] == "8000"
    assert get().pid in it.pids()
    it.call("restart")
    assert get().pid in it.pids()


def test_a_listen_of_the_command_line_wins_over_port():
    procfile(f"web: {SERVE}")
    it = shop("-l 127.0.0.1:8000")
    assert variables(it, "web")["PORT"] == "8000" and get().slot == 0


@pytest.mark.parametrize("option, wanted", (
    ("web=2,clock=0", {"web": 2, "worker": 1}), ("all=0,worker=3", {"worker": 3}),
    ("2", {"clock": 2, "web": 2, "worker": 2}),  # as with any file, a number is for all
    *((wrong, None) for wrong in ("job=2", "web=many", "web=2,3", "all=0"))))
def test_a_formation_says_how_many_of_which_and_none(option, wanted):
    procfile(*(f"{name}: {HEAR}" for name in ("web", "worker", "clock")))
    if wanted is None:
        nclust(f"--name it -c shop/Procfile -n {option}").fails(64, "workers")
    else:
        it = shop(f"-n {option} --ready alive:1ms")
        assert formation(it) == wanted
        assert variables(it, "worker")["PORT"] == "5100"


def test_files_of_other_systems_and_of_shells_a_byte_order_mark_crlf_export():
    write("shop/Procfile", f"\ufeffweb: {HEAR}\r\n\r\njob: {HEAR}\r\n")
    write("shop/.env", '\ufeff# x\r\n  export PORT="7000"\r\n')
    it = shop("--ready alive:1ms")
    assert variables(it, "web")["PORT"] == "7000" and variables(it, "job")["PORT"] == "7100"


def test_mistakes_are_told_with_file_and_line_and_nothing_is_started():
    procfile("web: touch ran", "nonsense", ": x", "web: y", "job:")
    nclust("--name it -c shop/Procfile").fails(
        78, "Procfile:2: wanted 'name: command'", "Procfile:3: ",
        "Procfile:4: 'web' is given twice, first in line 1", "Procfile:5: job: wanted a command")
    nclust("config --check -c shop/Procfile").fails(78)
    procfile("web: touch ran")
    nclust("config --check -c shop/Procfile").ok()
    write("dev/Procfile.dev", read("shop/Procfile"))  # the instance is called as its directory
    assert "name = dev" in nclust("config --all -c dev/Procfile.dev").ok()
    os.symlink("/dev/zero", "shop/.env")  # one that never ends
    nclust("--name it -c shop/Procfile").fails(78, f"{path('shop/.env')}': wanted a regular file")
    assert not os.path.exists("shop/ran")


def test_a_reload_adds_changes_and_removes_lines_or_tells_what_is_wrong():
    procfile(f"web: {HEAR}", f"worker: {HEAR}")
    it = shop("--ready alive:1ms -n worker=2,web=1")
    web = it.pids("web")
    procfile(f"web: {HEAR}", f"clock: {HEAR} --end-on TERM")
    it.verb("reload").ok()
    assert formation(it) == {"web": 1, "clock": 1} and it.pids("web") == web
    procfile("web")
    it.verb("reload").fails(78, "Procfile:1: ")
    assert formation(it) == {"web": 1, "clock": 1}


def test_release_runs_once_for_all_lines_before_the_start_and_before_each_rollout():
    def ran():
        return lines("shop/ran")

    procfile(f"web: {HEAR}", "release: test ! -e broken && echo $GREETING >>ran",
             f"worker: {HEAR}")
    write("shop/.env", "GREETING=hello\n")
    write("shop/broken", "")
    said = nclust("-d --name it -c shop/Procfile").fails(1, "'release' (", "failed: exit 1")
    assert "it is not started" in said.err
    wait(lambda: living() == [])
    os.unlink("shop/broken")
    it = shop("--ready alive:1ms")
    assert formation(it) == {"web": 1, "worker": 1} and ran() == ["hello"]
    it.call("restart")
    it.call("restart", target="worker")
    kill(it.pid, SIGHUP)
    it.event("rollout-done", 2, cluster="web")
    it.event("rollout-done", 3, cluster="worker")
    assert len(ran()) == 4
    procfile(*read("shop/Procfile").splitlines(), f"clock: {HEAR}")
    it.call("reload")
    assert formation(it)["clock"] == 1 and len(ran()) == 5
    old = it.pids("web") + it.pids("worker")
    write("shop/broken", "")
    for method in "restart", "reload":
        is_refused("'release' .* failed: exit 1.*the old workers keep serving", it.call, method)
        write("shop/Procfile", read("shop/Procfile").replace(HEAR, f"{HEAR} --end-on USR1"))
    assert it.pids("web") + it.pids("worker") == old and len(ran()) == 5


HELD_RELEASE = "release: echo $$ >>ran; while [ -e hold ]; do sleep 0.01; done"


def test_what_is_restarted_while_release_runs_waits_for_a_run_of_its_own():
    procfile(f"web: {HEAR}", f"worker: {HEAR}", HELD_RELEASE)
    it = shop("--ready alive:1ms")
    write("shop/hold", "")
    it.call("restart", target="web", no_wait=True)
    wait(lambda: len(lines("shop/ran")) == 2)
    answer = it.begin("restart", target="worker")
    wait(lambda: it.cluster("worker").rollout)
    assert {c.name: c.rollout.step for c in it.status().clusters} == {
        name: "running 'release'" for name in ("web", "worker")}
    assert it.cluster("web").waits_for == "its 'release'" and len(lines("shop/ran")) == 2
    os.unlink("shop/hold")
    answer()
    wait(lambda: it.cluster("web").generation == 2)
    assert len(lines("shop/ran")) == 3


@pytest.mark.parametrize("how", ("stop", "reload"))
def test_release_goes_on_for_the_others_where_the_cluster_that_began_it_leaves(how):
    rows = f"worker: {HEAR}", HELD_RELEASE
    procfile(f"web: {HEAR}", *rows)
    write("shop/hold", "")
    it = start("-c shop/Procfile --ready alive:1ms")
    (release,) = map(int, wait(lambda: lines("shop/ran")))
    if how == "stop":
        it.call("stop", target="web")
    else:
        procfile(*rows)
        it.call("reload", no_wait=True)
    it.wait(lambda: [c.name for c in it.status().clusters if c.state != "stopped"] == ["worker"])
    assert it.cluster("worker").waits_for == "its 'release'"
    it.turns(3)
    assert is_alive(release) and lines("shop/ran") == [str(release)]
    os.unlink("shop/hold")
    it.wait_ready("worker")
    if how == "stop":  # by the reload it has another PORT, and that is a rollout of its own
        assert lines("shop/ran") == [str(release)]


def test_release_is_killed_when_the_last_cluster_that_waits_for_it_is_stopped():
    procfile(f"web: {HEAR}", f"worker: {HEAR}", HELD_RELEASE)
    write("shop/hold", "")
    it = start("-c shop/Procfile --ready alive:1ms")
    (release,) = map(int, wait(lambda: lines("shop/ran")))
    it.call("stop", target="web")
    assert is_alive(release)
    it.call("stop", target="worker")
    wait_gone(release)
    assert lines("shop/ran") == [str(release)]


def test_a_command_of_the_shell_variables_pipes_several_quotes_that_do_not_end():
    procfile(f'one: echo "$PORT" >one; exec {HEAR}',
             f"two: cd sub && echo here >two && {HEAR} | cat")
    os.mkdir("shop/sub")
    it = shop("--ready alive:1ms")
    wait(lambda: read("shop/one") == "5000\n" and read("shop/sub/two"))
    wait(lambda: len(session(it.worker(0, "two").pid)) >= 3)
    it.stop()  # which reaches all of a pipe
    assert living() == []
    procfile("bad: echo it's")
    start("-c shop/Procfile").logged("nterminated quoted string")
