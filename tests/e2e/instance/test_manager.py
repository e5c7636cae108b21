# SPDX-License-Identifier: MIT
"""nclust under a service manager: what that is told."""
import re
import socket
import struct
import time

from harness import *

DEAF = (fixture("deaf"), "--notify")
ONE = "-n 1 --ready notify --stop-signal KILL"


class Manager:
    """It reads when it is asked for what it was told: then nclust may have to wait."""

    def __init__(self, address=None):
        self.address = address or path("notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.socket.bind(self.address.replace("@", "\0"))
        self.all = []  # (pid, text)
        self.env = {"NOTIFY_SOCKET": self.address}

    def told(self, text):
        """What has it, so far."""
        try:
            while True:
                data, control, _, _ = self.socket.recvmsg(4096, 1024, socket.MSG_DONTWAIT)
                self.all.append((struct.unpack("3i", control[0][2])[0], data.decode()))
        except BlockingIOError:
            return [words for _, words in self.all if text in words]

    def wait(self, text, n=1):
        return wait(lambda: len(self.told(text)) >= n and self.told(text), f"told: {text}")[n - 1]

    def states(self):
        return re.findall("RELOADING=1|READY=1|STOPPING=1", "\n".join(self.told("")))

    def fill(self):
        """Until its queue is full."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.connect(self.address)
            s.setblocking(False)
            with pytest.raises(BlockingIOError):
                while True:
                    s.send(b"X=1")


def ini(workers=1):
    return section("it", " ".join(DEAF), "stop-signal = KILL", workers=workers)


# ---- what it is told ----

def test_ready_is_told_once_all_are_and_the_status_follows():
    gate, manager = Gate("web.{slot}"), Manager()
    it = start(ini=section("web", f"{fixture('slow-ready')} {gate}") + section(
        "api", f"{fixture('slow-ready')} {path('api')}", workers=1), env=manager.env)
    gate.open(0)
    manager.wait("STATUS=web: 1 of 2 ready, api: 0 of 1 ready")
    gate.open(1)
    manager.wait("STATUS=web: 2 of 2 ready, api: 0 of 1 ready")
    assert not manager.told("READY=1")
    Gate("api").open()
    assert "STATUS=web: 2 of 2 ready, api: 1 of 1 ready" in manager.wait("READY=1")

    it.reborn(0, "web")  # a worker's death is not the service's
    it.call("scale", target="api", count=2)
    manager.wait("api: 2 of 2 ready")
    assert manager.states() == ["READY=1"]
    assert {pid for pid, _ in manager.all} == {it.pid}


def test_a_canary_beside_the_others_is_not_one_more_than_wanted():
    manager = Manager()
    it = start(ini=section("web", "sleep 1000", "bake = 1h", ready="alive:0s") + section(
        "api", "sleep 1000", ready="alive:0s", workers=1), env=manager.env)
    manager.wait("STATUS=web: 2 of 2 ready, api: 1 of 1 ready")
    it.call("restart", target="web", no_wait=True)
    wait(lambda: it.cluster("web").ready == 3)
    it.call("scale", target="api", count=2)
    manager.wait("STATUS=web: 2 of 2 ready, api: 2 of 2 ready")


def test_reloading_is_told_with_its_time_and_ready_when_it_is_done_or_has_failed():
    manager = Manager()
    it = cluster(ini=ini(), env=manager.env)
    before = time.monotonic_ns() // 1000
    it.call("reload")
    at = int(re.search(r"MONOTONIC_USEC=(\d+)", manager.wait("RELOADING=1")).group(1))
    assert before <= at <= time.monotonic_ns() // 1000
    manager.wait("READY=1", 2)
    write("it.ini", ini(2))
    kill(it.pid, SIGHUP)
    manager.wait("READY=1", 3)
    write("it.ini", ini() + "nonsense")
    kill(it.pid, SIGHUP)
    it.logged("nonsense")
    it.stop()
    told = manager.states()
    assert told[:5] == ["READY=1", "RELOADING=1", "READY=1", "RELOADING=1", "READY=1"]
    assert told[5:] in (["STOPPING=1"], ["RELOADING=1", "READY=1", "STOPPING=1"])


@pytest.mark.parametrize("address", ("", "@manager"))
def test_an_upgrade_is_told_as_a_reload_and_stopping_at_the_end(address):
    manager = Manager(address)
    it = cluster(ONE, *DEAF, env=manager.env)
    it.call("upgrade")
    kill(it.pid, SIGTERM)
    assert it.exit() == 0
    assert manager.states() == ["READY=1", "RELOADING=1", "READY=1", "STOPPING=1"]
    assert {pid for pid, _ in manager.all} == {it.pid}


def test_watchdog_is_told_at_half_the_interval_if_it_is_meant_for_us():
    manager = Manager()
    it = cluster(ONE, *DEAF, env={**manager.env, "WATCHDOG_USEC": "3000000"}, clock=True)
    it.advance(1.4)
    for n in range(3):
        assert len(manager.told("WATCHDOG=1")) == n
        it.advance(0.2)
        assert len(manager.told("WATCHDOG=1")) == n + 1
        it.advance(1.3)
    it.stop()
    it = cluster(ONE, *DEAF, clock=True, name="other", env={
        **manager.env, "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"})
    it.advance(10)
    assert len(manager.told("WATCHDOG=1")) == 3


def test_one_that_is_behind_is_no_obstacle_and_hears_all_that_matters_later():
    manager = Manager()
    manager.fill()
    it = cluster(ini=ini(2), env={**manager.env, "WATCHDOG_USEC": "100000"})
    it.call("reload")
    for count in 1, 3, 1, 3:
        it.call("scale", count=count)
    manager.wait("STATUS=it: 3 of 3 ready")
    manager.wait("WATCHDOG=1")
    manager.wait("READY=1", 2)
    assert manager.states() == ["READY=1", "RELOADING=1", "READY=1"]

    manager.fill()
    manager.socket.close()  # nor is one that is gone
    os.unlink("notify")
    it.call("scale", count=2)
    assert it.stop() == 0
    cluster(ONE, *DEAF, env={"NOTIFY_SOCKET": "/nonsense"})


def test_nothing_of_the_manager_reaches_the_workers():
    manager = Manager()
    it = leak(env={**manager.env, "WATCHDOG_USEC": "3000000"})
    manager.wait("READY=1")
    assert {pid for pid, _ in manager.all} == {it.pid}
    env = born().env
    assert env["NOTIFY_SOCKET"] not in (manager.address, "")
    assert not {"WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID",
                "LISTEN_FDNAMES"} & set(env)
    assert [fd.fd for fd in born().fds] == [0, 1, 2]


def test_while_a_start_or_a_stop_goes_on_it_is_to_wait_for_longer():
    manager, gate = Manager(), Gate("go")
    it = start("-n 1 --ready notify --start-timeout 1h --stop-timeout 1h --drain off", "sh", "-c",
               f'until [ -e {gate} ]; do sleep 0.01; done; exec "$@"', "-", *DEAF,
               env=manager.env, clock=True)

    def extended():
        return len(manager.told("EXTEND_TIMEOUT_USEC=60000000"))

    it.advance(0.5)
    manager.wait("EXTEND_TIMEOUT_USEC")
    it.advance(60, step=10)
    wait(lambda: extended() >= 3)
    gate.open()
    manager.wait("READY=1")
    before = extended()
    it.advance(60, step=10)
    assert extended() == before
    stop = it.begin("stop")
    manager.wait("STOPPING=1")
    it.advance(60, step=10)
    wait(lambda: extended() >= before + 3)
    kill(it.worker().pid)
    stop()
    assert it.exit() == 0
