# SPDX-License-Identifier: MIT
"""`nclust drain` and `undrain`: the host out of the load balancer, and back."""
import re
import socket

from drains import *

TWO = "-n 2 -l 8000 --ready notify"


def served(options=TWO, *command, **more):
    """Two workers at 8000, and HTTP on a unix socket."""
    return cluster(f"--http unix:{path('http')} {options}", *(command or (SERVE, "--notify")),
                   **more)


def readyz():
    answer = get("/readyz", unix=path("http"))
    return answer.status, answer.body


OK = (200, "ok\n")
DRAINED = (503, "drained by 'nclust drain'\n")


def half():
    """A client in the midst of its request, which for the kernel has come later than the client:
    else that would be idle after five seconds."""
    s = dial()
    wait(lambda: silence(s) > 50)
    s.sendall(b"GET / HT")
    return s


def test_drained_it_says_so_and_serves_on_and_undrained_it_is_as_before():
    it = served()
    assert readyz() == OK
    assert it.status().drained is None
    assert re.fullmatch("it: empty after .*: no connection is in use, and 0 idle\n",
                        it.verb("drain").ok())
    assert readyz() == DRAINED
    assert get().status == 200
    assert re.search("drained .* ago, with no connection left; .*nclust undrain it", it.verb("status").ok())
    assert re.search("^nclust_drained_seconds [0-9]", get("/metrics", unix=path("http")).body,
                     re.MULTILINE)
    assert it.call("drain", no_wait=True).ok  # again, it changes nothing
    assert it.verb("undrain").ok() == "it: in service again\n"
    assert it.status().drained is None
    assert it.verb("undrain").ok() == "it: was not drained\n"
    it.event("host-undrained")
    assert [e.event for e in it.events if e.event.startswith("host-")][:2] == [
        "host-drained", "host-empty"]
    it.verb("drain", target="it/it").fails(64)
    assert readyz() == OK


def asked(gate):
    """A request that is being answered, beside an idle client."""
    it = cluster(TWO, RUDE, "--slow", 1, "--until", gate)
    clients = [dial(), idle()]
    wait(lambda: silence(clients[1].socket) > 50)  # as in half()
    clients[1].ask("/slow")
    wait_asked(count=2)
    return it, clients


def begun(gate):
    return cluster(TWO, SERVE, "--notify"), [half()]


def said_all(gate):
    """Nobody has accepted it, and it sends no more."""
    it = cluster("-n 1 -l 8000 --ready alive:1ms", fixture("deaf"))
    client = dial()
    client.sendall(b"GET / HTTP/1.0\r\n\r\n")
    client.shutdown(socket.SHUT_WR)
    wait(lambda: sockets("close-wait", PORT))
    return it, [client]


@pytest.mark.parametrize("use", (asked, begun, said_all))
def test_a_connection_in_use_is_waited_for_and_an_idle_one_is_not(use):
    gate = Gate()
    it, clients = use(gate)
    it.verb("drain --timeout 4s").fails(
        75, "not empty after ", "1 connection in use", " from ", "nclust undrain it")
    assert it.status().drained.empty is False
    gate.open()
    if use == asked:
        assert clients[1].answer().status == 200
        clients[1].http.close()
        assert it.verb("drain").ok().endswith(" and 1 idle\n")


def test_it_waits_until_those_who_ask_whether_it_is_ready_have_heard():
    # three times, and through an upgrade; work that is done holds up nobody
    it = start(ini=f"[nclust]\nhttp = unix:{path('http')}\n"
               + section("web", f"{SERVE} --notify", "listen = 8000", workers=1)
               + section("job", "/bin/true", "restart = never", workers=1, ready=None), clock=True)
    wait(lambda: [c.done for c in it.status().clusters] == [False, True])
    it.wait_ready("web")
    assert readyz() == OK  # a second question would wait for a moment of the time, which stands

    def ask(count):
        """A load balancer does so, each half minute."""
        answers = []
        for _ in range(count):
            it.advance(30)
            answers.append(readyz())
        return answers

    assert ask(3) == [OK] * 3
    for count in (2, 1):
        is_refused("http local has not asked since", it.call, "drain", timeout=0)
        it.call("upgrade")
        assert ask(count) == [DRAINED] * count
    drain = it.begin("drain")
    # its HTTP process tells of an answer when it comes to it, and time stands
    wait(lambda: it.happened("host-empty") or it.advance(0.1))
    drain()
    for count in (2, 1):
        is_refused("http local has not asked since", it.call, "undrain", timeout=0)
        assert ask(count) == [OK] * count
    it.call("undrain")


def test_it_stays_drained_through_restart_reload_and_upgrade_until_the_end():
    def ini(workers):
        return f"[nclust]\nhttp = unix:{path('http')}\n" + section(
            "web", f"{SERVE} --notify", "listen = 8000", workers=workers)

    it = cluster(ini=ini(2))
    it.call("drain", no_wait=True)
    write("it.ini", ini(3))
    for deed in ("restart", "reload", "upgrade"):
        it.call(deed)
        assert it.status().drained and readyz() == DRAINED
    it.call("undrain")
    assert it.status().drained is None and readyz() == OK
    it.call("drain", no_wait=True)
    it.stop()
    assert cluster(ini=ini(2)).status().drained is None  # anew


def test_a_drain_goes_on_during_an_upgrade_and_a_rollout():
    it = cluster(TWO, SERVE, "--notify")
    client = half()
    drain = begin_program(inside(PROGRAM), "drain", "it", stdout="said")
    wait(lambda: it.status().drained)
    it.call("upgrade")
    it.call("restart", no_wait=True)
    assert drain.poll() is None
    client.close()
    assert drain.wait(BOUND) == 0
    assert "empty after" in read("said")


def test_undrained_meanwhile_or_interrupted_a_drain_says_so():
    it = served()
    client = half()

    def drain():
        process = begin_program(inside(PROGRAM), "drain", "it", stderr="said",
                                preexec_fn=lambda: signal.signal(SIGINT, signal.SIG_DFL))
        wait(lambda: it.status().drained)
        return process

    process = drain()
    it.call("undrain")
    assert process.wait(BOUND) == 1
    assert "undrained meanwhile" in read("said")

    process = drain()
    process.send_signal(SIGINT)
    assert process.wait(BOUND) == -SIGINT
    assert "interrupted: 'it' stays drained until 'nclust undrain it'" in read("said")
    assert it.status().drained
    client.close()


def test_an_undrain_waits_until_a_worker_is_ready():
    gate = Gate()
    gate.open()
    it = served(TWO, SERVE, "--notify", "--delay", gate)
    it.call("drain", no_wait=True)
    it.call("scale", count=0)
    os.unlink(gate.path)
    it.call("scale", count=2, no_wait=True)
    it.verb("undrain --timeout 0").fails(75)
    gate.open()
    it.call("undrain")
    assert readyz() == OK
