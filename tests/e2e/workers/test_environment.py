# SPDX-License-Identifier: MIT
"""What a worker is born into: variables, words, descriptors, session, user, limits, directory."""
import grp
import pwd
import re
import shutil

from harness import *
from harness.terminal import Terminal


# ---- the socket ----

def test_a_program_of_each_dialect_finds_the_socket():
    cluster("-n 3 -l 8000 --ready notify", "sh", "-c",
            'shift "$NCLUST_SLOT"; exec "$0" --notify --from "$1"', SERVE, "listen", "einhorn",
            "starter")
    assert get().pid


def test_every_dialect_tells_of_the_socket():
    it = leak("-n 2 -l '127.0.0.1:8000, name=http'")
    for slot in (0, 1):
        worker = born(slot)
        for name, value in {
                "LISTEN_FDS": 1, "LISTEN_PID": worker.pid, "LISTEN_FDNAMES": "http",
                "SERVER_STARTER_PORT": "127.0.0.1:8000=3", "SERVER_STARTER_GENERATION": 1,
                "EINHORN_FD_COUNT": 1, "EINHORN_FD_0": 3, "EINHORN_MASTER_PID": it.pid,
                "EINHORN_CHILD_INDEX": slot, "PORT": 8000}.items():
            assert worker.env[name] == str(value), name


@pytest.mark.parametrize("chosen, names, descriptors", (
    ("systemd port", ["LISTEN_FDNAMES", "LISTEN_FDS", "LISTEN_PID", "PORT"], [0, 1, 2, 3]),
    ("none", [], [0, 1, 2, 3]),
    ("stdin", [], [0, 1, 2]),
))
def test_pass_chooses_the_dialects(chosen, names, descriptors):
    leak(f"-l 127.0.0.1:0 --pass '{chosen}'")
    told = born()
    assert sorted(filter(re.compile("LISTEN_|SERVER_STARTER|EINHORN|PORT$").match,
                         told.env)) == names
    assert [d.fd for d in told.fds] == descriptors
    assert [d.fd for d in told.fds if d.target.startswith("socket:")] == [
        0 if chosen == "stdin" else 3]


def test_a_server_on_stdin_serves_after_a_restart_too():
    it = cluster("-n 2 -l 8000 --pass stdin --ready notify", SERVE, "--from", "stdin", "--notify")
    it.call("restart")
    assert get().part("gen") == "2"


@pytest.mark.parametrize("options, wrapped", (
    ("--listen-pid=no", '"$0" --notify --from listen & wait'),
    ("--listen-pid=no", '"$1" exec -- sh -c "test \\$LISTEN_PID = \\$\\$ && '
     'exec $0 --notify --from listen" & wait'),
    ("", '"$1" exec -- "$0" --notify --from listen & wait'),  # becomes the one that LISTEN_PID names
))
def test_a_program_behind_a_wrapper_has_the_socket(options, wrapped):
    it = cluster(f"-n 1 -l 8000 {options} --ready notify", "sh", "-c", wrapped, SERVE,
                 inside(PROGRAM))
    assert get().pid != it.worker().pid


@pytest.mark.parametrize("options, env, port", (
    ("-l 8000 -l unix:s", {}, "8000"),
    ("-l 8000 -l 8001,name=b", {}, None),
    ("-l 8000 --env PORT=mine", {}, "mine"),
    ("-l 8000", {"PORT": "theirs"}, "theirs"),
))
def test_port_is_set_where_there_is_one_and_never_over_the_users(options, env, port):
    leak(options.replace("unix:s", f"unix:{path('s')}"), env=env)
    assert born().env.get("PORT") == port


@pytest.mark.parametrize("value", ("", "mine"))
def test_what_the_user_sets_counts_and_not_what_nclust_would_add(value):
    write("file", f"NODE_APP_INSTANCE={value}\n")
    leak(f"-l 8000 --env PORT={value} --env-file {path('file')}")
    assert (born().env.PORT, born().env.NODE_APP_INSTANCE) == (value, value)
    assert read("born/0").count("NODE_APP_INSTANCE") == 1  # of two, programs take the first


# ---- other variables, and the words ----

def test_a_worker_knows_its_slot_its_cluster_and_its_generation():
    os.mkdir("born")
    it = cluster(ini=section("web", f"{fixture('leak')} --notify --to {path('born')}/{{slot}}"))
    for generation in ("1", "2"):
        for slot in ("0", "1"):
            env = born(slot).env
            assert (env.NCLUST_NAME, env.NCLUST_CLUSTER, env.NCLUST_WORKERS) == ("it", "web", "2")
            assert (env.NCLUST_SLOT, env.NODE_APP_INSTANCE) == (slot, slot)
            assert env.NCLUST_GENERATION == generation
            assert Control(env.NCLUST_SOCKET).hello.pid == it.pid
        assert born(0).env.NOTIFY_SOCKET != born(1).env.NOTIFY_SOCKET
        it.call("restart")


def test_templates_in_the_command_are_replaced_other_braces_left_alone():
    it = leak(f"-n 2 -l '8000, name=http' -l 'unix:{path('s')}, name=adm'",
              "{slot}", "a{slot}b{port}", "{fd:http}", "{fd:adm}", "{name}", "{other}", "{", "}",
              "{{slot}}", '{"json":1}', "{}", "${slot}")
    assert born(1).argv[4:] == ["1", "a1b8000", "3", "4", "it", "{other}", "{", "}", "{1}",
                                '{"json":1}', "{}", "$1"]
    it.stop()
    leak("-l 8000", "{fd}")
    assert born().argv[4] == "3"
    nclust("-l 8000 -- true {fd:nothing}").fails(64, "{fd:nothing}")
    nclust("-- true {port}").fails(64, "{port}")


def test_env_env_file_which_each_restart_reads_anew_and_clear_env():
    write("vars", "# a comment\nFROM_FILE=1\nQUOTED=\"two\nlines\" # one\nBOTH=file\n\nEMPTY=\n")
    it = leak("--env-file vars --env BOTH=option --env 'A=x = \"y\"'", env={"MINE": "yes"})
    env = born().env
    assert [env[name] for name in ("FROM_FILE", "QUOTED", "BOTH", "EMPTY", "A", "MINE")] == [
        "1", "two\nlines", "option", "", 'x = "y"', "yes"]
    write("vars", "FROM_FILE=2\n")
    it.call("restart")
    assert born().env.FROM_FILE == "2"
    it.stop()

    leak("--clear-env --env ONLY=this", env={"MINE": "yes"})
    env = born().env
    assert (env.get("MINE"), env.get("PATH"), env.ONLY, env.NCLUST_SLOT) == (
        None, None, "this", "0")


@pytest.mark.parametrize("file, says", (
    ("bad", "bad:3: wanted KEY=VALUE"), ("absent", "No such file"), ("/dev/zero", "/dev/zero")))
def test_an_env_file_with_a_mistake_or_none_starts_nothing(file, says):
    write("bad", "A='1\n2'\nnonsense\n")
    nclust("--env-file", file, "--", "touch", path("ran")).fails(78, says)
    assert not os.path.exists("ran")


def test_path_is_searched_as_the_workers_environment_has_it():
    os.mkdir("bin")
    os.symlink(HEAR, "bin/only-here")
    cluster(f"-n 1 --env PATH={path('bin')} --ready notify", "only-here", "--notify")


# ---- process attributes ----

def of_status(pid, key):
    return re.search(rf"^{key}:\s*(.*)$", read(f"/proc/{pid}/status"), re.M).group(1)


def test_a_worker_leads_its_own_session_and_process_group_and_inherits_the_rest():
    it = leak("-n 2")
    for slot in (0, 1):
        worker = born(slot)
        assert worker.pid == worker.sid == worker.pgid
        assert worker.ppid == it.pid
        assert worker.cpus == sorted(os.sched_getaffinity(0))
        assert worker.no_new_privs == int(of_status("self", "NoNewPrivs"))


@pytest.mark.parametrize("log", ("prefix", "inherit"))
def test_a_terminal_with_tostop_stops_neither_the_workers_nor_nclust(log):
    terminal = Terminal()
    it = cluster(f"-n 1 --ready notify --log {log}", "sh", "-c",
                 'while :; do echo still here; sleep 0.01; done & exec "$0" --notify', HEAR,
                 under=("bash", "-mc", 'stty tostop; "$@" & wait', "-"), **terminal.streams)
    terminal.wait(lambda: terminal.said.count("still here") >= 5)
    assert "stopped" not in it.worker() and not is_stopped(it.pid)
    assert descriptors(it.worker().pid)[0] == "/dev/null"


def test_directory_umask_niceness_limits_and_no_new_privs_are_as_asked_for():
    os.mkdir("home")
    leak(f"--directory {path('home')} --umask 027 --nice 5 --limit-nofile 100:200 --limit-core 0 "
         "--limit-stack 4M:8M --no-new-privs")
    worker = born()
    assert (worker.cwd, worker.umask, worker.nice) == (path("home"), "0027", 5)
    assert worker.no_new_privs == 1
    limits = worker.limits
    assert (limits.nofile, limits.core, limits.stack) == ([100, 200], [0, 0], [4 << 20, 8 << 20])


def test_a_user_has_all_groups_of_its_own_and_none_of_ours_and_no_way_back():
    need_root()
    it = leak("--user daemon")
    worker, daemon = born(), pwd.getpwnam("daemon")
    assert (worker.uid, worker.gid) == (daemon.pw_uid, daemon.pw_gid)
    assert sorted(worker.groups) == sorted(os.getgrouplist("daemon", daemon.pw_gid))
    assert int(worker.capabilities, 16) == 0
    assert (worker.env.HOME, worker.env.USER) == (daemon.pw_dir, "daemon")
    it.stop()
    it = leak("--user '#54321' --group mail")
    assert (born().uid, born().gid) == (54321, grp.getgrnam("mail").gr_gid)
    assert of_status(it.worker().pid, "Uid").split() == ["54321"] * 4


def test_a_worker_of_another_user_gets_a_privileged_port_from_nclust():
    need_root()
    cluster("-n 1 -l 127.0.0.1:80 --user daemon --ready notify", SERVE, "--notify")
    assert get(port=80).pid


def test_who_is_not_root_cannot_have_another_user_but_himself():
    need_root()
    ran = f"{make('theirs', 65534)}/ran"

    def as_nobody(*words):
        return run("setpriv", "--reuid", "nobody", "--regid", "nogroup", "--init-groups",
                   inside(PROGRAM), "--runtime-directory", path("theirs"), *words)

    refused = as_nobody("--user", "daemon", "--", "touch", ran)
    refused.fails(77, "'user' requires root with CAP_SETUID", "sudo")
    assert len(refused.err.splitlines()) == 1
    assert not os.path.exists(ran)
    as_nobody("-n", 1, "--user", "nobody", "--group", "nogroup", "--restart", "never", "--",
              "touch", ran).ok()
    assert os.path.exists(ran)


@pytest.mark.parametrize("options, capabilities", (
    ("--capabilities net_bind_service", 1 << 10),
    ("--capabilities none", 0),
    ("--user daemon --capabilities net_bind_service", 1 << 10),
))
def test_capabilities_are_what_is_asked_for_and_no_others(options, capabilities):
    need_root()
    it = leak(options)
    assert int(born().capabilities, 16) == capabilities
    assert int(of_status(it.worker().pid, "CapBnd"), 16) == capabilities
    assert (born().uid == 0) == ("daemon" not in options)


def test_under_no_new_privs_as_in_the_unit_that_takes_no_cap_setpcap():
    need_root()
    leak("--user daemon --capabilities none",
         under=("setpriv", "--no-new-privs", "--bounding-set=-setpcap"))
    assert int(born().capabilities, 16) == 0


def test_a_worker_of_another_user_needs_of_root_no_more_than_to_become_it():
    need_root()
    it = leak("--user daemon --signal-USR2 upgrade", under=(
        "setpriv", "--bounding-set=-all,+setuid,+setgid,+kill", "--no-new-privs"))
    assert born().uid == pwd.getpwnam("daemon").pw_uid
    nclust("upgrade it").ok()
    nclust("restart it").ok()
    nclust("stop it").ok()
    assert it.exit() == 0


@pytest.mark.parametrize("right, key, value", (("sys_chroot", "chroot", "/"),
                                               ("kill", "user", "daemon")))
def test_a_right_that_root_lacks_is_named(right, key, value):
    need_root()
    run("setpriv", f"--bounding-set=-{right}", inside(PROGRAM), f"--{key}", value, "--",
        "true").fails(77, f"'{key}' requires root with CAP_{right.upper()}", "unit or container")


def test_chroot_the_workers_root_with_the_socket_from_outside():
    need_root()
    os.makedirs("root/bin")
    os.makedirs("root/proc")
    shutil.copy(SERVE, "root/bin/serve")
    for library in re.findall(r"/\S+", run("ldd", SERVE).ok()):
        to = path(f"root{library}")
        os.makedirs(os.path.dirname(to), exist_ok=True)
        shutil.copy(library, to)
    it = cluster(f"-n 1 -l 8000 --chroot {path('root')} --directory /bin --ready alive:1ms",
                 "/bin/serve")
    pid = it.worker().pid
    assert get().pid == pid
    assert os.readlink(f"/proc/{pid}/root") == path("root")
    assert os.readlink(f"/proc/{pid}/cwd") == path("root/bin")


@pytest.mark.parametrize("option", ("--directory", "--chroot"))
def test_a_directory_or_root_that_is_not_there_is_named(option):
    if option == "--chroot":
        need_root()
    refused = nclust("-n 1", option, path("absent"), "--", "true")
    refused.fails(126, f"'{path('absent')}'", "No such file or directory")
    assert len(refused.err.splitlines()) == 1
