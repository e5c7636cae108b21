#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Random operations on one nclust, in any order, good and bad ones: start, scale,
restart, reload, stop, signals, deaths, garbage on every socket, a shortage of
descriptors, a dead or hung logger.  If root runs it, most workers are another
user's, and some of these do nclust what harm they can all the time.

    torture.py --nclust PROGRAM --fixtures DIR [--seconds N] [--seed N]

Every so often it lets all come to rest and looks: status answers, the workers
are those that are wanted, no descriptor and no process too many, nothing in
the log that a sanitizer or the core's own surprise wrote.  The seed makes the
same operations; what the kernel does between them is not repeated.
"""
import argparse
import json
import os
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

BAD_SIGNS = re.compile(
    r"Sanitizer|runtime error:|unexpected event|Assertion|Segmentation")
REST = 45  # seconds in which all must come to rest
GROWTH = 600  # KiB of private memory, without sanitizers
STRANGER = "#64321"  # a user and a group that need no account
ROLES = (b"nclust-logger",)
HOSTILE = [("unclosable", "notify"), ("unclosable", "flood"),
           ("unclosable", "channel"), ("unclosable", "unread"),
           ("unclosable", "control"), ("greedy", "notify"), ("greedy", "bind")]


class Failure(Exception):
    pass


class Control:
    """One connection to the control socket."""

    def __init__(self, path, patience=20):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(patience)
        self.sock.connect(path)
        self.rest = b""
        self.id = 0

    def send(self, method, **params):
        self.id += 1
        line = {"jsonrpc": "2.0", "id": self.id, "method": method,
                "params": params}
        self.sock.sendall(json.dumps(line).encode() + b"\n")

    def line(self):
        while b"\n" not in self.rest:
            more = self.sock.recv(65536)
            if not more:
                raise ConnectionError("closed")
            self.rest += more
        line, self.rest = self.rest.split(b"\n", 1)
        return json.loads(line)

    def call(self, method, **params):
        self.send(method, **params)
        while True:
            answer = self.line()
            if answer.get("id", "none") in (self.id, None):
                return answer

    def close(self):
        self.sock.close()


def free_port():
    """Below the ephemeral ones, so that it stays free."""
    while True:
        port = random.randrange(20000, 30000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


class Torture:
    def __init__(self, args):
        self.args = args
        self.random = random.Random(args.seed)
        self.dir = tempfile.mkdtemp(prefix="nt.")
        os.chmod(self.dir, 0o755)
        self.run_dir = self.dir + "/run"
        os.mkdir(self.run_dir)
        self.talks = self.dir + "/talk"
        self.reports = self.dir + "/reports"
        for place in self.talks, self.reports:  # of all users
            os.mkdir(place)
            os.chmod(place, 0o1777)
        self.as_root = os.geteuid() == 0
        self.ports = [free_port(), free_port(), free_port()]
        self.ini = self.dir + "/rack.ini"
        self.control = self.run_dir + "/rack/control"
        self.log = self.dir + "/log"
        if self.as_root:
            self.bring_to_strangers()
        self.nclust = None
        self.waiting = []
        self.stopped = set()
        self.fds = None
        self.memory = None
        self.done = {}
        self.last = []

    def bring_to_strangers(self):
        """Who runs them may be kept out of the place where they were built."""
        for name in "fixtures", "servers":
            place = self.dir + "/" + name
            shutil.copytree(getattr(self.args, name), place)
            setattr(self.args, name, place)
        subprocess.run(["chmod", "-R", "go=rX", self.args.fixtures,
                        self.args.servers], check=True)

    # ---- the file ----

    def hostile(self, server, how):
        """A cluster of two that harm nclust without end, in this way."""
        where = self.control if server == "unclosable" else self.ports[2]
        return {"command": "python3 %s/%s.py %s %s" % (
                    self.args.servers, server, how, where),
                "ready": "notify", "ipc": "on", "limit-nofile": 5000,
                "drain-timeout": "1s",
                "intercept": "on" if how == "bind" else "off"}

    def fixture(self, name):
        return self.args.fixtures + "/" + name

    def good(self):
        clusters = self.peaceful()
        if self.as_root:
            # what it passes takes a while to be closed: not when all rests
            clusters["hostile"] = self.hostile("greedy", "notify")
            for name, keys in clusters.items():
                if name not in ("plain", "keeper"):
                    keys.update(user=STRANGER, group=STRANGER)
        return clusters

    def peaceful(self):
        return {
            "web": {"command": self.fixture("serve") + " --notify",
                    "listen": ["unix:%s/web" % self.dir, "127.0.0.1:0"],
                    "ready": "notify", "log": "prefix"},
            "say": {"command": self.fixture("notify") +
                    " READY=1 STATUS=well --sleep 20 EXTEND_TIMEOUT_USEC=9"
                    " --child STATUS=child --fds 3 X=1 RELOADING=1 ERRNO=7"
                    " BARRIER=1 --huge 9000 --flood 40 STATUS=flood",
                    "ready": "notify"},
            "plain": {"command": "/bin/sleep 3600", "ready": "alive:50ms"},
            # binds by itself, as most do, and in ways that few do
            "own": {"command": self.fixture("binder") + " tcp4 bind=127.0.0.1:"
                    "%d close tcp4 nonblock keepalive dup epoll "
                    "bind=127.0.0.1:%d listen=9 thread=listen=9 events"
                    % (self.ports[0], self.ports[1])},
            "busy": {"command": self.fixture("binder") + " tcp4 flood",
                     "workers": 1, "ready": "alive:50ms"},
            # tells its siblings whatever it is told to
            "talk": {"command": self.fixture("talk") + " " + self.talks,
                     "ready": "alive:50ms", "ipc": "on", "relay": "others"},
            # never stopped by itself: when all have ended, so does nclust
            "keeper": {"command": "/bin/sleep 3600", "ready": "alive:50ms"},
        }

    def write(self, clusters, extra=""):
        with open(self.ini + ".new", "w") as out:
            if self.as_root:
                out.write("[nclust]\ncontrol-group = %s\n" % STRANGER)
            for name, keys in clusters.items():
                out.write("[cluster:%s]\n" % name)
                keys = {"workers": 2, "stop-timeout": "1s",
                        "start-timeout": "3s", "backoff-max": "500ms", **keys}
                for key, value in keys.items():
                    for one in value if isinstance(value, list) else [value]:
                        out.write("%s = %s\n" % (key, one))
            out.write(extra)
        os.rename(self.ini + ".new", self.ini)

    def mutate(self, clusters):
        r = self.random
        web = clusters["web"]
        if r.random() < 0.15:
            clusters["talk"]["relay"] = r.choice(["say", "off", "nobody"])
        if r.random() < 0.15:
            clusters["talk"]["ipc"] = r.choice(["auto", "off"])
        what = r.randrange(20)
        if what == 0:
            web["env"] = "ROUND=%d" % r.randrange(9)
        elif what == 1:
            web["listen"] = web["listen"][:1] + ["unix:%s/more%d" % (
                self.dir, r.randrange(3))]
        elif what == 2:
            web["command"] = "/bin/false"
        elif what == 3:
            web["command"] = self.dir + "/absent"
        elif what == 4:
            web["command"] = self.fixture("slow-ready") + " never"
            web["start-timeout"] = "400ms"
        elif what == 5:
            web["command"] = self.fixture("die") + " --notify --after 30"
        elif what == 6:
            del clusters["plain"]
        elif what == 7:
            clusters["new%d" % r.randrange(3)] = dict(clusters["plain"])
        elif what == 8:
            web["listen"].append("127.0.0.1:1x")
        elif what == 9:
            web["listen"].append("unix:%s/no/such/place" % self.dir)
        elif what == 10:
            web["stop-timeout"] = "%dms" % r.randrange(100, 900)
        elif what == 11:
            web["workers"] = r.randrange(1, 5)
        elif what == 12:
            web["env-file"] = self.dir + "/absent.env"
        elif what == 13:
            web["surge"] = r.randrange(3)
            web["max-unavailable"] = r.randrange(3)
        elif what == 14:
            web["command"] = self.fixture("deaf") + " --notify"
        elif what == 15:
            clusters["own"]["listen"] = "127.0.0.1:%d" % self.ports[1]
        elif what == 16:
            # not "off": who holds the port himself stands in the way of the
            # next one that does not
            clusters["own"]["intercept"] = "on"
            clusters["own"]["ready"] = "listen"
        elif what == 17:
            clusters["own"]["command"] = self.fixture("binder") + (
                " tcp4 bind=0.0.0.0:%d listen=3 shutdown pause"
                % self.ports[0])
        elif what == 18:
            clusters["own"]["command"] = self.fixture("binder") + (
                " tcp4 badbind fail=EFAULT reuseport bind=127.0.0.1:%d"
                " listen=3 tcp4 reuseport bind=127.0.0.1:%d listen=3 serve"
                % (self.ports[1], self.ports[1]))
        else:
            clusters["say"]["restart"] = r.choice(
                ["never", "on-failure", "always"])
        return clusters

    # ---- the process ----

    def start(self):
        env = dict(os.environ, NCLUST_RUNTIME_DIR=self.run_dir)
        for name in ("NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID"):
            env.pop(name, None)
        env.setdefault("ASAN_OPTIONS",
                       "detect_leaks=1:log_path=%s/of" % self.reports)
        env.setdefault("UBSAN_OPTIONS",
                       "print_stacktrace=1:log_path=%s/of" % self.reports)
        self.write(self.good())
        with open(self.log, "ab") as log:
            self.nclust = subprocess.Popen(
                [self.args.nclust, "-c", self.ini], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, env=env)
        self.pid = self.nclust.pid

    def children(self):
        try:
            with open("/proc/%d/task/%d/children" % (self.pid, self.pid)) as f:
                return [int(word) for word in f.read().split()]
        except OSError:
            return []

    def helpers(self, roles=ROLES):
        """The loggers."""
        found = []
        for pid in self.children():
            try:
                with open("/proc/%d/cmdline" % pid, "rb") as f:
                    if f.read().startswith(roles):
                        found.append(pid)
            except OSError:
                pass
        return found

    def workers(self):
        helpers = self.helpers()
        return [p for p in self.children() if p not in helpers]

    def kill(self, pid, number):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass

    def connect(self, patience=20):
        """It may have to be made anew, or be refused while all are taken."""
        end = time.monotonic() + 20
        why = None
        while True:
            try:
                control = Control(self.control, patience)
                if control.line().get("method") == "hello":
                    return control
                control.close()
            except (OSError, ValueError) as error:
                why = error
            if self.nclust.poll() is not None:
                raise Failure("ended with %d" % self.nclust.returncode)
            if time.monotonic() > end:
                raise Failure("the control socket: %r" % why)
            time.sleep(0.05)

    def ask(self, method, **params):
        control = self.connect()
        try:
            return control.call(method, **params)
        except (OSError, ValueError) as error:
            raise Failure("%s %s: %r" % (method, params, error)) from error
        finally:
            control.close()

    # ---- operations ----

    def target(self):
        return self.random.choice(
            ["web", "say", "plain", "own", "own.1", "busy", "web.0", "say.1",
             "plain.0", "new1", "talk",
             "", "rack", "web.99", "..", "no/web"])

    def request(self, method, **params):
        """Some are waited for, by a client that may go away."""
        way = self.random.randrange(4)
        if way < 2:
            self.ask(method, no_wait=True, **params)
            return
        control = self.connect()
        control.send(method, **params)
        if way == 2:
            control.sock.shutdown(socket.SHUT_WR)
        self.waiting.append(control)
        if len(self.waiting) > 12:
            self.waiting.pop(self.random.randrange(12)).close()

    def op_scale(self):
        if self.random.random() < 0.5:
            self.request("scale", target=self.target(),
                         count=self.random.randrange(7))
        else:
            self.request("scale", target=self.target(),
                         by=self.random.choice([-3, -1, 1, 2]))

    def op_send(self):
        message = self.random.choice(
            ['"x"', "[1", "", '["say",{"a":"\\ud800"}]', '["flood",2000]',
             '["endless",3]', '["half","{"]', '["end","}"]', '["deaf"]',
             '["big",1048576]', '["close"]', '["die"]',
             '"%s"' % ("x" * 50000)])
        self.request("send", target=self.random.choice(
            ["talk", "talk", "talk.0", "talk.1", "plain", ""]),
            message=message, all=self.random.random() < 0.3)

    def op_restart(self):
        self.request("restart", target=self.target())

    def op_upgrade(self):
        self.request("upgrade")

    def op_reload(self):
        clusters = self.good()
        if self.as_root:
            clusters["hostile"].update(self.hostile(
                *self.random.choice(HOSTILE)))
        for _ in range(self.random.randrange(4)):
            if "plain" in clusters:
                clusters = self.mutate(clusters)
        self.write(clusters, self.random.choice(
            ["", "", "", "[cluster:web]\n", "nonsense\n", "= = =\n"]))
        if self.random.random() < 0.3:
            self.kill(self.pid, signal.SIGHUP)
        else:
            self.request("reload")

    def op_stop_cluster(self):
        self.request("stop", target=self.random.choice(["web", "say", "plain"]),
                     now=self.random.random() < 0.3)

    def op_kill(self):
        workers = self.workers()
        self.random.shuffle(workers)
        for pid in workers[:self.random.choice([1, 1, 1, 3, 99])]:
            number = self.random.choice(
                [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
            # on the way to its exec it has the sanitizer's handler, which
            # takes that for a fault of nclust's
            if number != signal.SIGSEGV or self.is_executed(pid):
                self.kill(pid, number)

    def is_executed(self, pid):
        """nclust waits for an exec: who stops a child before stops nclust."""
        try:
            return not os.path.samefile("/proc/%d/exe" % pid, self.args.nclust)
        except OSError:
            return False

    def op_freeze(self):
        for pid in self.workers()[:2]:
            if self.is_executed(pid):
                self.kill(pid, signal.SIGSTOP)
                self.stopped.add(pid)

    def op_thaw(self):
        for pid in self.stopped:
            self.kill(pid, signal.SIGCONT)
        self.stopped.clear()

    def op_signal(self):
        for _ in range(self.random.choice([1, 5, 100])):
            self.kill(self.pid, self.random.choice(
                [signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH,
                 signal.SIGCHLD, signal.SIGPIPE, signal.SIGTTIN,
                 signal.SIGTTOU, signal.SIGCONT, signal.SIGALRM]))

    def op_signal_verb(self):
        self.request("signal", target=self.target(), all=True,
                     signal=self.random.choice(["WINCH", "KILL", "USR1", "0"]))

    def op_stand_still(self):
        self.kill(self.pid, signal.SIGSTOP)
        for pid in self.workers()[:3]:
            self.kill(pid, signal.SIGKILL)
        time.sleep(self.random.choice([0.01, 0.2, 1.3]))
        self.kill(self.pid, signal.SIGCONT)

    def op_job_control(self):
        self.kill(self.pid, signal.SIGTSTP)
        time.sleep(0.05)
        self.kill(self.pid, signal.SIGCONT)

    def op_helper(self):
        for pid in self.helpers(self.random.choice(ROLES)):
            self.kill(pid, self.random.choice(
                [signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM]))

    def op_few_descriptors(self):
        whole = resource.prlimit(self.pid, resource.RLIMIT_NOFILE)
        used = len(os.listdir("/proc/%d/fd" % self.pid))
        few = max(8, used + self.random.randrange(-6, 6))
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (few, whole[1]))
        try:
            self.op_kill()
            for _ in range(5):
                self.garbage()
            time.sleep(0.2)
        finally:
            resource.prlimit(self.pid, resource.RLIMIT_NOFILE, whole)

    def op_unlink(self):
        what = self.random.choice(["control", "notify", "lock"])
        path = self.run_dir + "/rack/" + what
        try:
            if what == "notify":
                shutil.rmtree(path, ignore_errors=True)
            else:
                os.unlink(path)
        except OSError:
            pass

    def garbage(self):
        r = self.random
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(0.3)
        try:
            sock.connect(self.control)
            sock.sendall(r.choice([
                lambda: bytes(r.randrange(256) for _ in range(300)) + b"\n",
                lambda: b"[" * 60000 + b"\n",
                lambda: b"x" * 70000,
                lambda: b'{"jsonrpc":"2.0","id":1,"method":"status"',
                lambda: b'{"jsonrpc":"2.0","id":1,"method":"status"}\n' * 50,
                lambda: b'{"jsonrpc":"2.0","id":"x","method":"config"}\n' * 9,
                lambda: b'{"jsonrpc":"2.0","id":2,"method":"events",'
                        b'"params":{"follow":true}}\n',
                lambda: b'{"jsonrpc":"2.0","id":2,"method":"scale",'
                        b'"params":{"target":"web","count":-1e99}}\n',
                lambda: b"\n\r\n\0\n",
                lambda: b"",
            ])())
            if r.random() < 0.3:
                sock.shutdown(socket.SHUT_WR)
            if r.random() < 0.5:
                sock.recv(r.choice([1, 65536]))
        except OSError:
            pass
        if r.random() < 0.2 and len(self.waiting) < 40:
            self.waiting.append(sock)  # stays, and reads nothing
        else:
            sock.close()

    def op_garbage(self):
        for _ in range(self.random.choice([1, 5, 80])):
            self.garbage()

    def op_notify(self):
        """Of a stranger: all of it is to be refused."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        sock.setblocking(False)
        place = self.run_dir + "/rack/notify/"
        try:
            for name in os.listdir(place):
                data = self.random.choice(
                    [b"READY=1", b"", b"\0\0", b"MAINPID=1", b"A" * 5000,
                     b"STATUS=\x1b[2J\nSTOPPING=1"])
                sock.sendto(data, place + name)
        except OSError:
            pass
        sock.close()

    # ---- coming to rest ----

    def drop_waiting(self):
        for control in self.waiting:
            control.close()
        self.waiting.clear()

    def status(self):
        answer = self.ask("status")
        if "result" not in answer:
            raise Failure("status: %s" % answer)
        return answer["result"]

    def problem(self):
        """What is not at rest yet; None: all is."""
        status = self.status()
        clusters = {c["name"]: c for c in status["clusters"]}
        if sorted(clusters) != sorted(self.good()):
            return "clusters %s" % sorted(clusters)
        pids = []
        for name, c in clusters.items():
            if c["state"] != "running" or c["ready"] != 2 or c["wanted"] != 2:
                return "%s is %s, %d of %d" % (
                    name, c["state"], c["ready"], c["wanted"])
            pids += [w["pid"] for w in c["workers"]]
        if sorted(pids) != sorted(self.workers()):
            return "status tells %s, there are %s" % (
                sorted(pids), sorted(self.workers()))
        return None

    def calm(self):
        """Back to the good file, everywhere, with two workers each."""
        self.op_thaw()
        self.drop_waiting()
        self.write(self.good())
        end = time.monotonic() + REST
        while True:
            answer = self.ask("reload")
            if "result" in answer or time.monotonic() > end:
                break
            time.sleep(0.2)
        for name in self.good():
            self.ask("scale", target=name, count=2, no_wait=True)
            self.ask("restart", target=name, no_wait=True)

    def rest(self):
        self.calm()
        end = time.monotonic() + REST
        tries = 0
        while True:
            wrong = self.problem()
            if wrong is None:
                break
            if time.monotonic() > end:
                raise Failure("no rest: " + wrong)
            tries += 1
            if tries % 40 == 0:
                self.calm()  # a stop may have come behind the scale
            time.sleep(0.1)
        self.look_for_signs()
        self.look_at_growth()

    def descriptors(self):
        names = []
        for fd in os.listdir("/proc/%d/fd" % self.pid):
            try:
                names.append(re.sub(r"\d{3,}", "N", os.readlink(
                    "/proc/%d/fd/%s" % (self.pid, fd))))
            except OSError:
                pass
        # a slot's latest lines are kept as long as its cluster, however it is scaled
        return sorted(n for n in names if not n.startswith("/memfd:nclust-log-"))

    def private(self):
        with open("/proc/%d/smaps_rollup" % self.pid) as f:
            return sum(int(line.split()[1]) for line in f
                       if line.startswith("Private_Dirty"))

    def look_at_growth(self):
        end = time.monotonic() + 15  # clients that read nothing time out
        while True:
            fds = self.descriptors()
            if self.fds is None:
                self.fds = fds
            if len(fds) <= len(self.fds):
                break
            if time.monotonic() > end:
                raise Failure("descriptors: %d, then %d\n%s\n%s" % (
                    len(self.fds), len(fds), self.fds, fds))
            time.sleep(0.2)
        memory = self.private()
        if self.memory is None:
            self.memory = memory
        elif memory > self.memory + GROWTH and not self.args.sanitized:
            raise Failure("private memory: %d, then %d KiB" % (
                self.memory, memory))

    def look_for_signs(self):
        for name in os.listdir(self.reports):
            with open(self.reports + "/" + name, errors="replace") as report:
                raise Failure("a sanitizer: " + report.read())
        with open(self.log, errors="replace") as log:
            for line in log:
                if BAD_SIGNS.search(line):
                    raise Failure("in the log: " + line)

    # ---- all of it ----

    def operations(self):
        weights = {
            self.op_scale: 8, self.op_restart: 8, self.op_reload: 10,
            self.op_upgrade: 8, self.op_send: 12,
            self.op_stop_cluster: 2, self.op_kill: 8, self.op_freeze: 3,
            self.op_thaw: 3, self.op_signal: 3, self.op_signal_verb: 2,
            self.op_stand_still: 2, self.op_job_control: 2,
            self.op_helper: 3, self.op_few_descriptors: 3,
            self.op_unlink: 1, self.op_garbage: 4, self.op_notify: 3,
        }
        end = time.monotonic() + self.args.seconds
        count = 0
        self.op_reload()
        while time.monotonic() < end:
            op = self.random.choices(list(weights), list(weights.values()))[0]
            self.last = self.last[-30:] + [op.__name__]
            op()
            self.done[op.__name__] = self.done.get(op.__name__, 0) + 1
            if self.nclust.poll() is not None:
                raise Failure("ended with %d" % self.nclust.returncode)
            time.sleep(self.random.choice([0, 0, 0.02, 0.1, 0.3]))
            count += 1
            if count % 60 == 0:
                self.rest()
                self.op_reload()
                print("torture: %d operations, %d KiB, %d descriptors" % (
                    count, self.private(), len(self.descriptors())),
                    flush=True)

    def stop(self):
        self.kill(self.pid, signal.SIGTERM)
        try:
            status = self.nclust.wait(30)
        except subprocess.TimeoutExpired as error:
            raise Failure("SIGTERM: it does not end") from error
        self.look_for_signs()
        if status < 0:  # a cluster may have ended badly, by `restart = never`
            raise Failure("ended by signal %d" % -status)
        left = subprocess.run(
            ["grep", "-slaF", self.run_dir + "/"] +
            ["/proc/%s/environ" % p for p in os.listdir("/proc")
             if p.isdigit() and int(p) != os.getpid()],
            stdout=subprocess.PIPE, check=False).stdout.split()
        if left:
            raise Failure("left behind: %s" % left)

    def run(self):
        self.start()
        self.rest()
        self.rest()  # all has been used once: this is what is compared with
        self.fds = self.memory = None
        self.rest()
        self.operations()
        self.rest()
        self.operations_before_stop()
        self.stop()

    def operations_before_stop(self):
        for _ in range(5):
            self.random.choice([self.op_restart, self.op_scale, self.op_kill,
                                self.op_reload, self.op_freeze])()

    def clean(self, failed):
        if failed and self.args.keep:
            print("torture: kept in %s, process %d" % (self.dir, self.pid))
            return
        if self.nclust and self.nclust.poll() is None:
            for pid in self.children():
                self.kill(pid, signal.SIGKILL)
            self.nclust.kill()
            self.nclust.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--nclust", required=True)
    parser.add_argument("--fixtures", required=True)
    parser.add_argument("--servers", required=True)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--sanitized", action="store_true")
    parser.add_argument("--keep", action="store_true")
    args = parser.parse_args()
    args.nclust = os.path.abspath(args.nclust)
    args.fixtures = os.path.abspath(args.fixtures)
    args.servers = os.path.abspath(args.servers)
    torture = Torture(args)
    failed = True
    try:
        torture.run()
        failed = False
    except Failure as failure:
        print("torture: FAILED with seed %d: %s" % (args.seed, failure))
        print("torture: the last operations: " + " ".join(torture.last))
        with open(torture.log, errors="replace") as log:
            sys.stdout.writelines(log.readlines()[-40:])
    finally:
        torture.clean(failed)
    print("torture: seed %d: %s %s" % (
        args.seed, "FAILED" if failed else "well",
        " ".join("%s=%d" % (name[3:], n)
                 for name, n in sorted(torture.done.items()))))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
