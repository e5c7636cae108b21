# SPDX-License-Identifier: MIT
"""nclust is killed: with `orphans = keep` the workers serve on, and the next nclust of that
name takes them over; with `stop` they end.  nclust-orphans(7)."""
import glob
import itertools
import re
import select
import signal
import socket
from signal import SIGCONT, SIGSEGV

from harness import *
from harness import lab
from harness.trace import Trace, injection
from left import *

# ---- taken over ----

SERVERS = {
    "named port": ("-l 8000 --ready notify", SERVING, PORT),
    "port that they bind": ("", (PLAIN, PORT), PORT),
    "port that they bind in turn": ("--intercept on -l 8000", (PLAIN, PORT), PORT),
    "unix socket": ("-l unix:{}/s --ready notify", SERVING, "s"),
}


@pytest.mark.parametrize("kind", SERVERS)
def test_workers_serve_on_and_the_next_nclust_takes_them_over(kind):
    options, server, at = SERVERS[kind]
    options = f"-n 3 --orphans keep {options.format(path())}"
    at = at if at == PORT else path(at)
    it = cluster(options, *server)
    it.reborn(2)
    it.wait_ready()
    before = it.workers()
    load = Steady(at, "--rate", 200)
    it.kill()
    assert all(is_alive(w.pid) for w in before)
    it.verb("status").fails(3, "'it' was killed: its next start takes over kept workers")
    old, it = it, cluster(options, *server)
    assert it.says(f"took over 3 workers of nclust {old.pid}, which is gone, in ")
    for was, now in zip(before, it.workers()):
        for what in ("slot", "pid", "generation", "restarts"):
            assert was[what] == now[what]
        assert now.uptime >= was.uptime
    assert it.cluster().state == "running"
    assert it.event("started", slot=2, n=2).pid == before[2].pid  # what was before is known
    # their calls are heard again, and a new one gets the same socket
    it.call("scale", count=4)
    assert it.cluster().ready == 4
    assert len(it.cluster().listeners) == 1
    load.loses_nothing()


def test_what_a_worker_that_was_taken_over_leaves_gets_the_stop_signal_and_its_time():
    command = ("-n 1 --orphans keep --ready notify --stop-timeout 1h --drain off", "sh", "-c",
               '"$@"; true', "-", HEAR, "--notify", "--to", path("heard"), "--end-on", "USR1")
    it = cluster(*command)
    pid = int(re.search(r"pid=(\d+)", wait(lambda: read("heard"))).group(1))
    it.kill()
    it = cluster(*command)
    stop = it.begin("stop")
    wait(lambda: "TERM" in read("heard"))
    assert is_alive(pid)
    kill(pid, signal.SIGUSR1)
    stop()
    assert it.exit() == 0
    assert [line.split()[-1] for line in lines("heard")] == ["start", "TERM", "USR1"]


def watches(pid, wanted):
    """Does a process wait for one of these sockets by epoll(7)?"""
    has = descriptors(pid)
    text = "".join(read(f"/proc/{pid}/fdinfo/{n}") for n, what in has.items()
                   if what == "anon_inode:[eventpoll]")
    return any(re.search(rf"tfd:\s+{n} ", text) for n, what in has.items() if what in wanted)


def test_a_worker_that_was_being_stopped_is_replaced_and_no_client_waits_for_it():
    command = ("-n 1 --orphans keep --drain-timeout 1h", "python3", server("plain-asyncio.py"), PORT)
    it = cluster(*command)
    pid = it.worker().pid
    listening = {f"socket:[{s.inode}]" for s in sockets("listen", PORT)}
    assert watches(pid, listening)
    client = dial()
    client.sendall(b"GET / HTTP/1.0\r\n")
    stop = it.begin("stop")
    wait(lambda: not watches(pid, listening), f"{stop}: it gets no clients")
    it.kill()
    cluster(*command)
    assert get().status == 200
    client.sendall(b"\r\n")
    assert client.recv(4096)
    client.close()


def test_workers_that_were_taken_over_are_like_any_others():
    kept().kill()
    it = kept()
    old = it.pids()
    kill(old[0], SIGSEGV)
    exited = it.event("exited", slot=0)
    assert exited.pid == old[0] and exited.why == "crash"
    it.event("ready", slot=0, n=2)
    assert it.worker(0).restarts == 1
    it.call("signal", signal="USR1", all=True)
    for slot in range(3):
        it.logged(f"slot={slot} signal=USR1")
    it.call("scale", count=2)
    wait_gone(old[2])
    load = Clients()
    it.call("restart")
    load.loses_nothing()
    wait_gone(*old)
    assert it.cluster().ready == 2
    assert it.stop() == 0
    assert not os.path.exists(it.directory)
    wait(lambda: living() == [load.process.pid] or not living())


# A parent that starts nclust, and reaps nobody: a container's PID 1 that is a shell script.
NEVER_REAPS = ("python3", "-c", """
import ctypes, signal, subprocess, sys
ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER
subprocess.Popen(sys.argv[1:])
while True:
    signal.pause()
""")


def test_a_worker_that_nobody_reaps_has_ended_once_all_its_threads_have():
    it = kept("--stop-timeout 1h", under=NEVER_REAPS)
    pids = it.pids()
    it.kill()
    it = kept("--stop-timeout 1h")
    assert it.pids() == pids
    kill(pids[0])
    it.event("ready", slot=0, n=2)
    assert it.worker(0).restarts == 1
    it.call("restart")
    assert it.cluster().ready == 3 and not {*pids} & {*it.pids()}
    assert all(state(pid) == "Z" for pid in pids)


def test_upgraded_and_killed_and_killed_and_upgraded():
    it = kept()
    pids = it.pids()
    load = Steady(PORT, "--rate", 200)
    for _ in range(2):
        with open(f"{it.directory}/state", "r+b") as f:
            os.pwrite(f.fileno(), b"M", 8)  # as that of another version
        it.call("upgrade")
        it.kill()
        it = kept()
        assert it.pids() == pids
    it.call("scale", count=4)
    it.call("upgrade")
    pids = it.pids()
    it.kill()
    it = kept()
    assert it.pids() == pids and it.cluster().wanted == 4
    it.call("restart")
    load.loses_nothing()
    assert it.stop() == 0
    wait(lambda: not living())


def test_a_worker_that_was_starting_tells_the_next_nclust_that_it_is_ready():
    go = Gate("go")
    command = SERVE, "--notify", "--delay", go
    options = "-n 1 -l 8000 --orphans keep --ready notify"
    it = start(options, *command)
    pid = it.event("started").pid
    it.kill()
    it = start(options, *command)
    assert (it.worker().state, it.worker().pid) == ("starting", pid)
    go.open()
    assert it.event("ready").pid == pid


def test_commands_ask_workers_that_were_taken_over():
    ask = f"'exec:test -e {path('well')}'"
    options = f"-n 1 --orphans keep --ready {ask} --check {ask} --check-interval 10ms"
    it = start(options, *NAP)
    pid = it.event("started").pid
    for ready in (False, True):
        it.kill()
        it = start(options, *NAP)
        assert (it.pids(), it.cluster().ready) == ([pid], ready)
        write("well", "")
        it.wait_ready()
        it.wait(lambda: it.worker().get("checks", Object(ok=0)).ok > 0)


def test_how_one_ended_is_told_whether_nclust_was_there_or_not():
    go = Gate("go.{slot}")
    options = "-n 3 --orphans keep --ready alive:1ms --intercept off --backoff-max 1h --backoff-min 1h"
    command = DIE, "--after", go, "--exit", 7
    it = cluster(options, *command)
    pids = it.pids()
    it.kill()
    go.open(2)
    # until process 1 has reaped it the kernel does not tell how it ended
    wait(lambda: state(pids[2]) == "gone")
    it = start(options, *command)
    assert it.says("took over 2 workers")
    known = [int(n) for n in os.uname().release.split(".")[:2]] >= [6, 15]
    how = ("exit 7",) if known else ("exit 7", "unknown")
    assert it.event("ended-meanwhile", slot=2).text in [
        f"it.2: worker {pids[2]} ended while no nclust was there ({h})" for h in how]
    go.open(1)
    assert it.event("exited", slot=1).exit in how
    assert it.worker(0).pid == pids[0]


def test_clusters_of_a_file_each_by_its_own_settings():
    need_root()
    ini = (section("web", f"{SERVE} --notify", "listen = 8000", "orphans = keep", "user = nobody",
                   "intercept = off")
           + section("files", f"{SERVE} --notify --unix", "orphans = keep",
                     f"listen = unix:{path('sock')}, mode=0666")
           + section("jobs", "sleep 1000", "intercept = off", workers=1, ready="alive:1ms"))
    it = cluster(ini=ini)
    pids, job = it.pids("web") + it.pids("files"), it.pids("jobs")
    it.kill()
    wait_gone(*job)
    assert get(unix=path("sock")).pid in pids
    it = cluster(ini=ini)
    assert it.pids("web") + it.pids("files") == pids
    assert it.pids("jobs") != job
    assert get(unix=path("sock")).pid in pids
    assert it.stop() == 0
    assert not os.path.exists(path("sock"))


def test_clusters_that_a_reload_has_added_or_kept_have_their_ports_again():
    def section(port, more="orphans = keep"):
        return f"[cluster:c{port}]\ncommand = {PLAIN} {port}\nworkers = 2\nbake = 0s\n{more}\n"

    def at_their_own(it):
        for port in (8001, 8002, 8003):
            assert {get(port=port).pid for _ in range(4)} <= set(it.pids(f"c{port}"))

    it = cluster(ini=section(8001, more=""))
    ini = section(8001) + section(8002) + section(8003)
    it.reload(ini)
    it.wait_ready()
    pids = [it.pids(c.name) for c in it.status().clusters]
    it.kill()
    it = cluster(ini=ini)
    assert [it.pids(c.name) for c in it.status().clusters] == pids
    at_their_own(it)
    it.call("restart")
    at_their_own(it)


def test_a_users_own_nclust_takes_over_too():
    need_root()
    os.chown("run", 65534, 65534)
    it = kept(under=AS_NOBODY)
    pids = it.pids()
    it.kill()
    it = kept(under=AS_NOBODY)
    assert it.pids() == pids and it.cluster().generation == 1


def test_workers_that_are_kept_have_no_descriptor_of_nclusts():
    it = cluster("-n 1 --orphans keep --ready notify --log prefix --stop-signal KILL",
                 fixture("leak"), "--to", path("leak"), "--notify")
    wait(lambda: len(descriptors(it.worker().pid)) == 3)  # it closes that of its READY=1


def test_a_directory_that_was_removed_is_made_anew_and_all_that_the_next_one_needs():
    it = kept()
    pids = it.pids()
    kill(it.pid, SIGSTOP)  # it would begin while that still removes
    run("rm", "-r", it.directory).ok()
    kill(it.pid, SIGCONT)
    wait(lambda: os.path.exists(f"{it.directory}/control"))
    assert it.pids() == pids == it.pids()  # the turn in which it was made anew is over
    it.kill()
    assert kept().pids() == pids


# ---- where sockets come from ----

@pytest.mark.parametrize("intercept", ("on", "off"))
def test_without_the_keeper_sockets_come_back_from_the_workers(intercept):
    """Those whose calls are trapped are replaced one by one: nobody could answer these."""
    options, command = (("--intercept off", SERVING) if intercept == "off" else
                        ("--ready auto --bake 0s", (PLAIN, PORT)))
    it = kept(options, command)
    pids = it.pids()
    load = Steady(PORT, "--rate", 200)
    kill_keeper_and(it)
    it = kept(options, command)
    if intercept == "on":
        it.event("rollout-done")
        wait_gone(*pids)
        assert it.cluster().ready == 3
    else:
        assert it.pids() == pids and it.cluster().generation == 1
    load.loses_nothing()


def test_when_all_workers_die_as_well_who_waits_in_the_queue_is_answered():
    it = kept()
    pids = it.pids()
    freeze(*pids)
    requests = [Request() for _ in range(3)]
    wait(lambda: queued() == 3)
    it.kill()
    for pid in pids:
        kill(pid)
    # until process 1 has reaped them the kernel does not tell how they ended
    wait(lambda: all(state(pid) == "gone" for pid in pids))
    it = kept()
    assert {r.answer().pid for r in requests} <= set(it.pids())
    how = " (killed by SIGKILL)" if kernel() >= (6, 15) else ""
    assert it.log().count(f"ended while no nclust was there{how}") == 3


def test_killed_while_no_worker_lives_the_queue_is_kept_all_the_same():
    it = start("-n 1 -l 8000 --orphans keep --backoff-min 1h --backoff-max 1h", DIE, "--exit", 1)
    it.event("exited")
    request = Request()
    wait(lambda: queued() == 1)
    it.kill()
    it = kept()
    assert request.answer().pid in it.pids()


def test_nclust_its_keeper_and_a_worker_are_killed_at_once():
    it = kept("--intercept off")
    pids = it.pids()
    kill_keeper_and(it, pids[1])
    it = kept("--intercept off")
    assert [it.worker(0).pid, it.worker(2).pid] == [pids[0], pids[2]]
    it.call("restart")
    assert it.cluster().ready == 3


def test_a_socket_that_cannot_be_taken_back_is_named_and_nobody_is_harmed():
    need_root()
    it = kept("--intercept off")
    pids = it.pids()
    kill_keeper_and(it)
    # who has less rights than the workers cannot get it from them
    refuses(f"the socket tcp:*:8000 cannot be taken back from worker {pids[0]}, "
            "which is still serving", under=("setpriv", "--bounding-set=-sys_ptrace"))
    assert get().pid in pids
    assert kept("--intercept off").pids() == pids


# ---- the keeper ----

def test_the_keeper_is_nobodys_to_signal_and_gives_to_nobody_else():
    need_root()
    it = kept("--user nobody --log prefix")
    uid = int(re.search(r"Uid:\s+(\d+)", read(f"/proc/{wait(keepers)[0]}/status")).group(1))
    assert 65520 <= uid <= 65533
    pids = it.pids()
    it.kill()
    os.chmod(f"{it.directory}/keeper", 0o777)
    got = run(*AS_NOBODY, "python3", "-c", """
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.connect(sys.argv[1])
print(socket.recv_fds(s, 1000, 99))""", f"{it.directory}/keeper").ok()
    assert got.startswith("(b'', [],")
    assert it.says("keeper: refused a connection of another user")
    assert kept("--user nobody --log prefix").pids() == pids


def test_a_keeper_that_is_another_users_is_not_believed():
    need_root()
    it = kept("--intercept off")
    pids = it.pids()
    kill_keeper_and(it)
    os.unlink(f"{it.directory}/keeper")
    begin_program("python3", "-c", """
import os, socket, sys, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.bind(sys.argv[1] + ".new")
os.setresuid(12345, 12345, 0)
s.listen()
os.setresuid(0, 0, 0)
os.rename(sys.argv[1] + ".new", sys.argv[1])
s.accept()
time.sleep(1000)""", f"{it.directory}/keeper")
    wait(lambda: os.path.exists(f"{it.directory}/keeper"))
    it = kept("--intercept off")
    assert it.says("the keeper did not return everything: Operation not permitted")
    assert it.pids() == pids


ENDS = {
    "5 to 10 s after the last worker has": 5,
    "when another one has its place": 10,
    "when the directory is removed": 10,
}


@pytest.mark.parametrize("when", ENDS)
def test_the_keeper_ends_by_itself(when):
    need_root()
    it = kept(clock=True)
    place = f"{it.directory}/keeper"
    os.chmod(place, 0o777)
    os.link(place, path("keeper"))
    it.kill()
    if "worker" in when:
        workers = serving()
        for pid in workers:
            kill(pid)
        wait(lambda: all(is_gone(pid) for pid in workers))
    elif "directory" in when:
        run("rm", "-r", it.directory).ok()
    else:
        os.unlink(place)
        socket.socket(socket.AF_UNIX).bind(place)

    def wake_up():
        """Somebody calls whom it does not answer."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            os.seteuid(65534)
            s.connect("keeper")
            os.seteuid(0)
            wait(lambda: select.select([s], [], [], 0)[0])

    wake_up()  # it knows of the deaths
    lab.clock.advance(ENDS[when] - 0.1)
    wake_up()
    wake_up()
    assert keepers()
    seconds = [1] * 8  # in which it writes what it has read, and ends

    def goes_on():
        """Its time does: what a worker says wakes it up."""
        lab.clock.advance(seconds.pop() if seconds else 0)
        for pid in serving():
            kill(pid, SIGUSR1)
        return not keepers()

    wait(goes_on, "the end of the keeper")


# ---- what the workers say ----

@pytest.mark.parametrize("killed", ("nclust", "nclust and its keeper"))
def test_no_line_is_lost_and_who_writes_is_not_killed(killed):
    os.mkfifo("go")
    options = "-n 1 --orphans keep --log prefix --intercept off"
    command = ("sh", "-c", 'echo first; : <"$0"\n'
               'exec "$1" --lines 20000 --width 20 --stay', path("go"), fixture("log-flood"))
    it = cluster(options, *command)
    it.logged("it.0 | first")
    pid = it.worker().pid
    if killed == "nclust":
        it.kill()
        write("go", "")
        it.logged("| line 19999")  # the keeper writes it
    else:
        kill_keeper_and(it)
        write("go", "")
    it = cluster(options, *command)
    it.logged("| line 19999")
    assert it.worker().pid == pid
    assert re.findall(r"\| line (\d+)", it.log()) == [str(n) for n in range(20000)]
    assert "dropped" not in it.log()


# ---- other settings ----

def test_workers_of_other_settings_are_replaced_by_a_rolling_restart():
    it = kept()
    pids = it.pids()
    load = Steady(PORT, "--rate", 200)
    it.kill()
    it = kept("--env COLOUR=blue")
    it.event("rollout-done")
    wait_gone(*pids)
    assert it.cluster().generation > 1 and it.cluster().ready == 3
    load.loses_nothing()
    assert environment(it.worker().pid)["COLOUR"] == "blue"


def test_a_port_that_is_not_in_the_settings_any_more_is_closed():
    kept().kill()
    it = cluster("-n 3 -l 8001 --orphans keep --ready notify", *SERVING)
    it.event("rollout-done")
    wait(lambda: not listens(8000))
    assert get(port=8001).pid in it.pids()


def test_fewer_are_wanted_than_there_are_and_more_and_what_the_operator_scaled_to_holds():
    def next_one(count, now):
        it = cluster(f"-n {count} -l 8000 --orphans keep --ready notify", *SERVING)
        wait(lambda: len(serving()) == len(it.pids()) == now)
        return it

    it = kept()
    first = it.pids()
    it.call("scale", count=5)
    five = it.pids()
    it.kill()
    it = next_one(3, 5)  # as the settings were
    assert (it.pids(), it.cluster().wanted) == (five, 5)
    it.kill()
    it = next_one(1, 1)
    assert it.pids() == first[:1]
    it.kill()
    it = next_one(2, 2)
    assert it.pids()[0] == first[0]


@pytest.mark.parametrize("now", ("stop", "another cluster"))
def test_workers_that_are_not_to_be_kept_any_more_are_ended_first(now):
    it = kept()
    statuses = " ".join(f"/proc/{pid}/status" for pid in it.pids())
    it.kill()
    ini = f"""
        [cluster:{"it" if now == "stop" else "other"}]
        command = sh -c 'grep -qs "^State:.[^ZX]" {statuses} && exit 1; exec {SERVE} --notify'
        workers = 1
        listen = 8000
        ready = notify
        restart = never
        orphans = {"stop" if now == "stop" else "keep"}
        """
    it = cluster(ini=ini)
    assert it.says("ending 3 processes")
    assert serving() == it.pids()
    if now == "stop":
        wait(lambda: not keepers())


# ---- stop ----

def far(how, by="setsid"):
    """A worker, and a process that it has started, by default in a session of its own; its pid."""
    it = cluster("-n 1 --intercept off --ready notify", "sh", "-c",
                 f'{by} {how} & echo $! >"$0"\nexec "$1" --notify', path("far"), HEAR)
    return it, int(wait(lambda: read("far")))


# A process lives as long as one of its threads does, but then says nothing of its environment.
HEADLESS = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(1000,)).start()
ctypes.CDLL(None).syscall(ctypes.c_long(SYS_exit), 0)
"""


def test_with_stop_a_process_is_ended_whose_main_thread_has_ended():
    left = write("headless.py", HEADLESS.replace("SYS_exit", "93" if os.uname().machine in (
        "aarch64", "riscv64") else "60"))
    it, pid = far(f"python3 {left}", by="")
    wait(lambda: state(pid) == "Z")
    it.kill()
    it = start("-n 1 --intercept off --ready notify", HEAR, "--notify")
    assert it.says("ending 1 process that nclust")
    assert not os.path.exists(f"/proc/{pid}/task")


@pytest.mark.parametrize("how", ("hear", "deaf"))
def test_with_stop_what_a_worker_has_started_is_ended_before_the_next_start(how):
    it, left = far(f"{fixture(how)}" + (f" --to {path('heard')}" if how == "hear" else ""))
    if how == "hear":
        wait(lambda: "start" in read("heard"))  # until then TERM would end it unheard
    worker = it.worker().pid
    stranger = begin_program(*NAP)
    it.kill()
    wait_gone(worker)  # the kernel has ended it
    assert is_alive(left)
    it = cluster("-n 1 --intercept off --ready notify", "sh", "-c",
                 'grep -qs "^State:.[^ZX]" "/proc/$0/status" && exit 1; exec "$1" --notify', left,
                 HEAR)
    assert it.worker().restarts == 0
    assert it.says("ending 1 process that nclust")
    if how == "hear":
        assert read("heard").split()[-1] == "TERM"
    assert it.stop() == 0
    assert living() == [stranger.pid]


def nginx():
    temporary = "".join(f"{name}_temp_path {path()}/{name};" for name in (
        "client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    return "nginx", "-c", write("nginx.conf", f"""
        daemon off; worker_processes 2; user nobody nogroup; error_log stderr;
        pid {path()}/nginx.pid; events {{}}
        http {{ access_log off; {temporary} server {{ listen 8000; }} }}""")


def php_fpm():
    conf = "[global]", "error_log = /dev/stderr", "[www]", "user = nobody", "group = nogroup", \
        "listen = 8000", "pm = static", "pm.max_children = 2", ""
    found = sorted(glob.glob("/usr/sbin/php-fpm[0-9]*"))
    return need(found[-1] if found else "php-fpm"), "-F", "-y", write("fpm.conf", "\n".join(conf))


# Their workers are another user's, and have written their title over their environment.
@pytest.mark.parametrize("server", (nginx, php_fpm))
def test_with_stop_workers_of_a_server_that_drop_their_rights_are_ended_before_the_next_start(server):
    need_root()
    command = server()
    it = cluster("-n 1", *command)
    worker = it.worker().pid
    left = wait(lambda: len(found := children(worker)) == 2 and found)
    wait(lambda: all("Uid:\t65534" in read(f"/proc/{pid}/status") for pid in left))
    stranger = begin_program(*AS_NOBODY, *NAP)
    it.kill()
    wait_gone(worker)  # the kernel has ended it
    assert all(map(is_alive, left))
    it = cluster("-n 1", *command)
    assert it.says("ending 2 processes that nclust")
    assert all(map(is_gone, left)) and it.worker().restarts == 0
    assert it.stop() == 0
    assert living() == [stranger.pid]


def test_who_only_looks_like_what_a_worker_has_left_is_let_be():
    need_root()
    it = cluster("-n 1 --user nobody --intercept off --ready alive:1ms", *NAP)
    facts = environment(it.worker().pid)
    facts = {k: facts[k] for k in ("NCLUST_SOCKET", "NCLUST_WORKER")}

    def with_facts(*under):
        return begin_program(*under, *NAP, env={**os.environ, **facts})

    drop = "setpriv", "--regid=1", "--clear-groups"
    # another user's; of the same user, but in a container, whatever its nclust is called
    other = with_facts(*drop, "--reuid=1")
    outer = begin_program("unshare", "-pf", "--kill-child", *drop, "--reuid=nobody", "env",
                          *(f"{k}={v}" for k, v in facts.items()), *NAP)
    left = with_facts(*drop, "--reuid=nobody")  # the worker's own: it could be
    for each in (other, left):
        wait(lambda: command(each.pid) == "sleep 1000")
    inner = int(wait(lambda: read(f"/proc/{outer.pid}/task/{outer.pid}/children")))
    wait(lambda: command(inner) == "sleep 1000")
    worker = it.worker().pid
    it.kill()
    wait(lambda: state(worker) == "gone")
    write("/proc/sys/kernel/ns_last_pid", f"{worker - 1}")
    namesake = begin_program("python3", "-c", "import os, subprocess, sys\n"
                             "os.setsid(); subprocess.run(sys.argv[1:])", *NAP)
    assert namesake.pid == worker
    (its_child,) = wait(lambda: children(worker))
    it = cluster("-n 1 --user nobody --intercept off --ready alive:1ms", *NAP)
    assert is_gone(left.pid)
    it.stop()
    assert all(map(is_alive, (other.pid, inner, namesake.pid, its_child)))


# ---- frozen for a look ----

def children(pid):
    return [int(p) for p in read(f"/proc/{pid}/task/{pid}/children").split()]


def is_about_to_stop(pid):
    """It has a SIGSTOP that it has not acted on."""
    return int(re.search(r"ShdPnd:\s+(\w+)", read(f"/proc/{pid}/status"))[1], 16) >> 18 & 1


@pytest.mark.parametrize("who", ("a helper", "the next nclust"))
def test_a_worker_that_was_frozen_when_nclust_was_killed_is_continued_by(who):
    options = "-l 8000 --orphans keep --intercept off --ready notify --drain quiet -n"
    server = "sh", "-c", 'setsid "$0" --to "$1" & "$2" & wait', HEAR, path("far.{slot}"), RUDE
    it = cluster(f"{options} 1", *server)
    worker = it.worker().pid
    wait(lambda: read("far.0"))
    frozen = worker, *children(worker)
    assert len(frozen) == 3
    # it has stopped the last of them, for a look at its connections; on a busy machine one may
    # be late, and it tries again
    Trace(it.pid, *injection("pidfd_send_signal", "signal=STOP", f"{len(frozen)}+"))
    it.call("scale", count=0, no_wait=True)
    for n in itertools.count(1):
        wait(lambda: read("trace").count("--- stopped by SIGSTOP ---") >= n)
        wait(lambda: not any(map(is_about_to_stop, frozen)))
        if all(map(is_stopped, frozen)):
            break
        kill(it.pid, SIGCONT)
    helpers = [p for p in children(it.pid) if command(p) == command(it.pid)]
    assert helpers
    if who == "the next nclust":
        for pid in helpers:
            kill(pid)
        wait_gone(*helpers)
    it.kill()
    if who == "the next nclust":
        assert all(map(is_stopped, frozen))
        cluster(f"{options} 2", *server)
        wait_gone(worker)  # it has handled its stop signal; one in another session may live on
    wait(lambda: not any(is_alive(p) and is_stopped(p) for p in frozen))
    assert get().status == 200


def test_after_a_cleaner_took_the_notify_sockets_the_next_nclust_hears_the_workers():
    says = (NOTIFY, "READY=1", "--sleep", path("go"), "STATUS=heard")
    it = kept(command=says)
    pids = it.pids()
    for name in os.listdir(f"{it.directory}/notify"):
        os.unlink(f"{it.directory}/notify/{name}")
    os.unlink(f"{it.directory}/control")
    it.logged("was made again")
    wait(lambda: len(os.listdir(f"{it.directory}/notify")) == 3)
    it.kill()
    it = kept(command=says)
    assert it.pids() == pids
    write("go", "")
    it.wait(lambda: [w.get("status") for w in it.workers()] == ["heard"] * 3)
