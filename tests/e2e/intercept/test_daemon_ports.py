# SPDX-License-Identifier: MIT
"""A daemon that a worker has started, and that opens a port: as Erlang's epmd, or a store beside the
server.  The port is no worker's."""
import socket

from harness import *

# A store of its own, which answers "pid=PID"; as redis-server --daemonize yes does, or epmd -daemon.
DAEMON = """
import os, socket, sys
def fork():
    if os.fork() > 0:
        os._exit(0)
fork()
os.setsid()
if sys.argv[2:] == ["twice"]:
    fork()
where = sys.argv[1]
if where.isdigit():
    s = socket.create_server(("127.0.0.1", int(where)))
else:
    s = socket.socket(socket.AF_UNIX)
    s.bind(where)
    s.listen()
while True:
    c = s.accept()[0]
    c.sendall(b"pid=%d\\n" % os.getpid())
    c.close()
"""


def script(gate, where, how="once"):
    """The daemon, and then the server, as soon as it may."""
    write("daemon.py", DAEMON)
    return ("sh", "-c", f"python3 daemon.py {where} {how}\nexec {PLAIN} {PORT} --loopback --start {gate}")


def who(port=8001):
    try:
        with socket.create_connection(("127.0.0.1", port)) as c:
            return c.recv(100)
    except ConnectionRefusedError:
        return b""


@pytest.mark.parametrize("how", ("once", "twice"))
def test_its_port_is_shared_by_nobody_gives_no_readiness_and_lives_on_in_a_restart(how):
    gate = Gate()
    it = start("-n 2", *script(gate, 8001, how))
    first = wait(who)
    assert {who() for _ in range(20)} == {first}
    it.logged("a daemon that a worker has started, binds tcp:127.0.0.1:8001")
    assert not any(w.state == "ready" for w in it.workers())
    gate.open()
    it.wait_ready()
    assert [x.address for x in it.cluster().listeners] == [f"tcp:127.0.0.1:{PORT}"]
    it.call("restart")
    assert {who() for _ in range(20)} == {first}
    it.call("upgrade")
    it.reconnect()
    it.call("restart")
    assert who() == first
    it.stop()
    assert living() == []


def test_what_the_user_names_is_shared():
    gate = Gate()
    it = start(f"-n 2 --share-ports {PORT},8001", *script(gate, 8001))
    wait(lambda: len({who() for _ in range(20)} - {b""}) == 2)
    gate.open()
    it.wait_ready()
    it.stop()
    assert living() == []


def test_a_path_of_its_own_gives_no_readiness_either():
    gate = Gate()
    it = start("-n 1", *script(gate, path("sock")))
    wait(lambda: os.path.exists("sock") and it.worker())
    it.logged("has opened no port yet")
    assert it.worker().state == "starting"
    gate.open()
    it.wait_ready()
    it.stop()
    assert living() == []


def test_redis_beside_a_server():
    it = cluster("-n 2", "sh", "-c", "redis-server --daemonize yes --port 8001 --save ''\n"
                 f"exec {PLAIN} {PORT} --loopback")

    def redis(words):
        with socket.create_connection(("127.0.0.1", 8001)) as c:
            c.sendall(f"{words}\r\n".encode())
            return c.recv(100).decode().strip()

    assert redis("SET a b") == "+OK"
    assert {redis("GET a") for _ in range(20)} == {"$1\r\nb"}
    it.call("restart")
    assert redis("GET a") == "$1\r\nb"
    it.stop()
    assert living() == []
