# SPDX-License-Identifier: MIT
"""spare = N: copies that wait before their listen(2), and take the place of others."""
import re
import socket

from harness import *


def in_state(it, state):
    return next(w for w in it.workers() if w.state == state)


def serving(it):
    return in_state(it, "ready").pid


def spare(it):
    return in_state(it, "spare").pid


def wait_spares(it, ready, spares):
    """Until there are so many, and nobody else, of one generation."""
    it.wait(lambda: sorted(w.state for w in it.workers()) == ["ready"] * ready + ["spare"] * spares
            and len({w.generation for w in it.workers()}) <= 1, f"{ready} ready, {spares} spares")
    return it


def end(pid):
    """Until it is gone it may take one more client, and lose it."""
    kill(pid)
    wait_gone(pid)


def wait_taken_over(it, pid):
    """Until clients that come have no other to go to.  (Who has come to the socket of one that has
    died is served by the next one there.)"""
    it.event("takes-over", pid=pid)
    it.event("ready", pid=pid)
    it.mark()


def who(count=10, **where):
    return {get(**where).pid for _ in range(count)}


def spared(options="-n 1 --spare 1", *more, spares=(1, 1), **options_of_start):
    """A server that opens its port by itself, as soon as the gate is open."""
    gate = Gate()
    gate.open()
    it = start(f"{options} --log-level info", PLAIN, 8000, "--start", gate, *more,
               **options_of_start)
    return wait_spares(it, *spares), gate


# ---- it takes a place ----

def test_a_spare_takes_the_place_of_a_worker_that_is_killed_and_is_replaced():
    it, gate = spared()
    old, new = serving(it), spare(it)
    assert who() == {old}
    os.unlink(gate.path)  # no other can serve
    end(old)
    assert get().pid == new
    assert f"spare worker {new} now serves" in it.event("takes-over").text
    it.wait(lambda: it.cluster().ready == 1)
    it.verb("status").ok()
    gate.open()
    wait_spares(it, 1, 1)

    # the spare itself is not missed, and replaced
    old = spare(it)
    end(old)
    it.event("exited", pid=old)
    assert get().pid == new
    wait_spares(it, 1, 1)
    assert serving(it) == new and spare(it) != old


@pytest.mark.parametrize("way", ("--balance rr", "--balance random", "--sticky client-address"))
def test_what_waits_for_the_worker_that_is_killed_goes_to_the_spare_if_each_has_a_socket(way):
    need_root()
    it, _ = spared(f"-n 1 --spare 1 {way}")
    old, new = serving(it), spare(it)
    assert it.cluster().balance == way.split()[1]
    freeze(old)
    requests = [Request(), Request()]
    wait(lambda: queued() == 2)
    kill(old)
    assert [r.answer().pid for r in requests] == [new, new]
    wait_spares(it, 1, 1)
    assert who() == {new}


def test_more_are_served_by_spares_at_once_and_fewer_leave_as_many_spares():
    it, gate = spared("-n 1 --spare 2", spares=(1, 2))
    os.unlink(gate.path)
    it.call("scale", count=3, no_wait=True)
    it.wait(lambda: it.cluster().ready == 3)
    gate.open()
    wait_spares(it, 3, 2)
    for count, spares in ((1, 2), (0, 0), (1, 2)):
        it.call("scale", count=count)
        wait_spares(it, count, spares)


def test_a_step_of_a_restart_takes_a_spare_that_is_ready_and_waits_for_no_start():
    gate = Gate("go.{slot}")
    it = start("-n 1 --spare 1 --bake 0s", PLAIN, 8000, "--start", gate)
    for slot in (0, 1):
        gate.open(slot)
    wait_spares(it, 1, 1)
    workers = it.workers()
    for slot in (0, 1):
        os.unlink(path(f"go.{slot}"))
    it.call("restart", no_wait=True)
    gate.open(in_state(it, "spare").slot)  # the new spare: the only one that may start
    wait_gone(*(w.pid for w in workers))
    now = get().pid
    assert now not in [w.pid for w in workers]
    assert it.cluster().ready == 1
    for slot in (0, 1):
        gate.open(slot)
    it.event("rollout-done")
    wait_spares(it, 1, 1)
    assert serving(it) == now


def test_a_restart_that_fails_leaves_the_old_spare_and_the_old_worker():
    it, gate = spared("-n 1 --spare 1 --start-timeout 5s", clock=True)
    old = it.pids()
    os.unlink(gate.path)
    it.call("restart", no_wait=True)
    it.event("started", n=3)
    it.advance(5.1)
    it.event("rollout-failed")
    wait_spares(it, 1, 1)
    assert it.pids() == old
    assert get().pid == serving(it)


def test_a_spare_that_never_comes_to_its_listen_is_tried_again_and_nothing_else():
    it, gate = spared("-n 1 --spare 1 --start-timeout 5s --backoff-min 1s --backoff-max 1s",
                      clock=True)
    old = serving(it)
    os.unlink(gate.path)
    kill(spare(it))
    it.event("started", n=3)
    it.advance(5.1)
    it.event("start-timeout")
    it.event("exited", n=2)
    assert get().pid == old
    assert it.cluster().state == "running"
    it.verb("status").ok()
    gate.open()
    it.advance(2)
    wait_spares(it, 1, 1)
    assert serving(it) == old


def test_a_program_that_never_shows_that_it_is_ready_the_message_says_what_to_set():
    it = start("-n 1 --spare 1 --start-timeout 5s", *NAP, clock=True)
    it.event("started")
    it.advance(5.1)
    it.event("exited")
    assert it.says("with 'spare' time alone makes no worker ready: set 'ready = ...'")


def test_a_reload_changes_how_many_spares_there_are_and_no_worker():
    def reload(count):
        it.reload(f"[cluster:it]\nworkers = 1\nspare = {count}\ncommand = {PLAIN} 8000\n")
        wait_spares(it, 1, count)

    it = start(ini=f"[cluster:it]\nworkers = 1\ncommand = {PLAIN} 8000\n")
    wait_spares(it, 1, 0)
    old = serving(it)
    for count in (3, 1):
        reload(count)
        assert serving(it) == old
    end(old)
    wait_spares(it, 1, 1)
    # the one that serves is in the highest slot: a spare goes on for it
    reload(0)
    assert get().pid == serving(it)


@pytest.mark.parametrize("options", (
    "", "--user nobody", "--balance rr", "--balance random -l 127.0.0.1:8000"))
def test_after_a_death_of_nclust_its_spares_are_gone_and_new_ones_take_no_clients(options):
    if options:
        need_root()
    options = f"-n 1 --spare 1 --orphans keep {options}"
    it, _ = spared(options)
    old, gone = serving(it), spare(it)
    it.kill()
    it, _ = spared(options)
    assert serving(it) == old
    assert is_gone(gone)
    assert who() == {old}
    new = spare(it)
    end(old)
    wait_taken_over(it, new)
    assert who() == {new}


LISTENS = """
import os, socket
s = socket.socket(fileno=3)
s.listen(16)
while True:
    c, _ = s.accept()
    c.recv(1000)
    c.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\npid=%d" % os.getpid())
    c.close()"""


@pytest.mark.parametrize("options, command", (
    ("-l 8000", ("python3", "-c", LISTENS)),  # a passed socket
    ("--ready tcp --balance random", (PLAIN, 8000)),  # each has to prove that it is ready
    ("--ready alive:1ms", (PLAIN, 8000)),
    ("", ("node", server("plain.js"), 8000)),  # it waits for the answer to its query
), ids=("passed", "probe", "alive", "node"))
def test_other_programs_have_spares_too(options, command):
    it = wait_spares(start(f"-n 1 --spare 1 {options}", *command), 1, 1)
    old, new = serving(it), spare(it)
    wait_listened()
    assert get().pid == old
    it.call("upgrade")
    end(old)
    wait_taken_over(it, new)
    assert who() == {new}
    wait_spares(it, 1, 1)
    it.call("restart")
    wait_spares(it, 1, 1)


@pytest.mark.parametrize("options, says", (
    ("-n 1 --spare 1 --restart never", "'spare' cannot be used with a 'restart'"),
    ("--spare 1 --accept -l 8000", "--spare: cannot be used with 'accept'"),
))
def test_what_cannot_be_used_with_spares_is_refused(options, says):
    nclust(options, "-- true").fails(64, says)


# ---- it is asked before it serves ----

def asked(options="--balance random --check-interval 1h", *more, under=()):
    """Spares that have a socket of their own are asked for /check."""
    return start(f"-n 1 --spare 1 --check http:/check --check-timeout 1h {options} "
                 "--log-level info", "python3", server("asked.py"), path(), 8000, *more,
                 under=under)


def wait_warm(it):
    wait_spares(it, 1, 1)
    it.logged(f"spare worker {spare(it)} is warm")
    return it


def clients(count=10):
    return {int(get("/client").body) for _ in range(count)}


def checks(pid):
    """What it was asked; it has had no client."""
    assert "/client" not in lines(f"{pid}")
    return lines(f"{pid}").count("/check")


NO_BPF = ("setpriv", "--bounding-set=-bpf,-sys_admin")


@pytest.mark.parametrize("balance, under", (
    ("auto", ()), ("random", ()), ("random", NO_BPF)), ids=("auto", "random", "no-bpf"))
def test_a_spare_is_asked_before_it_serves_and_has_no_client_until_then(balance, under):
    need_root()
    it = wait_warm(asked(f"--balance {balance} --check-interval 1h", under=under))
    old, new = serving(it), spare(it)
    assert clients() == {old}
    assert checks(new) >= 50
    end(old)
    wait_taken_over(it, new)
    assert clients() == {new}
    wait_warm(it)
    old = spare(it)
    it.call("restart")
    wait_warm(it)
    assert checks(old) >= 50
    assert clients() == {serving(it)}


def test_spares_are_not_asked_where_the_kernel_does_not_let_nclust_choose_for_clients():
    need_root()
    it = wait_spares(asked("--check-interval 1h", under=NO_BPF), 1, 1)
    assert it.says("spares are not asked: ")
    assert it.cluster().balance == "share"
    assert not os.path.exists(f"{spare(it)}")


def test_one_that_comes_to_listen_before_anybody_is_ready_is_asked_too():
    need_root()
    it = asked("--balance random --check-interval 1h --ready notify", "--waits")
    it.logged("is warm")
    assert it.cluster().ready == 0
    new, first = spare(it), in_state(it, "starting").pid
    assert clients(1) == {first}
    write(f"go.{first}", "")
    wait_spares(it, 1, 1)
    assert spare(it) == new
    assert clients() == {first}
    checks(new)


def test_a_spare_is_asked_after_an_upgrade_too_and_replaced_if_it_fails():
    need_root()
    it = wait_warm(asked("--balance random --check-interval 50ms --check-failures 2"))
    old, new = serving(it), spare(it)
    it.call("upgrade")
    wait_spares(it, 1, 1)
    assert spare(it) == new
    before = checks(new)
    wait(lambda: checks(new) > before)
    write(f"ill.{new}", "")
    it.logged(f"worker {new} failed 2 checks in a row")
    wait_gone(new)
    wait_spares(it, 1, 1)
    assert clients() == {old}


# ---- those that do not wait in a call of their own ----

def own_pid(kind, where):
    """Who answers a client."""
    s = socket.socket(socket.AF_UNIX if kind == "path" else socket.AF_INET,
                      socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
    s.settimeout(BOUND)
    s.connect(where if kind == "path" else ("127.0.0.1", where))
    if kind == "udp":
        s.send(b"x")
    return int(re.search(rb"pid=(\d+)", s.recv(100)).group(1))


@pytest.mark.parametrize("kind, options", (
    ("tcp", "--intercept off"), ("path", "--intercept off"), ("path", ""), ("none", ""),
    ("given", "-l 8000"),  # it never calls listen(2)
    ("given", "-l 8000 --ready alive:1ms --start-timeout 300ms"),
))
def test_who_waits_in_no_call_is_no_spare_and_one_line_says_so(kind, options):
    where = path("server") if kind == "path" else 8000
    program = (SERVE,) if kind == "given" else ("python3", server("own.py"), kind, where)
    it = start(f"-n 1 --spare 1 --ready notify {options}", *program, "--notify")
    assert "does not wait in listen(2)" in it.event("no-spares").text
    wait_spares(it, 1, 0)
    assert it.log().count("no spares are held") == 1
    assert not is_stopped(serving(it))
    if kind == "tcp":  # whose path it is, where both bind it at once, is a matter of luck
        wait(lambda: [p for p in living() if command(p).startswith("python3")] == [serving(it)])
        assert {own_pid(kind, where) for _ in range(10)} == {serving(it)}
    it.call("upgrade")
    wait_spares(it, 1, 0)


# ---- UDP ----

def wait_for_udp(*pids):
    """Until one of them is bound there."""
    wait(lambda: set.union(*map(inodes, pids)) & {s.inode for s in sockets(port=8000, kind="udp")})


def test_a_spare_of_udp_waits_in_its_bind_and_has_no_datagrams_until_it_serves():
    text = ("[cluster:it]\nworkers = 1\nspare = 1\ndrain = off\n"
            f"command = python3 {server('own.py')} udp 8000\n")
    it = start(ini=text, clock=True)
    it.event("started", n=2)
    wait_for_udp(*it.pids())
    it.advance(1.1)  # that is a sign that it is ready
    wait_spares(it, 1, 1)
    old, new = serving(it), spare(it)
    assert {own_pid("udp", 8000) for _ in range(10)} == {old}
    it.call("upgrade")
    wait_spares(it, 1, 1)
    assert spare(it) == new
    end(old)
    wait_for_udp(new)
    assert {own_pid("udp", 8000) for _ in range(10)} == {new}
    it.advance(1.1)
    wait_spares(it, 1, 1)
    it.reload(text.replace("spare = 1", "spare = 0"))
    it.wait(lambda: len(it.pids()) == 1)
    wait_for_udp(*it.pids())
    it.advance(1.1)
    wait_spares(it, 1, 0)
    # one that is no spare is ready by that, too
    since = it.mark()
    end(serving(it))
    it.event("exited", since=since)
    it.advance(0.5)
    pid = it.event("started", since=since).pid
    wait_for_udp(pid)
    it.advance(1.1)
    it.event("ready", pid=pid)
    assert own_pid("udp", 8000) == pid


@pytest.mark.parametrize("spares", (1, 0), ids=("spare", "the first one again"))
def test_a_server_of_udp_and_tcp_is_not_ready_before_it_listens_too(spares):
    gate = Gate()
    gate.open()
    it = wait_spares(start(f"-n 1 --spare {spares} --drain off", "python3", server("both.py"), 8000,
                           gate, clock=True), 1, spares)
    os.unlink(gate.path)
    if spares:
        new = spare(it)
        end(serving(it))
        it.event("takes-over", pid=new)
    else:
        it.call("scale", count=0)
        it.call("scale", count=1, no_wait=True)
        new = it.event("started", n=2).pid
    wait_for_udp(new)
    it.advance(1.5)  # of a server of UDP alone that is a sign
    assert it.cluster().ready == 0
    gate.open()
    it.event("ready", pid=new)
    assert own_pid("tcp", 8000) == new
