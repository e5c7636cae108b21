# SPDX-License-Identifier: MIT
"""`nclust doctor -- COMMAND`: how servers of every kind do on trial, and what it advises.

Where nothing binds, the time of a trial is the test's: it goes on by 0.1 s after each look that
the doctor has had.  (nclust itself is given up by a bind(2) that takes it too much of that time.)
"""
import glob
import json
import re
import shlex
import socket
import sqlite3

from harness import *
from harness import lab
from harness.instance import Clock, words


class Doctor:
    count = 0

    def __init__(self, *args, clock=False, under=(), options=("--json",), **popen):
        self.rushed = clock
        if clock:
            lab.clock = Clock()
        Doctor.count += 1
        self.out, self.err = f"out.{self.count}", f"err.{self.count}"
        self.process = begin_program(
            *under, variant("clock") if clock else inside(PROGRAM), "doctor", *options,
            *words(*args), **{"stdout": self.out, "stderr": self.err, **popen})

    def look(self, sleeps_more=4):
        """Let it look again: it sleeps about three times a round."""
        def sleeps():
            found = re.search(r"\nvoluntary_ctxt_switches:\t(\d+)",
                              read(f"/proc/{self.process.pid}/status"))
            return int(found.group(1)) if found else 0

        before = sleeps()
        wait(lambda: self.process.poll() is not None or sleeps() >= before + sleeps_more)

    def is_waited_for(self):
        """Does one of those on trial wait for the CPU, or for a disk?"""
        return any(state(p) in "RD" for p in living() if p != self.process.pid)

    def passes(self, seconds):
        """Time that all have: who waits for the CPU would be too late."""
        for _ in range(round(seconds * 10)):
            wait(lambda: not self.is_waited_for())
            lab.clock.advance(0.1)
            self.look()

    def flow(self):
        self.rushed = False
        lab.clock.flow()

    def cluster(self):
        """Of the nclust that it tries the command with."""
        def found():
            try:
                (at,) = glob.glob(f"{path('run')}/.doctor-*/doctor/control")
                return Control(at).call("status").clusters[0]
            except (OSError, ValueError, Closed):
                return None

        return wait(found)

    def end(self, status=0):
        """All that it says."""
        while self.rushed and self.process.poll() is None:
            self.passes(0.1)
        wait(lambda: self.process.poll() is not None, "the end of a trial")
        print(read(self.out), read(self.err))
        assert self.process.returncode == status
        return read(self.out)

    def told(self, status=0):
        return json.loads(self.end(status))


def nothing_is_left():
    wait(lambda: living() == [])  # those that were killed may not have ended yet
    return os.listdir("run") == []


def fact(got, name):
    """Its mark, and what was found."""
    return next((f"{f['mark']} {f['found']}; {f['does']}" for f in got["facts"]
                 if f["name"] == name), None)


def check(got, wanted, command="", run=None):
    """Members by their path; facts ("=NAME") by a pattern; the words before the command that it
    advises to use."""
    for key, value in wanted.items():
        if key[0] == "=":
            at = fact(got, key[1:])
            assert at is None if value is None else re.search(value, at or ""), (key, at)
        else:
            at = got
            for name in key.split("."):
                at = at[int(name) if name.isdigit() else name]
            assert at == value, (key, at)
    if run is not None:
        assert got["run"] == words(run, command)


# ---- what binds nothing ----

@pytest.mark.parametrize("options, command, wanted, run, status", (
    ("", f"{SERVE}", {
        "sockets.0.how": "passed", "stop.exit": "exit 0",
        "stop_in_request.request": "answered"}, "nclust -n auto -l 8000 --", 0),
    ("", f"{SERVE} --notify", {},
     "nclust -n auto -l 8000 --ready notify --", 0),
    ("-l unix:/run/s", SERVE, {"sockets.0.how": "passed"}, "nclust -l unix:/run/s -n auto --", 0),
    # with what else the command line has
    ("--env HOW=--notify", f"sh -c 'exec {SERVE} $HOW'", {},
     "nclust --env HOW=--notify -n auto -l 8000 --ready notify --", 0),
    ("--listen-pid=no", f"sh -c \"{SERVE} --from listen; exit 0\"", {"sockets.0.how": "passed"},
     "nclust --listen-pid=no -n auto -l 8000 --", 0),
    ("--pass stdin", "php-cgi", {"sockets.0.how": "passed"},
     "nclust --pass stdin -n auto -l 8000 --", 0),
    ("", "php-cgi", {"=start": "^bad it ends with exit 0.*--pass stdin", "run": None}, None, 1),
    ("", "sh -c 'echo $$ >app.pid; exec 7>>log sleep 1000'", {
        "=pid file": "^note app.pid is written by each copy; .*{slot} in its name",
        "=log": "^note both copies append to .*/log; if the program rotates it"}, None, 0),
    ("", "sh -c 'mkdir -p var; mkfifo pipe; echo $$ >var/app; trap \"rm var/app; exit\" TERM; sleep 1000 & wait'", {
        "=pid file": "^warn var/app is removed by a copy that stops, although another"}, None, 0),
    ("", "sh -c 'echo $$ >app.pid; trap \"rm app.pid; exit\" TERM; sleep 1000 & wait'", {
        "=second copy": "^ok runs", "=pid file": "^warn app.pid is removed by a copy that stops, "
        "although another one has written it; {slot} in its name"}, None, 0),
    ("", "sh -c 'sleep 1000; sleep 1000'", {"ok": True, "=second copy": "^ok runs"},
     "nclust --ready alive --", 0),
    ("", "sleep 1000", {"=pid file": None, "=log": None, "sockets": [],
                        "=copies": "share nothing: without -n one runs"},
     "nclust --ready alive --", 0),
    ("", "false", {"=start": "^bad it ends with exit 1.*running$", "run": None}, None, 1),
    ("--ready notify", "sh -c 'echo no database; sleep 1000; sleep 1000'", {
        "=start": "not ready within 30 s: waits for its READY=1; last output: no database; a st",
        "run": None}, None, 1),
    ("", "sh -c 'mkfifo f 2>/dev/null || { echo >f; exec sleep 1000; }; read -r _ <f'",
     {"=first copy": "^bad", "ok": False}, None, 1),
    pytest.param("", "sh -c 'trap \"\" TERM; sleep 1000; sleep 1000'",
                 {"stop.ended": False, "=SIGTERM": "^warn it still ran .* after it, and was killed .SIGKILL"}, None, 0,
                 marks=pytest.mark.nightly)))  # 12 s of its time
def test_a_trial_of(options, command, wanted, run, status):
    check(Doctor(options, "--", command, clock=True).told(status), wanted, command, run)
    assert nothing_is_left() and not os.path.exists("/run/s")


def test_as_text_what_it_has_printed_is_shown_without_its_escapes_and_words_are_quoted():
    doctor = Doctor("-- sh -c", shlex.quote(r'echo one; echo "two \033[2J" >&2; exit 3'),
                    options=(), clock=True)
    said = doctor.end(1)
    assert re.search("exit 3.*last output: one / two", said)
    assert "\033" not in said and read(doctor.err) == ""
    said = Doctor("-- sh -c 'exec sleep \"$@\"' '*' 1000", options=(), clock=True).end()
    assert said.endswith("\nnclust --ready alive -- sh -c 'exec sleep \"$@\"' '*' 1000\n")


@pytest.mark.parametrize("command, status", (("absent", 127), ("run", 126)))
def test_what_cannot_be_run_has_the_status_that_a_shell_gives_it(command, status):
    nclust("doctor --", path(command)).fails(status, f"nclust: cannot execute '{path(command)}'")
    assert nothing_is_left()


def test_what_is_run_for_each_connection_is_not_tried():
    nclust("doctor --accept -l 8000 -- true").fails(64, "nclust: doctor cannot try a command with --accept")
    assert nothing_is_left()


def test_one_that_says_late_that_it_is_ready():
    gate = Gate("go")
    doctor = Doctor(f"-- {SERVE} --notify --delay {gate}", clock=True)
    doctor.cluster()
    doctor.look(20)
    doctor.passes(1.5)
    gate.open()
    wait(lambda: doctor.cluster().notify_seen)
    doctor.look(20)
    assert words("--ready notify") == doctor.told()["run"][5:7]


def test_one_that_accepts_long_after_it_has_said_that_it_is_ready():
    gate = Gate("go")
    program = write("early.py", f"""
import os, socket, time
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
while not os.path.exists("{gate}"): time.sleep(0.01)
os.execv("{SERVE}", ["{SERVE}"])""")
    doctor = Doctor(f"-- python3 {program}", clock=True)
    wait(lambda: doctor.cluster().notify_seen)
    doctor.look(20)
    doctor.passes(1)
    gate.open()
    wait(lambda: doctor.cluster().listeners[0].queue == 0)
    check(doctor.told(), {"sockets.0.how": "passed", "=copies": "will work; what one keeps in its memory"})


def test_who_answers_503_while_it_loads_is_to_be_asked_before_it_has_clients():
    command = f"python3 {server('loads.py')} 8000"
    check(Doctor("--", command).told(), {"=first answers": "^warn 503.*; --ready http:/ keeps"},
          command, "nclust -n auto --ready http:/ --")
    check(Doctor("--ready http:/ --", command).told(), {"=first answers": None, "=new workers": None},
          command, "nclust --ready http:/ -n auto --")


def test_who_has_clients_before_it_has_passed_its_probe():
    check(Doctor("--ready http:/ -l unix:/run/s --", SERVE, clock=True).told(), {
        "=new workers": "^note get clients of unix:/run/s before they have passed 'ready'"})
    need_root()
    plain = ("setpriv", "--bounding-set", "-sys_admin,-bpf")
    check(Doctor("--ready tcp --", SERVE, clock=True, under=plain).told(), {
        "=new workers": "^warn get clients before.*CAP_BPF is missing; --balance rr"})


def test_the_service_manager_of_who_asks_is_not_told():
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(path("notify"))
    manager.setblocking(False)
    Doctor(f"-- {SERVE} --notify", clock=True, env={
        **os.environ, "NOTIFY_SOCKET": path("notify"), "LISTEN_FDS": "1"}).end()
    with pytest.raises(BlockingIOError):
        manager.recv(100)


@pytest.mark.parametrize("number", (SIGTERM, SIGHUP))
def test_a_signal_ends_it_and_leaves_nothing_behind(number):
    doctor = Doctor("-- sh -c", shlex.quote("trap '' TERM; echo up >up; sleep 1000; sleep 1000"))
    wait(lambda: read("up"))
    doctor.process.send_signal(number)
    doctor.end(128 + number)
    assert nothing_is_left()


def test_nobody_reads_it_any_more():
    reads, writes = os.pipe()
    doctor = Doctor(f"-- {SERVE} --notify", clock=True, stdout=writes)
    os.close(writes)
    os.close(reads)
    while doctor.process.poll() is None:
        doctor.passes(0.1)
    assert nothing_is_left()


# ---- time stands until they have bound ----

def test_gunicorn_takes_a_passed_socket_in_place_of_its_own():
    need("gunicorn")
    # a process of it that is stopped just after its fork(2) has not heard that, and is waited for
    doctor = Doctor(f"-- gunicorn --chdir {server('')} --worker-tmp-dir {path()} "
                    "--graceful-timeout 2 -b 127.0.0.1:8000 app:app", clock=True)
    port = int(doctor.cluster().listeners[0].address.rpartition(":")[2])
    # it comes after READY=1, and may have answered what nclust asks before this sees it
    wait(lambda: holders(port) or doctor.passes(0.1), "a worker that accepts")
    doctor.look(20)
    doctor.flow()
    got = doctor.told()
    check(got, {"sockets.0.how": "passed", "stop_in_request.request": "answered"})
    assert " ".join(got["run"]).startswith(
        "nclust -n auto -l 127.0.0.1:8000 --ready notify -- gunicorn ")


def test_a_master_that_listens_while_its_workers_do_not_serve_is_not_said_to_run():
    """Doctor says what a start would."""
    write("master.py", """
import os, socket, time
s = socket.create_server(("127.0.0.1", 8001))
os.fork()
time.sleep(1000)""")
    doctor = Doctor("-- python3 master.py", clock=True)
    wait_listened(8001)
    check(doctor.told(1), {
        "=start": "^bad it is not ready within 30 s: waits for a process that serves its port; a "
                  "start would fail", "=copies": None, "run": None})


def test_a_late_port_and_a_path_that_each_copy_has_for_itself():
    write("late.py", """
import os, socket, sys, time
own = socket.socket(socket.AF_UNIX)
own.bind(sys.argv[1] % os.getpid())
own.listen()
kept = []
for port in (8005, 8001, 8004, 8002, 8003):
    while port == 8003 and not os.path.exists("go"):
        time.sleep(0.01)
    kept.append(socket.create_server(("127.0.0.1", port)))
time.sleep(1000)""")
    doctor = Doctor(f"-- python3 late.py {path()}/%d.pipe", clock=True)
    wait_listened(8002)
    doctor.look(20)
    doctor.passes(1.2)
    write("go", "")
    wait_listened(8003)
    doctor.flow()
    got = doctor.told()
    # told in the order in which it has opened them
    assert [s["address"] for s in got["sockets"] if s["address"].startswith("tcp:")] == [
        f"tcp:127.0.0.1:{port}" for port in (8005, 8001, 8004, 8002, 8003)]
    check(got, {"=private": f"^ok unix:{path()}/.*.pipe; each copy has one", "=not shared": None})


# ---- in real time: several at once ----

NGINX = """
    worker_processes 1;
    error_log stderr;
    pid {dir}/nginx.{port}.pid;
    events {{}}
    http {{
        access_log off;
        client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy;
        fastcgi_temp_path {dir}/fastcgi; uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;
        server {{ listen 127.0.0.1:{port}; listen [::1]:{port}; return 200 "hello"; }}
    }}
    """
IPC = """
import socket, tempfile, time
s = socket.socket(socket.AF_UNIX)
s.bind(tempfile.mkdtemp(dir=".") + "/ipc")
s.listen()
time.sleep(1000)"""
STORE = """
import os, socket, sqlite3, sys, time
db = sqlite3.connect(os.path.abspath(sys.argv[2]))
db.execute("select * from t").fetchall()
s = socket.create_server(("127.0.0.1", int(sys.argv[1])))
time.sleep(1000)"""
LOADS = """
import signal, socket, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
s = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while time.process_time() < 0.5:
    pass
signal.signal(signal.SIGTERM, signal.SIG_DFL)
time.sleep(1000)"""
DEAF = """
import re, signal, socket, sys, time
if re.search(r"Seccomp:\\s*2", open("/proc/self/status").read()):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
s = socket.create_server(("127.0.0.1", int(sys.argv[1])))
time.sleep(1000)"""
INT = """
const server = require("http").createServer().listen(process.argv[2]);
process.on("SIGINT", () => server.close(() => process.exit(0)));"""
# A session's cookie, signed with a secret that each copy makes up, unless there is one for all.
SESSIONS = """
const crypto = require("crypto");
const secret = process.env.SECRET || crypto.randomBytes(8);
const sign = id => id + "." + crypto.createHmac("sha256", secret).update(id).digest("hex");
require("http").createServer((asks, answer) => {
    const cookie = (asks.headers.cookie || "").replace("sid=", "");
    if (cookie !== sign(cookie.split(".")[0]) || process.env.ROLLS)
        answer.setHeader("Set-Cookie", `sid=${sign(crypto.randomUUID())}; Path=/; HttpOnly`);
    answer.end("here\\n");
}).listen(process.argv[2]);"""
# It lets who has no WebSocket ask again and again for what is new.
POLLED = """
const server = require("http").createServer((asks, answer) => answer.end("here\\n"));
new (require("socket.io").Server)(server, {transports: [process.argv[3]]});
server.listen(process.argv[2]);"""
MODULES = os.path.join(os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")),
                       "nclust/socket.io/node_modules")
BINDER = fixture("binder")
CONFINED = fixture("confine")
nightly = pytest.mark.nightly
# PORT is another one in each.
REAL = (
    ("", f"{PLAIN} PORT --loopback", {
        "ok": True, "sockets.0.address": "tcp:127.0.0.1:PORT", "sockets.0.how": "taken over",
        "sockets.0.shared": "same", "stop.exit": "killed by SIGTERM",
        "stop_in_request.request": "lost", "=state": None,
        "=listening": "^note listening on tcp:127.0.0.1:PORT, opened by doctor.0"},
     "nclust -n auto --", 0, ""),
    ("", f"{BINDER} tcp4 reuseport bind=127.0.0.1:PORT listen=5 serve",
     {"sockets.0.how": "taken over"}, None, 0, ""),
    ("", f"{BINDER} tcp4 bind=127.0.0.1:0 listen=5 serve", {
        "sockets.0.how": "own", "sockets.0.shared": "none", "=not shared": "^bad.*another port"},
     None, 1, ""),
    ("", f"bash -c 'p=PORT; (: </dev/tcp/127.0.0.1/$p) && p=$((p + 500)); exec {PLAIN} $p'",
     {"=not shared": "^bad.*another port.*can only run as one copy", "=second copy": "^ok ready"},
     "nclust -n 1 --intercept off --ipc off --surge 0 --max-unavailable 1 --", 1, ""),
    ("", f"{BINDER} udp4 bind=127.0.0.1:PORT pause", {
        "sockets.0.address": "udp:127.0.0.1:PORT", "sockets.0.shared": "one each",
        "=shared": "^ok udp:.*; clients that wait for a copy when it ends are lost; with -l ADDRESS"},
     "nclust -n auto --", 0, ""),
    ("", f"sh -c 'rm -f /run/p; exec {BINDER} unix bind=/run/p listen=5 serve'", {
        "sockets.0.address": "unix:/run/p", "sockets.0.shared": "stolen",
        "=listening": "^warn each worker binds unix:/run/p by itself.*'-l unix:/run/p'"},
     "nclust -n 1 --", 1, ""),
    ("", f"{BINDER} unix bind=/run/taken listen=5 serve",
     {"sockets.0.how": "own", "=second copy": "^bad ends with .*; to share that: '-l unix:/run/taken'"},
     "nclust -n 1 --surge 0 --max-unavailable 1 --", 1, ""),
    ("", f"sh -c 'mkdir lock || exit 7; exec {PLAIN} PORT --loopback'",
     {"=second copy": "^bad ends with exit 7.*mkdir:",
      "=copies": "with surge = 0, max-unavailable = 1"},
     "nclust -n 1 --surge 0 --max-unavailable 1 --", 1, ""),
    ("-l 127.0.0.1:PORT", f"{PLAIN} PORT --loopback", {
        "sockets.0.how": "taken over"},
     "nclust -l 127.0.0.1:PORT -n auto --", 0, ""),
    ("-n 3", f"{PLAIN} PORT --loopback", {}, "nclust -n 3 --", 0, ""),
    ("-l unix:/run/s", f"{PLAIN} PORT --loopback",
     {"=listening": "^note.*opened by"}, "nclust -l unix:/run/s -n auto --", 0, ""),
    ("", "nginx -c DIR/nginx.PORT", {
        "stop_in_request.request": "lost", "sockets.0.shared": "same",
        "sockets.1.shared": "same", "=pid file": "^warn .* is removed by a copy that stops"}, "nclust -n auto --", 0, ""),
    ("", "nginx -c DIR/nginx.PORT -g 'daemon on;'",
     {"=start": "^bad it ends with exit 0.*daemon mode", "run": None}, None, 1, ""),
    # what it leaves behind ends only when it is killed
    ("", "sh -c 'trap \"\" TERM; sleep 1000 & sleep 1; exit 0'",
     {"=start": "^bad it ends with exit 0.*daemon mode", "run": None}, None, 1, ""),
    ("", "python3 ipc.py", {"=private": "^ok unix:.*/ipc; ", "=not shared": None}, None, 0, ""),
    ("", "python3 store.py PORT deps_cache_v2", {"=state": None}, None, 0, ""),
    ("", "python3 store.py PORT app.data", {
        "=state": "^warn it has DIR/app.data open for writing; .*separate stores"},
     None, 0, ""),
    ("", f"sh -c 'exec 7<>data.PORT; exec {PLAIN} PORT --loopback'", {
        "=state": "^warn it has DIR/data.PORT open for writing; .*separate stores"}, None, 0, ""),
    ("", f"{PLAIN} PORT --loopback --shut", {"=listener-harmed": "^warn .* shut .* down"},
     "nclust -n auto --balance rr --drain quiet --", 0, ""),
    ("", "python3 loads.py PORT", {"stop.exit": "killed by SIGTERM"}, None, 0, ""),
    # it heeds SIGTERM only where nothing filters its system calls
    ("", "python3 deaf.py PORT", {
        "stop.ended": False, "=SIGTERM": "^warn .*; where nclust puts nothing into it, it ends"},
     None, 0, nightly),
    ("", "./redis-server PORT --loopback", {  # known by its name
        "=state": "^warn redis-server keeps its state in itself; copies are separate stores",
        "=second copy": "^ok ready", "=copies": "^bad will not work; .*keep one running"},
     "nclust -n 1 --surge 0 --max-unavailable 1 --drain off --", 1, ""),
    ("", "./mosquitto PORT --loopback", {"=state": "^warn mosquitto keeps its state in itself"},
     "nclust -n 1 --surge 0 --max-unavailable 1 --drain off --", 1, ""),
    ("", f"{PLAIN} 8000 --loopback", {"=start": "^bad .*cannot bind tcp:127.0.0.1:8000: in use"},
     None, 1, ""),
    # where ports cannot be taken over, one copy is what works
    ("", f"{PLAIN} PORT --loopback", {
        "=listening": "^warn .*cannot be taken over", "=second copy": "^bad ends with",
        "sockets.0.how": "own"}, "nclust -n 1 --surge 0 --max-unavailable 1 --", 1,
     f"{CONFINED} unnotified --"),
    ("", f"flock lock.PORT {PLAIN} PORT --loopback",
     {"=second copy": "^bad waits for the lock of DIR/lock.PORT"},
     "nclust -n 1 --surge 0 --max-unavailable 1 --", 1, ""),
    ("", SERVE, {"ok": True}, None, 0, f"{CONFINED} unnotified --"),
    ("", f"{PLAIN} PORT --loopback", {"sockets.0.shared": "same"}, "nclust -n auto --", 0,
     f"{CONFINED} docker --"),
    # whose descriptors cannot be duplicated there
    ("", f"{BINDER} udp4 bind=127.0.0.1:PORT pause", {
        "sockets.0.address": "udp:127.0.0.1:PORT", "sockets.0.how": "own",
        "=second copy": "^bad ends with exit 1.*in use"}, None, 1, f"{CONFINED} docker --"),
    ("", f"sh -c 'yes & exec {PLAIN} PORT --loopback'", {}, None, 0, nightly),
    ("", "redis-server --port PORT --save '' --bind 127.0.0.1",
     {"stop_in_request.request": "lost"},
     "nclust -n 1 --surge 0 --max-unavailable 1 --drain off --", 1, nightly),
    ("", "busybox httpd -f -p 127.0.0.1:PORT -h .", {"stop_in_request.request": "lost"}, None, 0,
     nightly),
    ("", f"node {server('plain.js')} PORT", {"sockets.0.how": "taken over"},
     "nclust -n auto --", 0, nightly),
    ("", f"node {server('sticky.js')} PORT", {
        "=primary": "^warn opens its port only where it is the primary.*; --ipc off",
        "sockets.0.how": "taken over", "=start": None}, "nclust -n 1 --ipc off --", 0, ""),
    ("", f"node {server('sticky.js')} PORT ticks", {"=primary": "^warn opens its port"},
     "nclust -n 1 --ipc off --", 0, ""),
    # a right one without a port
    ("", "node queue.js", {"=primary": None, "=second copy": "^ok runs"},
     "nclust --ready alive --", 0, nightly),
    ("", "node sessions.js PORT", {
        "=cookie": "^warn one copy does not know what another has set: a secret made at its start.*"},
     "nclust -n auto --", 0, ""),
    ("", "env SECRET=s node sessions.js PORT", {"=cookie": None}, None, 0, ""),
    ("", "env ROLLS=1 node sessions.js PORT", {"=cookie": None}, None, 0, nightly),
    # as the documentation of pm2 has it
    ("", "node int.js PORT", {
        "stop.ends_by_sigint": True,
        "=SIGTERM": "^note killed by SIGTERM .*; it handles SIGINT alone: --stop-signal INT"},
     None, 0, ""),
    ("", f"node {server('talk.js')} PORT", {
        "stop.exit": "killed by SIGTERM", "stop.ends_by_sigint": False}, None, 0, ""),
)


def begin_row(number):
    port = str(8001 + number)
    options, command, wanted, run, status, under = REAL[number]
    if "nginx" in command:
        daemon = "" if "daemon" in command else "daemon off;"
        write(f"nginx.{port}", daemon + NGINX.format(dir=path(), port=port))

    def here(text):
        return re.sub(r"(?<![A-Z])PORT\b", port, text).replace("DIR", path())

    command = here(command)
    doctor = Doctor(here(options), "--", command, under=words("" if under is nightly else under))
    return lambda: check(doctor.told(status), {
        key: here(value) if isinstance(value, str) else value for key, value in wanted.items()},
        command, run and here(run))


@pytest.mark.shared
class TestTrials:
    begun = []

    @pytest.mark.parametrize("number", [
        pytest.param(n, id=row[1].rpartition("/")[2], marks=row[-1] if row[-1] is nightly else ())
        for n, row in enumerate(REAL)])
    def test_a_trial_of(self, number):
        if not self.begun:
            write("ipc.py", IPC)
            write("store.py", STORE)
            write("loads.py", LOADS)
            write("deaf.py", DEAF)
            write("int.js", INT)
            write("sessions.js", SESSIONS)
            write("queue.js", "setInterval(() => {}, 100)")
            for name in ("app.data", "deps_cache_v2"):
                sqlite3.connect(name).execute("create table t (a)")
            for store in ("redis-server", "mosquitto"):
                run("cp", PLAIN, store).ok()
            begin_program(PLAIN, 8000, "--loopback")
            wait_listened(8000)
        while (at := len(self.begun)) <= number or (
                at <= number + 4 and at < len(REAL) and REAL[at][-1] is not nightly):
            self.begun.append(begin_row(at))
        self.begun[number]()


@pytest.mark.parametrize("transport, warns", (("polling", True), ("websocket", False)))
def test_sessions_of_socket_io_that_one_copy_alone_knows(transport, warns):
    if not os.path.isdir(MODULES):
        pytest.skip("no socket.io here (scripts/setup)")
    write("polled.js", POLLED)
    said = Doctor(f"-- env NODE_PATH={MODULES} node polled.js 8000 {transport}", options=()).end()
    assert ("does not know a session that another has begun by polling" in said) == warns


def test_as_text_each_fact_is_a_line_and_the_last_one_can_be_copied():
    doctor = Doctor("-- python3 -m http.server --bind 127.0.0.1 8000", options=())
    said = doctor.end()
    assert read(doctor.err) == "" and "Serving HTTP" not in said  # what it prints is no news
    for pattern in ("^note  listening +listening on tcp:127.0.0.1:8000, opened by doctor.0$",
                    "^ok    second copy .*ready after",
                    "^ok    shared .*tcp:127.0.0.1:8000, one socket",
                    "^ok    copies .*will work", "^note  SIGTERM .*killed by SIGTERM .*SIGINT alone",
                    "^note  request in flight .*cut by SIGTERM"):
        assert re.search(pattern, said, re.M), pattern
    assert "{slot" not in said  # the socket on trial, which it does not take, is no first one
    assert said.endswith("\nnclust -n auto -- python3 -m http.server --bind 127.0.0.1 8000\n")
    assert nothing_is_left()


def test_a_second_port_on_loopback_that_copies_share():
    write("admin.py", """
import socket, time
first = socket.create_server(("127.0.0.1", 8000))
admin = socket.create_server(("127.0.0.1", 9293))
time.sleep(1000)""")
    said = Doctor("-- python3 admin.py", options=()).end()
    assert re.search("^ok    shared .*tcp:127.0.0.1:8000, one socket$", said, re.M)
    assert re.search("^note  listening .*tcp:127.0.0.1:9293 is shared: each request reaches any worker; "
                     ".*{slot\\+9293}", said, re.M)


def test_as_an_ordinary_user_in_tmp_where_there_is_no_better_place():
    need_root()
    doctor = Doctor(f"-- {PLAIN} 8000 --loopback", under=(
        *AS_NOBODY, "env", f"NCLUST_RUNTIME_DIR={path('none')}"))
    place = wait(lambda: re.search(r"/tmp/nclust-doctor-\w+", "".join(map(command, living()))))
    check(doctor.told(), {"sockets.0.shared": "same"})
    assert not os.path.exists("none") and not os.path.exists(place.group())
    assert nothing_is_left()
