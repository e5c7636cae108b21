# SPDX-License-Identifier: MIT
"""An nclust that a test has started."""
import json
import mmap
import os
import re
import select
import shlex
import signal
import struct
import textwrap
import time

import pytest

from . import lab
from .control import Closed, Control, Object, Refused

PROGRAM = os.environ.get("NCLUST", f"{lab.CHECKOUT}/nclust")
VARIANTS = os.environ.get("VARIANTS", f"{lab.CHECKOUT}/build/plain/variants")


def inside(path):
    """That file of the checkout, where every user finds it."""
    return path.replace(lab.CHECKOUT, lab.SRC, 1)


def fixture(name):
    return f"{lab.SRC}/build/fixtures/{name}"


def server(name):
    """A script of tests/e2e/servers."""
    return f"{lab.SRC}/tests/e2e/servers/{name}"


def variant(name):
    """An nclust with another version of its state, or a fault."""
    return inside(f"{VARIANTS}/nclust-{name}")


DIE, HEAR, NOTIFY, PLAIN, RUDE, SERVE, UNWELL = map(
    fixture, ("die", "hear", "notify", "plain", "rude", "serve", "unwell"))
NAP = ("sleep", "1000")


def words(*args):
    """Text is split as a shell does; all else is a word as it stands."""
    found = []
    for arg in args:
        found += shlex.split(arg) if isinstance(arg, str) else [str(arg)]
    return found


def nclust(*args, program=None, **options):
    """Run a verb, or anything else that ends: `nclust("status it --json")`."""
    return lab.run(program or inside(PROGRAM), *words(*args), **options)


class Clock:
    """Of every nclust that is started with clock=True, in this test: it stands until the test
    moves it (tests/variants/clock.c)."""

    def __init__(self):
        with open("/run/clock", "wb") as f:
            f.write(bytes(24))
        with open("/run/clock", "r+b") as f:
            self.page = mmap.mmap(f.fileno(), 24)
        now = time.monotonic_ns()
        self.put(now, 0, time.time_ns() - now)

    def put(self, *numbers):
        self.page[:] = struct.pack("3q", *numbers)

    def advance(self, seconds):
        """By so much, whether it stands or flows."""
        stands, ahead, wall = struct.unpack("3q", self.page[:])
        step = round(seconds * 1e9)
        self.put(stands + step if stands else 0, ahead + step, wall)

    def flow(self):
        """Like the machine's from now on, from where it stands."""
        stands, _, wall = struct.unpack("3q", self.page[:])
        if stands:
            self.put(0, stands - time.monotonic_ns(), wall)

    def creep(self):
        """By 1 ms, if it stands."""
        stands, ahead, wall = struct.unpack("3q", self.page[:])
        if stands:
            self.put(stands + 1000000, ahead, wall)

    def stand(self):
        stands, ahead, wall = struct.unpack("3q", self.page[:])
        if not stands:
            self.put(time.monotonic_ns() + ahead, ahead, wall)


class Instance:
    """`options` and `command` are words: see start()."""

    def __init__(self, options="", command=(), ini=None, name="it", under=(), program=None,
                 clock=False, env=None, **popen):
        self.name = name
        self.log_path = lab.path(f"{name}.log")
        self.control = self.listener = self.process = None
        self.pid = None
        self.events = []
        self.last_status = None
        if clock and lab.clock is None:
            lab.clock = Clock()
        if program is None:
            program = variant("clock") if clock else inside(PROGRAM)
        self.program = program
        environment = {**os.environ, **(env or {})}
        arguments = words(options)
        if ini is not None:
            arguments += ["-c", lab.write(f"{name}.ini", textwrap.dedent(ini))]
        if command:
            arguments += ["--", *(str(word) for word in command)]
        self.arguments = [*map(str, under), program, "--name", name, *arguments]
        with open(self.log_path, "ab") as log:
            popen.setdefault("stdout", log)
            popen.setdefault("stderr", log)
            self.process = lab.begin_program(*self.arguments, env=environment, **popen)
        self.pid = self.process.pid
        lab.instances.append(self)

    # ---- talking to it ----

    @property
    def directory(self):
        return lab.path(f"run/{self.name}")

    def connect(self):
        """A connection of its own; raises OSError where nobody listens."""
        return Control(f"{self.directory}/control")

    def is_there(self):
        try:
            self.control = self.connect()
        except (OSError, Closed):
            return self.process.poll() is not None and "ended"
        return True

    def wait_there(self):
        """Until its control socket answers."""
        if lab.wait(self.is_there, "an answer of its control socket") == "ended":
            pytest.fail(f"nclust has ended: {self.process.returncode}\n{self.log()}")
        self.pid = self.control.hello.pid
        return self

    def reconnect(self):
        """After it was killed, and another one has its name."""
        self.forget()
        return self.wait_there()

    def forget(self):
        for connection in (self.control, self.listener):
            if connection is not None:
                connection.close()
        self.control = self.listener = None

    def call(self, method, bound=lab.BOUND, **params):
        """A request on the one connection; raises Refused."""
        if self.control is None:
            self.control = self.connect()
        number, end = self.control.send(method, **params), time.monotonic() + bound
        # who does not read for 10 s gets no more events
        while self.listener is not None and select.select(
                [self.control.socket, self.listener.socket], [], [],
                max(end - time.monotonic(), 0))[0] == [self.listener.socket]:
            try:
                self.take()
            except Closed:
                break
        return self.control.answer(number, max(end - time.monotonic(), 0))

    def begin(self, method, **params):
        """A request on a connection of its own: call what this returns for its answer."""
        control = self.connect()
        number = control.send(method, **params)
        return lambda: control.answer(number)

    def verb(self, verb, *args, target=None, **options):
        """The client: `nclust VERB NAME ...`."""
        return nclust(verb, target or self.name, *args, program=inside(PROGRAM), **options)

    # ---- what is ----

    def status(self, **params):
        self.last_status = self.call("status", **params)
        return self.last_status

    def cluster(self, name=None):
        found = self.status().clusters
        return next(c for c in found if name in (None, c.name))

    def workers(self, cluster=None):
        return self.cluster(cluster).workers

    def worker(self, slot=0, cluster=None):
        """The latest one of that slot."""
        return max((w for w in self.workers(cluster) if w.slot == slot), key=lambda w: w.id or 0)

    def pids(self, cluster=None):
        return [w.pid for w in self.workers(cluster) if w.pid is not None]

    def role(self, name, but=None):
        """Wait for its own process that is called nclust-NAME, another one than `but`: its pid."""
        return lab.wait(lambda: next((p for p in self.roles(name) if p != but), None), name)

    def roles(self, name):
        return [p for p in lab.living() if lab.command(p).startswith(f"nclust-{name}")
                and lab.stat(p)[1:2] == [str(self.pid)]]

    def log(self):
        return lab.read(self.log_path)

    # ---- what is often done ----

    def reborn(self, slot=0, cluster=None):
        """Kill the worker of that slot: the pid of its successor, which is ready."""
        since, where = self.mark(), {"cluster": cluster} if cluster else {}
        lab.kill(self.worker(slot, cluster).pid)
        return self.event("ready", since=since, slot=slot, **where).pid

    def reload(self, ini=None):
        """With that file, if there is one: what it says."""
        if ini is not None:
            lab.write(f"{self.name}.ini", textwrap.dedent(ini))
        return self.call("reload").get("text")

    # ---- waiting ----

    def wait(self, holds, what=""):
        """Until `holds`, which may ask for the status, is true."""
        return lab.wait(holds, what)

    def wait_ready(self, cluster=None):
        """Until as many workers are ready as are wanted."""
        def all_ready():
            return all(c.ready >= c.wanted and c.state == "running" for c in self.status().clusters
                       if cluster in (None, c.name))
        lab.wait(all_ready, "all workers ready")
        return self

    def follow(self):
        """Hear of all that happens from now on, and of what is remembered."""
        if self.listener is None:
            self.listener = self.connect()
            self.listener.send("events", follow=True)
            self.events = self.listener.events
        return self

    def event(self, name, n=1, since=0, **members):
        """The n-th event of that name with these members, of those since `since` (see mark());
        waits for it."""
        self.follow()
        end = time.monotonic() + lab.BOUND
        at, found = since, 0
        while True:
            for event in self.events[at:]:
                at += 1
                if event.event == name and members.items() <= event.items():
                    found += 1
                    if found == n:
                        return event
            message = self.listener.read(max(end - time.monotonic(), 0))
            if message is None:
                pytest.fail(f"no event {n} {name} {members} within {lab.BOUND:.0f} s")
            self.events.append(message.params)

    def mark(self):
        """All events that have come so far are before this number."""
        self.follow()
        for _ in range(2):  # a turn each: what was before them has been sent
            self.call("status", readiness="")
        self.take()
        return len(self.events)

    def take(self):
        """The events that have come."""
        while (message := self.listener.read(0)) is not None:
            self.events.append(message.params)

    def happened(self, name, since=0, **members):
        """All events of that name that have come so far."""
        self.mark()
        return [e for e in self.events[since:] if e.event == name and members.items() <= e.items()]

    def logged(self, text, n=1):
        """Wait until its log has that text (so often at least)."""
        lab.wait(lambda: self.log().count(text) >= n, f"in the log: {text}")

    def says(self, text):
        """Is it in the log?"""
        return text in self.log()

    # ---- time ----

    def advance(self, seconds, step=None):
        """Its clock goes on by that; what has become due is done when this returns, but for
        what other processes do.  (Draining looks at times of the kernel's, too: --drain off.)
        step: not in one leap, after which nclust forgives others for what it believes to be a
        time when it could not run."""
        if step is not None:
            for _ in range(round(seconds / step)):
                self.advance(step)
            return
        self.turns(2)  # what has happened is before that: in a turn clients come first
        lab.clock.advance(seconds)
        self.turns(3)  # timers set timers

    def turns(self, count):
        """Until its loop has gone round so often."""
        try:
            for _ in range(count):
                self.call("status", readiness="")
        except (Closed, OSError):  # then it was due to end
            self.forget()

    def spins(self):
        """Does its loop go round without a reason?"""
        begun, before = time.monotonic(), self.status().process.turns
        for _ in range(50):
            now = self.status().process.turns
        waits = (time.monotonic() - begun) * 1000  # for a timer it waits 1 ms at least each time
        return now - before >= 200 + waits  # each status is a turn, or two

    # ---- the end ----

    def exit(self):
        """Wait for its end; the exit status, or -SIGNAL.  A time that stands creeps on, slower than
        the machine's: what a worker has left is looked for again some milliseconds later."""
        def ended():
            if lab.clock is not None:
                lab.clock.creep()
            return self.process.poll() is not None

        lab.wait(ended, "the end of nclust")
        self.forget()
        return self.process.returncode

    def stop(self):
        """As `nclust stop`: its exit status."""
        self.call("stop")
        return self.exit()

    def kill(self):
        """As a crash."""
        os.kill(self.pid, signal.SIGKILL)
        lab.wait_gone(self.pid)
        self.process.poll()
        self.forget()

    def end(self):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    # ---- a failure ----

    def show(self):
        if self.process.poll() is not None:
            yield "ended", f"exit status {self.process.returncode}"
        try:
            with_own = self.connect()
            yield "status", brief(with_own.call("status", bound=5))
            with_own.call("events", bound=5)
            events = with_own.events
        except (OSError, Closed, Refused, AssertionError, AttributeError) as error:
            yield "does not answer", repr(error)
            yield "last status", brief(self.last_status)
            events = self.events
        yield "events", "\n".join(map(json.dumps, events[-60:]))


def brief(status):
    """A line for each cluster and worker."""
    found = []
    for c in status.clusters if status else ():
        found.append(" ".join(f"{k}={v}" for k, v in c.items() if v and k not in (
            "workers", "counters", "command")))
        found += ["  " + " ".join(f"{k}={v}" for k, v in w.items()) for w in c.workers]
    return "\n".join(found)


def launch(options="", *command, **more):
    """Start nclust and return at once: `launch("-n 2 -l 8000", SERVER, "--option")`.  The first
    argument is split as a shell does; the command follows, word by word.  ini: the text of a
    configuration file; clock=True: its time stands; under: words before the program."""
    return Instance(options, command, **more)


def start(options="", *command, **more):
    """The same, and its control socket answers."""
    return launch(options, *command, **more).wait_there()


def cluster(options="", *command, **more):
    """The same, and all its workers are ready."""
    if command and lab.PATIENCE > 1 and not re.search("--(start-timeout|accept)", options):
        options += f" --start-timeout {60 * lab.PATIENCE:.0f}s"
    return start(options, *command, **more).wait_ready()


def leak(options="", *words, **more):
    """Workers that tell what each was born with: see born()."""
    if not os.path.exists(lab.path("born")):
        lab.make("born", mode=0o777)
    return cluster(f"-n 1 --ready notify {options}", fixture("leak"), "--notify", "--to",
                   lab.path("born/{slot}"), *words, **more)


def born(slot=0):
    """What the latest worker of that slot was given (tests/fixtures/leak.c)."""
    return json.loads(lab.read(f"born/{slot}"), object_hook=Object)


def section(name, command, *lines, workers=2, ready="notify"):
    """Of a configuration file: a cluster; ready=None: as it is by default."""
    return "\n".join((f"[cluster:{name}]", f"command = {command}", f"workers = {workers}",
                      *([f"ready = {ready}"] if ready else []), *lines, ""))


def keepers():
    """The loggers that hold the directory of `it`."""
    return [pid for pid in lab.living() if lab.command(pid).startswith("nclust-logger") and any(
        d.startswith(lab.path("run/it")) for d in lab.descriptors(pid).values())]


def kill_keeper_and(it, *others):
    """All of them, before one can put another keeper in the place of the first."""
    lab.wait(keepers, "a logger that keeps")
    lab.kill(it.pid, signal.SIGSTOP)
    lab.wait(lambda: lab.is_stopped(it.pid))
    pids = *keepers(), it.pid, *others
    for pid in pids:
        lab.kill(pid)
    lab.wait_gone(*pids)
    it.process.poll()
    it.forget()


def is_refused(match, call, *args, **params):
    """`is_refused("exit 3", it.call, "restart")`: the error."""
    with pytest.raises(Refused, match=match) as error:
        call(*args, **params)
    return error.value


def numbers(text, pattern):
    """All that a group of a pattern matches, as numbers."""
    return [float(n) for n in re.findall(pattern, text)]
