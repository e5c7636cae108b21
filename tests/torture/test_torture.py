# SPDX-License-Identifier: MIT
"""Random operations on one nclust, in any order, good and bad ones: start, scale, restart,
reload, stop, signals, deaths, garbage on every socket, a shortage of descriptors, a dead or hung
logger.  If root runs it, most workers are another user's, and some of these do nclust what harm
they can all the time.

    make torture [SECONDS=60] [SEED=N]

Every so often it lets all come to rest and looks: status answers, the workers are those that
are wanted, no descriptor and no process too many, nothing in the log that a sanitizer or the
core's own surprise wrote.  The seed makes the same operations; what the kernel does between
them is not repeated.
"""
import collections
import random
import re
import resource
import shutil
import socket
import time

from harness import *
from harness import lab

BAD_SIGNS = re.compile(r".*(Sanitizer|runtime error:|unexpected event|Assertion|Segmentation).*")
REST = 45  # seconds in which all must come to rest
GROWTH = 600  # KiB of private memory, without sanitizers
STRANGER = "#64321"  # a user and a group that need no account
PORTS = 8000, 8001, 8002
CONTROL = "run/rack/control"
BINDER = fixture("binder")
HOSTILE = [("unclosable", "notify"), ("unclosable", "flood"), ("unclosable", "channel"),
           ("unclosable", "unread"), ("unclosable", "control"), ("greedy", "notify"),
           ("greedy", "bind")]


def hostile(program, how):
    """A cluster of two that harm nclust without end, in this way."""
    where = path(CONTROL) if program == "unclosable" else PORTS[2]
    return {"command": f"python3 {server(program)}.py {how} {where}", "ready": "notify",
            "ipc": "on", "limit-nofile": 5000, "drain-timeout": "1s",
            "intercept": "on" if how == "bind" else "off"}


def good():
    clusters = {
        "web": {"command": f"{SERVE} --notify", "listen": [f"unix:{path('web')}", "127.0.0.1:0"],
                "ready": "notify", "log": "prefix"},
        "say": {"command": f"{NOTIFY} READY=1 STATUS=well --sleep 20 EXTEND_TIMEOUT_USEC=9"
                           " --child STATUS=child --fds 3 X=1 RELOADING=1 ERRNO=7 BARRIER=1"
                           " --huge 9000 --flood 40 STATUS=flood", "ready": "notify"},
        "plain": {"command": "/bin/sleep 3600", "ready": "alive:50ms"},
        # binds by itself, as most do, and in ways that few do
        "own": {"command": f"{BINDER} tcp4 bind=127.0.0.1:{PORTS[0]} close tcp4 nonblock keepalive"
                           f" dup epoll bind=127.0.0.1:{PORTS[1]} listen=9 thread=listen=9 events"},
        "busy": {"command": f"{BINDER} tcp4 flood", "workers": 1, "ready": "alive:50ms"},
        # tells its siblings whatever it is told to
        "talk": {"command": f"{fixture('talk')} {path('talk')}", "ready": "alive:50ms",
                 "ipc": "on", "relay": "others"},
        # never stopped by itself: when all have ended, so does nclust
        "keeper": {"command": "/bin/sleep 3600", "ready": "alive:50ms"},
    }
    if os.geteuid() == 0:
        # what it passes takes a while to be closed: not when all rests
        clusters["hostile"] = hostile("greedy", "notify")
        for name, keys in clusters.items():
            if name not in ("plain", "keeper"):
                keys.update(user=STRANGER, group=STRANGER)
    return clusters


def text_of(clusters):
    found = [f"[nclust]\ncontrol-group = {STRANGER}"] if os.geteuid() == 0 else []
    for name, keys in clusters.items():
        found.append(f"[cluster:{name}]")
        keys = {"workers": 2, "stop-timeout": "1s", "start-timeout": "3s",
                "backoff-max": "500ms", **keys}
        found += [f"{key} = {one}" for key, value in keys.items()
                  for one in (value if isinstance(value, list) else [value])]
    return "\n".join(found) + "\n"


def send_signal(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


class Torture:
    def __init__(self, seed, seconds):
        self.random = random.Random(seed)
        self.end = time.monotonic() + seconds
        os.mkdir("talk")
        os.chmod("talk", 0o1777)  # of all users
        self.it = start(ini=text_of(good()), name="rack")
        self.pid = self.it.pid
        self.waiting = []
        self.stopped = set()
        self.fds = self.memory = None
        self.done = collections.Counter()

    # ---- the process ----

    def children(self):
        return [p for p in living() if lab.stat(p)[1:2] == [str(self.pid)]]

    def loggers(self):
        return [p for p in self.children() if command(p).startswith("nclust-logger")]

    def workers(self):
        return [p for p in self.children() if not command(p).startswith("nclust-logger")]

    def connect(self):
        """It may have to be made anew, or be refused while all are taken."""
        def connected():
            assert self.it.process.poll() is None, "nclust has ended"
            try:
                return self.it.connect()
            except (OSError, ValueError, Closed):
                return None
        return wait(connected, "the control socket answers")

    def ask(self, method, **params):
        """Its answer; None: it was refused."""
        control = self.connect()
        try:
            return control.call(method, **params)
        except Refused:
            return None
        finally:
            control.close()

    # ---- operations ----

    def change(self, clusters):
        r = self.random
        web = clusters["web"]
        if r.random() < 0.15:
            clusters["talk"]["relay"] = r.choice(["say", "off", "nobody"])
        if r.random() < 0.15:
            clusters["talk"]["ipc"] = r.choice(["auto", "off"])
        name, keys = r.choice([
            ("web", lambda: {"env": f"ROUND={r.randrange(9)}"}),
            ("web", lambda: {"listen": web["listen"][:1] + [
                f"unix:{path(f'more{r.randrange(3)}')}"]}),
            ("web", lambda: {"command": "/bin/false"}),
            ("web", lambda: {"command": path("absent")}),
            ("web", lambda: {"command": f"{fixture('slow-ready')} never",
                             "start-timeout": "400ms"}),
            ("web", lambda: {"command": f"{DIE} --notify --after 30"}),
            ("plain", lambda: None),
            (f"new{r.randrange(3)}", lambda: dict(clusters["plain"])),
            ("web", lambda: {"listen": web["listen"] + ["127.0.0.1:1x"]}),
            ("web", lambda: {"listen": web["listen"] + [f"unix:{path('no/such/place')}"]}),
            ("web", lambda: {"stop-timeout": f"{r.randrange(100, 900)}ms"}),
            ("web", lambda: {"workers": r.randrange(1, 5)}),
            ("web", lambda: {"env-file": path("absent.env")}),
            ("web", lambda: {"surge": r.randrange(3), "max-unavailable": r.randrange(3)}),
            ("web", lambda: {"command": f"{fixture('deaf')} --notify"}),
            ("own", lambda: {"listen": f"127.0.0.1:{PORTS[1]}"}),
            # not "off": who holds the port himself stands in the way of the next one
            ("own", lambda: {"intercept": "on", "ready": "listen"}),
            ("own", lambda: {"command": f"{BINDER} tcp4 bind=0.0.0.0:{PORTS[0]} listen=3"
                                        " shutdown pause"}),
            ("own", lambda: {"command": f"{BINDER} tcp4 badbind fail=EFAULT reuseport"
                             f" bind=127.0.0.1:{PORTS[1]} listen=3 tcp4 reuseport"
                             f" bind=127.0.0.1:{PORTS[1]} listen=3 serve"}),
            ("say", lambda: {"restart": r.choice(["never", "on-failure", "always"])}),
        ])
        keys = keys()
        if keys is None:
            del clusters[name]
        else:
            clusters.setdefault(name, {}).update(keys)

    def target(self):
        return self.random.choice(["web", "say", "plain", "own", "own.1", "busy", "web.0", "say.1",
                                   "plain.0", "new1", "talk", "", "rack", "web.99", "..",
                                   "no/web"])

    def request(self, method, **params):
        """Some are waited for, by a client that may go away."""
        way = self.random.randrange(4)
        if way < 2:
            self.ask(method, no_wait=True, **params)
            return
        control = self.connect()
        control.send(method, **params)
        if way == 2:
            control.socket.shutdown(socket.SHUT_WR)
        self.waiting.append(control)
        if len(self.waiting) > 12:
            self.waiting.pop(self.random.randrange(12)).close()

    def op_scale(self):
        how = self.random.choice([{"count": self.random.randrange(7)},
                                  {"by": self.random.choice([-3, -1, 1, 2])}])
        self.request("scale", target=self.target(), **how)

    def op_send(self):
        message = self.random.choice(
            ['"x"', "[1", "", '["say",{"a":"\\ud800"}]', '["flood",2000]', '["endless",3]',
             '["half","{"]', '["end","}"]', '["deaf"]', '["big",1048576]', '["close"]', '["die"]',
             f'"{"x" * 50000}"'])
        self.request("send", target=self.random.choice(
            ["talk", "talk", "talk.0", "talk.1", "plain", ""]),
            message=message, all=self.random.random() < 0.3)

    def op_restart(self):
        self.request("restart", target=self.target())

    def op_upgrade(self):
        self.request("upgrade")

    def op_reload(self):
        clusters = good()
        if "hostile" in clusters:
            clusters["hostile"].update(hostile(*self.random.choice(HOSTILE)))
        for _ in range(self.random.randrange(4)):
            if "plain" in clusters:
                self.change(clusters)
        write("rack.ini", text_of(clusters) + self.random.choice(
            ["", "", "", "[cluster:web]\n", "nonsense\n", "= = =\n"]))
        if self.random.random() < 0.3:
            send_signal(self.pid, SIGHUP)
        else:
            self.request("reload")

    def op_stop_cluster(self):
        self.request("stop", target=self.random.choice(["web", "say", "plain"]),
                     now=self.random.random() < 0.3)

    def op_kill(self):
        workers = self.workers()
        self.random.shuffle(workers)
        for pid in workers[:self.random.choice([1, 1, 1, 3, 99])]:
            number = self.random.choice([SIGKILL, SIGTERM, signal.SIGSEGV])
            # on the way to its exec it has the sanitizer's handler, which takes that for a
            # fault of nclust's
            if number != signal.SIGSEGV or self.is_executed(pid):
                send_signal(pid, number)

    def is_executed(self, pid):
        """nclust waits for an exec: who stops a child before stops nclust."""
        try:
            return not os.path.samefile(f"/proc/{pid}/exe", f"/proc/{self.pid}/exe")
        except OSError:
            return False

    def op_freeze(self):
        for pid in self.workers()[:2]:
            if self.is_executed(pid):
                send_signal(pid, SIGSTOP)
                self.stopped.add(pid)

    def op_thaw(self):
        for pid in self.stopped:
            send_signal(pid, SIGCONT)
        self.stopped.clear()

    def op_signal(self):
        for _ in range(self.random.choice([1, 5, 100])):
            send_signal(self.pid, self.random.choice(
                [SIGUSR1, SIGUSR2, signal.SIGWINCH, signal.SIGCHLD, signal.SIGPIPE,
                 signal.SIGTTIN, signal.SIGTTOU, SIGCONT, signal.SIGALRM]))

    def op_signal_verb(self):
        self.request("signal", target=self.target(), all=True,
                     signal=self.random.choice(["WINCH", "KILL", "USR1", "0"]))

    def op_stand_still(self):
        send_signal(self.pid, SIGSTOP)
        for pid in self.workers()[:3]:
            send_signal(pid, SIGKILL)
        time.sleep(self.random.choice([0.01, 0.2, 1.3]))
        send_signal(self.pid, SIGCONT)

    def op_job_control(self):
        send_signal(self.pid, signal.SIGTSTP)
        time.sleep(0.05)
        send_signal(self.pid, SIGCONT)

    def op_helper(self):
        for pid in self.loggers():
            send_signal(pid, self.random.choice([SIGKILL, SIGSTOP, SIGTERM]))

    def op_few_descriptors(self):
        whole = resource.prlimit(self.pid, resource.RLIMIT_NOFILE)
        few = max(8, len(descriptors(self.pid)) + self.random.randrange(-6, 6))
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
        try:
            (shutil.rmtree if what == "notify" else os.unlink)(f"run/rack/{what}")
        except OSError:
            pass

    def garbage(self):
        r = self.random
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(0.3)
        try:
            sock.connect(CONTROL)
            sock.sendall(r.choice([
                lambda: bytes(r.randrange(256) for _ in range(300)) + b"\n",
                lambda: b"[" * 60000 + b"\n",
                lambda: b"x" * 70000,
                lambda: b'{"jsonrpc":"2.0","id":1,"method":"status"',
                lambda: b'{"jsonrpc":"2.0","id":1,"method":"status"}\n' * 50,
                lambda: b'{"jsonrpc":"2.0","id":"x","method":"config"}\n' * 9,
                lambda: b'{"jsonrpc":"2.0","id":2,"method":"events","params":{"follow":true}}\n',
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
        try:
            for name in os.listdir("run/rack/notify"):
                sock.sendto(self.random.choice(
                    [b"READY=1", b"", b"\0\0", b"MAINPID=1", b"A" * 5000,
                     b"STATUS=\x1b[2J\nSTOPPING=1"]), f"run/rack/notify/{name}")
        except OSError:
            pass
        sock.close()

    # ---- coming to rest ----

    def problem(self):
        """What is not at rest yet; None: all is."""
        clusters = {c.name: c for c in self.ask("status").clusters}
        if sorted(clusters) != sorted(good()):
            return f"clusters {sorted(clusters)}"
        for name, c in clusters.items():
            if (c.state, c.ready, c.wanted) != ("running", 2, 2):
                return f"{name} is {c.state}, {c.ready} of {c.wanted}"
        told = sorted(w.pid for c in clusters.values() for w in c.workers)
        if told != sorted(self.workers()):
            return f"status tells {told}, there are {sorted(self.workers())}"
        return None

    def calm(self):
        """Back to the good file, everywhere, with two workers each."""
        self.op_thaw()
        for control in self.waiting:
            control.close()
        self.waiting.clear()
        write("rack.ini", text_of(good()))
        end = time.monotonic() + REST
        while self.ask("reload") is None and time.monotonic() < end:
            time.sleep(0.2)
        for name in good():
            self.ask("scale", target=name, count=2, no_wait=True)
            self.ask("restart", target=name, no_wait=True)

    def rest(self):
        self.calm()
        end = time.monotonic() + REST * PATIENCE
        tries = 0
        while (wrong := self.problem()) is not None:
            assert time.monotonic() < end, f"no rest: {wrong}"
            tries += 1
            if tries % 40 == 0:
                self.calm()  # a stop may have come behind the scale
            time.sleep(0.1)
        self.look_for_signs()
        self.look_at_growth()

    def descriptors(self):
        # a slot's latest lines are kept as long as its cluster, however it is scaled
        return sorted(re.sub(r"\d{3,}", "N", name) for name in descriptors(self.pid).values()
                      if not name.startswith("/memfd:nclust-log-"))

    def private(self):
        return sum(numbers(read(f"/proc/{self.pid}/smaps_rollup"), r"Private_Dirty:\s+(\d+)"))

    def look_at_growth(self):
        self.fds = self.fds or self.descriptors()
        # clients that read nothing time out
        wait(lambda: len(self.descriptors()) <= len(self.fds), f"no more than {self.fds}", 15)
        memory = self.private()
        self.memory = self.memory or memory
        assert memory <= self.memory + GROWTH or lab.SANITIZED, f"{self.memory}, then {memory} KiB"

    def look_for_signs(self):
        assert lab.sanitizer_says() == ""
        assert (found := BAD_SIGNS.search(self.it.log())) is None, found.group()

    # ---- all of it ----

    def operations(self):
        weights = {
            self.op_scale: 8, self.op_restart: 8, self.op_reload: 10, self.op_upgrade: 8,
            self.op_send: 12, self.op_stop_cluster: 2, self.op_kill: 8, self.op_freeze: 3,
            self.op_thaw: 3, self.op_signal: 3, self.op_signal_verb: 2, self.op_stand_still: 2,
            self.op_job_control: 2, self.op_helper: 3, self.op_few_descriptors: 3,
            self.op_unlink: 1, self.op_garbage: 4, self.op_notify: 3,
        }
        self.op_reload()
        while time.monotonic() < self.end:
            op = self.random.choices(list(weights), list(weights.values()))[0]
            print(op.__name__, end=" ")
            op()
            self.done[op.__name__[3:]] += 1
            assert self.it.process.poll() is None, "nclust has ended"
            time.sleep(self.random.choice([0, 0, 0.02, 0.1, 0.3]))
            if self.done.total() % 60 == 0:
                self.rest()
                self.op_reload()
        self.rest()
        for _ in range(5):
            self.random.choice([self.op_restart, self.op_scale, self.op_kill, self.op_reload,
                                self.op_freeze])()

    def stop(self):
        send_signal(self.pid, SIGTERM)
        # a cluster may have ended badly, by `restart = never`
        assert self.it.exit() >= 0
        self.look_for_signs()
        assert living() == []

    def run(self):
        self.rest()
        self.rest()  # all has been used once: this is what is compared with
        self.fds = self.memory = None
        self.rest()
        self.operations()
        self.stop()


def test_torture():
    torture = Torture(int(os.environ["SEED"]), float(os.environ.get("SECONDS", 60)))
    try:
        torture.run()
    finally:
        print(f"\nseed {os.environ['SEED']}:", *(f"{k}={n}" for k, n in torture.done.items()))
