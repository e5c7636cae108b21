# SPDX-License-Identifier: MIT
"""Privilege: what workers have left of it, and what nobody can make nclust do.  (Users,
capabilities, limits and the environment as settings: workers/test_environment.py.)"""
import grp
import re
import shutil
import signal
import stat as modes

from harness import *


def refused(status, says, *words, under=(), **more):
    """A start fails so, and nothing has run."""
    result = run(*under, more.pop("program", inside(PROGRAM)), "--name", "it", *words, **more)
    statuses = status if isinstance(status, tuple) else (status,)
    assert result.status in statuses and says in result.err, repr(result)
    assert not os.path.exists("ran")
    return result


def touch():
    return "--", "touch", path("ran")


# ---- dropping ----

REGAINS = """
import os, socket, time
for how in (lambda: os.setuid(0), lambda: os.setresuid(0, 0, 0), lambda: os.setgid(0),
            lambda: os.setgroups([0])):
    try:
        how()
        print("regained", flush=True)
    except PermissionError:
        print("denied", flush=True)
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
time.sleep(1000)"""


def test_a_worker_of_another_user_has_nothing_of_root_left_for_good():
    need_root()
    # what nclust itself has must not stay: a group more
    it = cluster("-n 1 --ready notify --user nobody --log inherit", "python3", "-c", REGAINS,
                 under=("setpriv", "--groups=0,4711"))
    status = read(f"/proc/{it.worker().pid}/status")
    gid = grp.getgrnam("nogroup").gr_gid
    for line in ("Uid:" + 4 * "\t65534", "Gid:" + 4 * f"\t{gid}", f"Groups:\t{gid} ",
                 *(f"{kind}:\t0000000000000000" for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"))):
        assert f"{line}\n" in status, status
    assert it.log().count("denied") == 4 and "regained" not in it.log()


def test_the_groups_are_those_of_the_user_and_the_group_that_was_asked_for():
    need_root()
    write("group", re.sub("^(audio:.*:)$", r"\1nobody", read("/etc/group"), flags=re.M))
    run("mount", "--bind", "group", "/etc/group").ok()
    leak("--user nobody --group '#4712'")
    assert born().gid == 4712
    assert sorted(born().groups) == sorted([grp.getgrnam("audio").gr_gid, 4712])


@pytest.mark.parametrize("user", ("0day", "1000", "0", "-1", "#-1", "#4294967295", "#x", "#", "",
                                  "nosuchuser"))
def test_what_only_looks_like_a_user_is_refused(user):
    need_root()
    refused((64, 78), "user", "-n", 1, f"--user={user}", *touch())


def test_what_looks_like_a_capability_and_an_id_without_a_group_are_refused():
    need_root()
    for word in ("net_bind_servize", "all", "99", "cap_"):
        refused((64, 78), "capabilities", f"--capabilities={word}", *touch())
    refused(64, "group", "--user", "#4242", *touch())


@pytest.mark.leaks
@pytest.mark.parametrize("call", ("setresuid", "setresgid", "setgroups"))
def test_a_drop_that_fails_means_no_worker_never_one_that_is_root(call):
    need_root()
    result = refused((1, 126, 71), "cannot ", "-n", 1, "--user", "nobody", "--give-up", "2/1m",
                     "--backoff-min", "1ms", *touch(), under=(
                         "strace", "-f", "-o", path("trace"), "-e", f"trace={call}", "-e",
                         f"inject={call}:error=EAGAIN"))
    assert "temporarily unavailable" in result.err and "INJECTED" in read("trace")


def copy(mode=0o755):
    shutil.copy(inside(PROGRAM), "nclust")
    os.chmod("nclust", mode)
    return path("nclust")


@pytest.mark.unsanitized
@pytest.mark.parametrize("mode", (0o4755, 0o2755))
def test_a_setuid_or_setgid_nclust_does_nothing(mode):
    need_root()
    refused(77, "setuid", "-n", 1, *touch(), under=AS_NOBODY, program=copy(mode))
    assert run(*AS_NOBODY, "./nclust", "status").status == 77


def test_with_file_capabilities_it_believes_neither_the_environment_nor_a_state():
    need_root()
    run(need("setcap"), "cap_net_bind_service+ep", copy()).ok()
    make("theirs", 65534)
    theirs = {name: path("theirs") for name in ("NCLUST_RUNTIME_DIR", "XDG_RUNTIME_DIR")}
    run(*AS_NOBODY, "./nclust", "--name", "it", "-n", 1, "--restart", "never", "--", "true",
        env={**os.environ, **theirs})
    assert not os.listdir("theirs")
    run(*AS_NOBODY, "./nclust", "--check-state", 0).fails(65, "file capabilities")


# ---- nobody's shell ----

def test_a_command_is_split_into_words_and_no_shell_ever_sees_it():
    os.mkdir("born")
    words = '"; touch ran" "$(touch" ran) "`touch" "ran`" "|touch" "&&" ">" \'$HOME\' * ~'
    cluster(ini=f"[cluster]\nworkers = 1\nready = notify\n"
                f"command = {fixture('leak')} --notify --to {path('born/0')} {words}\n")
    assert born().argv[4:] == ["; touch ran", "$(touch", "ran)", "`touch", "ran`", "|touch", "&&",
                               ">", "$HOME", "*", "~"]
    assert not os.path.exists("ran")


EVIL = "%n%s%x%5000d%1$n"


def test_format_strings_are_text_in_commands_names_environment_and_status():
    for words in (["-n", 1, "--", path(EVIL)], ["status", EVIL], [EVIL], ["-c", path(EVIL)],
                  [f"--name={EVIL}", "--", "true"]):
        result = run(inside(PROGRAM), *words)
        assert result.status in (64, 78, 127) and EVIL in result.err, repr(result)
    refused(78, EVIL, "-c", write("it.ini", f"[cluster]\n{EVIL} = {EVIL}\ncommand = x\n"))
    it = cluster(f"-n 1 --ready notify --env A={EVIL} -l unix:{path(EVIL)}", NOTIFY,
                 rf"READY=1\nSTATUS={EVIL}\nERRNO=2", EVIL)
    assert os.path.exists(EVIL)
    assert it.worker().status == EVIL
    assert it.cluster().command[2] == EVIL
    assert EVIL in it.verb("status").ok() and f"A={EVIL}" in it.verb("config").ok()


# ---- files ----

def test_a_pidfile_is_written_by_rename_removed_at_the_end_and_links_are_refused():
    write("target", "precious")
    os.symlink("target", "pid")
    refused(1, path("pid"), "-n", 1, "--pidfile", path("pid"), *touch())
    os.unlink("pid")
    os.link("target", "pid")  # one that is there is not written into
    it = cluster(f"-n 1 --ready alive:0 --pidfile {path('pid')}", *NAP)
    assert read("pid") == f"{it.pid}\n" and read("target") == "precious"
    assert modes.S_IMODE(os.stat("pid").st_mode) == 0o644
    refused(75, "already running", "-n", 1, "--pidfile", path("pid"), *touch())
    assert read("pid") == f"{it.pid}\n"
    it.stop()
    assert not os.path.exists("pid") and read("target") == "precious"
    refused(1, path("nothing"), "-n", 1, "--pidfile", path("nothing/pid"), *touch())
    make("open", mode=0o777)
    refused(1, path("open"), "-n", 1, "--pidfile", path("open/pid"), *touch())
    assert not os.listdir("open")


@pytest.mark.leaks
def test_owner_and_mode_are_never_changed_by_a_path_and_a_pidfile_is_not_read_back():
    need_root()
    run("strace", "-f", "-o", path("trace"), "-e", "trace=open,openat,chmod,chown,lchown,fchmodat,"
        "fchownat,setxattr", inside(PROGRAM), "--name", "it", "-n", 1, "--restart", "never",
        "--ready", "alive:0", "--control-group", "#4711", "--user", "nobody", "--pidfile",
        path("pid"), "-l", f"unix:{path('sock')}, mode=0660, owner=nobody, group=#4711",
        "--", "true").ok()
    for line in lines("trace"):
        assert not re.search(r" (l?chown|chmod|setxattr)\(", line), line
        assert not re.search(r" (fchmodat|fchownat)\(AT_FDCWD", line), line
        assert not re.search(r'/pid".*O_RD(ONLY|WR)', line), line


# ---- signals ----

def test_it_has_no_signal_handlers_and_a_storm_does_not_stop_it():
    it = cluster("-n 2 --ready notify --stop-signal KILL", fixture("deaf"), "--notify")
    pids = it.pids()
    for i in range(3000):
        kill(it.pid, (SIGUSR1, SIGUSR2, signal.SIGPIPE, signal.SIGWINCH, signal.SIGCHLD,
                      signal.SIGALRM, signal.SIGRTMIN + 3)[i % 7])
    assert it.pids() == pids and it.cluster().ready == 2
    assert "SigCgt:\t0000000000000000\n" in read(f"/proc/{it.pid}/status")
