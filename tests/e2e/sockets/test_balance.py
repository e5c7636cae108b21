# SPDX-License-Identifier: MIT
"""balance = rr, random, and sticky: each worker has a socket of its own, and the
kernel gives it its share of the connections.  Whatever happens to workers, or to nclust, no
connection is lost that none of them had read from."""
import http.client
import re
import select
import socket

from harness import *

CLOSES = (RUDE, "--close")
# One thing after the other: each has read from one connection at most.
BLOCKING = (RUDE, "--blocking", "--close", "--work", 2)
WITHOUT_RIGHTS = ("setpriv", "--bounding-set=-bpf,-sys_admin")


def needs_no_right():
    """Nor would it help to have none, if everybody has it."""
    need_root()
    if read("/proc/sys/kernel/unprivileged_bpf_disabled").strip() == "0":
        pytest.skip("everybody may use bpf(2) here")
    return WITHOUT_RIGHTS


def spread(options, *command, way="rr", **more):
    need_root()
    return cluster(f"--balance {way} --bake 0s {options}", *command, **more)


def listening():
    return len(sockets("listen", PORT))


def wait_in_turn(it):
    """Until requests, one after the other, go to each worker in turn: a new one comes in late."""
    count = len(it.pids())

    def in_turn():
        seen = [get().pid for _ in range(3 * count)]
        return set(seen) == set(it.pids()) and seen == seen[:count] * 3

    wait(in_turn)


def wait_all(it):
    """Until each worker has answered."""
    seen = set()
    wait(lambda: seen.add(get().pid) or seen == set(it.pids()))


def slowly():
    """Each slot has a gate before it serves, which is open."""
    gate = Gate("go.{slot}")
    for slot in range(4):
        gate.open(slot)
    return gate


# ---- who gets how many ----

@pytest.mark.parametrize("options, command, count", (
    ("-n 8 -l 8000", CLOSES, 8),
    ("-n 4", (*CLOSES, PORT), 4),
    # a socket for each family
    ("-n 3 --ready listen", ("python3", server("plain-asyncio.py"), PORT), 6),
), ids=("a passed socket", "a server that binds by itself", "asyncio"))
def test_each_worker_has_a_socket_and_gets_as_many(options, command, count):
    it = spread(options, *command)
    wait(lambda: listening() == count)
    assert it.cluster().balance == "rr"
    wait_in_turn(it)
    assert not it.says("by chance")


def test_one_worker_alone_and_then_more():
    it = spread("-n 1 -l 8000", *CLOSES)
    assert get().pid == it.worker().pid
    assert listening() == 1
    it.call("scale", count=3)
    wait_in_turn(it)
    assert not it.says("cannot choose")


@pytest.mark.parametrize("way, says", (
    ("rr", "by chance"), ("random", None)))
def test_without_the_right_to_it_the_kernel_chooses_by_chance_as_one_line_says(way, says):
    it = spread("-n 3 -l 8000", *CLOSES, way=way, under=needs_no_right())
    assert it.cluster().balance == "random"
    assert it.log().count("by chance") == (says is not None)
    assert it.says(says or "")
    assert listening() == 3
    wait_all(it)


def test_a_unix_socket_is_shared_as_one_line_says():
    it = spread(f"-n 2 -l unix:{path('s')}", *CLOSES)
    assert it.log().count("workers share it") == 1
    assert it.cluster().balance == "share"


def test_least_of_old_is_as_share_as_one_line_says():
    it = spread("-n 2 -l 8000", *CLOSES, way="least")
    assert it.cluster().balance == "share" and listening() == 1
    assert it.log().count("'balance = least' is as 'share'") == 1


def test_auto_workers_share_and_status_advises_rr_if_one_has_most_of_the_load():
    need_root()
    it = cluster("-n 3 -l 8000 --drain off --bake 0s", RUDE, "--compute", 400, clock=True)
    assert (it.cluster().balance, it.cluster().get("balance_why")) == ("share", None)
    # nclust's time stands: what one computes is most of it
    client = http.client.HTTPConnection("127.0.0.1", PORT, timeout=BOUND)
    for _ in range(4):
        client.request("GET", "/")
        client.getresponse().read()
    assert "balance_why" not in it.cluster()  # they have just started
    it.advance(5, step=1)
    assert "% of the CPU time of 3 workers; 'balance = rr'" in it.cluster().balance_why
    assert (it.cluster().balance, listening()) == ("share", 1)


# ---- clients that stay ----

def who_serves():
    """Of twelve addresses, the process; None until that stays."""
    def ask(n):
        client = http.client.HTTPConnection("127.0.0.1", PORT, BOUND, (f"127.0.0.{n}", 0))
        client.request("GET", "/")
        return int(re.search(r"pid=(\d+)", client.getresponse().read().decode()).group(1))

    found = {n: ask(n) for n in range(1, 13)}
    return found if found == {n: ask(n) for n in found} else None


@pytest.mark.parametrize("away", (False, True))
def test_a_client_stays_with_its_worker_as_long_as_that_lives_and_with_its_successor(away):
    gate = slowly()
    it = cluster("-n 4 -l 8000 --sticky client-address --ready notify --bake 0s", *CLOSES,
                 "--start", gate, under=needs_no_right())
    assert it.cluster().balance == "client-address"
    before = wait(who_serves)
    assert len(set(before.values())) >= 3
    pid = before[1]
    slot = it.pids().index(pid)
    its = {n for n in before if before[n] == pid}
    if away:
        os.unlink(f"go.{slot}")
    kill(pid)
    it.event("exited", slot=slot)
    wait(lambda: not away or it.cluster().ready == 3)
    if not away:
        new = it.event("ready", slot=slot, n=2).pid
    after = wait(lambda: (found := who_serves()) and (away or found[1] == new) and found)
    assert {n for n in before if before[n] != after[n]} == its
    assert pid not in after.values()
    if not away:
        assert {n for n in after if after[n] == new} == its
        it.call("upgrade")
        assert who_serves() == after


def test_of_clients_that_stay_only_those_of_new_workers_move():
    it = cluster("-n 3 -l 8000 --sticky client-address --ready notify", *CLOSES)
    before = wait(who_serves)
    it.call("scale", count=5)
    after = wait(lambda: (found := who_serves()) != before and found)
    moved = {n for n in before if before[n] != after[n]}
    assert moved == {n for n in after if after[n] in it.pids()[3:]}
    it.call("scale", count=3)
    wait(lambda: who_serves() == before)


def test_status_says_of_sticky_clients_that_all_come_from_one_address_as_of_a_proxy():
    it = cluster("-n 2 -l 8000 --sticky client-address --ready notify", RUDE)
    proxy = [dial() for _ in range(7)]
    assert it.cluster().listeners[0].only_client is None
    proxy.append(dial())
    assert it.cluster().listeners[0].only_client == "127.0.0.1"
    assert "all its clients are at 127.0.0.1, so that 'sticky' gives them to one worker" in \
        " ".join(it.verb("status").ok().split())
    proxy.append(dial(source="127.0.0.2"))
    assert it.cluster().listeners[0].only_client is None


# ---- workers that die ----

@pytest.mark.parametrize("port", ((), (PORT,)), ids=("passed", "binds"))
def test_what_waits_for_a_dead_worker_goes_to_others_before_it_has_a_successor(port):
    need_moved_queues()
    gate = slowly()
    it = spread("-n 3" if port else "-n 3 -l 8000", *BLOCKING, "--start", gate, *port)
    wait_in_turn(it)
    old = it.worker(1).pid
    freeze(old)
    os.unlink("go.1")
    requests = [Request() for _ in range(30)]
    wait(lambda: it.cluster().listeners[0].queue == 10)  # the others wait for more
    kill(old)
    assert {request.answer().slot for request in requests} == {0, 2}
    gate.open(1)
    it.event("ready", slot=1, n=2)
    wait_all(it)


def test_without_rights_what_waits_for_a_dead_worker_is_for_its_successor():
    gate = slowly()
    it = spread("-n 3 -l 8000", *BLOCKING, "--start", gate, under=needs_no_right())
    freeze(*it.pids())
    requests = [Request() for _ in range(30)]
    it.reborn(1)
    thaw(it.worker(0).pid, it.worker(2).pid)
    assert {request.answer().slot for request in requests} == {0, 1, 2}


def test_killed_again_and_again_only_what_a_worker_had_accepted_is_lost():
    it = spread("-n 3 --backoff-min 1ms --backoff-max 10ms", *BLOCKING, PORT)
    load = Clients()
    for n in range(9):
        it.reborn(n % 3)
    got = load.end()
    assert got.answered > 0
    assert (got.refused, got.late) == (0, 0)
    assert got.lost <= 9


# ---- orders ----

@pytest.mark.parametrize("kind", {
    "an event loop": ("-l 8000", CLOSES, False),
    "by poll": ("-l 8000", (*CLOSES, "--poll"), False),
    "one request at a time": ("-l 8000", BLOCKING, False),
    "a server that binds by itself": ("", (*CLOSES, PORT), False),
    "without rights": ("-l 8000", CLOSES, True),
}.items(), ids=lambda kind: kind[0])
def test_restart_upgrade_and_scale_lose_nothing(kind):
    options, command, weak = kind[1]
    it = spread(f"-n 3 {options}", *command, under=needs_no_right() if weak else ())
    load = Steady(PORT, "--rate", 100)
    it.call("restart")
    it.call("upgrade")
    it.call("restart")
    it.call("restart", target="it.1")
    it.call("scale", count=5)
    it.call("upgrade")
    it.call("scale", count=1)
    it.call("scale", count=3)
    it.call("restart")
    load.loses_nothing()
    wait(lambda: listening() == 3)


def repeated():
    """How many requests for a connection the kernel has sent again."""
    names, values = (line.split() for line in lines("/proc/net/netstat") if
                     line.startswith("TcpExt:"))
    return int(values[names.index("TCPSynRetrans")])


def test_sockets_come_and_go_under_load_and_no_client_has_to_ask_twice():
    it = spread("-n 8 -l 8000", *CLOSES)
    load = Steady(PORT, "--rate", 1000)
    for _ in range(3):
        it.call("restart")
    load.loses_nothing()
    assert repeated() <= 5  # a busy machine does it, too; a socket that goes: for many


def test_a_restart_of_more_workers_than_there_can_be_sockets_leaves_each_one():
    """128 are the most; at times a worker and its successor have one each."""
    it = spread("-n 130 -l 8000", *CLOSES)
    for _ in range(2):
        it.call("restart")
    assert len(it.pids()) == 130 and it.cluster().balance == "rr"
    assert not it.says("too many sockets")
    wait(lambda: listening() <= 128)


@pytest.mark.parametrize("how", ("", "--poll", "--graceful"))
def test_a_reload_changes_the_way_there_and_back_and_loses_nothing(how):
    need_root()

    def ini(way):
        return (f"[cluster]\ncommand = {RUDE} --close {how}\nworkers = 3\nlisten = 8000\n"
                f"bake = 0s\nbalance = {way}\n")

    def change(way):
        it.reload(ini(way))
        assert it.cluster().balance == way

    it = cluster(ini=ini("share"))
    load = Steady(PORT, "--rate", 100)
    change("rr")
    wait(lambda: listening() == 3)
    change("share")
    change("rr")
    it.call("upgrade")
    change("share")
    load.loses_nothing()
    wait(lambda: listening() == 1)


def test_one_that_sleeps_is_woken_and_its_first_clients_are_served():
    it = start("-n 0..3 --idle-after 1s --balance rr -l 8000", *CLOSES, under=needs_no_right())
    for n in (1, 2):
        requests = [Request("/slow") for _ in range(12)]
        assert {request.answer().status for request in requests} == {200}
        it.event("scaled", reason="idle", n=n)
        wait(lambda: it.pids() == [])


def test_nclust_is_killed_and_the_next_one_has_the_sockets_of_all():
    options = "-n 3 -l 8000 --orphans keep --ready notify --backoff-min 1ms"
    it = spread(options, *BLOCKING)
    load = Clients()
    it.kill()
    it = spread(options, *BLOCKING)
    assert listening() == 3
    for slot in range(3):
        it.reborn(slot)
    it.call("restart")
    got = load.end()
    assert got.refused == 0
    assert got.lost <= 3
    wait(lambda: listening() == 3)
    assert it.cluster().balance == "rr"


@pytest.mark.parametrize("how", ("learned", "named"))
def test_a_port_that_one_slot_alone_opens_is_served_by_it_or_refused(how):
    options = " -l 127.0.0.1:8000 -l 127.0.0.1:8001" if how == "named" else ""
    it = spread(f"-n 3 --ready listen{options}", "python3", server("two-ports.py"), PORT, 8001,
                path("go"))

    def alone():
        return [get(port=8001).slot for _ in range(4)] == [1] * 4

    wait_listened(8001)
    wait(lambda: it.cluster().listeners[1].bound)
    assert alone()
    kill(it.worker(1).pid)  # they wait for its successor
    assert alone()
    for change in ("upgrade", "restart"):
        it.call(change)
        assert alone()
    if how == "learned":
        it.call("scale", count=1)
        wait(lambda: not listens(8001))
        it.call("scale", count=3)
        wait_listened(8001)
        assert alone()


# ---- UDP ----

class Flows:
    """Forty clients of UDP that keep their ports."""

    def __init__(self):
        self.clients = [socket.socket(type=socket.SOCK_DGRAM) for _ in range(40)]
        for client in self.clients:
            client.settimeout(0.5)
            client.connect(("127.0.0.1", PORT))

    def ask(self, client):
        while select.select([client], [], [], 0)[0]:
            client.recv(4096)  # it came after its time was over

        def answer():
            client.send(b"x")
            try:
                return client.recv(4096)
            except TimeoutError:  # a worker may take one with it
                return None
        return int(re.search(rb"slot=(\d+)", wait(answer)).group(1))

    def slots(self):
        return [self.ask(client) for client in self.clients]

    def settled(self):
        """What stays, once all workers are known to the kernel."""
        slots = self.slots()
        return set(slots) == {0, 1, 2} and slots == self.slots() and slots


BINDS_UDP = """
import os, socket, time
slot = os.environ["NCLUST_SLOT"]
while not os.path.exists("go." + slot):
    time.sleep(0.01)
s = socket.socket(type=socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 8000))
while True:
    s.sendto(b"slot=" + slot.encode(), s.recvfrom(9)[1])"""


def udp(own):
    """Three workers whose port is passed to them, or that bind it; they wait at gates."""
    gate = slowly()
    if own:
        return cluster("--balance rr --bake 0s -n 3", "python3", "-c", BINDS_UDP)
    return cluster("--balance rr --bake 0s -n 3 -l udp:127.0.0.1:8000 --ready notify", SERVE,
                   "--udp", "--notify", "--delay", gate)


passed_or_bound = pytest.mark.parametrize("own", (False, True), ids=("passed", "bound"))


@passed_or_bound
def test_udp_each_worker_has_a_socket_and_each_flow_stays_in_its_slot(own):
    it = udp(own)
    assert it.cluster().balance == "flow"
    assert len(sockets(port=PORT, kind="udp")) == 3
    flows = Flows()
    before = wait(flows.settled)
    it.reborn(1)
    wait(lambda: flows.slots() == before)
    for change in ("restart", "upgrade", "restart"):
        it.call(change)
        wait(lambda: flows.slots() == before)
    wait(lambda: len(sockets(port=PORT, kind="udp")) == 3)
    assert not it.says("cannot choose")
    with socket.socket(type=socket.SOCK_DGRAM) as stranger, pytest.raises(OSError):
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.bind(("127.0.0.1", PORT))  # it would get the datagrams


@passed_or_bound
def test_udp_while_a_worker_is_away_others_have_its_flows(own):
    it = udp(own)
    flows = Flows()
    before = wait(flows.settled)
    os.unlink("go.1")
    kill(it.worker(1).pid)
    it.event("exited", slot=1)
    after = flows.slots()
    assert [slot for slot in after if slot == 1] == []
    assert [b for b, a in zip(before, after) if b != 1 and a != b] == []


def test_udp_by_itself_is_one_that_all_share():
    cluster("-n 3 -l udp:127.0.0.1:8000 --ready alive:1ms", SERVE, "--udp")
    assert len(sockets(port=PORT, kind="udp")) == 1
