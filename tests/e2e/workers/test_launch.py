# SPDX-License-Identifier: MIT
"""Between the command line and the first worker: commands that cannot be run, callers with odd
habits, and how many CPUs there are."""
import json
import re
import shutil

from harness import *
from harness.trace import traced


def refused(status, *args, says=(), **options):
    """It ends so, says why on one line, and leaves nothing."""
    result = nclust("--name it", *args, **options)
    result.fails(status, *says)
    assert len(result.err.splitlines()) == 1
    assert os.listdir("run") == []
    assert living() == []


# ---- the command ----

@pytest.mark.parametrize("command, status, says", (
    ("{}/absent", 127, ("{}/absent", "No such file or directory")),
    ("no-such-command-anywhere", 127, ("cannot find 'no-such-command-anywhere' in PATH",)),
    ("cd dir", 127, ("no shell runs this: try sh -c 'cd ...', or --directory",)),
    ("PORT=80 ./server", 127, ("no shell runs this: try env PORT=80 COMMAND",)),
    ("/etc/passwd/x", 127, ("Not a directory",)),
    ("{}", 126, ("{}", "directory")),
    ("{}/plain", 126, ("{}/plain", "Permission denied")),
    ("{}/bare", 126, ("{}/bare", "Exec format error", "#!")),
    ("bare", 126, ("bare", "Exec format error", "#!")),  # by PATH
    ("{}/bad", 126, ("{}/bad", "interpreter", "/nonexistent/interpreter")),
))
def test_what_cannot_be_run_is_told_and_ends_with_the_status_of_a_shell(command, status, says):
    write("plain", "echo hello\n", 0o644)
    write("bare", f"echo ran >{path('ran')}\n", 0o755)
    write("bad", "#!/nonexistent/interpreter\n", 0o755)
    refused(status, "-n 3 --", *command.format(path()).split(), says=[s.format(path()) for s in says],
            env={**os.environ, "PATH": f"{path()}:{os.environ['PATH']}"})
    assert not os.path.exists("ran")  # nor is a script without #! given to a shell


def test_a_program_that_vanishes_later_is_waited_for_and_its_slot_kept():
    shutil.copy(SERVE, "serve")
    it = cluster("-n 2 -l 8000 --ready notify", path("serve"), "--notify")
    os.rename("serve", "away")
    kill(it.worker(0).pid)
    it.logged(f"cannot execute '{path('serve')}': No such file", 4)
    assert not it.says("only one copy can run")
    os.rename("away", "serve")
    it.event("ready", slot=0, n=2)


@pytest.mark.parametrize("order", (1, -1), ids=("first", "second"))
def test_a_port_in_use_ends_it_at_once_and_no_worker_was_started(order):
    cluster("-n 1 -l 8000 --ready notify", SERVE, "--notify")
    own = path("other.sock")
    other = nclust("--name other", *["-l 127.0.0.1:8000", f"-l unix:{own}"][::order],
                   "-- touch ran")
    other.fails(1, "127.0.0.1:8000", "Address already in use")
    assert len([s for s in other.err.splitlines() if "listening on" not in s]) == 1
    assert not os.path.exists("ran")
    assert not os.path.exists(own)
    assert get().slot == 0


def test_a_privileged_port_names_the_reason_and_the_ways_out():
    need_root()
    refusal = run(*AS_NOBODY, inside(PROGRAM), "--runtime-directory", make("theirs", 65534),
                  "-l", "127.0.0.1:80", "--", "touch", path("theirs/ran"))
    refusal.fails(1, "127.0.0.1:80", "ermission denied", "ip_unprivileged_port_start")
    assert len(refusal.err.splitlines()) == 1
    assert not os.path.exists("theirs/ran")


def test_no_words_at_all_are_no_reason_to_crash():
    assert run("python3", "-c", """
import ctypes, sys
nothing = (ctypes.c_char_p * 1)(None)
ctypes.CDLL(None).execve(sys.argv[1].encode(), nothing, nothing)
sys.exit(99)""", inside(PROGRAM)).status == 64


# ---- the caller ----

def test_blocked_and_ignored_signals_of_the_caller_reach_neither_nclust_nor_workers():
    it = leak(under=("python3", "-c", """
import os, signal, sys
every = set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}
for s in every:
    signal.signal(s, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, every)
os.execv(sys.argv[1], sys.argv[1:])"""))
    worker = born()
    assert (worker.blocked, worker.ignored, worker.caught) == ([], [], [])
    kill(worker.pid)
    it.event("ready", n=2)
    kill(it.pid, SIGTERM)
    assert it.exit() == 0


def numbers_of(slot=0):
    return [d.fd for d in born(slot).fds]


def test_descriptors_that_the_caller_left_open_reach_neither_workers_nor_nclust():
    held = [os.open("/etc/passwd", os.O_RDONLY), os.open(path(), os.O_RDONLY)]
    leaked = os.open("leaked", os.O_CREAT | os.O_RDWR)
    os.dup2(leaked, 200)
    it = leak(pass_fds=[*held, leaked, 200])
    assert numbers_of() == [0, 1, 2]
    assert not {path("leaked"), "/etc/passwd"} & set(descriptors(it.pid).values())


def test_nothing_of_nclusts_own_leaks_whatever_a_worker_is_born_for():
    it = leak(f"-n 2 -l 8000 --pidfile {path('pid')} --log prefix")
    it.reborn(0)
    it.call("scale", count=150)
    for slot in (0, 1, 2, 50, 100, 149):
        assert numbers_of(slot) == [0, 1, 2, 3]
    it.reborn(149)  # a slot whose number is above those of descriptors
    assert numbers_of(149) == [0, 1, 2, 3]
    it.call("scale", count=2)
    it.call("restart")
    for slot in (0, 1):
        assert numbers_of(slot) == [0, 1, 2, 3]
        assert not any(d.cloexec for d in born(slot).fds)


@pytest.mark.parametrize("way", ("words", "file"))
def test_standard_descriptors_closed_by_the_caller_are_dev_null(way):
    closed = ("sh", "-c", 'exec "$@" <&- >&- 2>&-', "-")
    if way == "words":
        leak("-l 8000 --log inherit", under=closed)
    else:
        os.mkdir("born")
        cluster(under=closed, ini=section("it", f"{fixture('leak')} --notify --to {path('born')}/0",
                                          "listen = 8000", "log = inherit", workers=1))
    told = born().fds
    assert [d.target for d in told[:3]] == ["/dev/null"] * 3
    assert [d.fd for d in told] == [0, 1, 2, 3]
    assert told[3].target.startswith("socket:")


def test_what_other_supervisors_say_in_the_environment_stays_out():
    leak(env={"LISTEN_FDS": "2", "LISTEN_PID": "1", "LISTEN_FDNAMES": "a:b",
              "NOTIFY_SOCKET": path("absent"), "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1",
              "NCLUST_SLOT": "77", "NCLUST_CHANNEL_FD": "9", "SERVER_STARTER_PORT": "80=5",
              "EINHORN_FD_0": "5", "INVOCATION_ID": "abc", "KEPT": "yes"})
    env = born().env
    assert (env.KEPT, env.NCLUST_SLOT) == ("yes", "0")
    assert env.NOTIFY_SOCKET != path("absent")
    assert not [name for name in env if re.search(
        "LISTEN_|WATCHDOG_|STARTER|EINHORN|CHANNEL|INVOCATION", name)]
    assert numbers_of() == [0, 1, 2]


def test_umask_limits_niceness_and_oom_score_of_the_caller_are_passed_on():
    need_root()
    it = leak(under=("sh", "-c", """
        umask 0137; ulimit -c 0; ulimit -Sn 777; ulimit -Hn 4321; ulimit -Ss 4096
        echo 321 >/proc/$$/oom_score_adj
        exec nice -n 7 "$@\"""", "-"))
    worker = born()
    assert (worker.umask, worker.nice) == ("0137", min(os.nice(0) + 7, 19))
    assert worker.limits.core == [0, 0]
    assert worker.limits.nofile == [777, 4321]
    assert worker.limits.stack[0] == 4096 * 1024
    assert read(f"/proc/{worker.pid}/oom_score_adj") == "321\n"
    # it could be lowered again for nclust alone, as it had been raised
    assert read(f"/proc/{it.pid}/oom_score_adj") == "71\n"
    # nclust has raised its own, for it holds descriptors for each worker
    assert re.search(r"Max open files +4321 ", read(f"/proc/{it.pid}/limits"))


def test_where_proc_is_read_only_the_oom_score_stays():
    need_root()
    leak(under=("unshare", "--mount", "sh", "-c",
                'mount --bind /proc /proc && mount -o remount,bind,ro /proc && exec "$@"', "-"))
    assert read(f"/proc/{born().pid}/oom_score_adj") == read("/proc/self/oom_score_adj")


def test_a_directory_that_was_deleted_no_home_and_no_passwd_entry_do_no_harm():
    need_root()
    os.chown("run", 54321, 54321)
    leak(under=("sh", "-c", 'mkdir gone && cd gone && rmdir ../gone && exec env -u HOME '
                '-u XDG_RUNTIME_DIR setpriv --reuid 54321 --regid 54321 --clear-groups "$@"', "-"))
    worker = born()
    assert (worker.uid, worker.gid) == (54321, 54321)
    assert worker.cwd != "/"


# ---- how many CPUs ----

CPUS = len(os.sched_getaffinity(0))


@pytest.mark.parametrize("number, under, wanted", (
    ("auto", ("taskset", "-c", min(os.sched_getaffinity(0))), 1),
    ("2x", (), 2 * CPUS),
    ("auto-9999", (), 1),
    ("auto", ("unshare", "-m", "sh", "-c", 'mount -t tmpfs none /sys && exec "$@"', "-"), CPUS),
), ids=("auto", "2x", "auto-9999", "no-sys"))
def test_auto_is_the_cpus_that_affinity_allows(number, under, wanted):
    if "unshare" in under:
        need_root()
    assert cluster(f"-n {number} --ready alive:1ms", *NAP, under=under).cluster().wanted == wanted


def test_auto_follows_the_quota_of_its_control_group_and_its_affinity(make_group):
    if CPUS < 2:
        pytest.skip("needs 2 CPUs")
    group = make_group("cpu")
    group.set("cpu-max", 100)
    it = cluster(ini="".join(
        section(name, "sleep 1000", workers=workers, ready="alive:1ms") for name, workers in (
            ("web", "2x"), ("job", "auto"), ("load", "1..auto*3"))), under=group.under)
    assert [c.wanted for c in it.status().clusters] == [2, 1, 1]
    it.call("scale", target="job", count=3)
    group.set("cpu-max", 200)
    scaled = it.event("scaled", cluster="web")
    assert (scaled.count, scaled.reason, scaled.measure) == (4, "cpus", 2)
    assert "scaled to 4 workers: the CPUs to use have changed (now 2)" in scaled.text
    it.wait(lambda: it.cluster("load").autoscale.max == 6)
    assert it.cluster("job").wanted == 3  # a number by hand stays

    os.sched_setaffinity(it.pid, {min(os.sched_getaffinity(0))})  # there is no event for this
    it.call("reload")
    assert it.cluster("web").wanted == 2
    os.sched_setaffinity(it.pid, os.sched_getaffinity(0))
    it.call("upgrade")  # counts, too
    it.wait(lambda: it.cluster("web").wanted == 4)
    group.set("cpu-max", 50)
    it.wait(lambda: it.cluster("web").wanted == 2 and it.cluster("load").autoscale.max == 3)


# ---- a server that binds for itself ----

BINDS = '"$0" 8000'


@pytest.mark.parametrize("command, says", (
    (BINDS, "Address already in use; it binds the address itself"),
    # another failure is no reason to say so where the output is known
    ("echo no disk >&2; exit 1", "last output: no disk"),
))
def test_who_binds_the_port_itself_is_told_to_take_his_socket_from_outside(command, says):
    it = nclust("--name it -n 2 -l 8000 --intercept off --restart never --log prefix -- sh -c",
                f"'{command}'", fixture("bind-itself"))
    assert it.status == 1
    assert it.err.count(says) == 2
    assert ("LISTEN_FDS" in it.err) == (command == BINDS)


@pytest.mark.unsanitized
@pytest.mark.parametrize("under, says", (
    (("unshare", "-m", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "-"),
     "/proc cannot be read: No such file or directory; nclust needs this namespace's: mount -t"),
    (("unshare", "-p", "-f"), "/proc is that of another PID namespace; nclust needs this"),
    (("strace", "-o", "/dev/null", "-e", "inject=prctl:error=EINVAL"),
     "child subreaper cannot be had: Invalid argument; an emulator (qemu-user) runs"),
    (("qemu-x86_64-static",), "Invalid argument; an emulator (qemu-user) runs this program"),
    # as gVisor does, whose kernel calls itself 4.4
    (("setarch", "--uname-2.6"), "; nclust needs Linux 5.10 or later, and no sandbox in its place"),
))
def test_what_it_cannot_run_without_ends_the_start_and_doctor_has_it(under, says):
    need_root()
    if shutil.which(under[0]) is None:
        pytest.skip(f"no {under[0]}")
    result = run(*under, inside(PROGRAM), "-n", "auto", "--name", "it", "--", *NAP)
    assert result.status == 71
    assert says in result.err and len(result.err.splitlines()) == 1
    doctor = run(*under, inside(PROGRAM), "doctor", "--json")
    assert doctor.status == 1
    bad = [f for f in json.loads(doctor.out)["facts"] if f["mark"] == "bad"]
    assert any(says in f"{f['name']} {f['found']}; {f['does']}" for f in bad), bad


# ---- what a start costs ----

@pytest.mark.leaks
@pytest.mark.parametrize("options, others", (
    ("-n 2 -l 8000 --log inherit", 1),  # makes a directory
    ("-n 1 --log prefix", 2),  # and a logger, for which no worker waits
))
def test_a_start_takes_few_processes_before_its_first_worker(options, others):
    it = start(f"{options} --ready alive:1ms", *NAP, under=traced("-e", "trace=clone"))
    first = it.event("started").pid
    it.event("all-ready")
    born = re.findall(r"= (\d+)$", read("trace"), re.M)
    assert born.index(str(first)) <= others
