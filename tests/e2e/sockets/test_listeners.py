# SPDX-License-Identifier: MIT
"""Addresses: what can be listened on, what is refused, what becomes of the files and sockets
that were there before, and of those that workers spoil."""
import socket
import stat as st

from harness import *

ONE = "-n 1 --ready notify"
SPOILS = server("spoils.py")
KINDS = server("unix-kinds.py")


def serves(options, **more):
    """A cluster of one worker of the fixture `serve`."""
    return cluster(f"{ONE} {options}", SERVE, "--notify", **more)


def addresses(it):
    return [x.address for x in it.cluster().listeners]


def bound(at, kind=socket.SOCK_STREAM, listen=True):
    """A socket of this test at that path."""
    s = socket.socket(socket.AF_UNIX, kind)
    s.bind(at)
    if listen:
        s.listen()
    return s


def answers(at="place/s"):
    try:
        return get(unix=at and path(at)).body.startswith("pid=")
    except OSError:
        return False


def inode(at="place/s"):
    return os.stat(at).st_ino


# ---- what is refused ----

def cannot_listen(listen, *says, **more):
    said = run(inside(PROGRAM), "-n", 1, "-l", listen, "--", "touch", "ran", **more)
    assert len(said.fails(1, *says).err.splitlines()) == 1
    assert not os.path.exists("ran")


def test_what_stands_in_a_sockets_place_is_refused_and_never_touched():
    write("file", "precious")
    os.symlink(path("file"), "link")
    os.symlink(path("absent"), "dangling")
    os.mkdir("directory")
    os.mkfifo("fifo")
    bound("stale", listen=False).close()
    os.symlink(path("stale"), "tostale")
    there = sorted(os.listdir())
    for place in ("file", "link", "dangling", "directory", "fifo", "tostale"):
        cannot_listen(f"unix:{path(place)}", path(place), "exists and is not a socket")
    assert read("link") == "precious"
    assert sorted(os.listdir()) == there
    assert st.S_ISSOCK(os.stat("stale").st_mode)
    cannot_listen(f"unix:{path('no/such/s')}", path("no/such"), "No such file or directory")
    cannot_listen(f"unix:{path('d' * 110)}", "File name too long")


@pytest.mark.parametrize("kind, name", ((socket.SOCK_STREAM, "unix"),
                                        (socket.SOCK_DGRAM, "unix-dgram")))
def test_a_living_unix_socket_is_refused_and_left_alone_and_a_stale_one_replaced(kind, name):
    living_one = bound("s", kind, kind == socket.SOCK_STREAM)
    was = inode("s")
    cannot_listen(f"{name}:{path('s')}", path("s"), "Address already in use")
    assert inode("s") == was
    living_one.close()
    it = cluster(f"-n 1 -l {name}:{path('s')} --ready alive:1ms", *NAP)
    assert addresses(it) == [f"{name}:{path('s')}"]
    with socket.socket(socket.AF_UNIX, kind) as s:
        s.connect("s")
    it.stop()
    assert not os.path.exists("s")


# ---- addresses ----

def test_a_bare_port_is_ipv6_and_ipv4_by_one_descriptor():
    it = serves("-l 8000")
    assert get(host="127.0.0.1").pid == get(host="::1").pid
    assert addresses(it) == ["tcp:[::]:8000"]
    x, = it.cluster().listeners
    assert (x.learned, x.bound) == (False, False)


def test_an_ipv6_address_alone_beside_ipv4_on_the_same_port():
    it = serves("-l '[::]:8000, v6only, name=six' -l '0.0.0.0:8000, name=four'")
    assert get(host="::1").pid
    assert [x.name for x in it.cluster().listeners] == ["six", "four"]


def test_where_there_is_no_ipv6_a_bare_port_is_ipv4_and_ipv6_an_error():
    need_root()
    for where in ("all", "default", "lo"):
        with open(f"/proc/sys/net/ipv6/conf/{where}/disable_ipv6", "w") as f:
            f.write("1")
    serves("-l 8000").stop()
    cannot_listen("[::1]:8000", "[::1]:8000", "annot assign requested address")


def test_a_kernel_without_ipv6_a_bare_port_is_ipv4_and_it_says_so():
    run(server("without-ipv6.py"), inside(PROGRAM), "-n", 1, "-l", "[::]:8000", "--", "touch",
        "ran").fails(1, "[::]:8000", "Address family not supported")
    it = serves("-l 8000", under=(server("without-ipv6.py"),))
    assert get().pid == it.worker().pid
    assert it.says("listening on tcp:0.0.0.0:8000")


def test_port_0_is_chosen_once_printed_shown_exported_and_kept():
    it = leak("-l 127.0.0.1:0,name=http", "--serve", "--notify")
    port = int(addresses(it)[0].rpartition(":")[2])
    assert it.says(f"listening on tcp:127.0.0.1:{port}")
    assert born().env.PORT == str(port)
    it.call("restart")
    assert get(port=port).part("gen") == "2"


def test_port_0_is_one_for_each_name_after_a_reload_too():
    ini = section("web", f"{SERVE} --notify", *[f"listen = 127.0.0.1:0, name={x}" for x in "ab"])
    it = cluster(ini=ini)
    was = addresses(it)
    it.reload(f"{ini}\nenv = A=1\n")
    assert addresses(it) == was and was[0] != was[1]


def test_several_listeners_are_passed_in_order_with_their_names_and_options():
    it = leak(f"-l '127.0.0.1:8000, name=http, backlog=7' -l 'udp:127.0.0.1:8001, name=dns' "
              f"-l '127.0.0.1:8002, nonblock, name=odd' -l unix:{path('adm.sock')}",
              "--serve", "--notify", "--name", "adm.sock")
    assert born().env.LISTEN_FDNAMES == "http:dns:odd:adm.sock"
    assert born().env.LISTEN_FDS == "4"
    assert [fd.nonblock for fd in born().fds[3:]] == [False, False, True, False]
    assert get(unix=path("adm.sock")).pid == it.worker().pid
    assert [x.name for x in it.cluster().listeners] == ["http", "dns", "odd", "adm.sock"]
    assert it.cluster().listeners[0].queue_limit == 7


def test_udp_answers_and_goes_on_after_its_worker_was_killed():
    it = cluster(f"{ONE} -l udp:127.0.0.1:8000", SERVE, "--udp", "--notify")
    old = it.worker().pid
    with socket.socket(type=socket.SOCK_DGRAM) as s:
        s.settimeout(BOUND)
        s.connect(("127.0.0.1", PORT))
        s.send(b"hello")
        assert f"pid={old} " in s.recv(1000).decode()
        kill(old)
        wait_gone(old)  # it may yet take one with it
        s.send(b"hello")
        assert f"pid={it.event('ready', n=2).pid} " in s.recv(1000).decode()


TELLS = r"""
import os, socket
s = socket.socket(fileno=3)
os.write(1, b"fastopen %d\n" % s.getsockopt(socket.IPPROTO_TCP, 23))  # each whole, beside nclust's
os.write(1, b"mark %d\n" % s.getsockopt(socket.SOL_SOCKET, socket.SO_MARK))
while True:
    c, _ = s.accept()
    c.send(b"%d %d %d" % (c.getsockopt(socket.IPPROTO_TCP, 1),
        c.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
        c.getsockopt(socket.IPPROTO_TCP, 4)))
    c.close()
"""


def test_nodelay_keepalive_fastopen_and_a_mark_reach_the_connections():
    need_root()  # the mark
    it = cluster("-n 1 --intercept off --ready alive:1ms "
                 "-l '127.0.0.1:8000, nodelay, keepalive=77s, fastopen=12, mark=0x42'",
                 "python3", "-c", TELLS)
    with dial() as s:
        assert s.recv(100) == b"1 1 77"
    it.logged("fastopen 12\n")
    it.logged("mark 66\n")
    assert "nodelay, keepalive=77s, fastopen=12, mark=0x42" in it.verb("config").ok()
    it.stop()
    caps = "-net_admin,-net_raw"
    run("setpriv", "--bounding-set", caps, "--inh-caps", caps, inside(PROGRAM), "-l",
        "8000, mark=0x42", "--", "true").fails(1, "cannot set mark of 'tcp:*:8000'",
                                               "CAP_NET_ADMIN")


# ---- unix sockets ----

def test_a_unix_socket_gets_its_mode_owner_and_group_and_goes_at_the_end():
    need_root()
    it = serves(f"-l 'unix:{path('s')}, mode=0660, owner=daemon, group=mail'")
    assert run("stat", "-c", "%a %U %G %F", "s").ok() == "660 daemon mail socket\n"
    assert answers("s")
    assert it.stop() == 0
    assert not os.path.exists("s")
    it = serves(f"-l unix:{path('s')} -l 127.0.0.1:8000")  # at once
    assert answers("s")
    write("other", "precious")
    os.rename("other", "s")  # what takes its place meanwhile is not removed
    it.stop()
    assert read("s") == "precious"


def test_a_unix_path_longer_than_a_socket_address_works_and_is_shown_whole():
    long = path("d" * 120)
    os.mkdir(long)
    it = leak(f"-l unix:{long}/s.sock", "--serve", "--notify")
    with socket.socket(socket.AF_UNIX) as s:
        os.symlink(long, "short")
        s.connect("short/s.sock")
    assert addresses(it) == [f"unix:{long}/s.sock"]
    assert born().env.SERVER_STARTER_PORT == f"{long}/s.sock=3"
    it.stop()
    assert os.listdir(long) == []


def test_an_abstract_name_answers_and_leaves_no_file():
    it = serves("-l unix:@name")
    assert get(unix="\0name").pid == it.worker().pid
    assert not [name for name in os.listdir() if "name" in name]


# ---- datagrams and packets ----

def ask(kind, at):
    """The pid that answers there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM if kind == "dgram"
                       else socket.SOCK_SEQPACKET) as s:
        s.settimeout(BOUND)
        if kind == "dgram":
            s.bind("")
        s.connect(at)
        s.send(b"hello")
        return int(s.recv(100))


@pytest.mark.parametrize("mask, mode", (("022", 0o666), ("027", 0o660), ("077", 0o600)))
def test_a_unix_socket_is_open_to_whom_the_umask_leaves_any_right_and_says_so(mask, mode):
    begin_program("sh", "-c", f"umask {mask}; exec \"$0\" \"$@\" 2>log", inside(PROGRAM), "-n", "1",
                  "--name", "it", "-l", f"unix:{path('s')}", "--ready", "alive:0s", "--",
                  "sleep", "1000")
    wait(lambda: nclust("status it").status == 0)
    assert os.stat("s").st_mode & 0o777 == mode
    assert f"listening on unix:{path('s')}, mode 0{mode:o} ('mode=' and 'group='" in read("log")


@pytest.mark.parametrize("kind", ("dgram", "seqpacket"))
def test_unix_sockets_for_datagrams_and_packets_serve_whatever_comes(kind):
    at = path("s")
    it = cluster(f"-n 2 -l 'unix-{kind}:{at}, mode=0660' --ready alive:1ms --bake 0s",
                 "python3", KINDS, kind)
    assert addresses(it) == [f"unix-{kind}:{at}"]
    assert st.filemode(os.stat(at).st_mode) == "srw-rw----"
    assert ask(kind, at) in it.pids()
    before = it.pids()
    it.call("restart")
    assert not set(before) & set(it.pids())
    assert ask(kind, at) in it.pids()
    it.reborn(0)
    assert ask(kind, at) in it.pids()
    before, was = it.pids(), inode("s")
    it.call("upgrade")
    assert it.pids() == before
    assert ask(kind, at) in before
    assert inode("s") == was
    it.call("scale", count=1)
    assert [ask(kind, at)] == it.pids()
    assert it.stop() == 0
    assert not os.path.exists("s")


def test_unix_seqpacket_a_reload_and_orphans_keep_go_on_with_it():
    ini = section("web", f"python3 {KINDS} seqpacket", "listen = unix-seqpacket:@name", "bake = 0s",
                  "orphans = keep", workers=1, ready="alive:1ms")
    it = cluster(ini=ini)
    old = it.worker().pid
    it.reload(f"{read('it.ini')}env = A=1\n")
    new = it.worker().pid
    assert new != old
    assert ask("seqpacket", "\0name") == new
    it.kill()
    assert ask("seqpacket", "\0name") == new
    it = cluster(f"-c {path('it.ini')}")
    assert it.worker().pid == new
    assert ask("seqpacket", "\0name") == new
    it.stop()


# ---- what workers do to the socket of all ----

def spoiled_by(*how, **more):
    """Two workers that share a unix socket."""
    os.mkdir("place")
    return cluster(f"-n 2 --ready notify -l unix:{path('place/s')}", "python3", SPOILS, *how,
                   **more)


def wait_others(it, before):
    """Until two others serve."""
    wait(lambda: it.cluster().ready == 2 and not set(it.pids()) & set(before))


def test_a_unix_socket_that_a_worker_shuts_down_as_it_stops_serves_on():
    it = spoiled_by("shutdown")
    before = it.pids()
    it.call("restart", target="it.0")
    it.logged("listener 's': a worker has shut it down for all; bound again")
    wait(answers)
    wait_others(it, before)  # the other one had the former socket, too
    wait(answers)
    assert {w.restarts for w in it.workers()} == {0}
    it.call("restart")
    wait(answers)
    assert it.stop() == 0
    assert os.listdir("place") == []


def test_a_unix_socket_whose_file_a_worker_removes_as_it_stops_gets_it_back():
    it = spoiled_by("unlink")
    before, was = it.pids(), inode()
    it.call("restart")
    wait(lambda: os.path.exists("place/s"))
    assert inode() == was
    assert answers()
    it.logged("listener 's': its file was removed; it has its name again")
    wait_others(it, before)
    assert it.stop() == 0
    assert os.listdir("place") == []


def test_a_unix_socket_without_any_name_is_bound_again_and_its_workers_replaced():
    it = spoiled_by("nothing")
    before, was = it.pids(), os.stat("place/s")
    for name in os.listdir("place"):  # and the one by which it could get its name again
        os.unlink(f"place/{name}")
    kill(it.worker(0).pid)
    it.logged("listener 's': its file was removed; bound again")
    now = os.stat("place/s")
    assert (now.st_mode, now.st_uid, now.st_gid) == (was.st_mode, was.st_uid, was.st_gid)
    wait(answers)
    wait_others(it, before)


def test_one_whose_directory_is_gone_is_bound_again_once_that_is_there():
    it = spoiled_by("nothing", clock=True)
    run("rm", "-r", "place").ok()
    kill(it.worker(0).pid)
    it.logged("and it cannot be bound again: cannot open the directory")
    it.event("ready", slot=0, n=2)
    os.mkdir("place")  # no worker ends or starts any more
    wait(lambda: it.advance(0.5) or answers())


def test_no_worker_leads_nclust_to_another_directory_where_it_would_bind_a_socket():
    need_root()
    os.makedirs("home/run")
    os.mkdir("other")
    for name in ("home", "home/run"):
        os.chown(name, 65534, 65534)
    write("leads.py", f"""
import os, signal, socket
s = socket.socket(fileno=3)
if os.path.isdir("{path('home/run')}") and not os.path.islink("{path('home/run')}"):
    os.rename("{path('home/run')}", "{path('home/former')}")
    os.symlink("{path('other')}", "{path('home/run')}")
    s.shutdown(socket.SHUT_RDWR)
signal.pause()
""")
    it = start(f"-n 1 --user nobody -l 'unix:{path('home/run/s')}, mode=0666'", "python3",
               path("leads.py"))
    it.logged("cannot be bound again: another user can replace a directory")
    assert os.listdir("other") == []


@pytest.mark.parametrize("accept", ("no", "yes"))  # yes: nclust itself takes the connections
def test_a_reload_notices_that_the_file_of_a_unix_socket_was_removed(accept):
    os.mkdir("place")
    write("once.sh", 'while read -r line && [ "${#line}" -gt 1 ]; do :; done\n'
          r'printf "HTTP/1.0 200 OK\r\n\r\npid=%s\n" "$$"')
    it = cluster(ini=f"""
        [cluster:it]
        command = {f"sh {path('once.sh')}" if accept == "yes" else f"{SERVE} --notify"}
        {"accept = yes" if accept == "yes" else "ready = notify"}
        workers = 1
        listen = unix:{path('place/s')}
        """)
    wait(answers)
    for name in os.listdir("place"):
        os.unlink(f"place/{name}")
    it.call("reload")
    wait(answers)


def test_what_stands_in_the_place_of_a_unix_socket_is_left_alone_as_one_line_says():
    it = spoiled_by("nothing")
    stranger = bound("place/new")
    os.rename("place/new", "place/s")  # at once: nclust would give the name back
    was = inode()
    it.call("restart")
    it.logged("listener 's': another file is in its place")
    assert inode() == was
    stranger.close()
    os.unlink("place/s")
    it.call("restart")
    wait(answers)


def test_a_listener_that_is_shut_down_without_end_serves_again_once_that_has_ended():
    write("go", "")
    it = cluster(f"{ONE} -l 127.0.0.1:8000", "python3", SPOILS, "while", path("go"))
    it.logged("listening again")
    os.unlink("go")
    wait(lambda: answers(None))


def test_a_listener_that_is_shut_down_and_whose_port_a_stranger_has_serves_again_after_him():
    it = cluster(f"{ONE} -l 127.0.0.1:8000", "python3", SPOILS, "shutdown", clock=True)
    pid = it.worker().pid
    kill(it.process.pid, signal.SIGSTOP)
    kill(pid, signal.SIGTERM)
    wait(lambda: not listens())
    with socket.create_server(("127.0.0.1", PORT)):
        kill(it.process.pid, signal.SIGCONT)
        it.logged("tried each second: Address already in use")
    wait(lambda: it.advance(0.5) or answers(None))


def test_a_datagram_socket_that_a_worker_connects_hears_all_again_after_a_restart():
    gate = Gate()
    it = cluster(f"{ONE} -l udp:127.0.0.1:8000", "python3", SPOILS, "connect", gate)
    gate.open()
    it.logged("connected now")
    os.unlink(gate.path)

    def hears():
        with socket.socket(type=socket.SOCK_DGRAM) as s:
            s.settimeout(0.1)
            s.sendto(b"hello", ("127.0.0.1", PORT))
            try:
                return s.recv(100).startswith(b"pid=")
            except OSError:
                return False

    it.call("restart")
    wait(hears)
    assert it.says("a worker has connected it")


# ---- from outside ----

def test_fd_takes_a_socket_that_nclust_was_started_with_and_nothing_else():
    with socket.create_server(("127.0.0.1", PORT)) as s:
        it = serves(f"-l 'fd:{s.fileno()}, name=http'", pass_fds=(s.fileno(),))
    assert get().pid == it.worker().pid
    assert addresses(it) == ["tcp:127.0.0.1:8000"]
    it.call("restart")
    assert get().part("gen") == "2"
    cannot_listen("fd:77", "77", "not open")
    with open("/dev/null") as f:
        cannot_listen(f"fd:{f.fileno()}", "non-socket", pass_fds=(f.fileno(),))


FOR_FASTCGI = ("python3", "-c", """
import os, socket, sys
s = socket.create_server(("127.0.0.1", 8000))
os.dup2(s.fileno(), 0)
os.execv(sys.argv[1], sys.argv[1:])
""")


def test_a_listening_standard_input_is_warned_of_unless_it_is_named():
    it = start("-n 1", "sleep", "1000", under=FOR_FASTCGI)
    it.logged("standard input is a socket that listens, and is not used: no 'listen' names it")
    it.stop()
    it = serves("-l 'fd:0, name=http'", under=FOR_FASTCGI)
    assert get().pid == it.worker().pid and it.log().count("standard input") == 1
    it.stop()
    # systemd's StandardInput=socket: it is one of LISTEN_FDS
    it = serves("-l fd:3", under=(*FOR_FASTCGI[:2], FOR_FASTCGI[2].replace("os.execv", """
os.dup2(0, 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv""")))
    assert get().pid == it.worker().pid and it.log().count("standard input") == 1


def test_inherit_takes_a_socket_by_its_name_from_the_service_manager():
    at = path("m.sock")
    it = leak("-l inherit:http,name=web -l fd:5", "--serve", "--notify", under=(
        server("activate.py"), "admin=8001", "http=8000", "third=8002", f"local=unix:{at}", "--"))
    assert get().pid == it.worker().pid
    assert addresses(it) == ["tcp:127.0.0.1:8000", "tcp:127.0.0.1:8002"]
    # what was passed and not named reaches no worker
    it.logged("descriptor 3 (LISTEN_FDS, 'admin') is not used: no 'listen' names it")
    assert it.log().count("is not used") == 2  # and 'local'
    assert [fd.fd for fd in born().fds] == [0, 1, 2, 3, 4]
    env = born().env
    assert (env.LISTEN_FDS, env.LISTEN_FDNAMES.split(":")[0]) == ("2", "web")
    assert env.LISTEN_PID == str(it.worker().pid)
    it.call("restart")
    assert get().part("gen") == "2" and listens(8002)
    it.stop()
    assert os.path.exists(at)  # it is the manager's


def test_a_port_that_the_service_manager_has_passed_is_said_to_be_held_by_nclust_itself():
    run(server("activate.py"), "http=8000", "--", inside(PROGRAM), "-l", "127.0.0.1:8000",
        "--", "touch", "ran").fails(1, "in use by nclust itself", "LISTEN_FDS (inherit:NAME)")
    assert not os.path.exists("ran")


def test_inherit_with_no_such_name_is_refused_and_says_what_there_is():
    for between, count in (((), 1), (("timeout", 60), 0)):  # LISTEN_PID is another process's
        run(server("activate.py"), "admin=8000", "--", *between, inside(PROGRAM), "-l",
            "inherit:http", "--", "touch", "ran").fails(1, "http", f"({count} in LISTEN_FDS)")
    assert not os.path.exists("ran")
