# SPDX-License-Identifier: MIT
"""nclust ask: one worker's answer, past all others at the same port."""
import json
import select
import socket
import subprocess

from harness import *
from harness.terminal import Terminal


def app(options, at="127.0.0.1:8000", **more):
    """Workers that answer what they are asked; the file modes/SLOT says how to misbehave."""
    os.mkdir("modes")
    return cluster(f"-l {at} --ready notify {options}", "python3", "-u", server("metrics.py"),
                   path("modes"), "--notify", **more)


def ask(*args, target="it.1"):
    return nclust("ask", target, *args)


def begin_ask(*args, to):
    """One that waits: it is connected with the port of the workers."""
    before = len(sockets("established", to=PORT))
    process = begin_program(inside(PROGRAM), "ask", "it.1", *args, stdout=to, stderr=f"{to}.err")
    wait(lambda: len(sockets("established", to=PORT)) > before)
    return process


def test_with_a_socket_for_each_only_the_worker_that_is_asked_has_to_answer():
    it = app("-n 3 --balance random")
    first, *others = it.pids()
    freeze(*others)
    for _ in range(10):
        assert ask("GET /debug", target="it.0").ok().startswith(f"pid={first} ")
    assert queued() == 0


def test_it_asks_the_worker_of_that_slot_with_what_was_given():
    it = app("-n 4")
    for slot in (3, 0, 2, 1, 1):
        got = ask("GET /debug", target=f"it.{slot}")
        assert got.ok().startswith(f"pid={it.worker(slot).pid} slot={slot}\nGET /debug HTTP/1.1\n")
        assert got.err == "HTTP/1.1 200 OK\n"
    got = ask("POST /x -i -d 'a=b c' -H 'X-One: 1' -H 'Host: example'")
    assert got.ok().splitlines()[1] == "POST /x HTTP/1.1"
    assert {"X-One: 1", "Host: example", "Content-Length: 5"} <= set(got.out.splitlines())
    assert "Host: localhost" not in got.out and got.out.endswith("a=b c")
    # escaped, as it goes to a terminal
    assert got.err.startswith("HTTP/1.1 200 OK\nX-Odd: a\\x1bb\n")
    # a closed stdout does not become the connection to nclust
    run("sh", "-c", 'exec "$@" <&- >&- 2>&-', "-", inside(PROGRAM), "ask", "it.0", "GET", "/debug",
        "-H", '{"jsonrpc":"2.0","id":1,"method":"stop"}').ok()
    it.verb("restart --bake 0").ok()


def test_the_exit_status_says_if_it_went_well():
    app("-n 2")
    ask("GET /missing").fails(1, "HTTP/1.1 404 Not Found")
    for how in ("long", "shut"):
        write("modes/1", how)
        ask("GET /metrics").fails(1, "it.1: it closed the connection in its answer")
    ask("GET /", target="it.7").fails(69)
    ask("GET /", target="it").fails(64, "name which worker, such as 'it.0'")
    ask("'GET / X' /").fails(64)
    ask("GET / -H", "'a: b\r\nc: d'").fails(64)


def test_10_mb_stream_through_and_who_leaves_in_the_midst_harms_nobody():
    it = app("-n 2")
    write("modes/1", "big")
    assert len(ask("GET /metrics").ok()) == 10_000_000
    write("modes/1", "endless")
    asking = begin_program(inside(PROGRAM), "ask", "it.1", "GET", "/metrics",
                           stdout=subprocess.PIPE)
    asking.stdout.read(1)
    kill(it.pid, SIGSTOP)  # nothing of it goes through nclust
    assert len(asking.stdout.read(10_000_000)) == 10_000_000
    kill(it.pid, SIGCONT)
    asking.kill()
    asking.stdout.close()
    run("sh", "-c", f"{inside(PROGRAM)} ask it.1 GET /metrics | head -c 1000000 >/dev/null").ok()
    os.unlink("modes/1")
    ask("GET /").ok()


def test_a_worker_that_takes_nothing_is_told_and_nobody_waits_for_it():
    it = app("-n 2", clock=True)
    pid = it.worker(1).pid
    freeze(pid)
    asking = begin_ask("GET", "/", to="said")
    it.advance(5.1)
    assert asking.wait(BOUND) == 75 and "it.1 took no connection" in read("said.err")
    lab.clock.flow()
    ask("GET /", target="it.0").ok()
    # one who gives up leaves nothing behind
    asking = begin_ask("GET", "/", to="said")
    asking.kill()
    thaw(pid)
    ask("GET /").ok()
    assert it.cluster().ready == 2


def test_an_upgrade_meanwhile_is_not_the_workers_fault_it_is_asked_again():
    it = app("-n 2")
    pid = it.worker(1).pid
    freeze(pid)
    asking = begin_ask("GET", "/again", to="said")
    it.call("upgrade")
    thaw(pid)
    assert asking.wait(BOUND) == 0
    assert "GET /again HTTP" in read("said")
    # who speaks the protocol by himself is told
    freeze(pid)
    answer = it.begin("ask", target="it.1")
    wait(lambda: sockets("established", to=PORT))
    it.call("upgrade")
    with pytest.raises(Refused, match="it.1 was not asked, because nclust is being upgr") as told:
        answer()
    assert told.value.code == -32001
    thaw(pid)


def test_requests_that_wait_at_once_get_no_letter_of_each_other():
    it = app("-n 1", at="127.0.0.1:8000,defer-accept=2s")  # the first letter goes with each
    freeze(it.worker().pid)
    asking = {}
    for request in ("GET /a HTTP/1.1", "POST /b HTTP/1.1"):
        control = it.connect()
        control.send("ask", target="it.0", first=request[0])
        it.status()
        it.status()  # by now nclust has it
        asking[control.socket] = request
    thaw(it.worker().pid)
    while asking:
        control = select.select(list(asking), [], [], BOUND)[0][0]
        request = asking.pop(control)
        data, fds, *_ = socket.recv_fds(control, 65536, 1)
        assert json.loads(data.splitlines()[0])["params"]["sent"] == 1
        with socket.socket(fileno=fds[0]) as s:
            s.setblocking(True)
            s.sendall(f"{request}\r\n\r\n".encode()[1:])
            assert request in s.makefile().read()


def test_what_a_worker_says_commands_no_terminal_and_a_pipe_gets_each_byte():
    app("-n 2")
    screen = Terminal(inside(PROGRAM), "ask", "it.1", "GET", "/odd")
    assert screen.exit() == 0
    assert r"\x1b]0;evil\x07" in screen.said and "\033" not in screen.said
    assert "GET /odd HTTP/1.1\r\n" in screen.said
    assert "\033]0;evil\a" in ask("GET /odd").ok()


def test_readers_may_not_ask():
    need_root()
    app("-n 1 --control-group nogroup")
    said = run(*AS_NOBODY, inside(PROGRAM), "ask", "it.0", "GET", "/")
    said.fails(77, "members of control-group may look, not change")
