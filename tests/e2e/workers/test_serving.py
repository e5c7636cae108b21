# SPDX-License-Identifier: MIT
"""A worker is ready when a process of it waits for clients, not when a master has bound its port, nor
when it has opened none yet."""
import os
import socket

import pytest

from harness import *
from harness import lab

PLAIN = fixture("plain")

# Binds, says READY=1, and forks two that load and serve, as gunicorn does; those that fail are
# replaced, as unicorn does.
FORKS = """
import os, socket, sys, time
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", 8000))
s.listen(64)
if "NOTIFY_SOCKET" in os.environ and "says" in sys.argv:
    socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(
        b"READY=1", os.environ["NOTIFY_SOCKET"].replace("@", "\\0"))
def child():
    if os.fork() == 0:
        while not os.path.exists("loads"):
            if "fails" in sys.argv:
                print("cannot load the application", flush=True)
                os._exit(1)
            time.sleep(0.01)
        while True:
            c, _ = s.accept()
            c.recv(1000)
            c.sendall(b"HTTP/1.0 200 OK\\r\\nContent-Length: 3\\r\\n\\r\\nok\\n")
            c.close()
for _ in range(2):
    child()
while True:
    os.wait()
    time.sleep(0.05)
    child()
"""


def forks(*words):
    return "python3", "-c", FORKS, *words


@pytest.mark.parametrize("options, words", (
    ("", ()), ("", ("says",)), ("--ready notify", ("says",)), ("--ready listen", ()),
    (f"-l 127.0.0.1:{PORT} --pass none", ())), ids=("auto", "auto, READY=1", "notify", "listen", "named"))
def test_a_master_is_not_ready_before_a_child_of_it_waits_for_clients(options, words):
    it = start(f"-n 1 --start-timeout 1h {options}", *forks(*words), clock=True)
    pid = it.event("started").pid
    wait(lambda: sum("FORKS" not in p and "python3 -c" in p for p in map(command, session(pid))) == 3)
    for _ in range(9):
        it.advance(1)
    assert it.worker().state == "starting"
    assert "serves its port" in it.worker().waits_for
    write("loads", "")
    lab.clock.flow()
    it.event("ready")


def test_one_that_has_bound_its_port_is_not_ready_before_it_listens():
    """As uvicorn's parent, whose children listen once they have loaded."""
    os.mkfifo("loaded")
    it = start("-n 1 --start-timeout 1h", "python3", "-c", f"""
import socket
s = socket.socket()
s.bind(("127.0.0.1", {PORT}))
open("loaded").read()
s.listen()
s.accept()
""", clock=True)
    it.logged("opened by")
    it.advance(45, step=1)
    assert it.worker().state == "starting"
    assert "held" not in it.cluster()
    write("loaded", "")
    lab.clock.flow()
    it.event("ready")


def test_one_that_has_bound_its_port_and_never_listens_fails_at_start_timeout():
    """uvicorn's parent, whose children cannot load the application."""
    it = start("-n 1 --start-timeout 1m", *"uvicorn --workers 2 --port 8000 nosuch:app".split(),
               clock=True)
    it.wait(lambda: 'Could not import module "nosuch"' in it.verb("logs").out)
    it.advance(61, step=1)
    lab.clock.flow()
    it.event("start-timeout")
    assert not it.happened("ready")


@pytest.mark.parametrize("words", ((), ("says",)))
def test_one_whose_children_fail_is_never_ready_and_the_start_says_why(words):
    it = launch("-d -n 2 --start-timeout 2s", *forks("fails", *words))
    assert it.process.wait(lab.BOUND) == 1
    assert it.says("no process of it waits for clients")
    assert it.says("last output: cannot load the application")


@pytest.mark.parametrize("options, bind", (
    ("", ("-b", f"127.0.0.1:{PORT}")), (f"-l {PORT}", ()), ("", ("-b", "unix:s"))),
    ids=("port", "passed", "path"))
def test_gunicorn_with_an_application_that_is_not_there(options, bind):
    it = launch(f"-d -n 2 {options}", "gunicorn", "-w", 2, *bind, "nosuch:app")
    assert it.process.wait(lab.BOUND) == 1
    assert it.says("the start failed")
    assert it.says("last output: ModuleNotFoundError: No module named 'nosuch'")


def test_gunicorn_with_a_slow_application_is_ready_when_it_answers():
    write("slow.py", """
import os, time
while not os.path.exists("loads"):
    time.sleep(0.01)
def app(environ, start_response):
    start_response("200 OK", [])
    return [b"ok"]
""")
    it = start("-n 2", "gunicorn", "-b", f"127.0.0.1:{PORT}", "slow:app")
    it.wait(lambda: [w.get("status") for w in it.workers()] == ["Gunicorn arbiter booted"] * 2)
    assert not it.happened("ready")
    write("loads", "")
    it.wait_ready()


def test_processes_that_wait_in_a_way_that_cannot_be_seen_count_when_they_have_stayed_for_30_s():
    """They ask the socket again and again, which another one has made non-blocking."""
    it = start("-n 1 --start-timeout 1h", "python3", "-c", f"""
import os, socket
s = socket.socket()
s.bind(("127.0.0.1", {PORT}))
s.listen(64)
s.setblocking(False)
while True:
    try:
        if os.fork():
            os.wait()
        while True:
            try:
                c, _ = s.accept()
                break
            except BlockingIOError:
                pass
    except ChildProcessError:
        pass
""", clock=True)
    it.logged("opened by")
    it.wait(lambda: it.worker().processes == 2)
    it.advance(28, step=1)
    assert it.worker().state == "starting"
    it.advance(40, step=1)  # a look may have come late
    it.event("ready")


def moved(pid):
    """Read and written."""
    io = open(f"/proc/{pid}/io").read().split()
    return int(io[1]) + int(io[3])


def size(pid):
    return int(stat(pid)[21]) * os.sysconf("SC_PAGESIZE")


# A little at a time, as with a slow disk, and as with what comes from elsewhere.
LOADS = """
import os, socket, sys, time
has = []
there, here = socket.socketpair()
with open("model", "rb", buffering=0) as f:
    while not os.path.exists("loaded"):
        if sys.argv[1] == "reads":
            f.seek(0)
            f.read(1 << 16)
        elif sys.argv[1] == "receives":
            there.send(b"x" * (1 << 16))
            with open("copy", "wb") as copy:
                copy.write(here.recv(1 << 16))
        else:
            has.append(b"x" * (1 << 16))
        time.sleep(0.002)
os.execv(sys.argv[2], sys.argv[2:])
"""


@pytest.mark.parametrize("how", ("reads", "receives", "grows", "awaits"))
def test_one_without_a_port_is_waited_for_as_long_as_it_loads(how):
    os.mkfifo("go")
    write("model", "x" * (1 << 16))
    what = ("python3", "-c", LOADS, how)
    if how == "awaits":
        what = "sh", "-c", 'cat go; exec "$@"', "sh"
    it = start("-n 1 --start-timeout 1h", *what, PLAIN, PORT, clock=True)
    pid = it.event("started").pid
    for _ in range(40):
        if how != "awaits":
            had = moved(pid) + size(pid)
            wait(lambda: moved(pid) + size(pid) > had + (1 << 21))
        it.advance(1)
    assert it.worker().state == "starting"
    assert not it.says("is that right?")
    write("go" if how == "awaits" else "loaded", "")
    it.event("ready")
    assert get().pid == pid


# At work, it needs a little more memory again and again, as what collects its garbage later.
TICKS = """
import os
has = []
go, did = (os.open(name, os.O_RDWR) for name in ("go", "did"))
while os.read(go, 1):
    has.append(bytearray(b"x" * 24576))
    os.write(did, b".")
"""


def test_one_whose_memory_grows_slowly_does_not_load():
    for name in "go", "did":
        os.mkfifo(name)
    go, did = (os.open(name, os.O_RDWR) for name in ("go", "did"))
    it = start("-n 1 --start-timeout 1h", "python3", "-c", TICKS, clock=True)
    it.event("started")
    for _ in range(20):
        os.write(go, b".")
        os.read(did, 1)
        it.advance(1)
    assert it.happened("ready")


def test_one_that_loads_for_longer_than_start_timeout_is_asked_after():
    os.mkfifo("go")
    it = start("-n 2 --start-timeout 20s", "sh", "-c", "cat go; exit 1", clock=True)
    it.event("started", n=2)
    it.advance(19, step=1)
    assert not it.happened("ready")
    it.advance(2, step=1)
    it.event("ready", n=2)
    assert it.log().count("opens no port: is that right? ('--ready alive' does not wait)") == 1
