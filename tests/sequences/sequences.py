#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
All orders of three verbs, under load, for each kind of server and listener.

    sequences.py --nclust PROGRAM --fixtures DIR [--seed N] [--chains N]
    sequences.py ... --kind KIND --verbs "restart upgrade restart"

What one verb leaves behind is the next one's input.  The seed makes a circle in
which every order of three verbs is once, cut into chains; each chain is run on a
fresh nclust.  --chains takes so many of them, as the seed says, from all kinds
in turn; without it all are run.  After each verb:

- it ended as it should, and nothing that was asked meanwhile is lost or late;
- as many workers are ready as are wanted, and each takes a connection while all
  others are stopped;
- there is one socket for each address (the successor of a single worker that
  does not wait by epoll may have its own, and so may both halves of a rollout
  that was cut short, until all are replaced), and no other process than the
  workers;
- nclust has no descriptors but those that so many workers need.

Every other reload gives the cluster another name, and changes nothing else.

A verb with "~" behind it is followed by the next one at once, without waiting
for rest, and looked at together with that one.  One with "!" is held: the worker
that it starts first does not come up until each of the old ones has been seen to
accept.  When a chain fails, ever longer ends of it are run, to find the shortest
that fails as well.
"""
import argparse
import collections
import concurrent.futures
import json
import os
import random
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

VERBS = ["restart", "slot", "upgrade", "reload", "up", "down", "adopt",
         "canary"]
LENGTH = 18  # verbs in a chain: 16 orders of three
MOST = 4  # workers
HURRY = 0.25  # of the verbs are followed by the next at once
HELD = 0.5  # of those that replace workers
REPLACING = ("restart", "slot", "reload")
SPARE = 2  # descriptors more of a kind than at the start
BAD_SIGNS = re.compile(
    r"unexpected event|Assertion|Segmentation|Sanitizer|runtime error:"
    r"|drained by force|cannot choose among")
PATIENCE = float(os.environ.get("PATIENCE", "1"))
SERVERS = os.path.dirname(os.path.abspath(__file__)) + "/../e2e/servers"
SOME_SLOW = ["--path", "/:9", "--path", "/slow:1"]


class Failure(Exception):
    pass


# ---- kinds ----

class Kind:
    """A server, and how it comes to its address: `learned` ones bind it
    themselves, `named` ones take the one that nclust has."""

    def __init__(self, server, listener, rate, load):
        self.server = server
        self.listener = listener
        self.rate = rate
        self.load = load
        self.name = server + "/" + listener

    def is_unix(self):
        return self.listener == "unix"

    def is_named(self):
        return self.listener != "learned"

    def notifies(self):
        return self.server not in ("node", "python", "gunicorn")

    def waits_by_epoll(self):
        return self.server not in ("poll", "blocking", "fork", "python")

    def address(self, chain):
        return chain.path if self.is_unix() else str(chain.port)

    def listen(self, chain):
        if not self.is_named():
            return []
        return ["listen = " + ("unix:" + chain.path if self.is_unix()
                               else "127.0.0.1:%d" % chain.port)]

    def command(self, chain):
        own = [] if self.is_named() else [self.address(chain)]
        rude = [chain.args.fixtures + "/rude"] + own
        return {
            "events": lambda: rude + ["--slow", "100"],
            "poll": lambda: rude + ["--poll", "--slow", "100"],
            "blocking": lambda: rude + ["--blocking", "--work", "5",
                                        "--close"],
            "fork": lambda: rude + ["--blocking", "--fork", "--work", "5",
                                    "--close"],
            "graceful": lambda: rude + ["--graceful", "--slow", "100"],
            "node": lambda: ["node", SERVERS + (
                "/slow.js" if own else "/listen-fd.js")] + own,
            "python": lambda: ["/usr/bin/python3", "-m", "http.server",
                               "--directory", chain.dir + "/files"] + own,
            "gunicorn": lambda: [
                "gunicorn", "--chdir", SERVERS, "-w", "1", "--threads", "4",
                "--worker-tmp-dir", chain.dir, "-b",
                "127.0.0.1:%d" % chain.port, "slow:app"],
        }[self.server]()


def kinds():
    both = [("events", 80, SOME_SLOW), ("poll", 80, SOME_SLOW),
            ("blocking", 80, []), ("fork", 60, []),
            ("graceful", 80, SOME_SLOW)]
    made = [Kind(server, listener, rate, load)
            for server, rate, load in both
            for listener in ("named", "learned", "unix")]
    made += [Kind("node", "named", 60, []),
             Kind("node", "learned", 60, SOME_SLOW),
             Kind("node", "unix", 60, []),
             Kind("python", "learned", 40, ["--path", "/hello"]),
             Kind("gunicorn", "learned", 30, SOME_SLOW)]
    programs = {"node": "node", "gunicorn": "gunicorn"}
    return [k for k in made
            if shutil.which(programs.get(k.server, "sh")) is not None]


# ---- orders ----

def circle(chooser):
    """Each order of three verbs once: a way through all pairs that uses each
    edge from one pair to the next once."""
    after = {(a, b): chooser.sample(VERBS, len(VERBS))
             for a in VERBS for b in VERBS}
    way, stack = [], [(VERBS[0], VERBS[0])]
    while stack:
        pair = stack[-1]
        if after[pair]:
            stack.append((pair[1], after[pair].pop()))
        else:
            way.append(stack.pop())
    return [pair[0] for pair in reversed(way)][:-1]


def chains_of(kind, seed):
    chooser = random.Random("%d %s" % (seed, kind.name))
    verbs = circle(chooser)
    verbs += verbs[:2]
    chains = []
    for start in range(0, len(verbs) - 2, LENGTH - 2):
        chain = []
        for verb in verbs[start:start + LENGTH]:
            # a worker that is being emptied is stopped by nclust, not by us
            if verb in REPLACING and chooser.random() < HELD and \
                    not (chain and chain[-1].endswith("~")):
                verb += "!"
            if chooser.random() < HURRY:
                verb += "~"
            chain.append(verb)
        chains.append(chain)
    return chains


# ---- what is seen from outside ----

def read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def tree(pid):
    """The process and all below it."""
    found = [pid]
    for one in found:
        try:
            tasks = os.listdir("/proc/%d/task" % one)
        except OSError:
            continue
        for task in tasks:
            found += [int(word) for word in read(
                "/proc/%d/task/%s/children" % (one, task)).split()]
    return found


def state(pid):
    stat = read("/proc/%d/stat" % pid)
    return stat.rsplit(b") ", 1)[1][:1].decode() if stat else "X"


def is_alive(pid):
    return state(pid) not in "ZX"


def kill(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def descriptors(pid):
    found = collections.Counter()
    for fd in os.listdir("/proc/%d/fd" % pid):
        try:
            name = os.readlink("/proc/%d/fd/%s" % (pid, fd))
        except OSError:
            continue
        if name != "/dev/null":
            found[re.sub(r"\[\d+\]", "", name) if name.startswith(
                ("socket:", "pipe:", "anon_inode:")) else "file"] += 1
    return found


def listening(kind, chain):
    """How many sockets listen at the address?"""
    if kind.is_unix():
        # flags 00010000: it accepts
        return sum(1 for line in read("/proc/net/unix").decode().splitlines()
                   if line.endswith(" " + chain.path)
                   and line.split()[3] == "00010000")
    at = ":%04X" % chain.port
    count = 0
    for table in ("tcp", "tcp6"):
        for line in read("/proc/net/" + table).decode().splitlines()[1:]:
            words = line.split()
            count += words[1].endswith(at) and words[3] == "0A"
    return count


PORTS = set()
PORTS_LOCK = threading.Lock()


def free_port():
    """Below the ephemeral ones, so that it stays free."""
    with PORTS_LOCK:
        while True:
            port = random.randrange(15000, 19900)
            with socket.socket() as probe:
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    continue
            if port not in PORTS:
                PORTS.add(port)
                return port


# ---- one chain ----

class Chain:
    def __init__(self, args, kind, verbs):
        self.args = args
        self.kind = kind
        self.verbs = verbs
        self.done = []
        self.wanted = 2
        self.sockets = 1
        self.round = 0  # of the reloads
        self.dir = tempfile.mkdtemp(prefix="nclust-sequences.")
        os.chmod(self.dir, 0o755)
        os.mkdir(self.dir + "/run")
        os.mkdir(self.dir + "/files")
        with open(self.dir + "/files/hello", "w") as file:
            file.write("hello\n")
        self.path = self.dir + "/socket"
        self.port = free_port()
        self.ini = self.dir + "/it.ini"
        self.log = self.dir + "/log"
        self.env = {name: value for name, value in os.environ.items()
                    if name not in ("NOTIFY_SOCKET", "LISTEN_FDS",
                                    "LISTEN_PID", "LISTEN_FDNAMES")}
        self.env["NCLUST_RUNTIME_DIR"] = self.dir + "/run"
        self.nclust = None
        self.load = None
        self.each = collections.Counter()
        self.base = collections.Counter()

    def name(self):
        return "web%d" % ((self.round + 1) // 2)

    # ---- files ----

    def write(self):
        bad = [self.args.fixtures + "/rude"]
        if not self.kind.is_named():
            bad.append(self.kind.address(self))
        if not self.kind.notifies():
            bad.append("--mute")
        with open(self.dir + "/server.new", "w") as file:
            file.write("#!/bin/sh\n[ ! -p %s/hold ] || read -r go <%s/hold\n"
                       "[ ! -e %s/bad ] || exec %s --deaf "
                       "--die 200\nexec %s\n" % (
                           self.dir, self.dir, self.dir, " ".join(bad),
                           " ".join(self.kind.command(self))))
        os.chmod(self.dir + "/server.new", 0o755)
        os.rename(self.dir + "/server.new", self.dir + "/server")
        lines = ["[cluster:%s]" % self.name(),
                 "command = %s/server" % self.dir,
                 "workers = %d" % self.wanted, "orphans = keep", "bake = 0",
                 "env = ROUND=%d" % (self.round // 2)] + self.kind.listen(self)
        with open(self.ini + ".new", "w") as file:
            file.write("\n".join(lines) + "\n")
        os.rename(self.ini + ".new", self.ini)

    # ---- nclust ----

    def start(self):
        self.write()
        with open(self.log, "ab") as log:
            self.nclust = subprocess.Popen(
                [self.args.nclust, "-c", self.ini, "--name", "it"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=self.env, cwd="/")

    def call(self, *words, seconds=60):
        try:
            done = subprocess.run(
                [self.args.nclust, *words], env=self.env, cwd="/",
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, timeout=seconds * PATIENCE,
                check=False)
        except subprocess.TimeoutExpired as error:
            raise Failure("'%s' takes more than %d s" % (
                " ".join(words), seconds)) from error
        return done.returncode, done.stdout.decode(errors="replace")

    def expect(self, status, *words):
        got, text = self.call(*words)
        if got != status:
            raise Failure("'%s' ended with %d: %s" % (
                " ".join(words), got, text))

    def status(self):
        """As `nclust status --json` has it; with no clusters when nobody
        answers."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
                sock.settimeout(10 * PATIENCE)
                sock.connect(self.dir + "/run/it/control")
                sock.sendall(b'{"jsonrpc":"2.0","id":1,"method":"status"}\n')
                with sock.makefile("rb") as lines:
                    for line in lines:
                        answer = json.loads(line)
                        if answer.get("id") == 1:
                            return answer["result"]
        except OSError:
            pass
        return {"clusters": []}

    # ---- verbs ----

    def do(self, verb):
        # what is taken over is made alike by a rollout, which ends halfway here
        if self.done[-2:-1] == ["adopt~"] and verb in ("slot", "canary"):
            self.sockets = 2
        if verb == "restart":
            self.expect(0, "restart", "it")
            self.sockets = 1
        elif verb == "slot":
            if not self.kind.waits_by_epoll() and not self.kind.is_unix():
                self.sockets = 2
            self.expect(0, "restart", "it/%s.0" % self.name())
        elif verb == "upgrade":
            self.expect(0, "upgrade", "it")
        elif verb == "reload":
            self.round += 1
            self.write()
            self.expect(0, "reload", "it")
            self.sockets = 1
        elif verb in ("up", "down"):
            self.wanted = max(1, min(
                MOST, self.wanted + (1 if verb == "up" else -1)))
            self.write()
            self.expect(0, "scale", "it", str(self.wanted))
        elif verb == "canary":
            with open(self.dir + "/bad", "w"):
                pass
            self.expect(1, "restart", "--canary", "1", "--bake", "5s", "it")
            os.unlink(self.dir + "/bad")
        elif verb == "adopt":
            kill(self.nclust.pid, signal.SIGKILL)
            self.nclust.wait()
            self.start()
            self.until(20, self.no_status)
        else:
            raise Failure("no such verb: " + verb)

    def do_held(self, verb):
        """The old workers serve until the new one is ready."""
        hold = self.dir + "/hold"
        os.mkfifo(hold)
        gate = os.open(hold, os.O_RDWR)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            doing = pool.submit(self.do, verb)
            try:
                self.until(20, self.nobody_starts)
                self.each_accepts()
            finally:
                os.unlink(hold)
                os.close(gate)
                doing.result()

    def nobody_starts(self):
        return None if any(
            worker["state"] == "starting" and worker["pid"]
            for worker in self.status()["clusters"][0]["workers"]
        ) else "no worker is started"

    def no_status(self):
        if self.nclust.poll() is not None:
            raise Failure("nclust ended with %d" % self.nclust.returncode)
        return None if self.status()["clusters"] else "no status"

    def until(self, seconds, problem):
        """Wait until there is none."""
        end = time.monotonic() + seconds * PATIENCE
        while True:
            wrong = problem()
            if wrong is None:
                return
            if time.monotonic() > end:
                raise Failure(wrong)
            time.sleep(0.03)

    # ---- load ----

    def begin_load(self):
        self.load = subprocess.Popen(
            [self.args.fixtures + "/openload", self.kind.address(self),
             "--rate", str(self.kind.rate), *self.kind.load],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        if self.load.stdout.readline() != "ready\n":
            raise Failure("no answer under load")

    def end_load(self):
        load, self.load = self.load, None
        load.terminate()
        line = load.communicate()[0].splitlines()[-1:]
        if not line:
            raise Failure("the load ended early")
        report = json.loads(line[0])
        if report["lost"] or report["late"]:
            raise Failure("lost: " + line[0])

    # ---- rest ----

    def ours(self):
        """All processes that know our directory, but nclust and its helpers."""
        place = (self.dir + "/").encode()
        found = []
        for name in os.listdir("/proc"):
            if not name.isdigit() or int(name) == self.nclust.pid:
                continue
            if place in read("/proc/%s/environ" % name) and \
                    not read("/proc/%s/cmdline" % name).startswith(
                        b"nclust-") and is_alive(int(name)):
                found.append(int(name))
        return found

    def unrest(self):
        """What is not at rest yet; None: all is."""
        self.no_status()
        status = self.status()
        if not status["clusters"]:
            return "no status"
        cluster = status["clusters"][0]
        pids = [w["pid"] for w in cluster["workers"]]
        if (cluster["state"], cluster["ready"], cluster["wanted"],
                len(pids)) != ("running", self.wanted, self.wanted,
                               self.wanted) or cluster["rollout"]:
            return "not at rest: " + json.dumps(cluster)
        for listener in cluster["listeners"]:
            if listener.get("sockets", 1) > self.sockets or listener["queue"]:
                return "listener: " + json.dumps(listener)
        if not 1 <= listening(self.kind, self) <= self.sockets:
            return "%d sockets listen" % listening(self.kind, self)
        known = set(sum((tree(pid) for pid in pids), []))
        others = [pid for pid in self.ours()
                  if pid not in known and is_alive(pid)]
        if others:
            return "processes that nobody knows: " + " ".join(
                "%d (%s)" % (pid, read("/proc/%d/cmdline" % pid).replace(
                    b"\0", b" ").decode(errors="replace"))
                for pid in others)
        return self.surplus()

    def surplus(self):
        if not self.each:
            return None
        for kind, count in descriptors(self.nclust.pid).items():
            most = self.base[kind] + (self.wanted - 1) * self.each[kind]
            if count > most + SPARE:
                return "%d descriptors of kind %s, %d at first" % (
                    count, kind, most)
        return None

    def ask(self):
        """The first answer; with two sockets some wait for a stopped one."""
        family = socket.AF_UNIX if self.kind.is_unix() else socket.AF_INET
        to = self.path if self.kind.is_unix() else ("127.0.0.1", self.port)
        socks = []
        try:
            for _ in range(1 if self.sockets == 1 else 16):
                sock = socket.socket(family, socket.SOCK_STREAM)
                socks.append(sock)
                sock.settimeout(5 * PATIENCE)
                sock.connect(to)
                sock.sendall(b"GET / HTTP/1.1\r\nHost: it\r\n"
                             b"Connection: close\r\n\r\n")
            ready = select.select(socks, [], [], 5 * PATIENCE)[0]
            return ready[0].recv(4096) if ready else b"no answer"
        finally:
            for sock in socks:
                sock.close()

    def stop_all(self, pids):
        for pid in pids:
            kill(pid, signal.SIGSTOP)
        self.until(5, lambda: None if all(
            state(pid) in "TXZ" for pid in pids) else "it does not stop")

    def each_accepts(self):
        workers = self.status()["clusters"][0]["workers"]
        pids = [w["pid"] for w in workers if w["pid"]]
        for pid in (w["pid"] for w in workers if w["state"] == "ready"):
            others = sum((tree(other) for other in pids if other != pid), [])
            try:
                self.stop_all(others)
                answer = self.ask()
            except OSError as error:
                answer = repr(error).encode()
            finally:
                for other in reversed(others):
                    kill(other, signal.SIGCONT)
            if b" 200 " not in answer:
                raise Failure("worker %d takes no connection: %r" % (
                    pid, answer))

    def look_for_signs(self):
        match = BAD_SIGNS.search(read(self.log).decode(errors="replace"))
        if match:
            raise Failure("in the log: " + match.group(0))

    def rest(self):
        self.until(30, self.unrest)
        if self.load is not None:
            self.end_load()
        self.each_accepts()
        self.look_for_signs()

    def learn(self):
        """What one worker takes, and what each further one does."""
        self.expect(0, "scale", "it", "1")
        self.wanted = 1
        self.rest()
        self.base = descriptors(self.nclust.pid)
        self.expect(0, "scale", "it", "2")
        self.wanted = 2
        self.rest()
        self.each = descriptors(self.nclust.pid) - self.base

    # ---- all of it ----

    def run(self):
        self.start()
        self.until(20, self.no_status)
        self.rest()
        self.learn()
        for number, verb in enumerate(self.verbs):
            self.done.append(verb)
            if self.load is None:
                self.begin_load()
            if "!" in verb:
                self.do_held(verb.rstrip("!~"))
            else:
                self.do(verb.rstrip("~"))
            if not verb.endswith("~") or number == len(self.verbs) - 1:
                self.rest()
        self.expect(0, "stop", "it")
        try:
            self.nclust.wait(30 * PATIENCE)
        except subprocess.TimeoutExpired as error:
            raise Failure("it does not end") from error
        self.until(10, self.remains)

    def remains(self):
        left = self.ours()
        if left:
            return "left behind: %s" % left
        if listening(self.kind, self):
            return "somebody still listens"
        return None

    def clean(self):
        if self.load is not None:
            self.load.kill()
            self.load.wait()
            self.load.stdout.close()
        if self.nclust is not None:
            if self.nclust.poll() is None:
                self.nclust.kill()
            self.nclust.wait()
        place = (self.dir + "/").encode()
        for name in os.listdir("/proc"):
            if name.isdigit() and place in read("/proc/%s/environ" % name):
                kill(int(name), signal.SIGKILL)
        shutil.rmtree(self.dir, ignore_errors=True)
        PORTS.discard(self.port)


def attempt(args, kind, verbs):
    """None, or what failed, after which verbs, and the end of the log."""
    chain = Chain(args, kind, verbs)
    try:
        chain.run()
        return None
    except Failure as failure:
        log = read(chain.log).decode(errors="replace").splitlines()
        return str(failure), chain.done, log[-25:]
    finally:
        chain.clean()


def shrink(args, kind, verbs):
    """The shortest end of it that fails as well."""
    for length in (1, 2, 3, 4, 6, 9):
        if length >= len(verbs):
            break
        failed = attempt(args, kind, verbs[-length:])
        if failed is not None:
            return failed[1]
    return None


PRINTING = threading.Lock()


def report(args, kind, verbs):
    began = time.monotonic()
    failed = attempt(args, kind, verbs)
    if failed is None:
        if args.verbose:
            with PRINTING:
                print("ok      %s (%d s): %s" % (
                    kind.name, time.monotonic() - began, " ".join(verbs)),
                    flush=True)
        return True
    why, done, log = failed
    least = None if args.verbs or args.no_shrink else shrink(args, kind, done)
    with PRINTING:
        print("FAILED  seed %d, %s: %s" % (args.seed, kind.name, why))
        for order in [done] + ([least] if least else []):
            print("        again: make sequences KIND=%s VERBS='%s'" % (
                kind.name, " ".join(order)))
        print("".join("        | %s\n" % line for line in log), end="",
              flush=True)
    return False


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--nclust", required=True)
    parser.add_argument("--fixtures", required=True)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--chains", type=int)
    parser.add_argument("--kind", action="append")
    parser.add_argument("--verbs")
    parser.add_argument("--jobs", type=int, default=2 * os.cpu_count())
    parser.add_argument("--no-shrink", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args()
    args.nclust = os.path.abspath(args.nclust)
    args.fixtures = os.path.abspath(args.fixtures)
    chosen = [k for k in kinds() if not args.kind or k.name in args.kind]
    if args.verbs:
        work = [(kind, args.verbs.split()) for kind in chosen]
    else:
        each = {kind: chains_of(kind, args.seed) for kind in chosen}
        chooser = random.Random(args.seed)
        for chains in each.values():
            chooser.shuffle(chains)
        chooser.shuffle(chosen)
        work = [(kind, chains) for turn in zip(*(
            [(kind, c) for c in each[kind]] for kind in chosen))
                for kind, chains in turn][:args.chains]
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        results = list(pool.map(lambda one: report(args, *one), work))
    print("sequences: seed %d: %d chains, %d failed" % (
        args.seed, len(results), results.count(False)))
    return 0 if results and all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
