# SPDX-License-Identifier: MIT
"""All orders of three verbs, under load, for each kind of server and listener.

    make sequences [SEED=1] [N=12]
    make sequences KIND=events/named VERBS="restart upgrade restart"

What one verb leaves behind is the next one's input.  The seed makes a circle in which every
order of three verbs is once, cut into chains; each chain is run on a fresh nclust.  N takes so
many of them, as the seed says, from all kinds in turn; without it all are run.  After each verb:

- it ended as it should, and nothing that was asked meanwhile is lost or late;
- as many workers are ready as are wanted, and each takes a connection while all others are
  stopped;
- there is one socket for each address (the successor of a single worker that does not wait by
  epoll may have its own, and so may both halves of a rollout that was cut short, until all are
  replaced), and no other process than the workers;
- nclust has no descriptors but those that so many workers need.

Every other reload gives the cluster another name, and changes nothing else.

A verb with "~" behind it is followed by the next one at once, without waiting for rest, and
looked at together with that one.  One with "!" is held: the worker that it starts first does
not come up until each of the old ones has been seen to accept.  When a chain fails, ever longer
ends of it are run, to find the shortest that fails as well.
"""
import collections
import concurrent.futures
import json
import random
import re
import select
import shutil
import time

from harness import *
from harness import lab

VERBS = ["restart", "slot", "upgrade", "reload", "up", "down", "adopt", "canary"]
LENGTH = 18  # verbs in a chain: 16 orders of three
MOST = 4  # workers
HURRY = 0.25  # of the verbs are followed by the next at once
HELD = 0.5  # of those that replace workers
REPLACING = ("restart", "slot", "reload")
SPARE = 2  # descriptors more of a kind than at the start
BAD_SIGNS = re.compile(r"unexpected event|Assertion|Segmentation|Sanitizer|runtime error:"
                       r"|drained by force|cannot choose among")
FAILURES = (pytest.fail.Exception, AssertionError, OSError, Closed, Refused)
SOME_SLOW = ["--path", "/:9", "--path", "/slow:1"]
SEED = int(os.environ.get("SEED") or 1)


class Kind:
    """A server, and how it comes to its address: `learned` ones bind it themselves, `named` and
    `unix` ones take the one that nclust has."""

    def __init__(self, name, command, rate, load=(), *, notifies=True, by_epoll=True):
        self.name, self.command, self.rate, self.load = name, command, rate, load
        self.notifies, self.by_epoll = notifies, by_epoll
        self.listener = name.partition("/")[2]
        self.is_unix = self.listener == "unix"

    @property
    def at(self):
        return path("socket") if self.is_unix else PORT

    def words(self, command):
        own = PORT if self.listener == "learned" else ""  # what it binds by itself
        return command.format(dir=path(), rude=RUDE, servers=server(""), own=own)

    def listeners(self):
        """How many sockets listen there?"""
        if not self.is_unix:
            return len(sockets("listen", PORT))
        # flags 00010000: it accepts
        return sum(line.endswith(f" {self.at}") and line.split()[3] == "00010000"
                   for line in lines("/proc/net/unix"))


def kinds():
    made = [Kind(f"{name}/{listener}", command, rate, load, by_epoll=by_epoll)
            for name, command, rate, load, by_epoll in (
                ("events", "{rude} {own} --slow 100", 80, SOME_SLOW, True),
                ("poll", "{rude} {own} --poll --slow 100", 80, SOME_SLOW, False),
                ("blocking", "{rude} {own} --blocking --work 5 --close", 80, (), False),
                ("fork", "{rude} {own} --blocking --fork --work 5 --close", 60, (), False),
                ("graceful", "{rude} {own} --graceful --slow 100", 80, SOME_SLOW, True))
            for listener in ("named", "learned", "unix")]
    made += [
        Kind("node/named", "node {servers}listen-fd.js", 60, notifies=False),
        Kind("node/learned", "node {servers}slow.js {own}", 60, SOME_SLOW, notifies=False),
        Kind("node/unix", "node {servers}listen-fd.js", 60, notifies=False),
        Kind("python/learned", "/usr/bin/python3 -m http.server --directory {dir}/files {own}", 40,
             ["--path", "/hello"], notifies=False, by_epoll=False),
        Kind("gunicorn/learned", "gunicorn --chdir {servers} -w 1 --threads 4 --worker-tmp-dir "
             "{dir} -b 127.0.0.1:8000 slow:app", 30, SOME_SLOW, notifies=False)]
    return [k for k in made if os.environ.get("KIND") in (None, "", k.name)]


# ---- orders ----

def circle(chooser):
    """Each order of three verbs once: a way through all pairs that uses each edge from one pair
    to the next once."""
    after = {(a, b): chooser.sample(VERBS, len(VERBS)) for a in VERBS for b in VERBS}
    way, stack = [], [(VERBS[0], VERBS[0])]
    while stack:
        pair = stack[-1]
        if after[pair]:
            stack.append((pair[1], after[pair].pop()))
        else:
            way.append(stack.pop())
    return [pair[0] for pair in reversed(way)][:-1]


def chains_of(kind):
    chooser = random.Random(f"{SEED} {kind.name}")
    verbs = circle(chooser)
    verbs += verbs[:2]
    chains = []
    for start in range(0, len(verbs) - 2, LENGTH - 2):
        chain = []
        for verb in verbs[start:start + LENGTH]:
            # a worker that is being emptied is stopped by nclust, not by us
            if (verb in REPLACING and chooser.random() < HELD
                    and not (chain and chain[-1].endswith("~"))):
                verb += "!"
            if chooser.random() < HURRY:
                verb += "~"
            chain.append(verb)
        chains.append(chain)
    return chains


def all_chains():
    chosen = kinds()
    if os.environ.get("VERBS"):
        return [(kind, os.environ["VERBS"].split()) for kind in chosen]
    each = [[(kind, chain) for chain in chains_of(kind)] for kind in chosen]
    chooser = random.Random(SEED)
    for chains in each:
        chooser.shuffle(chains)
    chooser.shuffle(each)
    return [one for turn in zip(*each) for one in turn][:int(os.environ.get("N") or 0) or None]


# ---- one chain ----

class Chain:
    def __init__(self, kind):
        self.kind = kind
        self.done = []
        self.wanted = 2
        self.sockets = 1
        self.round = 0  # of the reloads
        self.it = self.load = None
        self.base = self.each = collections.Counter()
        mute = "" if kind.notifies else " --mute"
        write("files/hello", "hello\n")
        write("server", f"""#!/bin/sh
[ ! -p {path("hold")} ] || read -r go <{path("hold")}
[ ! -e {path("bad")} ] || exec {kind.words("{rude} {own} --deaf --die 200" + mute)}
exec {kind.words(kind.command)}
""", 0o755)

    @property
    def name(self):
        return f"web{(self.round + 1) // 2}"

    def ini(self):
        listen = {"named": [f"listen = 127.0.0.1:{PORT}"],
                  "unix": [f"listen = unix:{path('socket')}"]}.get(self.kind.listener, [])
        return "\n".join([f"[cluster:{self.name}]", f"command = {path('server')}",
                          f"workers = {self.wanted}", "orphans = keep", "bake = 0",
                          f"env = ROUND={self.round // 2}", *listen, ""])

    # ---- verbs ----

    def do(self, verb):
        # what is taken over is made alike by a rollout, which ends halfway here
        if self.done[-2:-1] == ["adopt~"] and verb in ("slot", "canary"):
            self.sockets = 2
        if verb == "restart":
            self.it.verb("restart").ok()
            self.sockets = 1
        elif verb == "slot":
            if not self.kind.by_epoll and not self.kind.is_unix:
                self.sockets = 2
            self.it.verb("restart", target=f"it/{self.name}.0").ok()
        elif verb == "upgrade":
            self.it.verb("upgrade").ok()
        elif verb == "reload":
            self.round += 1
            write("it.ini", self.ini())
            self.it.verb("reload").ok()
            self.sockets = 1
        elif verb in ("up", "down"):
            self.wanted = max(1, min(MOST, self.wanted + (1 if verb == "up" else -1)))
            write("it.ini", self.ini())
            self.it.verb("scale", self.wanted).ok()
        elif verb == "canary":
            write("bad", "")
            self.it.verb("restart", "--canary 1 --bake 5s").fails(1)
            os.unlink("bad")
        elif verb == "adopt":
            self.it.kill()
            self.it = start(ini=self.ini())
        else:
            pytest.fail(f"no such verb: {verb}")

    def do_held(self, verb):
        """The old workers serve until the new one is ready."""
        os.mkfifo("hold")
        gate = os.open("hold", os.O_RDWR)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            doing = pool.submit(self.do, verb)
            try:
                wait(lambda: any(w.state == "starting" and w.pid for w in self.it.workers()),
                     "a worker starts")
                self.each_accepts()
            finally:
                os.unlink("hold")
                os.close(gate)
                doing.result()

    # ---- rest ----

    def others(self):
        """All processes but nclust, its helpers and the load."""
        own = {process.pid for process in lab.started}
        return [p for p in living() if p not in own and not command(p).startswith("nclust-")]

    def unrest(self):
        """What is not at rest yet; None: all is."""
        cluster = self.it.cluster()
        pids = [w.pid for w in cluster.workers]
        if ((cluster.state, cluster.ready, cluster.wanted, len(pids)) !=
                ("running", self.wanted, self.wanted, self.wanted) or cluster.rollout):
            return f"not at rest: {json.dumps(cluster)}"
        for listener in cluster.listeners:
            if listener.get("sockets", 1) > self.sockets or listener.queue:
                return f"listener: {json.dumps(listener)}"
        if not 1 <= self.kind.listeners() <= self.sockets:
            return f"{self.kind.listeners()} sockets listen"
        known = {p for pid in pids for p in session(pid)}
        if unknown := [p for p in self.others() if p not in known]:
            return f"processes that nobody knows: {[(p, command(p)) for p in unknown]}"
        return self.surplus()

    def descriptors(self):
        """How many nclust has of each kind."""
        return collections.Counter(
            re.sub(r"\[\d+\]", "", name) if re.match("(socket|pipe|anon_inode):", name) else "file"
            for name in descriptors(self.it.pid).values() if name != "/dev/null")

    def surplus(self):
        for kind, count in self.descriptors().items() if self.each else ():
            most = self.base[kind] + (self.wanted - 1) * self.each[kind]
            if count > most + SPARE:
                return f"{count} descriptors of kind {kind}, {most} at first"
        return None

    def ask(self):
        """The first answer; with two sockets some wait for a stopped one."""
        asking = []
        try:
            for _ in range(1 if self.sockets == 1 else 16):
                asking.append(dial(PORT, unix=path("socket") if self.kind.is_unix else None))
                asking[-1].sendall(b"GET / HTTP/1.1\r\nHost: it\r\nConnection: close\r\n\r\n")
            ready = select.select(asking, [], [], 10 * PATIENCE)[0]
            return ready[0].recv(4096) if ready else b"no answer"
        finally:
            for s in asking:
                s.close()

    def each_accepts(self):
        workers = [w for w in self.it.workers() if w.pid]
        for worker in workers:
            others = [w.pid for w in workers if w is not worker]
            if worker.state != "ready":
                continue
            freeze(*others)
            try:
                answer = self.ask()
            finally:
                thaw(*others)
            assert b" 200 " in answer, f"worker {worker.pid} takes no connection: {answer}"

    def rest(self):
        end = time.monotonic() + 30 * PATIENCE
        while (wrong := self.unrest()) is not None:
            assert time.monotonic() < end, wrong
            time.sleep(0.03)
        if self.load is not None:
            got, self.load = self.load.end(), None
            assert (got.lost, got.late) == (0, 0)
        self.each_accepts()
        assert (found := BAD_SIGNS.search(self.it.log())) is None, found.group()

    def learn(self):
        """What one worker takes, and what each further one does."""
        had = []
        for self.wanted in (1, 2):
            self.it.verb("scale", self.wanted).ok()
            self.rest()
            had.append(self.descriptors())
        self.base, self.each = had[0], had[1] - had[0]

    # ---- all of it ----

    def run(self, verbs):
        self.it = start(ini=self.ini())
        self.rest()
        self.learn()
        for number, verb in enumerate(verbs):
            self.done.append(verb)
            if self.load is None:
                self.load = Steady(self.kind.at, "--rate", self.kind.rate, *self.kind.load)
            if "!" in verb:
                self.do_held(verb.rstrip("!~"))
            else:
                self.do(verb.rstrip("~"))
            if not verb.endswith("~") or number == len(verbs) - 1:
                self.rest()
        assert self.it.stop() == 0
        wait(lambda: not living(), "no process is left behind")
        assert self.kind.listeners() == 0


def clear():
    """For another chain in the same sandbox."""
    for pid in living():
        kill(pid)
    wait(lambda: not living())
    lab.instances.clear()
    for name in os.listdir(path()):
        (shutil.rmtree if os.path.isdir(name) else os.unlink)(name)
    os.mkdir("run", 0o755)


def shortest(kind, done):
    """The shortest end of it that fails as well."""
    for length in (1, 2, 3, 4, 6, 9):
        if length >= len(done):
            return None
        clear()
        try:
            Chain(kind).run(done[-length:])
        except FAILURES:
            return done[-length:]


@pytest.mark.parametrize("kind, verbs", all_chains(), ids=lambda one: getattr(one, "name", ""))
def test_an_order_of_verbs(kind, verbs):
    chain = Chain(kind)
    try:
        chain.run(verbs)
    except FAILURES:
        again = "again: make sequences KIND={} VERBS='{}'"
        print(lab.tail(chain.it.log() if chain.it else "", 25))
        print(again.format(kind.name, " ".join(chain.done)))
        if not os.environ.get("VERBS") and (least := shortest(kind, chain.done)):
            print(again.format(kind.name, " ".join(least)))
        raise
