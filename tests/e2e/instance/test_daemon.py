# SPDX-License-Identifier: MIT
"""nclust -d: it returns when all is ready, or with the reason why not."""
import pty

from harness import *

DEAF = (fixture("deaf"), "--notify")
ONE = "-d -n 1 --ready notify --stop-signal KILL"


def nothing_is_left():
    wait(lambda: living() == [])
    return os.listdir(path("run")) == []


def test_it_returns_when_all_are_ready_and_not_before():
    gate = Gate("go.{slot}")
    it = launch(f"-d -n 2 --ready notify --pidfile {path('pid')}", fixture("slow-ready"), gate)
    it.wait_there()
    gate.open(1)
    it.event("ready", slot=1)
    assert "1 of 2 ready" in it.verb("status").out
    assert it.process.poll() is None
    gate.open(0)
    assert it.exit() == 0
    status = it.status()
    assert status.clusters[0].ready == 2  # at this very moment
    assert int(read("pid")) == status.pid
    # a session of its own, of no terminal and below nobody of ours
    _, parent, _, session_of_it, terminal = stat(status.pid)[:5]
    assert (parent, session_of_it, terminal) == ("1", str(status.pid), "0")
    it.call("stop")
    assert nothing_is_left() and not os.path.exists("pid")


@pytest.mark.leaks  # to look for them takes a process
def test_it_is_refused_as_process_1_and_doubted_as_the_process_of_a_unit():
    need_root()
    run("unshare", "-pf", "--kill-child", "--mount-proc", inside(PROGRAM), "-d", "-n", "1", "--",
        "sleep", "1000").fails(71, "leave out -d here: a container ends with its process 1")
    start = 'export SYSTEMD_EXEC_PID=$$; exec "$0" -d -n 1 --ready alive:0s -- sleep 1000'
    said = run("bash", "-c", start, inside(PROGRAM))
    assert "leave out -d in a systemd unit (Type=notify): -d needs Type=forking" in said.err
    nclust("stop").ok()
    run("bash", "-c", "export PIDFILE=/run/x; " + start, inside(PROGRAM)).ok()
    assert "leave out" not in nclust("stop").ok()


def test_a_limit_of_processes_is_named():
    need_root()
    run("prlimit", "--nproc=1", "setpriv", "--reuid=64999", "--clear-groups", inside(PROGRAM),
        *ONE.split(), "--", *DEAF).fails(71, "a limit of processes is reached (RLIMIT_NPROC")


def test_it_leaves_the_pipe_and_the_terminal_of_who_started_it():
    started = run(inside(PROGRAM), "--name", "it", *ONE.split(), "--watch", "x", "--", *DEAF)
    assert "1 of 1 workers ready" in started.err
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(inside(PROGRAM), ["nclust", "--name", "on-tty", *ONE.split(), "--", *DEAF])
    with pytest.raises(OSError):  # nobody has the other side open any more
        while os.read(terminal, 4096):
            pass
    assert os.waitpid(pid, 0)[1] == 0
    for name in "it", "on-tty":
        nclust("status", name).ok()


def test_what_a_worker_leaves_in_the_background_does_not_escape():
    it = launch("-d -n 1 --ready notify", fixture("fork-away"), "--setsid", "--notify", "--pidfile",
                path("left"))
    assert it.exit() == 0
    it.wait_there()
    left = int(read("left"))
    kill(it.worker().pid)
    wait_gone(left)


def test_a_start_that_times_out_tells_what_it_waits_for_and_why_and_leaves_nothing():
    it = launch("-d -n 2 --ready notify --start-timeout 8s", "sh", "-c",
                'echo still waiting for the database; echo >>"$1"; exec "$0" never',
                fixture("slow-ready"), path("said"), clock=True).wait_there()
    wait(lambda: len(lines("said")) == 2)
    it.advance(6)
    it.logged("is not ready after 6.0 s: it waits for its READY=1")
    assert it.log().count("it waits for") == 1
    it.advance(2.1)
    lab.clock.flow()  # the end may want a pause
    assert it.exit() == 1
    assert it.says("start-timeout") and it.says("still waiting for the database")
    assert nothing_is_left()


@pytest.mark.parametrize("status", (0, 3))
def test_a_server_that_goes_to_the_background_after_its_listen_has_not_started(status):
    os.mkfifo("go")
    it = launch("-d -n 1 --stable-after 1h", "sh", "-c",
                f'"$0" "$1" & read -r _ <"$2"; exit {status}', PLAIN, PORT,
                path("go")).wait_there()
    it.event("ready")
    assert it.process.poll() is None
    write("go", "\n")
    assert it.exit() == 1
    assert it.says("ended just after it was ready")
    assert it.says("turn its daemon mode off") == (status == 0)  # else it has just failed
    assert nothing_is_left()


def test_one_cluster_of_two_whose_worker_dies_three_times_ends_both():
    it = launch("-d", ini=f"[nclust]\npidfile = {path('pid')}\n"
                + section("web", " ".join(DEAF), "stop-signal = KILL")
                + section("api", f"{DIE} --stderr 'first words' --stderr "
                          "'cannot open the database' --exit 7", "backoff-min = 10ms", workers=1))
    assert it.exit() == 1
    for text in "three times", "api", "exit 7", "cannot open the database":
        assert it.says(text)
    assert nothing_is_left() and not os.path.exists("pid")


def test_what_keeps_it_from_starting_at_all_is_told_by_its_status():
    it = cluster("-n 1 -l 8000 --ready notify", SERVE, "--notify")
    write("wrong.ini", "[cluster]\n")
    for options, command, status, says in (
            ("--name two", path("nothing"), 127, "No such file"),
            ("--name two", path(), 126, path()),
            (f"-c {path('wrong.ini')}", "", 78, "wrong.ini"),
            ("--name it", "true", 75, f"already running (pid {it.pid})"),
            ("--name two -l 8000", "true", 1, "8000")):
        nclust("-d -n 1" if command else "-d", options, "--" if command else "",
               command).fails(status, says)


@pytest.mark.parametrize("how", ("kill", "stop"))
def test_who_waits_for_one_that_is_ended_while_it_starts_is_told(how):
    it = launch("-d -n 1 --ready notify", fixture("slow-ready"), "never").wait_there()
    it.event("started")
    kill(it.pid) if how == "kill" else it.call("stop", now=True)
    assert it.exit() > 0 and it.says("nclust was killed while it started") == (how == "kill")
    wait(lambda: living() == [])


@pytest.mark.parametrize("status", (0, 7))
def test_jobs_that_end_before_the_start_is_done_have_the_status_of_the_jobs(status):
    assert launch("-d -n 2 --restart never", "sh", "-c", f"exit {status}").exit() == status
    wait(lambda: living() == [])
    assert [f for _, _, files in os.walk(path("run")) for f in files] == ["ended"]


def test_interrupted_while_it_waits_it_leaves_nothing():
    it = launch("-d -n 1 --ready notify --start-timeout 1h", fixture("slow-ready"), "never")
    it.wait_there().event("started")
    kill(it.process.pid, signal.SIGINT)  # which a terminal sends to no other session
    assert it.exit() == -signal.SIGINT
    wait(nothing_is_left)


@pytest.mark.parametrize("log", ("auto", "off", "inherit", "prefix"))
def test_after_the_start_output_goes_where_it_was_told_and_stops_nobody(log):
    gate = Gate()
    it = launch(f"{ONE} --log {log}", "sh", "-c",
                'echo before; "$0/notify" READY=1 --barrier --exit 0; "$0/log-flood" --lines 20000;'
                'until [ -e "$1" ]; do sleep 0.01; done; echo said later; "$0/hear" --to "$2"',
                fixture(""), gate, path("heard"))
    assert it.exit() == 0
    assert not it.says("said later")
    gate.open()
    wait(lambda: "start" in read("heard"))  # more than any pipe takes has been written
    if log in ("inherit", "prefix"):
        it.logged("it.0 | said later" if log == "prefix" else "said later")
    else:
        assert not it.says("before") and not it.says("said later")
        kill(it.worker().pid)  # later workers as well
        wait(lambda: read("heard").count("start") == 2)
