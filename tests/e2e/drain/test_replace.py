# SPDX-License-Identifier: MIT
"""Nothing that is done to a running cluster costs a request: its workers are replaced, moved,
multiplied, recycled, broken by a deploy, and nclust itself is replaced and killed, under
requests that come all the time."""
from drains import *
from harness import lab


# ---- deeds ----

def restart(kind):
    it = kind.start()
    loads = kind.ask()
    it.call("restart", target="it.1")
    it.call("restart")
    loads.end()
    assert [(w.generation, w.restarts) for w in it.workers()] == [(3, 0), (3, 0)]
    return it


def more_and_fewer(kind):
    it = kind.start()
    loads = kind.ask()
    for count in (4, 1, 2):
        it.call("scale", count=count)
        assert it.cluster().ready == count
    loads.end()
    return it


def reload(kind):
    ini = f"[cluster:web]\nworkers = 2\ncommand = {kind.fill(kind.command)}\nenv = DEPLOY=%d\n"
    it = cluster(ini=ini % 0)
    loads = kind.ask()
    for n in (1, 2):
        it.reload(ini % n)
        assert [environment(p)["DEPLOY"] for p in it.pids()] == [str(n)] * 2
    loads.end()
    return it


def upgrades(kind):
    it = kind.start()
    loads = kind.ask()
    pids = it.pids()
    for _ in range(5):
        it.call("upgrade")
    assert it.status().upgrades == 5 and it.pids() == pids
    it.call("restart")
    loads.end()
    return it


def upgrade_within(kind):
    it = kind.start()
    loads = kind.ask()
    for n in (1, 2):
        it.call("restart", no_wait=True)
        it.call("upgrade")
        it.event("rollout-done", n=n)
    loads.end()
    return it


def killed(kind):
    it = kind.start("--orphans keep")
    loads = kind.ask()
    pids = it.pids()
    for _ in range(2):
        it.kill()
        it = kind.start("--orphans keep")
        assert it.pids() == pids
    it.call("restart")
    loads.end()
    return it


def one_upon_the_other(kind):
    it = kind.start()
    loads = kind.ask()
    for count in (3, 4):
        it.call("restart", no_wait=True)
        it.call("scale", count=count, no_wait=True)
        it.call("restart", no_wait=True)
        it.call("scale", count=2, no_wait=True)
    it.call("restart")
    it.wait_ready()
    assert it.cluster().ready == 2
    loads.end()
    return it


def grown_old(kind):
    it = kind.start("--max-age 10s", clock=True)
    lab.clock.flow()
    loads = kind.ask()
    old = it.pids()
    it.advance(11.5, step=0.5)
    wait_gone(*old)
    loads.end()
    return it


LANDING = (
    *((restart, kind) for kind in (
        "one at a time", "an event loop", "streams", "a unix socket", "poll", "poll, by itself",
        "poll, kept", "poll, IPv6", "late", "late, one at a time")),
    *((deed, "an event loop") for deed in (
        reload, upgrades, upgrade_within, killed, one_upon_the_other, grown_old)),
    (more_and_fewer, "late"))  # who waits otherwise than by epoll(7) may lose some
NIGHTLY = (
    *((restart, kind) for kind in KINDS if (restart, kind) not in LANDING),
    *((more_and_fewer, kind) for kind in (
        "an event loop", "streams", "a unix socket", "Node", "nginx")),
    (grown_old, "late"), (grown_old, "late, one at a time"))
ALL = LANDING + tuple(pytest.param(*row, marks=pytest.mark.nightly) for row in NIGHTLY)


@pytest.mark.parametrize("deed, kind", ALL)
def test_nothing_is_lost(deed, kind):
    it = deed(KINDS[kind])
    assert not it.says("drained by force")
    if KINDS[kind].at == PORT:  # those of before, if there were any, go with their last worker
        wait(lambda: len(sockets("listen", PORT)) == 1)


def test_workers_without_privileges_lose_nothing():
    need_root()
    kind = KINDS["poll"]
    it = kind.start(under=PLAIN_USER)
    loads = kind.ask()
    it.call("restart")
    it.call("restart")
    loads.end()
    wait(lambda: len(sockets("listen", PORT)) == 1)
    assert not it.says("share it") and not it.says("cannot choose")


# ---- broken deploys ----

def deploy(text):
    """The program is a script, which is written anew."""
    os.rename(write("new", f"#!/bin/sh\n{text}\n", 0o755), path("server"))


# what is wrong with it, and what is said then
BROKEN = {
    "it exits at once": ("exit 3", "exit 3"),
    "it is never ready": (f"exec {RUDE} --poll --mute", "not ready"),
    "it cannot bind": (f"unset LISTEN_FDS SERVER_STARTER_PORT; exec {RUDE} 8001", "exit 99"),
    "it dies while it is watched": (f"exec {RUDE} --deaf --die 200", "exit 3"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_deploy_changes_nothing_and_a_good_one_succeeds_after_it(what):
    server = f"{RUDE} --slow 100" + (" --poll" if "never" in what else "")
    broken, says = BROKEN[what]
    deploy(f"exec {server}")
    it = cluster("-n 2 -l 127.0.0.1:8000 --ready notify", path("server"), clock=True)
    lab.clock.flow()
    before = it.pids()
    loads = Loads(options=SOME_SLOW)
    begin_program(fixture("moody"), 8001)
    wait_listened(8001)
    deploy(broken)
    canary = {"canary": 1, "bake": 600} if "watched" in what else {}
    answer = it.begin("restart", **canary)
    if "never" in what:
        it.event("started", n=3)
        it.advance(61, step=0.9)
    is_refused(says, answer)
    assert it.cluster().generation == 1
    wait(lambda: it.pids() == before)
    deploy(f"exec {server}")
    it.call("restart", canary=1, bake=0.1)
    loads.end()
    assert it.cluster().ready == 2 and before != it.pids()
