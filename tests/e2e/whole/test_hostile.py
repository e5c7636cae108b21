# SPDX-License-Identifier: MIT
"""nclust is root, its workers are not, nor are those who may look at it: nothing that these do
uses nclust's rights, or keeps root from using nclust."""
import contextlib
import socket
import struct

from harness import *

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def asks(*what, balance="auto", **more):
    """A worker of Node that asks for one socket, as nobody."""
    need("node")
    return start(f"-n 1 --user nobody --balance {balance} --ready alive:0 --log inherit", "node",
                 f"{SRC}/tests/e2e/node/asks.js", *what, **more)


def theirs(name="theirs"):
    return f"{make(name, 65534)}/s"


# ---- on a worker's behalf ----

def test_no_link_of_a_workers_leads_root_to_another_users_socket():
    it = asks("path", theirs())
    os.mkdir("roots")
    it.logged("answer given")
    assert os.stat("theirs/s").st_uid == 65534
    # one file, so that nclust must take it for what the worker has bound
    os.link("theirs/s", "roots/s")
    os.rename("theirs", "away")
    os.symlink("roots", "theirs")
    it.stop()
    assert os.path.exists("roots/s")


def test_a_workers_socket_file_is_removed_at_the_end_after_an_upgrade_too():
    it = asks("path", theirs())
    it.logged("answer given")
    it.call("upgrade")
    assert os.path.exists("theirs/s")
    it.stop()
    assert not os.path.exists("theirs/s")


@pytest.mark.parametrize("kind", ("a file", "abstract"))
def test_what_nclust_listens_on_for_a_worker_is_the_workers_to_who_connects(kind):
    at = theirs() if kind == "a file" else "@abstract"
    it = asks("path", at, balance="rr")
    it.logged("answer given")

    def is_the_workers():
        with dial(unix=at.replace("@", "\0")) as s:
            peer = struct.unpack("3i", s.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            assert peer[1:] == (65534, 65534)

    is_the_workers()
    it.call("upgrade")
    is_the_workers()


def test_a_directory_of_roots_group_is_closed_to_a_worker_that_is_not_in_it():
    os.mkdir("groups")
    os.chown("groups", 0, 4711)
    os.chmod("groups", 0o770)
    asks("path", path("groups/s"), under=("setpriv", "--groups=0,4711")).logged("answer -13")
    assert not os.path.exists("groups/s")


def test_a_workers_socket_joins_no_so_reuseport_group_of_roots():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as roots:
        roots.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        roots.bind(("127.0.0.1", PORT))
        asks("udp", PORT, 8).logged("answer -98")


def test_one_worker_that_asks_all_the_time_does_not_fill_log_and_events():
    it = asks("often", balance="rr", clock=True)
    it.logged("listening on", 4)
    wait(lambda: it.says("messages about worker") or it.advance(1))
    assert sum(numbers(it.log(), r"(\d+) messages about worker")) >= 10
    assert "messages about worker" in it.verb("events").ok()
    # 8 in the first minute and 8 in the next, and what else is told
    assert len(it.log().splitlines()) < 60


# ---- what workers leave ----

HOLDS_MANY = """
import os, time
os.dup2(3, 7000)
os.closerange(3, 7000)
for i in range(6000):
    os.open("/dev/null", os.O_RDONLY)
time.sleep(1000)"""
LEFT = {
    "without a name": ("off", "", "sleep 1000"),
    "with a socket that nclust has closed": ("quiet", "", "sleep 1000"),
    "with the name of a worker that comes later": ("off", "NCLUST_WORKER=4", "sleep 1000"),
    "with the name of a worker of another cluster": ("off", "NCLUST_WORKER=1", "sleep 1000"),
    "with very many other descriptors": ("off", "", "python3 {}"),
}


def started_at(pid):
    return int(stat(pid)[19])


@pytest.mark.parametrize("what", LEFT)
def test_what_old_workers_have_left_goes_with_them_at_a_restart(what):
    drain, environ, hold = LEFT[what]
    hold = hold.format(write("many.py", HOLDS_MANY))
    write("holds", f'#!/bin/sh\necho $$ >>"$1"\nexec {hold}\n', 0o755)
    write("leaves", f"""#!/bin/sh
        (setsid env -i {environ} {path('holds')} {path('left')}/$NCLUST_GENERATION &)
        exec "$@"
        """, 0o755)
    make("left", mode=0o777)
    # worker 1, then 2 and 3, and 4 and 5 after the restart
    it = cluster(ini=section("first", "sleep 1000", "user = nobody", workers=1, ready="alive:0")
                 + section("web", f"{path('leaves')} {SERVE} --notify", "user = nobody",
                           "listen = 8000", f"drain = {drain}"))
    wait(lambda: len(lines("left/1")) == 2)
    left = list(map(int, lines("left/1")))
    # the next workers are younger, in the ticks in which the kernel counts that
    wait(lambda: started_at(begin_program(*NAP).pid) > max(map(started_at, left)))
    it.call("restart", target="web")
    wait_gone(*left)
    # those of who lives do
    wait(lambda: len(lines("left/2")) == 2)
    assert all(is_alive(int(pid)) for pid in lines("left/2"))


# ---- who may only read ----

@contextlib.contextmanager
def reader():
    """Somebody who is in control-group."""
    groups = os.getgroups()
    os.setgroups([4711])
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setgroups(groups)


def test_who_may_only_read_is_not_told_the_values_of_env():
    it = cluster("-n 1 --control-group '#4711' --env PASSWORD=hunter2 --ready alive:0", *NAP)
    with reader():
        control = it.connect()
    config = control.call("config")
    assert "env = PASSWORD=***" in config.ini and "PASSWORD=***" in repr(config.settings)
    assert "hunter2" not in repr(config) + repr(control.call("status"))
    assert "env = PASSWORD=hunter2" in it.call("config").ini


def test_no_number_of_readers_keeps_root_from_asking_and_changing():
    it = cluster("-n 1 --control-group '#4711' --ready alive:0 --bake 0s", *NAP)
    readers = []
    with reader():
        for _ in range(100):
            with contextlib.suppress(OSError, Closed, AttributeError):
                readers.append(it.connect())
                readers[-1].send("events", follow=True)
    for _ in range(20):
        it.connect().call("status")
    for n in (2, 1, 2, 1):
        it.verb("scale", n).ok()
        it.verb("restart").ok()
    # those who read are served as well, as far as there is room
    assert sum(d.startswith("socket:") for d in descriptors(it.pid).values()) >= 40
    assert it.stop() == 0


# ---- whose settings ----

def others_file():
    os.chown("own/it.ini", 65534, -1)
    return f"'{path('own/it.ini')}' belongs to user 65534"


def others_directory():
    os.chown("own", 65534, -1)
    return f"'{path('own')}' belongs to user 65534"


def open_directory():
    os.chmod("own", 0o777)
    return f"'{path('own')}' is writable by others than its owner"


def others_link():
    os.rename("own/it.ini", "own/real.ini")
    os.symlink("real.ini", "own/it.ini")
    os.lchown("own/it.ini", 65534, -1)
    return f"'{path('own/it.ini')}' belongs to user 65534"


def open_file(mode=0o666):
    os.chmod("own/it.ini", mode)
    return f"{path('own/it.ini')}: writable by others than its owner"


def groups_file():
    os.chown("own/it.ini", 0, 1)  # root's own group may write
    return open_file(0o664)


@pytest.mark.parametrize("how", (others_file, others_directory, open_directory, others_link,
                                 open_file, groups_file))
def test_root_obeys_no_settings_that_another_user_could_change(how):
    settings = "[cluster]\nworkers = 1\nready = alive:0\ncommand = "
    write("own/it.ini", f"{settings}sleep 600\n")
    it = cluster(f"-c {path('own/it.ini')}")
    # as it would be if the one who may write there had done it
    write("own/it.ini", f"{settings}touch {path('ran')}\n")
    says = f"{how()}, refused for root"
    for words in (f"--name other -c {path('own/it.ini')}", f"config --check -c {path('own/it.ini')}"):
        nclust(words).fails(78, says)
    it.verb("reload").fails(78, says)
    told = it.log().count(says)
    kill(it.pid, SIGHUP)
    it.logged(says, told + 1)
    it.call("upgrade")
    assert it.cluster().wanted == 1 and not os.path.exists("ran")


def test_another_user_obeys_its_own_settings_and_so_does_root_of_its_namespace():
    theirs()
    write("theirs/it.ini", "[cluster]\ncommand = true\nrestart = never\nready = alive:0\n", 0o666)
    os.chown("theirs/it.ini", 65534, -1)
    env = {**os.environ, "NCLUST_RUNTIME_DIR": path("theirs")}
    run(*AS_NOBODY, inside(PROGRAM), "-c", path("theirs/it.ini"), env=env).ok()
    os.chmod("theirs/it.ini", 0o644)
    run(*AS_NOBODY, "unshare", "-r", inside(PROGRAM), "config", "--check", "-c",
        path("theirs/it.ini"), env=env).ok()
