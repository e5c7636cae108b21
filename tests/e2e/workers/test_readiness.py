# SPDX-License-Identifier: MIT
"""When a worker counts as ready, whose word for it counts, and how many start at a time."""
import pwd
import re
import socket
import stat as modes

from harness import *
from harness import lab

SLOW = fixture("slow-ready")


# ---- what a worker says ----

def test_ready_1_makes_it_ready_and_not_before():
    gate = Gate()
    it = start("-n 1 --ready notify --start-timeout 1h", SLOW, gate, clock=True)
    it.event("started")
    it.advance(3000)
    assert it.worker().state == "starting"
    assert it.verb("status").status == 2
    gate.open()
    it.event("ready")
    assert it.worker().state == "ready"
    it.verb("status").ok()


# As s6, dinit and OpenRC have it.  A program that said so may have ended when nclust reads it.
@pytest.mark.parametrize("say", ("echo >&4", "/bin/echo up >&4", "printf x >&4; echo >&4"))
def test_a_newline_by_its_descriptor_makes_it_ready_and_nothing_else(say):
    os.mkfifo("go")
    it = start("-n 1 -l 8000 --ready fd:4 --start-timeout 1h", "sh", "-c",
               f'printf no >&4; echo said; read x <"$0"; {say}; exec 4>&-; exec sleep 1000',
               path("go"), clock=True)
    it.logged("said")
    it.advance(3000)
    assert it.worker().state == "starting"
    write("go", "\n")
    it.event("ready")
    it.verb("status").ok()


def test_what_it_says_of_itself_is_shown_with_control_bytes_made_harmless():
    it = start("-n 1 --ready notify", NOTIFY, "READY=1", "ERRNO=13", "RELOADING=1", "READY=1",
               "--barrier", "STATUS=warming \x1b[31mup")  # which comes once that is answered
    said = it.wait(lambda: it.worker().get("status"))
    assert re.fullmatch(r"warming .+\[31mup", said) and said.isprintable()
    assert said in it.verb("status").ok()
    assert "Permission denied" in it.event("worker-errno").text
    assert "is reloading its configuration" in it.event("worker-reloading").text


def test_stopping_1_is_shown_as_draining_and_its_end_is_no_crash_loop():
    it = start("-n 1 --ready notify --backoff-min 1h --backoff-max 1h", NOTIFY, "READY=1",
               "STOPPING=1")
    it.wait(lambda: it.worker().state == "draining")
    assert it.verb("status").status != 0
    kill(it.worker().pid, SIGTERM)
    assert it.event("exited").next_try == 0


def test_a_slow_starter_may_ask_for_more_time():
    gate = Gate()
    it = start("-n 1 --ready notify --start-timeout 400ms", NOTIFY,
               "EXTEND_TIMEOUT_USEC=1500000", "STATUS=asked", "--sleep", gate, "READY=1",
               clock=True)
    it.wait(lambda: it.worker().get("status") == "asked")
    for seconds in (0.9, 0.5):  # more at once would be time that nclust stood still
        it.advance(seconds)
    assert it.worker().state == "starting"
    gate.open()
    assert it.event("ready").after > 1
    assert not it.happened("start-timeout")


def test_a_slow_stopper_may_ask_for_more_time():
    gate = Gate()
    it = cluster("-n 1 --ready notify --stop-timeout 200ms --drain off", "sh", "-c", """
        trap 'kill -9 $!; exec "$0" EXTEND_TIMEOUT_USEC=5000000 STATUS=asked --sleep "$1" --exit 0' TERM
        "$0" READY=1 --barrier --exit 0
        sleep 1000 & wait""", NOTIFY, gate, clock=True)
    it.call("stop", no_wait=True)
    it.wait(lambda: it.worker().get("status") == "asked")
    for seconds in (0.9, 4):
        it.advance(seconds)
    pid = it.worker().pid
    gate.open()
    wait_gone(pid)
    it.advance(0.05)  # it has left a zombie: nclust looks for that again
    lab.clock.flow()
    assert it.exit() == 0
    assert not it.says("did not end in time")


@pytest.mark.parametrize("command", (
    (NOTIFY, "--child", "READY=1\\nSTATUS=told"),
    ("sh", "-c", 'systemd-notify --ready --status=told; exec "$0"', HEAR),
), ids=("child", "systemd-notify"))
def test_a_process_of_its_session_may_speak_for_it(command):
    it = cluster("-n 2 --ready notify", *command)
    assert [w.status for w in it.workers()] == ["told", "told"]


def test_what_a_worker_said_just_before_it_died_is_heard():
    it = start("-n 1 --ready notify --stable-after 1h --backoff-min 1h --backoff-max 1h",
               NOTIFY, "READY=1", "--exit", 3)
    # only a worker that was ready is forgiven its first death
    assert it.event("exited").next_try == 0


# ---- whose word does not count ----

def notify_socket(pid):
    # it may be on its way into its program
    return wait(lambda: environment(pid).get("NOTIFY_SOCKET"))


@pytest.mark.parametrize("user", ("its own", "another"))
def test_a_stranger_is_refused_and_told_once(user):
    # one who becomes nobody; root's socket the kernel refuses to him
    options = "--user nobody" if os.geteuid() == 0 and user == "its own" else ""
    it = start(f"-n 1 --ready notify --start-timeout 1h {options}", NOTIFY, "--as-stranger",
               "READY=1", "--as-stranger", "READY=1", "STATUS=asked")
    it.wait(lambda: it.worker().get("status") == "asked")
    assert it.worker().state == "starting"
    if user == "its own":
        assert it.log().count("refused a notify message") == 1


def test_a_sibling_can_neither_make_another_worker_ready_nor_stop_it():
    it = start("-n 2 --ready notify --start-timeout 1h", "sh", "-c", """
        if [ "$NCLUST_SLOT" -eq 0 ]; then
            echo "$NOTIFY_SOCKET" >"$1"
            exec "$0/hear"
        fi
        until read -r other <"$1"; do sleep 0.01; done 2>/dev/null
        NOTIFY_SOCKET=$other "$0/notify" "STATUS=spoof\\nREADY=1" MAINPID=1 --barrier --exit 0
        exec "$0/notify" READY=1""", fixture(""), path("socket"))
    it.event("ready", slot=1)
    assert it.says("refused a notify message")
    assert it.worker(0).state == "starting"
    assert it.worker(0).get("status") is None


def test_the_word_of_a_process_that_has_ended_even_roots_is_refused_and_why_is_told():
    it = start("-n 1 --ready notify --start-timeout 1h", HEAR)
    to = notify_socket(it.event("started").pid)
    kill(it.pid, SIGSTOP)
    run(NOTIFY, "READY=1", "--exit", 0, env={**os.environ, "NOTIFY_SOCKET": to}).ok()
    kill(it.pid, SIGCONT)
    it.logged("it ended before nclust read it")
    assert it.worker().state == "starting"


def notify_sockets():
    try:
        return os.listdir(path("run/it/notify"))
    except FileNotFoundError:
        return []


def test_each_worker_has_a_notify_socket_of_its_own_for_its_user_and_there_are_no_others():
    user = "--user nobody" if os.geteuid() == 0 else ""
    it = cluster(f"-n 3 --ready notify {user}", HEAR, "--notify")
    before = notify_socket(it.worker().pid)
    it.call("restart")
    it.call("restart")
    after = notify_socket(it.worker().pid)
    assert before != after and not os.path.exists(before)
    found = os.stat(after)
    assert found.st_uid == (pwd.getpwnam("nobody").pw_uid if user else os.geteuid())
    assert modes.filemode(found.st_mode) == "srw-------"
    wait(lambda: len(notify_sockets()) == 3)
    it.call("scale", count=1)
    wait(lambda: len(notify_sockets()) == 1)
    it.call("upgrade")
    wait(lambda: len(notify_sockets()) == 1)
    it.stop()
    assert notify_sockets() == []


def test_sockets_of_workers_that_crash_go_when_fewer_are_wanted():
    it = cluster("-n 5 --ready notify --backoff-min 1h --backoff-max 1h", "sh", "-c",
                 'mkdir "$1/$NCLUST_SLOT" && exec "$0" --notify', HEAR, path())
    for pid in it.pids():
        kill(pid)
    it.event("exited", n=10)
    it.call("scale", count=1, no_wait=True)
    wait(lambda: len(notify_sockets()) <= 1)


# ---- what is no message ----

def taken(it):
    """How many descriptors of messages it has."""
    return sum(target == "/dev/null" for target in descriptors(it.pid).values())


def test_malformed_messages_do_no_harm_and_leak_no_descriptor():
    gate = Gate()
    it = start("-n 1 --ready notify --start-timeout 1h", NOTIFY, "--sleep", gate, "", "=", "READY",
               "READY=0", "READY=1x", "STATUS", b"\xff\xfe".decode(errors="surrogateescape"),
               "--huge", 100000, "--huge", 200000, "--fds", 253, "STATUS=x", "--fds", 1, "",
               "--fds", 253, "BARRIER=1", "--fds", 30, "FDSTORE=1", "EXTEND_TIMEOUT_USEC=-1",
               "EXTEND_TIMEOUT_USEC=99999999999999999999999", "ERRNO=x", "MAINPID=1",
               "STATUS=after")
    before = taken(it)
    gate.open()
    it.wait(lambda: it.worker().get("status") == "after")
    assert it.worker().state == "starting"
    wait(lambda: taken(it) <= before)  # they are closed a moment later


def test_a_flood_of_messages_from_one_does_not_keep_others_from_being_heard():
    it = cluster("-n 2 --ready notify", "sh", "-c", """
        [ "$NCLUST_SLOT" -eq 0 ] || exec "$0" READY=1
        exec "$0" READY=1 --flood 100000000 STATUS=flood""", NOTIFY)
    it.reborn(1)
    assert it.stop() == 0


# ---- time ----

def test_not_ready_in_time_has_failed_and_is_never_taken_as_ready():
    it = start("-n 1 --ready notify --start-timeout 2s --backoff-min 1h --backoff-max 1h",
               SLOW, "never", clock=True)
    it.event("started")
    it.advance(1.9)
    assert it.worker().state == "starting"
    it.advance(0.2)
    it.event("start-timeout")
    exited = it.event("exited", why="start-timeout")
    assert exited.cause.startswith("it did not send READY=1, which 'ready = notify' waits for")
    assert it.says("was not ready after 2.1 s (start-timeout)")
    assert it.worker().state == "backoff"
    assert not it.happened("ready")
    assert it.verb("status").status == 2


def test_alive_ready_after_that_time_and_a_death_before_is_one_of_a_worker_that_was_not():
    it = start("-n 1 --ready alive:700ms", HEAR, clock=True)
    pid = it.event("started").pid
    it.advance(0.6)
    assert it.worker().state == "starting"
    kill(pid)
    assert 0 < it.event("exited").next_try < 0.5
    it.advance(0.5)
    it.event("started", n=2)
    it.advance(0.6)
    assert it.worker().state == "starting"
    it.advance(0.2)
    assert 0.7 <= it.event("ready").after < 0.9


def passes(it, seconds):
    """Time in which nclust does not believe that it stood still."""
    it.advance(seconds, step=0.5)


def test_auto_a_slow_server_is_not_ready_before_its_port_is_open_nor_are_the_others():
    gate = Gate("go.{slot}")
    it = start("-n 2", PLAIN, PORT, "--start", gate, clock=True)
    it.event("started", n=2)
    passes(it, 9)
    assert "has opened no port yet" in it.event("not-listening").text
    assert not it.happened("ready") and it.verb("status").status == 2
    gate.open(0)
    assert it.event("ready", slot=0).pid == get().pid
    passes(it, 40)
    assert it.worker(1).state == "starting"
    gate.open(1)
    it.event("ready", slot=1)
    assert it.log().count("has opened no port yet") == 1


def test_auto_one_that_has_bound_its_port_is_not_said_to_have_none():
    gate = Gate()
    it = start("-n 1", fixture("binder"), "tcp4", f"bind=127.0.0.1:{PORT}", f"wait={gate}",
               "listen=5", "serve", clock=True)
    it.logged("opened by it.0")
    passes(it, 9)
    gate.open()
    it.event("ready")
    assert not it.says("has opened no port yet")


def test_auto_in_the_background_it_returns_once_a_client_is_answered():
    gate = Gate()
    begun = begin_program(inside(PROGRAM), *"-d --name it -n 2 --".split(), PLAIN, PORT, "--start",
                          gate)
    wait(lambda: sum(command(p).startswith(PLAIN) for p in living()) == 2)
    assert begun.poll() is None
    gate.open()
    assert begun.wait(BOUND) == 0
    assert get().pid


def test_auto_one_that_opens_no_port_is_known_and_once_ready_1_came_only_by_that():
    os.mkfifo("go")  # who waits for that wants no CPU, however busy the machine is
    it = start("-n 1 --backoff-max 100ms", "sh", "-c", 'read -r _ <"$0"; exec "$@"', path("go"),
               NOTIFY, "READY=1\\nSTATUS=told", clock=True)
    pid = it.event("started").pid
    wait(lambda: state(pid) == "S")
    passes(it, 9)
    assert it.worker().state == "starting"
    passes(it, 3)
    it.event("ready")  # it said nothing, and did nothing
    kill(it.worker().pid)
    it.event("started", n=2)
    passes(it, 1)
    it.event("ready", n=2)
    write("go", "\n")
    it.wait(lambda: it.worker().get("status") == "told")
    kill(it.worker().pid)
    it.event("exited", n=2)
    passes(it, 0.5)
    it.event("started", n=3)
    passes(it, 31)
    assert it.worker().state == "starting"
    write("go", "\n")
    it.event("ready", n=3)


def test_auto_one_that_ends_with_success_needed_no_port():
    os.mkfifo("go")
    it = start("-n 1", "sh", "-c", 'read -r _ <"$0"', path("go"), clock=True)
    it.event("started")
    passes(it, 2)
    write("go", "\n")
    it.event("exited")
    passes(it, 2)
    it.event("ready", worker=2)


def works(it, pid):
    """Time passes in which it is at work."""
    for _ in range(10):
        ticks = int(stat(pid)[11])  # 10 ms each, and more than it needs to be at work
        wait(lambda: int(stat(pid)[11]) >= ticks + 10)
        passes(it, 0.5)


@pytest.mark.parametrize("listen", ("", f"-l {PORT}"))
def test_auto_one_that_works_is_waited_for_until_it_is_idle(listen):
    gate = Gate()
    it = start(f"-n 1 {listen}", "sh", "-c", """
        until [ -e "$0" ]; do :; done
        exec sleep 1000""", gate, clock=True)
    pid = it.event("started").pid
    passes(it, 0 if listen else 9)  # it may be idle for so long
    works(it, pid)
    assert it.worker().state == "starting"
    gate.open()
    wait(lambda: state(pid) == "S")
    passes(it, 12)
    it.event("ready")


def test_a_slow_start_is_not_warned_of_while_it_works():
    gate = Gate()
    gate.open()
    it = cluster("-n 1 --drain off --bake 0", "sh", "-c", """
        until [ -e "$0" ]; do :; done
        exec "$1" 8000""", gate, PLAIN, clock=True)
    os.unlink(gate.path)
    answer = it.begin("restart")
    works(it, it.event("started", n=2).pid)
    gate.open()
    assert answer().ok
    assert not it.happened("not-listening")


@pytest.mark.parametrize("kind, wait_for_clients", (
    ("", "e = select.epoll(); e.register(3, 1)"),
    ("udp:", "e = select.epoll(); e.register(3, 1)"),
    ("", "threading.Thread(target=socket.socket(fileno=3).accept).start()"),
    ("", "os.fork() or socket.socket(fileno=3).accept()")))
def test_auto_one_that_serves_at_its_socket_is_ready_however_busy_it_is(kind, wait_for_clients):
    it = start(f"-n 1 -l {kind}{PORT}", "python3", "-c", f"""
import os, select, socket, threading
{wait_for_clients}
while True: pass""", clock=True)
    works(it, it.event("started").pid)
    it.event("ready")


def test_auto_one_whose_port_is_in_use_is_not_ready_before_it_has_it():
    with socket.socket() as other:
        other.bind(("127.0.0.1", PORT))
        other.listen()
        gate, bind = Gate(), f"tcp4 bind=127.0.0.1:{PORT}"
        it = start("-n 1 --start-timeout 1h", fixture("binder"), *bind.split(), "fail=EADDRINUSE",
                   "say=taken", f"wait={gate}", *bind.split(), "listen=5", "serve", clock=True)
        it.logged("taken")
        passes(it, 40)
        assert it.worker().state == "starting"
    gate.open()
    it.event("ready")


@pytest.mark.parametrize("words", ("udp4 bind=127.0.0.1:8000", "unix bind=$1$2 listen=5"))
def test_auto_a_port_of_udp_or_a_path_need_not_be_waited_for_longer(words):
    it = start("-n 1", "sh", "-c", f'exec "$0" {words} say=bound pause', fixture("binder"), "/run",
               "/s", clock=True)  # no word is the whole path, and none of it is a pid
    it.logged("bound")
    passes(it, 4)
    it.event("ready")


def test_auto_where_only_slot_0_listens_why_others_are_stopped_and_what_to_write():
    command = ("sh", "-c", '[ "$NCLUST_SLOT" -ne 0 ] || exec "$0" 8000\nexec sleep 1000', PLAIN)
    it = start("-n 2 --start-timeout 2s --backoff-min 100ms", *command, clock=True)
    it.event("ready", slot=0)
    kill(it.worker(1).pid)  # its successor begins when it is known that slot 0 listens
    it.event("exited", slot=1)
    it.advance(0.2)
    it.event("started", slot=1, n=2)
    it.advance(2.1)
    why = "it did not listen, but other workers do, and 'ready = auto' expects"
    exited = it.event("exited", slot=1, why="start-timeout")
    assert exited.cause.startswith(why)
    assert it.worker(1).last_failure.cause.startswith(why)
    for text in (f"; {why}", "(not ready in time)", "set 'ready = alive:1s'"):
        it.logged(text)
    it.call("stop", now=True)

    cluster("-n 2 --ready alive:1ms --start-timeout 2s", *command, name="other")


EPOLL_WAIT = {"x86_64": "232"}.get(os.uname().machine, "22")  # epoll_pwait of the others


def is_stopped_asleep(pid):
    """Stop it where it waits for what comes next, and not in the midst of a turn."""
    kill(pid, SIGSTOP)
    wait(lambda: is_stopped(pid))
    if read(f"/proc/{pid}/syscall").split()[0] == EPOLL_WAIT:
        return True
    kill(pid, SIGCONT)
    return False


def test_time_that_nclust_itself_stood_still_is_granted_to_who_was_waiting():
    it = start("-n 1 --ready notify --start-timeout 2s", SLOW, "never", clock=True)
    it.event("started")
    wait(lambda: is_stopped_asleep(it.pid))
    lab.clock.advance(4)
    kill(it.pid, SIGCONT)
    it.advance(1.5)
    assert it.worker().state == "starting"
    it.advance(0.6)
    it.event("start-timeout")


# ---- how many at a time ----

def most_starting(it):
    """How many ever started at a time."""
    starting, most = set(), 0
    it.mark()
    for event in it.events:
        if event.event == "started":
            starting.add(event.worker)
            most = max(most, len(starting))
        elif event.event in ("ready", "exited"):
            starting.discard(event.worker)
    return most


def starts(it):
    return [w.slot for w in it.workers() if w.state == "starting" and w.pid]


def test_no_more_than_start_at_once_start_at_a_time_whatever_for():
    gate = Gate("go.{slot}")
    it = start("-n 5 --ready notify --start-at-once 2", SLOW, gate, clock=True)
    for ready in range(5):
        it.event("started", n=min(ready + 2, 5))
        waiting = [w for w in it.workers() if w.get("waits")]
        assert (it.cluster().ready, len(waiting)) == (ready, max(3 - ready, 0))
        assert it.verb("status").out.count("waits until others have started") == len(waiting)
        gate.open(starts(it)[0])
        it.event("ready", n=ready + 1)

    for slot in range(5):
        os.unlink(path(f"go.{slot}"))
    for slot in range(4):
        kill(it.worker(slot).pid)
    it.event("started", n=7)
    kill(it.worker(starts(it)[0]).pid)  # one that fails makes room as well
    it.event("started", n=8)
    it.call("upgrade")  # keeps the others waiting
    it.call("scale", count=7, no_wait=True)
    for slot in range(7):
        gate.open(slot)
    lab.clock.flow()  # for the next try of the one that has failed
    it.wait_ready()
    assert most_starting(it) == 2


def test_all_at_once_starts_workers_that_wait_for_each_other():
    gate = Gate()
    it = start("-n 8 --ready notify --start-at-once all", SLOW, gate)
    it.event("started", n=8)
    assert not it.happened("ready")
    gate.open()
    it.wait_ready()


def test_a_runtime_directory_without_inodes_costs_no_worker_its_notify_socket():
    need_root()
    run("mount", "-t", "tmpfs", "-o", "size=10M,nr_inodes=60,mode=755", "none", path("run")).ok()
    it = cluster("-n 1 --ready notify", NOTIFY, "READY=1")
    with pytest.raises(OSError):
        for n in range(60):
            write(f"run/{n}", "")
    before = it.worker(0).pid
    it.call("restart")
    assert it.worker(0).pid != before
    it.verb("scale", "2")
