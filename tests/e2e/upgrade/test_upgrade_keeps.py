# SPDX-License-Identifier: MIT
"""What goes on when nclust replaces itself: workers, clients, output, ports, its place."""

from harness import *
from harness import lab
from harness.trace import Trace, injection, stopped
from replaced import *


def stop_at_exec(it):
    """It is stopped when the new program has been executed, before that has done anything."""
    trace = Trace(it.pid, *injection("execveat", "signal=STOP"))
    answer = it.begin("upgrade")
    stopped(it.pid)

    def go_on():
        kill(it.pid, SIGCONT)
        got = answer()
        trace.end()
        return got
    return go_on


# ---- between the exec and the first step of the new one ----

def test_what_happens_meanwhile_is_seen_afterwards():
    go, end = Gate("go.{slot}"), Gate("end")
    it = begin(ini=section("dies", f"{SERVE} --notify", "listen = 8000")
               + section("ready", f"{SERVE} --notify --delay {go}", "listen = 8001",
                         f"on-ready = {DIE} --after {end} --exit 5", workers=1)
               + section("job", f"{DIE} --after {end}", "restart = never", workers=1,
                         ready="alive:0"))
    starting = it.event("started", cluster="ready").pid
    it.wait_ready("dies")
    old = it.pids("dies")
    client = it.connect()
    go_on = stop_at_exec(it)
    kill(old[0])
    wait(lambda: state(old[0]) == "Z")
    go.open(0)
    end.open()
    request, asked = Request(), client.send("status")
    assert request.answer().pid == old[1]
    assert go_on().ok
    assert client.answer(asked).upgrades == 1
    assert it.event("exited", cluster="dies").exit == "killed by SIGKILL"
    it.event("ready", cluster="dies", n=3)
    assert it.pids("dies")[1] == old[1]
    assert state(old[0]) == "gone"
    assert it.event("ready", cluster="ready").pid == starting
    it.event("slot-ended", cluster="job")
    it.event("hook-failed", cluster="ready")


def is_trapped(pid):
    """Its bind(2) or listen(2) waits for nclust (of x86-64, and of arm64)."""
    return read(f"/proc/{pid}/syscall").split()[0] in ("49", "50", "200", "201")


def test_a_bind_meanwhile_is_answered():
    os.mkfifo("go.0")
    os.mkfifo("go.1")
    it = begin("-n 2 --ready listen", fixture("binder"), "tcp4", "reuseaddr", "bind=0.0.0.0:8000",
               "listen=8", f"wait={path('go.{slot}')}", "close", "tcp4", "reuseaddr",
               "bind=0.0.0.0:8000", "listen=8", "say=bound", "serve").wait_ready()
    before = Before(it)
    go_on = stop_at_exec(it)
    for slot in (0, 1):
        write(f"go.{slot}", "go\n")
    wait(lambda: all(is_trapped(pid) for _, pid in before.workers[1]))
    assert go_on().ok
    it.logged("bound", 2)
    before.lasts()
    assert len(it.cluster().listeners) == 1
    assert get().pid in it.pids()


@pytest.mark.leaks
def test_a_stop_meanwhile_is_obeyed():
    it = two()
    trace = Trace(it.pid, *injection("execveat", "signal=STOP"))
    answer = it.begin("upgrade")
    stopped(it.pid)
    kill(it.pid, SIGTERM)
    kill(it.pid, SIGCONT)
    assert answer().ok
    assert it.exit() == 0
    trace.end()
    assert living() == []


# ---- workers ----

def test_backoff_the_last_end_and_the_time_of_the_next_try_are_kept():
    it = begin("-n 1 --backoff-min 20s --backoff-jitter 0%", DIE, "--exit", 3, clock=True)
    it.event("exited")
    it.advance(5)
    was = it.worker()
    it.call("upgrade")
    now = it.worker()
    for what in ("state", "restarts", "last_exit", "last_failure", "next_try"):
        assert now[what] == was[what], what
    assert now.next_try == 15
    it.advance(14.9)
    assert not it.happened("started", slot=0)[1:]
    it.advance(0.2)
    it.event("started", n=2)


def test_a_start_timeout_is_what_it_was_and_a_starting_worker_is_ready_as_it_says_so():
    go = Gate("go.{slot}")
    it = begin("-n 2 --ready notify --start-timeout 6s", fixture("slow-ready"), go, clock=True)
    it.event("started", slot=1)
    it.advance(4, step=0.1)
    it.call("upgrade")
    assert {w.state for w in it.workers()} == {"starting"}
    pid = it.worker(1).pid
    go.open(1)
    assert it.event("ready", slot=1).pid == pid
    it.advance(1.9, step=0.1)
    assert not it.happened("start-timeout")
    it.advance(0.2, step=0.1)
    assert "was not ready after 6" in it.event("start-timeout", slot=0).text
    assert it.worker(1).restarts == 0


def test_what_was_given_to_the_first_workers_is_given_to_the_next_ones():
    write("env", "FROM_FILE=once\n")
    os.environ["OF_CALLER"] = "two words"
    os.mkdir("born")
    it = begin(f"-n 1 --ready notify --env-file {path('env')} --env 'A=x y' --umask 027 "
               "--limit-nofile 333", fixture("leak"), "--notify", "--to", path("born/{slot}"))
    it.wait_ready()
    first = born()
    os.unlink("env")
    it.call("upgrade")
    it.reborn()
    second = born()
    assert second.env["FROM_FILE"] == "once" and second.env["A"] == "x y"
    assert second.env["OF_CALLER"] == "two words"
    changes = {"NCLUST_WORKER", "NOTIFY_SOCKET", "LISTEN_PID"}
    assert {k: v for k, v in first.env.items() if k not in changes} == {
        k: v for k, v in second.env.items() if k not in changes}
    for what in first.keys() - {"env", "pid", "pgid", "sid", "fds"}:
        assert first[what] == second[what], what
    assert [f.fd for f in second.fds] == [0, 1, 2]
    assert second.limits.nofile[0] == 333


def test_a_worker_that_is_being_drained_is_drained_on_and_loses_nothing():
    answer = Gate()
    it = begin("-n 1 -l 8000 --ready notify --drain quiet", RUDE, "--until", answer).wait_ready()
    requests = [Request("/slow") for _ in range(4)]
    wait_asked(count=4)
    pid = it.worker().pid
    it.call("scale", count=0, no_wait=True)
    it.event("draining")
    for _ in range(2):
        it.call("upgrade")
        assert (it.worker().state, it.worker().pid) == ("draining", pid)
    answer.open()
    assert {r.answer().pid for r in requests} == {pid}
    wait_gone(pid)
    assert not it.says("drained by force")


# ---- clients ----

def test_half_a_request_many_clients_and_one_who_does_not_read():
    it = two(clock=True)  # who does not read is closed after 10 s
    half, deaf, others = it.connect(), it.connect(), [it.connect() for _ in range(40)]
    half.socket.sendall(b'{"jsonrpc":"2.0","id":1,"method":"status"}\n{"jsonrpc":"2.0",')
    assert half.answer(1).upgrades == 0
    line, sent = b'{"jsonrpc":"2.0","id":7,"method":"status"}\n', 0
    deaf.socket.setblocking(False)
    try:
        while True:
            sent += deaf.socket.send(line)
    except BlockingIOError:
        deaf.socket.setblocking(True)
    for other in others:
        other.send("events", follow=True)
    it.call("upgrade")
    half.socket.sendall(b'"id":2,"method":"status"}\n')
    assert half.answer(2).upgrades == 1
    for other in others:
        while other.read().params.get("event") != "upgraded":
            pass
    for _ in range(sent // len(line)):
        assert deaf.read().result.name == "it"


# ---- ports ----

def test_a_port_that_a_worker_has_bound_is_shared_by_those_born_after():
    it = begin("-n 2 --bake 0s", PLAIN, PORT).wait_ready()
    before = Before(it)
    it.call("upgrade")
    before.lasts()
    for slot, pid in enumerate(it.pids()):
        kill(pid)
        it.event("ready", slot=slot, n=2)
    assert get().pid in it.pids()
    it.call("scale", count=4)
    it.call("upgrade")
    it.call("restart")
    assert len(it.cluster().listeners) == 1
    assert {w.restarts for w in it.workers()} == {0, 1}


def test_descriptors_that_nclust_was_started_with_are_there_for_a_reload():
    it = begin(ini=section("a", f"{SERVE} --notify", "listen = inherit:web, name=first",
                           workers=1), under=(server("activate.py"), "web=8000", "--")).wait_ready()
    for _ in range(2):
        it.call("upgrade")
    for old, new in (("first", "second"), ("workers = 1", "workers = 2"), (":a]", ":b]")):
        lab.edit("it.ini", old, new)
    it.call("reload")
    it.wait_ready()
    assert get().pid in it.pids("b")
    wait(lambda: [c.name for c in it.status().clusters] == ["b"])


SHUTS = """
import ctypes, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
pidfd = os.pidfd_open(int(sys.argv[1]))
s = socket.socket(fileno=libc.syscall(438, pidfd, int(sys.argv[2]), 0))
s.shutdown(socket.SHUT_RDWR)
"""


def test_what_it_watches_it_watches_on():
    """Its control socket, also if that was removed just before, and its listeners."""
    it = two("--signal-USR2 upgrade").follow()
    before, control = Before(it), f"{it.directory}/control"
    kill(it.pid, SIGSTOP)
    os.unlink(control)
    kill(it.pid, SIGUSR2)
    kill(it.pid, SIGCONT)
    it.event("upgraded")
    for _ in range(2):
        wait(lambda: it.verb("status").status == 0)
        os.unlink(control)
    before.lasts()
    run("python3", "-c", SHUTS, it.worker().pid, 3).ok()
    it.logged("a worker has shut it down for all; listening again")
    assert get().pid in it.pids()


# ---- its settings and its place ----

def test_a_files_clusters_their_settings_and_where_each_came_from():
    it = begin("--stop-timeout 7s", ini=f"[nclust]\npidfile = {path('it.pid')}\n"
               + section("one", f"{SERVE} --notify --name \"web\"",
                         "listen = 127.0.0.1:8000, name=web, backlog=77",
                         "stop-signal = QUIT:3s TERM:1s", "env = X=1", "env = Y=a b",
                         f"on-ready = {NOTIFY} --exit 0")
               + section("two", f"{HEAR} --notify", workers=1)).wait_ready()
    before, text, config = Before(it), it.verb("config").ok(), it.call("config")
    it.call("upgrade")
    before.lasts()
    assert (it.verb("config").ok(), it.call("config")) == (text, config)
    assert "one: no change; two: no change" in it.call("reload").text
    before.lasts()
    lab.edit("it.ini", "X=1", "X=2")
    lab.edit("it.ini", "workers = 1", "workers = 2")
    assert "one: env: rolling restart" in it.call("reload").text
    it.event("rollout-done", cluster="one")
    assert it.cluster("two").ready == 2
    assert environment(it.worker(cluster="one").pid)["X"] == "2"
    assert read("it.pid") == f"{it.pid}\n"
    assert it.stop() == 0
    assert not os.path.exists("it.pid")


def test_a_daemon_keeps_its_name_and_who_waits_for_it_hears_of_the_new_one():
    go = Gate("go")
    starter = launch(f"-d -n 2 --pidfile {path('pid')} --ready notify", fixture("slow-ready"), go,
                     program=put())
    pid = int(wait(lambda: read("pid")))
    it = starter.wait_there()
    assert it.pid == pid
    before = Before(it)
    it.call("upgrade")
    before.lasts()
    assert starter.process.poll() is None
    launch("-n 1", *NAP).logged(f"is already running (pid {pid})")
    go.open()
    assert wait(lambda: starter.process.poll() is not None) and starter.process.returncode == 0
    assert it.cluster().ready == 2
    it.call("stop")
    wait_gone(pid)
    assert not os.path.exists("pid")


@pytest.mark.parametrize("under", (("unshare", "-pf", "--kill-child", "--mount-proc"), AS_NOBODY),
                         ids=("init of a pid namespace", "an ordinary user"))
def test_as(under):
    need_root()
    if under == AS_NOBODY:
        os.chown("run", 65534, 65534)
    it = two(under=under)
    assert (it.pid == 1) == (under != AS_NOBODY)
    before = Before(it)
    it.call("upgrade")
    it.call("upgrade")
    before.lasts(2)
    kill(next(p for p in living() if command(p).startswith(SERVE)))
    it.event("exited")
    it.event("ready", n=3)
    it.call("restart")
    it.call("stop")
    wait(lambda: it.process.poll() is not None)


# ---- any one system call fails ----

# Not those of the dynamic loader, which nobody survives: mmap, openat, fstat, read.
CALLS = {"memfd_create": "EMFILE", "execveat": "ENOMEM", "fcntl": "EBADF", "close_range": "EBADF",
         "clone": "EAGAIN", "write": "ENOSPC", "epoll_create1": "EMFILE",
         "signalfd4": "EMFILE", "timerfd_create": "EMFILE", "waitid": "ECHILD"}


def fails_once(it, call, when):
    """Whichever of such calls fails, it or its successor goes on.  Was there one?"""
    before = Before(it)
    trace = Trace(it.pid, *injection(call, f"error={CALLS[call]}", when))
    said = it.verb("upgrade")
    seen = trace.end()
    assert said.status in (0, 1), (call, when, said)
    it.forget()
    before.lasts(said.status == 0)
    return "INJECTED" in seen


@pytest.mark.parametrize("call", [
    pytest.param(c, marks=() if c in ("memfd_create", "execveat", "close_range", "signalfd4")
                 else pytest.mark.nightly) for c in CALLS])
def test_any_one_call_fails_while_it_replaces_itself(call):
    it = two("--on-ready 'sleep 1000' --check 'exec:sleep 1000' --check-interval 1h "
             "--check-timeout 10m")
    wait(lambda: [command(p) for p in living()].count("sleep 1000") >= 3)
    commands = [p for p in living() if command(p) == "sleep 1000"]
    when = 1
    while fails_once(it, call, when):
        when += 1
    assert when > 1
    assert all(map(is_alive, commands))
    it.call("upgrade")
