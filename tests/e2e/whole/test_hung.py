# SPDX-License-Identifier: MIT
"""nclust is root, its workers are not, and one of them has a file server that never answers
(servers/hung.py): whatever nclust looks at of that worker, it goes on with all others."""
import contextlib
import re
import select
import shutil
import termios

from harness import *

nightly = pytest.mark.nightly
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
HUNG = server("hung.py")
PLAIN_CLUSTER = """
    workers = 1
    user = nobody
    ready = alive:0
    """
SLEEPS = f"command = sleep 1000{PLAIN_CLUSTER}"


def lays_out():
    make("hung", mode=0o1777)
    make("hung/mnt")
    os.mknod("hung/fuse", 0o20666, os.makedev(10, 229))
    os.chmod("hung/fuse", 0o666)


def beside(command, *settings, workers=1, more="", **popen):
    """An innocent cluster beside `bad`, which has that command and these settings."""
    return start(**popen, ini="\n".join((
        f"[cluster:good]\n{SLEEPS}\n[cluster:bad]\ncommand = {command}\nworkers = {workers}",
        "user = nobody\nstop-timeout = 1s", *settings, more)).replace("\n    ", "\n"))


def owes(it, count=1):
    """So many servers owe an answer."""
    wait(lambda: sum(n.startswith("asked.") for n in os.listdir("hung")) >= count)
    return it


def hung(how, *settings, port=PORT, log="log = prefix", go=True, **more):
    """Its worker will owe an answer."""
    lays_out()
    it = beside(f"python3 {HUNG} {how} {path('hung')} {port}", "ready = notify", log, *settings,
                **more).wait_ready()
    write("hung/list", "\n".join([path("run"), path("pids"), path("sockets")]))
    if go:
        write("hung/go", "")
    return it


def end_servers():
    for name in os.listdir("hung"):
        if name.startswith("server."):
            with contextlib.suppress(ProcessLookupError):
                kill(int(name[7:]))


def goes_on(it, says="", lasts=False):
    """nclust goes on with the others, says that, and ends when it is told to, with the
    server, so that nothing of it is left; also if that lasts, for which it waits 10 s."""
    for _ in range(20):
        it.connect().call("status")
    pid = it.worker(cluster="good").pid
    kill(pid)
    wait(lambda: it.worker(cluster="good").pid not in (None, pid))
    wait(lambda: re.search(says, it.log()), f"in the log: {says}")
    kill(it.pid, SIGTERM)
    it.exit()
    if not lasts:
        wait(lambda: not run("pgrep", "-x", "nclust").out, "nothing of nclust is left")
        assert not it.says("nclust ends without it")


asked = []


def ask(it, verb, **params):
    """Without waiting for what comes of it."""
    asked.append(it.begin(verb, **params))


# ---- what nclust looks at ----

HELD = {
    # an address to bind in memory that cannot be read
    "address": ("intercept = on", "", r"process \d+ cannot be looked at in time"),
    "exec": ("intercept = on", "restart", ""),  # a process is kept in exec
    # a listener that is held for ever, and checks of it
    "options": ("intercept = on\ncheck = tcp\ncheck-interval = 100ms", "", ""),
    # descriptors with READY=1 that cannot be closed: one, as many as a message can bring, again
    # and again, and one to keep
    "notify": ("intercept = off", "", ".*worker {bad}"),
    "many": ("intercept = off", "", ".*worker {bad}"),
    "fdstore": ("intercept = off", "", ".*worker {bad}"),
    "epoll": ("intercept = on", "restart", ".*worker {bad}"),
}


@pytest.mark.parametrize("how", [pytest.param(h, marks=nightly if "{bad}" in HELD[h][2] else ())
                                 for h in HELD])
def test_what_is_held_for_ever_does_not_keep_nclust(how):
    settings, verb, says = HELD[how]
    it = hung(how, settings, go=False)
    bad = it.worker(cluster="bad").pid
    write("hung/go", "")
    owes(it)
    if verb:
        ask(it, verb, target="bad")
    if verb and says:  # what nclust looks at in vain costs its user's next calls
        it.event("ready", cluster="bad", n=2)
    goes_on(it, says and r"bad\.0: " + says.format(bad=bad))


@nightly
def test_a_worker_that_waits_for_its_own_file_server_ends_with_it():
    it = owes(hung("read"))
    pid = it.worker(cluster="bad").pid
    goes_on(it)
    wait_gone(pid)


def test_a_descriptor_to_bind_that_cannot_be_closed_is_not_even_taken():
    it = hung("file", "intercept = on")
    wait(lambda: os.path.exists("hung/refused"))
    assert not os.path.exists("hung/asked")
    goes_on(it)


@nightly
def test_one_that_takes_the_place_of_the_socket_just_before_nclust_does():
    it = owes(hung("swap", "intercept = on", "limit-nofile = 5000", workers=2))
    # it is there when nclust looks, or when it puts its own socket there
    goes_on(it, r"bad\.1: (killing worker \d+: it replaced the socket"
            r"|process \d+ cannot be looked at in time)", lasts=True)


# ---- a listener that is held for ever ----

def test_a_listener_that_is_held_a_restart_a_reload_and_a_new_worker():
    it = owes(hung("options", "intercept = on"))
    ask(it, "scale", target="bad", count=2)
    it.status()
    ask(it, "restart", target="bad")
    it.status()
    write("it.ini", read("it.ini") + "backlog = 77\n")
    ask(it, "reload")
    goes_on(it)


@nightly
def test_a_listener_that_is_held_and_a_restart_that_steers():
    it = owes(hung("closed", "intercept = on", "drain = quiet", workers=2))
    ask(it, "restart", target="bad")
    goes_on(it)


@nightly
def test_a_listener_that_is_held_from_which_nclust_accepts():
    need("node")
    lays_out()
    it = beside(f"node {server('hung_rr.js')} 8000 python3 {HUNG} options {path('hung')} 8000",
                "ready = listen", "intercept = on", "balance = rr").wait_ready()
    write("hung/go", "")
    owes(it)
    dial().close()
    goes_on(it, "a worker holds its socket", lasts=True)


@nightly
def test_a_listener_that_is_held_and_the_next_nclust():
    it = owes(hung("options", "intercept = on", "orphans = keep"))
    it.kill()
    goes_on(start(ini=read("it.ini")))


@nightly
def test_killed_meanwhile_what_hangs_does_not_keep_the_ports_of_others():
    it = owes(hung("options", "intercept = on",
                   more=f"[cluster:other]\n{SLEEPS}\nlisten = 127.0.0.1:8001"))
    ask(it, "scale", target="bad", count=2)
    it.status()
    it.kill()
    wait(lambda: not listens(8001))


@nightly
@pytest.mark.parametrize("hang, says, lasts", (
    ("", r"bad\.0: cannot bind .*: Connection timed out", True),
    ("slow", r"bad\.0: worker \d+ sends messages so much", False),
))
def test_very_many_unix_sockets_of_nodes_where_nobody_answers(hang, says, lasts):
    lays_out()
    run("python3", HUNG, "directory", path("hung"), stdout=None, stderr=None).ok()
    os.symlink(shutil.which("python3"), "hung/node")
    it = beside(f"{path('hung/node')} {HUNG} node {path('hung')}", "ready = notify", "ipc = on",
                more=f"[cluster:other]\n{SLEEPS}\nlisten = 127.0.0.1:8001").wait_ready()
    write("hung/hang", hang)
    write("hung/go", "")
    goes_on(owes(it), says, lasts)
    if lasts:
        assert it.log().count("cannot bind") == 1
        wait(lambda: not listens(8001))


# ---- directories ----

def listing():
    """A worker holds the directories of nclust's own, of its pid file, of a socket of `good`."""
    os.mkdir("pids")
    os.mkdir("sockets")
    it = hung("list", more=f"[cluster:named]\n{SLEEPS}\nlisten = unix:{path('sockets/s')}\n"
              f"[nclust]\npidfile = {path('pids/pid')}\n")
    wait(lambda: os.path.exists("hung/listed"))
    return it


@nightly
def test_directories_that_are_held_at_the_end():
    it = listing()
    goes_on(it)
    assert [n for n in ("pids/pid", "sockets/s", "run/it") if os.path.exists(n)] == []


@nightly
def test_directories_that_are_held_a_reload_and_a_lost_control_socket():
    it = listing()
    edit("it.ini", "sockets/s", "sockets/t")
    is_refused("another process holds it", it.call, "reload")
    os.unlink("run/it/control")
    wait(lambda: os.path.exists("run/it/control"))
    edit("it.ini", f"listen = unix:{path('sockets/t')}", "")
    it.call("reload")
    goes_on(it, f"'{path('sockets/s')}' could not be removed")


@pytest.mark.parametrize("setting", ("directory", "env-file"))
def test_a_directory_or_an_env_file_that_does_not_answer(setting):
    lays_out()
    run("python3", HUNG, "directory", path("hung"), stdout=None, stderr=None).ok()
    value = path("hung/mnt") + ("/env" if setting == "env-file" else "")
    it = beside("sleep 1000", f"{setting} = {value}", "ready = alive:0").wait_ready()
    pid = it.worker(cluster="bad").pid
    write("hung/hang", "")
    if setting == "directory":
        kill(pid)
        goes_on(owes(it), r"bad\.0: .*directory", lasts=True)
        return
    assert environment(pid)["A"] == "1"
    with pytest.raises(Refused, match=f"cannot read env-file '{value}': .*does its file server "
                       "answer"):
        it.call("restart", target="bad")
    assert it.worker(cluster="bad").pid == pid
    ask(it, "reload")
    goes_on(it, lasts=True)


# ---- output ----

def hung_output(how, *settings, says="", go=True, log="log = prefix", **more):
    """With an innocent cluster that says something all the time."""
    it = hung(how, "intercept = off", *settings, port="", go=go, log=log, more="\n".join((
        f"[cluster:says]{PLAIN_CLUSTER}", log, *settings,
        f"command = sh -c 'while :; do echo $((i += 1)){says}; sleep 0.05; done'")), **more)
    it.bad = it.worker(cluster="bad").pid
    return it


def kept_output(*settings, workers=1):
    """The lock is kept when there is something to read.  Returns the logger, too."""
    it = hung_output("write", *settings, workers=workers, go=False)
    logger = it.role("logger")
    kill(logger, SIGSTOP)
    write("hung/go", "")
    owes(it, workers)
    kill(logger, SIGCONT)
    it.logged(": a process keeps its output from being read")
    return it, logger


def says_more(it):
    it.logged("says.0 |", it.log().count("says.0 |") + 5)


def test_output_that_is_kept_locked_that_of_all_others_goes_on():
    it, _ = kept_output()
    says_more(it)
    it.connect().call("status")
    end_servers()
    # and then none of it is lost, nor of the others
    it.logged("bad.0  | first")
    it.logged("bad.0  | kept")
    kill(it.pid, SIGTERM)
    it.exit()
    said = numbers(it.log(), r"says\.0 \| (\d+)\n")
    assert said == [n + 1 for n in range(len(said))]


@nightly
def test_so_much_output_of_one_cluster_is_kept_that_no_more_of_it_is_read():
    it, _ = kept_output(workers=10)
    it.logged("bad: its output is not read until that ends")
    says_more(it)
    end_servers()
    it.logged("| first", 10)
    it.logged("| kept", 10)
    goes_on(it)


@nightly
def test_output_that_is_kept_locked_and_nclust_and_the_logger_are_killed():
    it, logger = kept_output("orphans = keep")
    kill(logger)
    it.kill()
    bad, it = it.bad, start(ini=read("it.ini"))
    assert it.worker(cluster="bad").pid == bad
    says_more(it)
    goes_on(it)


@pytest.mark.leaks
@nightly
def test_output_that_is_locked_when_nclust_closes_it():
    it = hung_output("reopen")
    pipe = wait(lambda: os.path.islink("hung/stdout") and os.readlink("hung/stdout"))
    wait(lambda: pipe not in descriptors(it.role("logger")).values())
    write("hung/shut", "")
    owes(it)
    kill(it.bad)
    says_more(it)
    goes_on(it, lasts=True)


@pytest.mark.leaks
@nightly
def test_a_terminal_that_is_locked_when_nclust_and_the_logger_close_it():
    it = owes(hung_output("terminal", "pty = yes"))
    says_more(it)
    # the last one to close it is the next logger, or nclust
    kill(it.bad)
    wait(lambda: it.worker(cluster="bad").pid not in (None, it.bad))
    kill(it.role("logger"))
    says_more(it)
    goes_on(it, lasts=True)


@nightly
def test_a_terminal_whose_size_is_locked_those_of_others_change():
    """Each worker's terminal is to get the size of ours."""
    ours, nclusts = os.openpty()
    termios.tcsetwinsize(ours, (20, 99))
    os.environ["NO_COLOR"] = "1"
    it = owes(hung_output("size", "pty = yes", says=" $(stty size <&2)", stdout=nclusts,
                          stderr=nclusts, under=("setsid", "-c"), stdin=nclusts))

    def heard():
        with open(it.log_path, "ab") as log:
            while select.select([ours], [], [], 0)[0]:
                log.write(os.read(ours, 65536))
        return it.log()

    wait(lambda: "says.0 |" in heard())
    termios.tcsetwinsize(ours, (33, 99))
    wait(lambda: re.search(r"says\.0 \| \d+ 33 90", heard()))
    assert ": a process keeps its output from being read" in heard()
    count = it.log().count("says.0 |")
    wait(lambda: heard().count("says.0 |") > count + 5)
    goes_on(it)
