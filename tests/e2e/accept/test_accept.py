# SPDX-License-Identifier: MIT
"""accept = yes: a process for each connection (nclust-accept(7))."""
import select
import socket
import struct
from signal import SIGSEGV, SIGTSTP

from harness import *
from harness import lab

# It says whom it is there for, and goes on until its client leaves, or says so.
TELL = """
echo "ok slot=$NCLUST_SLOT generation=$NCLUST_GENERATION same=$TCPCONNNUM pid=$$"
read -r line
[ "$line" = bye ] || exec cat >/dev/null
"""
# What goes on whatever its client does, and tells its signals to that.
STAY = (HEAR, "--end-on", "never")


def script(name, text):
    return write(name, f"#!/bin/sh\n{text}", 0o755)


def accepting(options, *command, **more):
    return cluster(f"-l 127.0.0.1:8000 --accept {options}", *command or [script("tell", TELL)],
                   **more)


def everything(s):
    return b"".join(iter(lambda: s.recv(1 << 20), b"")).decode()


def once(text="", **how):
    """Say that, hear all that comes until the end."""
    with dial(**how) as s:
        s.sendall(text.encode())
        s.shutdown(socket.SHUT_WR)
        return everything(s)


class Callers:
    """Some who have come, and say nothing."""

    def __init__(self, count, **how):
        self.sockets = [dial(**how) for _ in range(count)]
        self.said = []

    def lines(self):
        for s in select.select(self.sockets, [], [], 0)[0]:
            said = s.recv(4096).decode().splitlines()
            self.said += [line for line in said if not line.endswith(" CONT")]  # after a TERM
        return self.said

    def heard(self, count):
        """Wait until they have so many lines, of all of them together."""
        wait(lambda: len(self.lines()) >= count, f"line {count} for who has called")
        assert len(self.said) == count
        return self

    def leave(self):
        for s in self.sockets:
            s.close()


def counts(it):
    return it.cluster().accept


def served(it, running, **more):
    """Wait until so many are served, and these counts are so."""
    wait(lambda: {"running": running, **more}.items() <= counts(it).items(), f"{running} {more}")


def pids_of(it):
    return {w.slot: w.pid for w in it.workers()}


# ---- what the command gets ----

def test_any_script_is_a_server():
    it = accepting("-n 4", script("greet", 'read -r name\necho "hello $name"\n'
                                  'echo "it was $name" >&2\nexit 3'))
    assert once("Ada\n") == "hello Ada\n"
    assert once("Bea\n") == "hello Bea\n"
    served(it, 0, exits={"3": 2}, served=2, limit=4)
    it.logged("it was Ada")
    assert not it.says("it.0:")  # an exit status is no crash
    said = it.verb("status").ok()
    assert "0 of 4 connections" in said
    assert "2 served; ended with 3: 2" in said


def test_the_connection_is_on_descriptors_0_and_1_blocking_and_on_no_other():
    accepting("-n 2", "python3", write("look.py", """
import os, socket
s = socket.socket(fileno=0)
print(sorted(map(int, os.listdir("/proc/self/fd")))[:-1], os.get_blocking(0))
print(os.path.sameopenfile(0, 1), os.getsid(0) == os.getpid() == os.getpgid(0))
print(s.getpeername() == (os.environ["TCPREMOTEIP"], int(os.environ["TCPREMOTEPORT"])))
print([k for k in os.environ if k.startswith(("LISTEN_", "NOTIFY_", "SERVER_STARTER"))])
print(*(os.environ[f"NCLUST_{k}"] for k in ("SLOT", "CLUSTER", "WORKERS", "GENERATION")))
"""))
    assert once().splitlines() == ["[0, 1, 2] True", "True True", "True", "[]", "0 it 2 1"]


def test_the_variables_of_ucspi_and_systemd_tell_who_called():
    cluster(f"-l 8000 -l unix:{path('socket')} --accept",
            script("who", "env | grep -E '^(PROTO|REMOTE_|TCP|UNIX|IPC)' | sort"),
            env={"TCPREMOTEIP": "10.9.8.7", "UNIXREMOTEPID": "1"})

    def told(**how):
        return dict(line.split("=") for line in once(**how).splitlines())

    got = told()
    assert got.pop("REMOTE_PORT") == got.pop("TCPREMOTEPORT")
    assert got == {"PROTO": "TCP", "REMOTE_ADDR": "127.0.0.1", "TCPREMOTEIP": "127.0.0.1",
                   "TCPLOCALIP": "127.0.0.1", "TCPLOCALPORT": "8000"}
    got = told(host="::1")
    assert got["PROTO"] == "TCP6" and got["TCP6LOCALPORT"] == "8000"
    assert got["REMOTE_ADDR"] == got["TCP6REMOTEIP"] == got["TCPREMOTEIP"] == "::1"
    me = str(os.geteuid())
    got = told(unix=path("socket"))
    assert got.pop("UNIXREMOTEPID") == str(os.getpid())
    assert got == {"PROTO": "UNIX", "UNIXLOCALPATH": path("socket"), "UNIXREMOTEEUID": me,
                   "UNIXREMOTEEGID": str(os.getegid()), "IPCLOCALPATH": path("socket"),
                   "IPCREMOTEEUID": me, "IPCREMOTEEGID": str(os.getegid())}


def test_stderr_is_nclusts_own_or_captured_by_slot_and_what_is_left_ends():
    it = accepting("", script("where", 'readlink "/proc/$$/fd/2"'))
    assert once().strip() == it.log_path
    nclust("logs").fails(1, "its workers write where nclust does")
    it.stop()
    it = accepting("--log off", script("where", 'readlink "/proc/$$/fd/2"'))
    assert once().strip() == "/dev/null"
    nclust("logs").fails(1, "it: the output of its connections goes nowhere, and is not kept; set")
    it.stop()
    it = accepting("-n 2 --log prefix", script("leave", """
echo "of slot $NCLUST_SLOT" >&2
sleep 300 &
echo $!"""))
    left = int(once())
    it.logged("it.0 | of slot 0")
    wait_gone(left)


def test_a_process_of_another_user_has_no_file_of_nclusts_open_to_write():
    need_root()
    os.chmod(".", 0o755)
    it = accepting("--user nobody", script("where", 'readlink "/proc/$$/fd/2"; echo bad >&2'))
    assert once().startswith("pipe:")
    it.logged("bad")


def test_the_example_answers_by_its_address_and_by_its_path():
    for name in ("report.ini", "report.sh"):
        write(name, read(f"{CHECKOUT}/etc/examples/accept/{name}"), 0o755)
    it = cluster(f"--config {path('report.ini')}")
    assert get("/today", 9000).body.startswith("GET /today, asked by 127.0.0.1\n")
    assert get("/now", unix=path("report.sock")).body.startswith(
        "GET /now, asked by a process of this machine\n")
    it.logged(f" | /now for uid {os.geteuid()}")


def test_a_process_has_the_user_the_limits_and_the_directory_that_were_asked_for():
    need_root()
    accepting("--user nobody --limit-nofile 77 --umask 027 --directory / --env LAST=one",
              script("who", 'echo "$(id -un) $(ulimit -n) $(umask) $(pwd) $LAST"'))
    assert once() == "nobody 77 0027 / one\n"


# ---- how many ----

def test_no_more_than_workers_at_once_the_others_wait_in_the_queue():
    it = accepting("")
    assert counts(it).limit == 32
    it.call("scale", count=0)
    callers = Callers(5)
    wait(lambda: it.cluster().listeners[0].queue == 5)
    assert counts(it).served == 0
    it.call("scale", by=3)
    callers.heard(3)
    wait(lambda: it.cluster().listeners[0].queue == 2)
    assert sorted(pids_of(it)) == [0, 1, 2]
    it.call("scale", count=4)
    callers.heard(4)
    it.call("scale", count=1)  # nobody is thrown out
    assert counts(it).running == 4 and counts(it).limit == 1
    callers.leave()
    served(it, 0, served=5)
    assert once("bye\n").startswith("ok slot=0 ")


@pytest.mark.parametrize("listen, first, same, other", (
    ("127.0.0.1:8000", "127.0.0.1", "127.0.0.1", "127.0.0.2"),
    # of IPv6 a whole /64 counts as one
    ("[::]:8000", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"),
    ("[::]:8000", "127.0.0.1", "127.0.0.1", "127.0.0.2"),
), ids=("IPv4", "IPv6", "mapped"))
def test_no_more_than_accept_per_address_of_one_address(listen, first, same, other):
    if ":" in first:
        need_root()
        for address in (first, same, other):
            run("ip", "-6", "address", "add", f"{address}/128", "dev", "lo", "nodad").ok()
    host = "::1" if ":" in first else "127.0.0.1"
    it = cluster(f"-l {listen} --accept -n 8 --accept-per-address 2", script("tell", TELL),
                 clock=True)  # who is refused has half a second to speak
    callers = Callers(2, host=host, source=first).heard(2)
    assert sorted(line.split()[3] for line in callers.said) == ["same=1", "same=2"]
    assert once("a question that lies unread", host=host, source=same) == ""  # and no reset
    assert counts(it).refused == 1
    assert once(host=host, source=other).startswith("ok ")
    callers.leave()
    served(it, 0, refused=1)
    assert once(host=host, source=first).startswith("ok ")


def test_who_takes_longer_than_accept_timeout_is_ended_then_killed_and_others_have_their_turn():
    it = accepting("-n 2 --accept-timeout 1h --stop-signal TERM:2s", *STAY, clock=True)
    callers = Callers(3).heard(2)
    served(it, 2)
    it.advance(3599)
    assert counts(it).timed_out == 0 and len(callers.lines()) == 2
    it.advance(1.5)
    assert [line.split()[-1] for line in callers.heard(4).said[2:]] == ["TERM", "TERM"]
    it.advance(1.9)
    assert counts(it).running == 2
    it.advance(0.2)
    callers.heard(5)
    served(it, 1, timed_out=2, exits={"SIGKILL": 2})


def test_a_busy_listener_leaves_its_turn_to_the_others():
    accepting("-n 1 -l 127.0.0.1:8001")
    first = Callers(1).heard(1)
    crowd, other = Callers(3), Callers(1, port=8001)
    first.leave()
    other.heard(1)
    other.leave()
    crowd.heard(1)


def test_what_defaults_say_of_workers_that_last_is_not_meant_for_connections():
    it = cluster(ini="[defaults]\nwatchdog = 1s\nmax-memory = 1M\ncheck = tcp\n"
                     "check-header = X: y\nwatch = *.none\nready = notify\n"
                     + section("web", "cat", "accept = yes", f"listen = 127.0.0.1:{PORT}",
                               ready=None), clock=True)
    with dial() as s:
        served(it, 1)
        it.advance(60)
        s.sendall(b"still there")
        assert s.recv(11) == b"still there"
    served(it, 0, exits={"0": 1}, served=1)


def test_who_dies_of_the_stop_signal_at_a_stop_got_it_from_nclust():
    it = accepting("-n 1 --stop-timeout 100ms", "cat")
    with dial():
        served(it, 1)
        assert it.stop() == 0
    assert not it.says("somebody else")


def test_one_that_outlives_sigkill_has_its_place_until_it_ends():
    it = accepting("-n 1 --accept-timeout 1s --stop-signal TERM:1s", *STAY, clock=True)
    Callers(1).heard(1)
    pid = it.worker().pid
    tracer = begin_program("python3", "-c", f"""
import ctypes, time
assert ctypes.CDLL(None).ptrace(0x4206, {pid}, 0, 0x40) == 0  # SEIZE, with O_TRACEEXIT
open("traced", "w").close()
time.sleep(1000)""")
    wait(lambda: os.path.exists("traced"))
    for time in (1.1, 1.1, 10.1):
        it.advance(time)
    assert it.says(f"worker {pid} is still there after SIGKILL")
    second = Callers(1)
    assert not second.lines()
    kill(tracer.pid)
    second.heard(1)


def test_a_reload_changes_accept_timeout_for_who_is_served_too():
    ini = section("web", "sleep 60", "accept = yes", f"listen = 127.0.0.1:{PORT}", ready=None)
    it = cluster(ini=f"{ini}accept-timeout = 1h")
    with dial():
        served(it, 1)
        it.reload(f"{ini}accept-timeout = 100ms")
        served(it, 0, timed_out=1)


def test_clients_that_reset_or_end_only_one_way_leave_nothing_behind():
    it = accepting("-n 4")
    for n in range(60):
        with dial() as s:
            if n % 3 == 0:  # gone before it is served, perhaps
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif n % 3 == 1:  # half open: it hears nothing
                s.shutdown(socket.SHUT_RD)
    served(it, 0, served=60)
    assert once().startswith("ok ")
    served(it, 0)
    assert "anon_inode:[pidfd]" not in descriptors(it.pid).values()


# ---- what cannot be ----

def test_settings_for_workers_that_last_are_mistakes():
    wrong = ("ready = notify", "check = tcp", "watchdog = 5s", "stall = 5s", "max-age = 1h",
             "max-memory = 64M", "restart = never", "give-up = 5/1m", "canary = 1",
             "drain = quiet", "pass = stdin", "surge = 2", "intercept = on", "on-exit = true",
             "fallback = 503", "sticky = client-address", "shared-memory = 1M")
    ini = "\n".join(("[cluster]", "command = cat", "accept = yes", "listen = 8000", *wrong))
    refused = nclust("--config", write("it.ini", ini)).fails(78)
    said = [line for line in refused.err.splitlines() if "cannot be used with 'accept'" in line]
    assert {line.split(": ")[1] for line in said} == {f"cluster:it.{w.split()[0]}" for w in wrong}
    assert f"{path('it.ini')}:5: cluster:it.ready: " in said[0]


def test_a_command_that_is_not_there_is_told_at_the_start_and_later():
    nclust("-l 8000 --accept -- ./absent").fails(127, "cannot execute './absent': No such file")
    nclust("-l 8000 --accept --", write("no-program", "")).fails(126)
    it = accepting("-n 2", clock=True)  # as above
    os.rename("tell", "away")
    assert once("question") == ""
    it.logged(f"cannot execute '{path('tell')}': No such file")
    assert counts(it).not_started == 1
    os.rename("away", "tell")
    assert once().startswith("ok ")


# ---- change ----

def test_stop_waits_for_who_is_served_and_takes_nobody_more():
    it = accepting("-n 4 --stop-timeout 1h")
    callers = Callers(2).heard(2)
    it.call("stop", no_wait=True)
    assert it.cluster().state == "stopping" and counts(it).running == 2
    callers.leave()
    assert it.exit() == 0


def test_stop_whose_time_is_over_gets_term_who_does_not_hear_it_kill():
    it = accepting("-n 4 --stop-timeout 7s", *STAY, clock=True)
    callers = Callers(1).heard(1)
    it.call("stop", no_wait=True)
    it.advance(6.9)
    assert len(callers.lines()) == 1
    it.advance(0.2)
    assert callers.heard(2).said[1].endswith(" TERM")
    it.advance(4.9)  # five seconds at most, whatever stop-timeout is
    assert counts(it).running == 1
    it.advance(0.2)
    assert it.exit() == 0


def test_stop_now_ends_all_at_once():
    it = accepting("-n 4 --stop-timeout 1h", *STAY)
    callers = Callers(3).heard(3)
    it.verb("stop", "--now").ok()
    assert it.exit() == 0
    assert len(callers.said) == 3


def test_restart_new_connections_get_the_new_generation_old_ones_their_time():
    it = accepting("-n 8 --drain-timeout 1h", *STAY, clock=True)
    callers = Callers(1).heard(1)
    it.call("restart")
    new = Callers(1).heard(1)
    assert [(w.slot, w.generation) for w in it.workers()] == [(0, 1), (1, 2)]
    it.advance(3599)
    assert len(callers.lines()) == 1
    it.advance(1.5)
    assert callers.heard(2).said[1].endswith(" TERM")
    assert len(new.lines()) == 1
    for wrong in ({"target": "it.0"}, {"canary": 1}):  # such restarts there are not
        is_refused("", it.call, "restart", **wrong)


def test_restart_reload_scale_and_upgrade_under_load_nothing_is_lost():
    def ini(workers):
        return section("it", tell, "accept = yes", "listen = 127.0.0.1:8000", workers=workers,
                       ready=None)

    tell = script("tell", TELL)
    it = cluster(ini=ini(6))
    load = Visits(PORT, "--say", "bye\n", "--want", "ok", "--clients", 6)
    load.more()
    it.call("restart")
    it.call("scale", count=2)
    it.reload(ini(4) + "env = ONE=1\n")
    assert counts(it).limit == 4
    load.more()
    it.call("upgrade")
    load.more()
    it.call("restart")
    load.more()
    got = load.end()
    assert (got.refused, got.lost, got.late) == (0, 0, 0)
    served(it, 0, served=got.answered, exits={"0": got.answered})


def test_a_cluster_that_was_stopped_can_be_started_again():
    it = cluster(ini=f"[cluster:one]\ncommand = {script('tell', TELL)}\naccept = yes\n"
                 "listen = 8000\n" + section("two", "sleep 1000", workers=1, ready="alive:1ms"))
    for method, more in (("scale", {"count": 3}), ("restart", {})):
        it.call("stop", target="one")
        assert it.cluster("one").state == "stopped"
        it.call(method, target="one", **more)
        assert it.cluster("one").state == "running"
        assert once().startswith("ok ")
    # whether it accepts is for a restart of nclust
    write("it.ini", read("it.ini").replace("accept = yes", "accept = no"))
    is_refused("'accept' can only change with a restart of nclust", it.call, "reload")
    assert once().startswith("ok ")


def test_upgrade_carries_who_is_served_until_when_and_what_was_counted():
    it = accepting("-n 2 --accept-timeout 1h", clock=True)
    Callers(1).heard(1).leave()
    served(it, 0)
    callers = Callers(3).heard(2)
    served(it, 2)
    before = [(w.slot, w.pid, w.peer) for w in it.workers()]
    it.advance(3000)
    it.call("upgrade")
    assert [(w.slot, w.pid, w.peer) for w in it.workers()] == before
    assert (counts(it).served, counts(it).exits) == (3, {"0": 1})
    it.advance(590)
    assert len(callers.lines()) == 2
    it.advance(10.5)  # their time has gone on; then the third has its turn
    callers.heard(3)
    assert counts(it).timed_out == 2


def test_signals_go_to_one_process_to_the_next_or_to_all_and_so_does_job_control():
    it = accepting("-n 4", *STAY)
    callers = Callers(2).heard(2)
    it.verb("signal", "USR1", target="it.1").ok()
    assert callers.heard(3).said[2].startswith("slot=1 ")
    it.call("signal", signal="USR1", all=True)
    callers.heard(5)
    it.call("signal", signal="USR1")
    callers.heard(6)
    is_refused("", it.call, "signal", target="it.3", signal="USR1")
    pid = it.worker().pid
    kill(it.pid, SIGTSTP)
    wait(lambda: is_stopped(pid) and is_stopped(it.pid))
    kill(it.pid, SIGCONT)
    wait(lambda: not is_stopped(pid))


# ---- faults ----

def test_a_process_killed_by_a_signal_is_counted_told_and_nobody_elses_matter():
    it = accepting("-n 6")
    callers = Callers(3).heard(3)
    load = Visits(PORT, "--say", "bye\n", "--want", "ok")
    for line in callers.said:
        load.more()
        kill(int(line.partition("pid=")[2]), SIGSEGV)
    load.more()
    load.loses_nothing()
    it.logged("killed by SIGSEGV")
    served(it, 0)
    assert counts(it).exits["SIGSEGV"] == 3
    assert it.cluster().state == "running"


@pytest.mark.leaks  # strace traces nclust
def test_no_process_to_be_had_the_connection_waits_and_is_served():
    it = accepting("-n 4")
    begin_program("strace", "-qq", "-o", path("trace"), "-p", it.pid,
                  "-e", "trace=clone,clone3,vfork,recvfrom,recvmsg",
                  "-e", "inject=clone,clone3,vfork:error=EAGAIN:when=1..3")
    wait(lambda: it.status() and read("trace"), "strace is attached")
    assert once().startswith("ok ")
    it.logged("no more connections for the moment: Resource temporarily")
    assert (counts(it).not_started, counts(it).served) == (0, 1)


def test_out_of_descriptors_nobody_is_lost_and_nothing_spins():
    it = accepting("-n 100", under=("prlimit", "--nofile=48:48"), clock=True)
    lab.clock.flow()
    callers = Callers(60)
    it.logged("no more connections for the moment: Too many open files")
    assert counts(it).paused
    lab.clock.stand()
    it.advance(0.2)  # to the beginning of a pause: near its end it would wake up for that
    assert not it.spins()
    lab.clock.flow()
    callers.leave()
    served(it, 0, served=60, not_started=0)
    assert once().startswith("ok ")


# ---- nclust is killed ----

def test_with_orphans_keep_they_go_on_and_so_does_the_queue():
    it = accepting("-n 2 --orphans keep", *STAY)
    it.kill()  # who comes while nobody is served is not lost
    callers = Callers(3)
    it = accepting("-n 2 --orphans keep", *STAY)
    callers.heard(2)
    before = pids_of(it)
    it.kill()
    assert all(map(is_alive, before.values()))
    it = accepting("-n 2 --orphans keep", *STAY)
    assert pids_of(it) == before
    assert counts(it).running == 2
    kill(before[0])
    callers.heard(3)  # the third has waited all the time
