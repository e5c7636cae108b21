# SPDX-License-Identifier: MIT
"""Whichever system call fails while nclust starts, takes over or replaces itself: it goes on,
or ends with a sentence, and the next nclust has the same workers and no others.

The calls are those that an undisturbed run has made on this machine.  Some of them are tried
here, and all in make nightly; FAULT="read EIO 16" tries that one."""
from harness import *
from harness.trace import Trace, calls, injection, traced

# What each fails with; others with EINVAL.
ERRORS = dict(zip(*[iter("""
    accept4 EMFILE access EACCES bind EADDRINUSE bpf EPERM clone EAGAIN clone3 EAGAIN
    connect ECONNREFUSED dup EMFILE dup2 EMFILE dup3 EMFILE epoll_create1 EMFILE
    epoll_ctl ENOMEM epoll_pwait EINTR epoll_wait EINTR eventfd2 EMFILE faccessat EACCES
    faccessat2 EACCES fallocate ENOSPC fcntl EMFILE flock ENOLCK fork EAGAIN fstat EIO
    ftruncate EIO getdents64 EIO getrandom EAGAIN inotify_add_watch ENOSPC inotify_init1 EMFILE
    memfd_create EMFILE mkdirat EROFS mmap ENOMEM newfstatat EACCES open EMFILE openat EMFILE
    pidfd_getfd EPERM pidfd_open EMFILE pipe2 EMFILE poll ENOMEM prctl EPERM pread64 EIO
    process_vm_readv EPERM pwrite64 EIO read EIO readlink EACCES readlinkat EACCES recvmsg EIO
    renameat ENOSPC seccomp EPERM sendmsg EPIPE setsockopt EPERM signalfd4 EMFILE socket EMFILE
    socketpair EMFILE timerfd_create EMFILE unlinkat EPERM vfork EAGAIN write EIO""".split())] * 2))
# They cannot fail, or nobody could do anything about it.
NEVER = set("""arch_prctl brk close execve exit_group futex getegid geteuid getgid getpgid getpgrp
    getpid getppid getresgid getresuid getsid gettid getuid kill madvise mprotect munmap
    restart_syscall rseq rt_sigaction rt_sigprocmask rt_sigreturn set_robust_list
    set_tid_address umask exit clock_nanosleep getpriority""".split())
if os.environ.get("SANITIZED"):
    NEVER.add("mmap")  # a sanitizer gets its own memory by it, and ends without
PARTS = ["some", *(pytest.param(n, marks=pytest.mark.nightly) for n in range(4))]


def arguments():
    return (f"-n 3 -l 8000 -l unix:{path('socket')} --orphans keep --ready notify --log prefix "
            "--intercept off", SERVE, "--notify")


def clean(pids=None):
    """The next one, undisturbed, has these workers and no others."""
    it = cluster(*arguments())
    serving = [p for p in living() if command(p).startswith(SERVE)]
    assert sorted(it.pids()) == serving == (pids or serving)
    assert len(serving) == 3 and os.path.exists("socket")
    return it


def faults(part, trace="trace", begun=False):
    """(call, error, when): those of a trace, from main() on, that are to be tried."""
    if os.environ.get("FAULT"):
        return [os.environ["FAULT"].split()]
    found = []
    for name, n, _ in calls(trace):
        begun = begun or name == "geteuid"
        if begun and name not in NEVER:
            found.append((name, ERRORS.get(name, "EINVAL"), n))
    assert len(found) > 50
    return found[len(found) // 20::len(found) // 10] if part == "some" else found[part::4]


def inject(call, error, when):
    return injection(call, f"error={error}", when)


def answers_or_has_ended(it):
    try:
        return it.connect().call("status") or it.process.poll() is not None
    except (OSError, Closed, AttributeError):  # a fault may have this client refused
        return it.process.poll() is not None


def goes_on_or_says_why(it):
    wait(lambda: answers_or_has_ended(it))
    if it.process.poll() is None:
        it.kill()
    else:
        assert it.log(), "it has ended without a word"
        assert 0 < it.process.returncode < 128


@pytest.mark.leaks
@pytest.mark.parametrize("part", PARTS)
def test_whatever_call_fails_while_it_takes_over_the_next_one_takes_over(part):
    it = clean()
    pids = sorted(it.pids())
    it.kill()
    cluster(*arguments(), under=traced()).kill()
    for fault in faults(part):
        print("FAULT=", *fault)
        goes_on_or_says_why(launch(*arguments(), under=traced(*inject(*fault), to="fault")))
        clean(pids).kill()


@pytest.mark.leaks
@pytest.mark.parametrize("part", PARTS)
def test_whatever_call_fails_while_it_starts_the_next_one_starts(part):
    cluster(*arguments(), under=traced()).stop()
    for fault in faults(part):
        print("FAULT=", *fault)
        goes_on_or_says_why(launch(*arguments(), under=traced(*inject(*fault), to="fault")))
        it = clean()
        it.call("stop", now=True)
        it.exit()


@pytest.mark.leaks
def test_without_its_own_binary_there_is_no_keeper_and_it_does_not_start():
    it = launch(*arguments(), under=traced("-P", "/proc/self/exe", *inject("openat", "EMFILE", 1)))
    it.logged("cannot open /proc/self/exe: Too many open files")
    assert it.exit() > 0
    wait(lambda: living() == [])  # strace ends a moment after it


@pytest.mark.leaks
@pytest.mark.parametrize("part", PARTS)
def test_whatever_call_fails_in_an_upgrade_the_workers_are_there_after_it(part):
    it = clean()
    pids = sorted(it.pids())
    trace = Trace(it.pid, to="whole")
    it.call("upgrade")
    trace.end()
    # who is ready is known without the file that says so
    states = [n for name, n, line in calls("whole") if name == "openat" and '"state", O_' in line]
    extra = [("openat", "EMFILE", n) for n in states if part == "some"]
    for fault in (*extra, *faults(part, "whole", begun=True)):
        print("FAULT=", *fault)
        trace = Trace(it.pid, *inject(*fault), to="fault")
        it.verb("upgrade")
        trace.end()
        if is_alive(it.pid):
            it.forget()
            assert sorted(it.wait_there().pids()) == pids
            it.kill()
        if fault[0] != "mmap":  # the dynamic loader cannot go on without
            assert it.process.poll() in (None, 0, -SIGKILL) or it.process.poll() > 0
        it.forget()
        it = clean(pids)


def test_a_client_that_cannot_be_watched_is_not_left_waiting():
    it = cluster(*arguments(), clock=True)  # nothing else is begun while time stands
    trace = Trace(it.pid, *injection("epoll_ctl", "error=ENOMEM"))
    try:
        control = it.connect()
        control.call("status")
    except (Closed, OSError):
        pass  # it is refused
    assert "INJECTED" in trace.end()
    it.verb("status").ok()
