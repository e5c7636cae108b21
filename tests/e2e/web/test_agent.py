# SPDX-License-Identifier: MIT
"""HAProxy's agent-check, by a raw client: one line, and the end.  The real HAProxy is in
tests/fleet."""
import contextlib
import shutil

from harness import *

AGENT = 9000
UP = "ready up 100%\n"


def line(at=AGENT):
    with dial(at) if at == AGENT else dial(unix=path(at)) as s, s.makefile() as f:
        return f.read()


def says(text):
    wait(lambda: line() == text, text)


def ini(*options):
    return "\n".join(("[nclust]", *options, f"""
[defaults]
ready = alive:0s
backoff-min = 1ms
[cluster:web]
command = {path('nap')} 1000
workers = 2
listen = 8000
[cluster:jobs]
command = sleep 1000
workers = 1
"""))


def test_it_says_what_haproxy_is_to_do_without_the_library_for_http():
    os.symlink(shutil.which("sleep"), "nap")
    it = cluster(ini=ini(f"agent = {AGENT}"))
    assert line() == UP
    assert "microhttpd" not in read(f"/proc/{it.role('web')}/maps")
    it.call("drain", no_wait=True)
    assert line() == "drain\n"
    it.call("undrain", no_wait=True)
    assert line() == UP
    os.unlink("nap")  # nobody can be started again
    kill(it.worker(1, "web").pid)
    says("ready up 50%\n")
    kill(it.worker(0, "web").pid)
    says("down #web: 0 of 2 workers ready\n")
    os.symlink(shutil.which("sleep"), "nap")
    it.call("restart", target="web")
    says(UP)
    it.call("stop", target="jobs")
    assert line() == "stopped #jobs: 0 of 1 workers ready\n"
    it.call("restart", target="jobs")
    it.call("scale", target="jobs", count=0)
    assert line() == UP
    it.call("scale", target="web", count=0)
    assert line() == "maint\n"


@pytest.mark.parametrize("workers", ("1..3", "0..3"))
def test_with_a_range_of_workers_it_says_so_too_when_the_operator_has_scaled_it_to_0(workers):
    it = start(f"--agent {AGENT} -n {workers} -l 8000 --ready alive:0s", *NAP)
    says(UP)  # 0..3: a client wakes it
    it.call("scale", count=0)
    assert line() == "maint\n"
    it.call("scale", count=1)
    assert line() == UP


def test_a_cluster_that_wakes_is_up_unless_its_start_fails():
    gated = write("gated", f'#!/bin/sh\n[ ! -e {path("bad")} ] || exit 3\nexec "$@"\n', 0o755)
    gate = Gate()
    it = start(f"--agent {AGENT} -n 0..1 -l 8000 --ready notify --backoff-min 1h --backoff-max 1h",
               gated, SERVE, "--notify", "--delay", gate)
    says(UP)
    request = Request()
    pid = it.event("started").pid
    for _ in range(3):
        assert line() == UP
    wait(lambda: command(pid).startswith(SERVE))  # it has looked for "bad"
    write("bad", "")
    kill(pid)
    says("down #it: 0 of 1 workers ready\n")
    os.unlink("bad")
    gate.open()
    it.call("restart")
    says(UP)
    assert request.answer().slot == 0


def test_connections_that_wait_for_a_worker_make_the_weight_less():
    cluster(f"--agent {AGENT} -n 1 -l 127.0.0.1:8000 --intercept off --ready alive:0s", *NAP)
    assert line() == UP
    waiting = [dial()]
    # a moment's queue does not count, the same at the next look does
    assert [line(), line()] == [UP, "ready up 50%\n"]
    waiting += [dial() for _ in range(8)]
    assert [line(), line()] == ["ready up 50%\n", "ready up 10%\n"]


def test_nonsense_silence_and_a_crowd_harm_nobody():
    it = cluster(f"--agent unix:{path('agent')} --http 9001 -n 2 --ready alive:0s", *NAP)
    web = it.role("web")

    for sent in (b"web\n", b"\0" * 2000, os.urandom(1000), b"GET / HTTP/1.1\r\n\r\n"):
        s = dial(unix="agent")
        with contextlib.suppress(BrokenPipeError):  # it was answered before
            s.sendall(sent)
        assert s.recv(100).decode() == UP  # what it sends is nobody's business
    # some never read, some send without an end, some leave at once
    held = [dial(unix="agent") for _ in range(100)]
    for s in held[:20]:
        s.setblocking(False)
        with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
            for _ in range(50):
                s.send(b"x" * 65536)
    for _ in range(1000):
        dial(unix="agent").close()
    assert line("agent") == UP
    assert get("/readyz", 9001).body == "ok\n"
    assert it.role("web") == web
    wait(lambda: len(descriptors(web)) < 25)  # nothing is kept of them


def test_killed_it_is_back_it_goes_through_an_upgrade_and_leaves_nothing():
    it = cluster(f"--agent unix:{path('agent')} -n 1 --ready alive:0s", *NAP)
    pid = it.role("web")
    kill(pid)
    assert line("agent") == UP
    pid = it.role("web", but=pid)
    it.call("drain", no_wait=True)
    it.call("upgrade")
    assert it.roles("web") == [pid]
    assert line("agent") == "drain\n"
    kill(pid)
    assert line("agent") == "drain\n"
    it.stop()
    assert not os.path.exists("agent")


def test_a_reload_adds_it_moves_it_and_takes_it_away_in_vain_all_stays():
    os.symlink(shutil.which("sleep"), "nap")
    it = cluster(ini=ini())
    assert it.roles("web") == []

    def reload(*options):
        it.reload(ini(*options))

    reload(f"agent = unix:{path('agent')}")
    assert line("agent") == UP
    pid = it.role("web")
    with pytest.raises(Refused, match="agent: .*/no/such/place"):
        reload("agent = unix:/no/such/place", f"http = unix:{path('http')}")
    assert line("agent") == UP
    assert it.role("web") == pid
    assert not os.path.exists("http")
    reload(f"agent = {AGENT}")
    assert line() == UP
    wait(lambda: not os.path.exists("agent"))
    reload()
    wait(lambda: it.roles("web") == [] and not listens(AGENT))


def test_a_drain_waits_until_an_agents_client_has_heard_of_it():
    it = cluster(f"--agent {AGENT} -n 1 --ready alive:0s", *NAP, clock=True)
    for _ in range(3):
        assert line() == UP
        it.advance(2)
    late = it.begin("drain", timeout=3)
    it.event("host-drained")
    it.advance(3.1)
    is_refused("not empty after 3.*: agent.* has not asked since", late)
    drained = it.begin("drain")
    assert line() == "drain\n"
    lab.clock.flow()
    assert "empty after" in drained().text
