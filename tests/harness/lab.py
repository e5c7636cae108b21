# SPDX-License-Identifier: MIT
"""What a test has: its directory, its processes, and ways to wait for something."""
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest

CHECKOUT = str(pathlib.Path(__file__).resolve().parents[2])
SRC = "/run/src"  # the same, in a sandbox
# A factor on all bounds, for builds that are slow.
PATIENCE = float(os.environ.get("PATIENCE", 1))
# Nothing that a test waits for takes that long, unless it never comes.
BOUND = 120 * PATIENCE

dir = None  # the test's own directory
started = []  # processes: subprocess.Popen
instances = []  # of nclust, also those that have ended
clock = None  # of those whose time the test moves

# nclust runs under sanitizers: their reports are failures.
SANITIZED = "SANITIZED" in os.environ

# What the caller has must not reach nclust.
FOREIGN = ("NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "WATCHDOG_USEC",
           "WATCHDOG_PID", "NCLUST_SOCKET", "NODE_OPTIONS", "NODE_CHANNEL_FD")
for ignored in (signal.SIGHUP, signal.SIGQUIT):  # by nohup(1), or below a shell's `&`
    signal.signal(ignored, signal.SIG_DFL)


def begin(directory):
    """A sandbox begins, in this process; it has that directory."""
    global dir
    dir = directory
    os.chdir(dir)
    os.mkdir("run", 0o755)
    for name in FOREIGN:
        os.environ.pop(name, None)
    # a version manager's python3 takes ten times as long to start as the system's
    os.environ["PATH"] = "/usr/bin:" + os.environ["PATH"]
    os.environ["NCLUST_RUNTIME_DIR"] = f"{dir}/run"
    os.environ["COLUMNS"] = "2000"  # a sentence is looked for in one line
    os.environ["LC_ALL"] = "C.UTF-8"
    if PATIENCE > 1:
        os.environ["FIXTURE_LIFE"] = f"{600 * PATIENCE:.0f}"


def begin_item(leaks):
    if not SANITIZED:
        return
    os.makedirs(path("sanitizer"), exist_ok=True)
    os.chmod(path("sanitizer"), 0o1777)  # processes of other users write there, too
    # its own limit of core files would be that of all workers
    os.environ["ASAN_OPTIONS"] = (
        f"detect_leaks={0 if leaks else 1}:disable_coredump=0:log_path={dir}/sanitizer/of")
    os.environ["UBSAN_OPTIONS"] = f"print_stacktrace=1:log_path={dir}/sanitizer/of"


def end():
    for instance in instances:
        instance.end()
    for instance in instances if SANITIZED else ():
        try:  # leaks are looked for at the end of a process
            instance.process.wait(30 * PATIENCE)
        except subprocess.TimeoutExpired:
            pass


def sanitizer_says():
    if not SANITIZED:
        return ""
    found = [read(f"sanitizer/{name}") for name in os.listdir(path("sanitizer"))]
    for name in os.listdir(dir):
        if name.endswith(".log"):  # of processes without an environment
            at = re.search(r"ERROR: \w*Sanitizer|^\S+\.[ch]:[\d:]* runtime error:", read(name), re.M)
            found += [read(name)[at.start():][:4000]] if at else []
    return "\n".join(found)


def path(name=""):
    """A file of the test's directory, which need not be there."""
    return os.path.join(dir, name) if name else dir


def write(name, text, mode=None):
    """Make that file; returns its path."""
    to = path(name)
    os.makedirs(os.path.dirname(to), exist_ok=True)
    with open(to, "w") as f:
        f.write(text)
    if mode is not None:
        os.chmod(to, mode)
    return to


def read(name):
    """Its text; "" if it is not there (yet)."""
    try:
        with open(path(name), errors="surrogateescape") as f:
            return f.read()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def make(name, owner=0, mode=0o755):
    """That directory; returns its path."""
    os.mkdir(path(name))
    os.chmod(path(name), mode)
    if owner:
        os.chown(path(name), owner, owner)
    return path(name)


def lines(name):
    return read(name).splitlines()


def edit(name, old, new):
    """Put a text in the place of another one, which that file has."""
    text = read(name)
    assert old in text, f"not in {name}: {old}\n{text}"
    write(name, text.replace(old, new))


class Gate:
    """Fixtures wait for this file (--until); nclust replaces {slot} in a command."""

    def __init__(self, name="gate"):
        self.path = path(name)

    def __str__(self):
        return self.path

    def open(self, slot=None):
        write(self.path if slot is None else self.path.replace("{slot}", str(slot)), "")


def wait(holds, what="", bound=BOUND):
    """Until `holds` returns something true, which is returned.  For what comes and stays:
    wait for an event if it may pass."""
    end = time.monotonic() + bound
    pause = 0.002
    while True:
        got = holds()
        if got:
            return got
        if time.monotonic() > end:
            pytest.fail(f"not within {bound:.0f} s: {what or source(holds)}; at last: {got!r}")
        time.sleep(pause)
        pause = min(2 * pause, 0.05)


def source(function):
    code = function.__code__
    return f"{os.path.basename(code.co_filename)}:{code.co_firstlineno}"


def need_root():
    if os.geteuid() != 0:
        pytest.skip("needs root")


def package_of(library):
    """By what name this release's packages have it."""
    said = run("dpkg", "-S", f"*/{os.path.basename(library)}").ok()
    return said.partition(":")[0]


def kernel():
    return tuple(int(n) for n in re.findall(r"\d+", os.uname().release)[:2])


def need_moved_queues():
    """Connections that wait in the socket of a worker that is gone are moved to another one."""
    if kernel() < (5, 14):
        pytest.skip("no queue is moved before Linux 5.14")


def need_multipath_tcp():
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_MPTCP).close()
    except OSError:
        pytest.skip("a kernel without multipath TCP")


def need(program):
    """It must be there: scripts/setup installs it."""
    found = shutil.which(program)
    assert found, f"no {program} here: scripts/setup installs it"
    return found


# ---- programs ----

def begin_program(*command, **options):
    """A process in the background, which ends with the test.  stdout="name": to that file."""
    options.setdefault("stdin", subprocess.DEVNULL)
    for stream in ("stdout", "stderr"):
        if isinstance(options.get(stream), str):
            options[stream] = open(path(options[stream]), "wb")
    process = subprocess.Popen([str(word) for word in command], **options)
    started.append(process)
    return process


class Result:
    """How a command has ended, and what it said."""

    def __init__(self, command, status, out, err):
        self.command, self.status, self.out, self.err = command, status, out, err

    def __repr__(self):
        return f"{' '.join(self.command)}: exit {self.status}\n{self.out}{self.err}"

    def ok(self):
        assert self.status == 0, repr(self)
        return self.out

    def fails(self, status, *says):
        """It has ended so, and says these on stderr."""
        assert self.status == status, repr(self)
        for text in says:
            assert text in self.err, f"not said: {text}\n{self!r}"
        return self


def run(*command, bound=BOUND, **options):
    """Run a command to its end; its status is 128 + the signal that killed it."""
    command = [str(word) for word in command]
    options.setdefault("stdin", subprocess.DEVNULL)
    options.setdefault("stdout", subprocess.PIPE)
    options.setdefault("stderr", subprocess.PIPE)
    try:
        done = subprocess.run(command, text=True, errors="surrogateescape",
                              timeout=bound, **options)
    except subprocess.TimeoutExpired as late:
        pytest.fail(f"not over within {bound:.0f} s: {' '.join(command)}\n{late.stderr}")
    status = done.returncode if done.returncode >= 0 else 128 - done.returncode
    return Result(command, status, done.stdout or "", done.stderr or "")


# What a program of an ordinary user's is started under.
AS_NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


# ---- processes ----

def stat(pid):
    """The fields of /proc/PID/stat from the state on (field 3 of proc(5)); [] if it is gone."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rpartition(") ")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def state(pid):
    """R, S, D, T, Z ...; "gone"."""
    fields = stat(pid)
    return fields[0] if fields else "gone"


def is_alive(pid):
    return state(pid) not in ("gone", "Z", "X")


def is_gone(pid):
    return not is_alive(pid)


def kill(pid, number=signal.SIGKILL):
    """A signal; after SIGSTOP it does nothing more when this returns."""
    os.kill(pid, number)
    if number == signal.SIGSTOP:
        wait(lambda: state(pid) in ("T", "t", "D", "Z", "X", "gone"), f"{pid} is stopped")


def wait_gone(*pids):
    wait(lambda: all(map(is_gone, pids)), f"the end of {pids}")


def pids():
    """All processes of this test but those that run it."""
    own = {1, os.getpid()}
    return [int(p) for p in os.listdir("/proc") if p.isdigit() and int(p) not in own]


def living():
    return [p for p in pids() if is_alive(p)]


def session(pid):
    """All processes of that session that are not gone."""
    return [p for p in pids() if stat(p)[3:4] == [str(pid)]]


def command(pid):
    try:
        with open(f"/proc/{pid}/cmdline") as f:
            return f.read().replace("\0", " ").strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def environment(pid):
    """{} if it is gone."""
    try:
        with open(f"/proc/{pid}/environ", errors="surrogateescape") as f:
            text = f.read()
    except (FileNotFoundError, ProcessLookupError):
        text = ""
    return dict(v.split("=", 1) for v in text.split("\0") if "=" in v)


def descriptors(pid):
    """Number -> what it is; {} if it is gone."""
    found = {}
    try:
        numbers = os.listdir(f"/proc/{pid}/fd")
    except (FileNotFoundError, ProcessLookupError):
        numbers = []
    for number in numbers:
        try:
            found[int(number)] = os.readlink(f"/proc/{pid}/fd/{number}")
        except (FileNotFoundError, PermissionError):  # closed; or it is gone
            pass
    return found


def is_stopped(pid):
    try:
        return all(stat(f"{pid}/task/{t}")[:1] in (["T"], ["t"], [])
                   for t in os.listdir(f"/proc/{pid}/task"))
    except (FileNotFoundError, ProcessLookupError):
        return True


# poll, epoll_wait, epoll_pwait: which argument is how many milliseconds they wait
WAITS = {7: 3, 232: 4, 281: 4}
FUTEX = 202
IO_URING_SETUP = 425  # what the kernel's thread for a ring shows


def waits(thread, seconds):
    """Does it wait for an event, and for that time at least?"""
    call = read(f"/proc/{thread}/syscall").split()
    if call[:1] == [str(IO_URING_SETUP)]:
        return True
    if call[:1] == [str(FUTEX)]:
        return int(call[4], 16) == 0
    if not call or not call[0].isdigit() or int(call[0]) not in WAITS:
        return False
    timeout = int(call[WAITS[int(call[0])]], 16) & 0xffffffff
    return timeout > seconds * 1000


def rests(pid, seconds=1e5):
    """Is none of its threads going to wake up by itself, or not before so many seconds?  (A
    timer of ten years is none.)"""
    if os.uname().machine != "x86_64":
        pytest.skip("the numbers of system calls here are not known")
    return all(waits(f"{pid}/task/{t}", seconds) for t in os.listdir(f"/proc/{pid}/task"))


def freeze(*leaders):
    """Stop these workers, with all processes of theirs."""
    for pid in leaders:
        os.killpg(pid, signal.SIGSTOP)
    # one that has ended is not reaped by a parent that is stopped
    wait(lambda: all(is_stopped(p) or is_gone(p) for leader in leaders for p in session(leader)))


def thaw(*leaders):
    for pid in leaders:
        os.killpg(pid, signal.SIGCONT)


# ---- a failure ----

def tail(text, count):
    return "\n".join(text.splitlines()[-count:])


def show_logs(directory):
    found = []
    for name in sorted(os.listdir(directory)):
        if name.endswith(".log"):
            with open(os.path.join(directory, name), errors="replace") as f:
                found.append(f"--- {name}\n{tail(f.read(), 100)}")
    return "\n".join(found)


def show(sections):
    """What a failed test is judged by."""
    sections.append(("logs", show_logs(dir)))
    for instance in instances:
        for title, text in instance.show():
            sections.append((f"{instance.name}: {title}", text))
