# SPDX-License-Identifier: MIT
"""With all that nclust can have under way at once it is replaced: by another nclust and back
(NCLUST_BEFORE; by default one of a later version of the state; scripts/run upgrade-from takes
that of a commit), or by the next one, after it was killed."""
import socket

from harness import *
from replaced import *

OTHER = os.environ.get("NCLUST_BEFORE", variant("next"))
# It says that it runs, and waits until it may go on.
WAITS = """#!/bin/sh
echo "$$" >>"${0%/*}/begun"
while [ ! -e "${0%/*}/go" ]; do sleep 0.02; done
echo "$$" >>"${0%/*}/ended"
"""
TELL = '#!/bin/sh\necho "slot=$NCLUST_SLOT pid=$$"\nexec cat\n'
INI = f"""
    [defaults]
    orphans = {{orphans}}
    bake = 0s
    [cluster:web]
    command = {SERVE} --notify
    workers = 2
    ready = notify
    listen = 127.0.0.1:8000, name=web, backlog=77
    shared-memory = 64k
    check = exec:{{dir}}/wait
    check-interval = 1h
    check-timeout = 1h
    on-ready = {{dir}}/wait
    stop-signal = QUIT:3s TERM:1s
    env = A=b c
    [cluster:own]
    command = {PLAIN} 8001
    workers = 2
    [cluster:each]
    command = {{dir}}/tell
    listen = 127.0.0.1:8002
    accept = yes
    workers = 4
    [cluster:talk]
    command = {fixture("talk")} {{dir}}/got
    workers = 2
    ipc = on
    ready = alive:1ms
    [cluster:slow]
    command = {RUDE} --slow 1 --until {{dir}}/answer-it
    workers = 1
    ready = notify
    listen = 127.0.0.1:8003
    drain = quiet
    drain-timeout = 10m
    [cluster:leads]
    command = {HEAR} --notify
    workers = 2
    ready = notify
    leader = yes
    [cluster:bad]
    command = {DIE} --exit 3
    workers = 1
    backoff-min = 10m
    backoff-max = 1h
    """
NODE = f"""
    [cluster:node]
    command = node {SRC}/tests/e2e/node/web.js 8004
    workers = 2
    ready = listen
    """
SERVERS = {"web": 8000, "own": 8001}  # that answer "pid="


class World:
    """Of an instance with all of that under way."""

    def __init__(self, binary=None, orphans="stop", node=False):
        write("wait", WAITS, 0o755)
        write("tell", TELL, 0o755)
        os.mkdir("got")
        text = (INI + NODE if node else INI).format(orphans=orphans, dir=path())
        self.it = it = begin(ini=text, binary=binary).follow()
        self.twos = ["web", "own", "talk", "leads", *(["node"] if node else [])]
        for name in (*self.twos, "slow"):
            it.wait_ready(name)
        it.event("exited", cluster="bad")
        wait(lambda: len(lines("begun")) >= 3)  # hooks, and a check
        it.call("send", target="talk.0", message='["say","early"]')
        it.call("send", target="talk.1", message='"half"')
        self.client = dial(8002)
        self.answers = self.client.makefile()
        assert self.answers.readline().startswith("slot=")
        self.request = Request("/slow", 8003)
        wait_asked(8003)
        self.leaves = it.worker(cluster="slow").pid
        it.call("scale", target="slow", count=0, no_wait=True)
        it.event("draining", cluster="slow")
        self.load = Steady(8000, "--rate", 200)
        if node:
            wait_listened(8004)

    def everything(self, but=()):
        """What stays as it is, whoever is nclust."""
        found = {}
        for c in self.it.status().clusters:
            if c.name in but:
                continue
            memory = c.shared_memory and [c.shared_memory[of] for of in ("size", "used", "inode")]
            found[c.name] = [c.generation, c.wanted, c.get("leader"), memory]
            found[c.name] += [(at.address, at.inode, at.learned) for at in c.listeners]
            if "accept" in c:
                found[c.name] += c.accept.running, c.workers[0].pid
                continue
            found[c.name] += [(w.slot, w.pid, w.state, w.generation, w.restarts) for w in c.workers]
        return found

    def all_goes_on(self, n):
        for name in self.twos:
            if name in SERVERS:
                assert get(port=SERVERS[name]).pid in self.it.pids(name)
        if "node" in self.twos:
            assert get(port=8004).status == 200
        self.client.sendall(b"after %d\n" % n)
        assert self.answers.readline() == f"after {n}\n"
        self.it.call("send", target="talk.0", message=f'"after {n}"')
        wait(lambda: f'"after {n}"' in read("got/0"))
        all_cloexec(self.it)

    def ends_well(self, commands=True):
        """What was under way comes to its end, and each part works as ever."""
        it = self.it
        write("answer-it", "")
        assert self.request.answer().pid == self.leaves
        wait_gone(self.leaves)
        self.load.loses_nothing()
        write("go", "")
        if commands:
            wait(lambda: not any(map(is_alive, map(int, lines("begun")))))
            left = set(lines("begun")) - set(lines("ended"))
            # on a slow machine hooks are ended after a minute
            wait(lambda: len(left) == len(it.happened("hook-failed")), left)
        self.client.shutdown(socket.SHUT_RDWR)
        wait(lambda: it.cluster("each").accept.running == 0)
        since = it.mark()
        for name in self.twos:
            old = it.worker(cluster=name).pid
            kill(old)
            it.event("ready", since=since, cluster=name, slot=0)
        it.call("restart", target="web")
        it.call("restart", target="own")
        assert get(port=8001).pid in it.pids("own")
        assert it.stop() == 0
        assert not os.path.exists(it.directory)


@pytest.mark.parametrize("node", (False, pytest.param(True, marks=pytest.mark.nightly)))
@pytest.mark.parametrize("first, second", ((OTHER, OURS), (OURS, OTHER)),
                         ids=("here, back and here", "there, back and there"))
def test_upgraded(first, second, node):
    world = World(first, node=node)
    it, was = world.it, world.everything()
    ids = [(w.id, w.last_exit) for c in it.status().clusters for w in c.workers]
    for n, binary in enumerate((second, first, second), 1):
        put(binary)
        try:
            it.call("upgrade")
        except Refused as why:
            if n == 1 and "the new nclust says: setting '" in str(why):
                pytest.skip("the other one does not know a default of this one")
            raise
        assert world.everything() == was
        assert [(w.id, w.last_exit) for c in it.status().clusters for w in c.workers] == ids
        assert it.status().upgrades == n
        it.event("upgraded", n=n)
        world.all_goes_on(n)
    wait(lambda: lines("got/1")[:1] == ['"half"'])
    assert it.cluster("each").accept.served == 1
    world.ends_well()


def test_killed():
    world = World(orphans="keep")
    # it has no worker; it is started again; it is told again to go
    but = "bad", "slow"
    was = world.everything(but)
    for n in (1, 2):
        world.it.kill()
        world.it = start(ini=read("it.ini")).follow()
        for name in world.twos:
            world.it.wait_ready(name)
        assert world.it.says("took over 10 workers")
        assert world.everything(but) == was
        assert world.leaves in world.it.pids("slow")
        world.all_goes_on(n)
    world.ends_well(commands=False)  # they have ended with nclust
