# SPDX-License-Identifier: MIT
"""Workers that cannot be taken off their socket get no new connections while they are replaced:
the new generation has a socket of its own for a while."""
from drains import *
from harness import lab

POLL = "-n 2 -l 127.0.0.1:8000 --ready notify --drain-timeout 10m"


def count(it):
    """How many sockets listen at the port, in truth and as status has it."""
    return len(sockets("listen", PORT)), it.cluster().listeners[0].get("sockets", 1)


def one_is_left(it):
    """The old one is closed with its last worker, and nobody waits in it."""
    wait(lambda: count(it) == (1, 1) and it.cluster().listeners[0].queue == 0)


def script(*lines):
    """A program that each deploy writes anew."""
    return write("server", "\n".join(("#!/bin/sh", *lines)), 0o755)


class Held:
    """A rolling restart that goes on until the gate opens, as an old worker is busy so long."""

    def __init__(self, command=(RUDE, "--poll", "--slow", 1)):
        self.gate = Gate("go")
        self.it = cluster(POLL, *command, "--until", self.gate)
        self.request = Request("/slow")
        wait_asked()
        self.busy = holders()[0]
        self.load = Loads(options="--rate 100")
        self.it.call("restart", no_wait=True)
        wait(lambda: count(self.it) == (2, 2))

    def end(self):
        """All is answered."""
        self.gate.open()
        assert self.request.answer().pid == self.busy
        wait(lambda: self.it.cluster().rollout is None)
        self.load.end()
        one_is_left(self.it)


def test_a_second_restart_while_the_first_is_steered():
    held = Held()
    held.it.call("restart", no_wait=True)
    held.it.event("rollout-superseded")
    held.end()
    assert held.it.cluster().generation == 3


def test_an_old_worker_that_crashes_while_it_is_emptied_is_no_reason_to_stop():
    held = Held()
    kill(held.busy)
    held.it.event("rollout-done")
    # where clients waited in its socket, its successor has got that one
    held.it.call("restart")
    one_is_left(held.it)
    assert held.it.cluster().ready == 2


def test_a_release_that_fails_midway_is_taken_back_and_nothing_is_lost():
    # whichever slot comes first may have a new one
    program = script('[ ! -e bad ] || ln -s "$NCLUST_SLOT" first || '
                     '[ "$(readlink first)" = "$NCLUST_SLOT" ] || exit 3', f"exec {RUDE} --poll")
    it = cluster(POLL, program)
    load = Loads(options="--rate 100 --path /slow")
    write("bad", "")
    is_refused("exit 3", it.call, "restart")
    it.event("rollout-done", rollout=2)
    it.call("upgrade")
    os.unlink("bad")
    it.call("restart")
    load.end()
    one_is_left(it)


def test_an_upgrade_between_two_restarts_the_old_workers_go_on_accepting():
    gate = Gate("go")
    gate.open()
    it = cluster(POLL, RUDE, "--poll", "--start", gate)
    it.call("restart")
    one_is_left(it)
    it.call("upgrade")
    os.unlink(gate.path)
    it.call("restart", no_wait=True)
    it.event("started", generation=3)
    assert {get().part("generation") for _ in range(5)} == {"2"}
    gate.open()
    it.event("rollout-done", n=2)
    one_is_left(it)


def test_the_last_worker_of_before_is_kept_for_a_client_that_is_about_to_speak():
    # the kernel has answered its SYN, and shows it to nobody before it says something
    it = cluster("-n 1 -l 127.0.0.1:8000,defer-accept=60s --ready notify --drain quiet", RUDE,
                 "--blocking")
    old = it.worker().pid
    client = dial()
    it.call("restart", no_wait=True)
    it.event("ready", generation=2)
    wait(lambda: silence(client) > 600)
    client.sendall(b"GET / HTTP/1.0\r\n\r\n")
    assert f"pid={old} " in client.recv(4096).decode()
    it.event("rollout-done")


# ---- releases that die ----

@pytest.mark.parametrize("workers, under, how", (
    (2, (), ["--poll"]), (2, PLAIN_USER, []), (1, PLAIN_USER, [])),
    ids=("", "where the kernel moves nothing an event loop shares its socket", "a single one"))
def test_a_canary_dies_and_what_waited_for_it_is_answered_by_others(workers, under, how):
    if under:
        need_root()
    else:
        need_moved_queues()
    ini = section("web", f"{' '.join([RUDE, *how])} %s", "listen = 127.0.0.1:8000", "canary = 1",
                  "bake = 10m", workers=workers)
    it = cluster(ini=ini % "", under=under)
    load = Loads(options="--rate 100 --path /slow")
    write("it.ini", ini % "--deaf")
    reload = it.begin("reload")
    canary = it.event("ready", generation=2)
    if how:  # it has its own socket, and takes nothing
        wait(lambda: queued() > 2)
    kill(canary.pid)
    is_refused("SIGKILL", reload)
    one_is_left(it)
    load.end()
    assert it.cluster().ready == workers


def test_so_it_is_in_the_midst_of_another_rollout():
    need_moved_queues()
    program = script(f'[ "$NCLUST_GENERATION" != 3 ] || exec {RUDE} --deaf',
                     f'exec {RUDE} --poll --slow 1 "$@"')
    held = Held([program])
    answer = held.it.begin("restart", canary=1, bake=600)
    canary = held.it.event("ready", generation=3)
    kill(canary.pid)
    is_refused("SIGKILL", answer)
    again = held.it.begin("restart")  # until then there may be two sockets
    held.end()
    assert again().ok


def test_a_canary_like_which_all_others_would_die_no_worker_is_risked_for_it():
    need_root()
    program = script(f'[ ! -e bad ] || exec {RUDE} --poll --deaf', f"exec {RUDE} --poll")
    it = cluster(POLL, program, under=PLAIN_USER, clock=True)
    lab.clock.flow()
    before = it.pids()
    load = Steady(PORT, "--rate", 50)
    write("bad", "")
    answer = it.begin("restart", canary=1, bake=600)
    canary = it.event("ready", generation=2)
    wait(lambda: queued() > 2)
    kill(canary.pid)
    is_refused("SIGKILL", answer)
    it.advance(11, step=0.5)
    one_is_left(it)
    got = load.end()
    # who waits is told, and may ask again
    assert (got.unanswered, got.refused) == (0, 0)
    assert it.pids() == before


# ---- ports ----

PORTS = server("ports.py")


@pytest.mark.parametrize("balance", ("share", "rr"))
def test_a_port_that_a_reload_adds_is_the_new_workers_alone(balance):
    ini = f"[cluster:web]\ncommand = python3 {PORTS}\nworkers = 3\nready = notify\n"
    it = cluster(ini=ini + "balance = share\nlisten = 127.0.0.1:8000\n")
    loads = [Loads(options="--rate 50")]
    write("it.ini", f"{ini}balance = {balance}\nlisten = 127.0.0.1:8000\n"
          "listen = 127.0.0.1:8001\n")
    reload = it.begin("reload")
    loads.append(Loads(8001, options="--rate 50"))
    reload()
    it.call("restart")
    for load in loads:
        load.end()


@pytest.mark.parametrize("command", (
    ("", "python3"), ("-l 127.0.0.1:8001", "env", "-u", "LISTEN_FDS", "python3")),
    ids=("", "also if a setting names it"))
def test_a_port_that_one_slot_opens_is_that_slots_alone(command):
    it = cluster(f"-n 4 --ready notify {command[0]}", *command[1:], PORTS, 8000, 8001)
    load = Loads(options="--rate 50")
    for verb, target in (("restart", "it.0"), ("upgrade", None), ("restart", "it.3"),
                         ("restart", "it.0")):
        it.call(verb, **({"target": target} if target else {}))
        for _ in range(3):
            assert get(port=8001).status == 200
    load.end()


def test_a_port_that_a_reload_names_those_that_get_it_by_that_have_clients_too():
    ini = "[cluster:it]\nworkers = 3\nbake = 5m\nintercept = on\n"
    it = cluster(ini=f"{ini}command = {UNWELL} --port 8000\nready = listen\n")
    write("it.ini", f"{ini}command = {UNWELL}\nready = tcp\nlisten = 127.0.0.1:8000\n")
    it.call("reload", no_wait=True)
    new = it.event("ready", generation=2).pid
    wait(lambda: get().pid == new)


# ---- what is left, and who else comes ----

def test_restarts_leave_one_socket_and_no_descriptor_behind():
    it = cluster(f"{POLL} --hand-on off", RUDE, "--poll")  # else the courier begins at some restart
    load = Loads(options="--rate 50")
    it.call("restart")
    one_is_left(it)
    before = len(descriptors(it.pid))
    for _ in range(6):
        it.call("restart")
    one_is_left(it)
    wait(lambda: len(descriptors(it.pid)) <= before)
    load.end()


def join():
    """Another socket at the address, as any process of the user can have where SO_REUSEPORT is
    set; None."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        s.bind(("127.0.0.1", PORT))
        s.listen()
    except OSError:
        s.close()
        return None
    return s


def test_nobody_joins_the_port_before_it_is_steered_and_an_event_loop_is_not():
    it = cluster(POLL, RUDE)
    assert not join()
    it.call("restart")
    assert not join()
    assert count(it) == (1, 1)


def join_in_a_restart(it, gate):
    """Another program opens the port as well while workers are replaced."""
    os.unlink(gate.path)
    it.call("restart", no_wait=True)
    it.event("started", generation=2)
    stranger = join()
    gate.open()
    it.event("rollout-done")
    it.logged("another process listens at tcp:127.0.0.1:8000")
    return stranger


def test_who_joins_the_port_meanwhile_gets_nothing_and_is_told_of():
    gate = Gate("go")
    gate.open()
    it = cluster(POLL, RUDE, "--poll", "--start", gate)
    load = Loads(options="--rate 100 --path /slow")
    stranger = join_in_a_restart(it, gate)
    it.call("restart")
    load.end()
    stranger.setblocking(False)
    with pytest.raises(BlockingIOError):
        stranger.accept()
    stranger.close()  # all is as ever when it has gone
    one_is_left(it)
    it.call("restart")
    one_is_left(it)


def test_neither_it_nor_a_slot_in_backoff_puts_an_upgrade_off_for_ever():
    gate = Gate("go")
    gate.open()
    it = cluster(f"{POLL} --backoff-min 1h --backoff-max 1h", RUDE, "--poll", "--start", gate,
                 clock=True)
    lab.clock.flow()
    stranger = join_in_a_restart(it, gate)
    it.reborn(1)
    kill(it.worker(1).pid)
    it.wait(lambda: it.worker(1).state == "backoff")
    lab.clock.stand()
    upgrade = it.begin("upgrade")
    it.event("upgrade-waits")
    it.advance(29)
    it.verb("upgrade").fails(75, "an upgrade is under way\n")
    it.advance(2)
    assert upgrade().ok
    lab.clock.flow()
    stranger.close()
    wait(lambda: count(it) == (1, 1))
    assert get().pid == it.worker(0).pid


def test_one_slot_a_graceful_server_and_a_unix_socket_are_not_steered():
    it = cluster(f"{POLL} -l unix:{path('socket')}", RUDE, "--poll")
    it.call("restart", target="it.0")
    assert count(it) == (1, 1)
    it.stop()
    it = cluster(f"{POLL} --drain signal", RUDE, "--poll", "--graceful")
    it.call("restart")
    assert count(it) == (1, 1) and it.cluster().generation == 2
