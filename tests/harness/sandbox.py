# SPDX-License-Identifier: MIT
"""A pytest plugin: each test runs in a process of its own, with its own network, process,
IPC and mount namespaces, and with a directory of its own.

A test may therefore use any port and any instance name, count processes and sockets, and
leave processes behind: all of them end with it.  Tests of one class that is marked
`@pytest.mark.shared` share these, and so can share an instance.

As root the namespaces are those of the machine's users.  Other users need user namespaces
(sysctl kernel.unprivileged_userns_clone).
"""
import ctypes
import faulthandler
import fcntl
import json
import os
import select
import shutil
import signal
import socket
import struct
import sys
import tempfile
import time

import pytest
from _pytest.runner import runtestprotocol

from . import lab

NEWNS, NEWIPC, NEWUSER, NEWPID, NEWNET = (
    0x20000, 0x8000000, 0x10000000, 0x20000000, 0x40000000)
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
SIOCSIFFLAGS, IFF_UP, IFF_RUNNING = 0x8914, 0x1, 0x40
# A whole test, with its set-up: bounds what hangs in spite of the bounds of all waits.
WHOLE = 600 * lab.PATIENCE

libc = ctypes.CDLL(None, use_errno=True)
sandbox = pytest.StashKey()


def check(result, what):
    if result == -1:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")


def mount(source, target, kind, flags, data=None):
    check(libc.mount(source, target, kind, flags, data), f"mount {target.decode()}")


def become_mapped(uid, gid):
    """In a new user namespace: the same user as before."""
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"),
                       ("gid_map", f"{gid} {gid} 1")):
        with open(f"/proc/self/{name}", "w") as f:
            f.write(text)


def enter():
    """In the first process of a new process namespace: all else that is new."""
    check(libc.unshare(NEWNS | NEWIPC | NEWNET), "unshare")
    mount(None, b"/", None, MS_REC | MS_PRIVATE)
    mount(b"proc", b"/proc", b"proc", 0)
    mount(b"tmpfs", b"/run", b"tmpfs", 0, b"mode=755")
    mount(b"tmpfs", b"/dev/shm", b"tmpfs", 0, b"mode=1777")
    # Programs of other users find the checkout there, also where it is below /root.
    os.mkdir(lab.SRC, 0o755)
    mount(os.fsencode(lab.CHECKOUT), os.fsencode(lab.SRC), None, MS_BIND)
    # The next network has a table of connections of its own, which is small: to read
    # /proc/net/tcp takes 15 ms where that is the machine's.  (Linux 6.1)
    try:
        with open("/proc/sys/net/ipv4/tcp_child_ehash_entries", "w") as f:
            f.write("1024")
    except OSError:
        pass
    check(libc.unshare(NEWNET), "unshare")
    with socket.socket() as s:
        fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP | IFF_RUNNING))


def be_init(runner):
    """Reap what is left to process 1, and end with the runner: then all others end, too."""
    while True:
        pid, status = os.wait()
        if pid == runner:
            os._exit(os.waitstatus_to_exitcode(status) & 0xff)


class Sandbox:
    """The processes of a test, or of a class of them; `run` has them carry out an item."""

    def __init__(self, session):
        self.session = session
        self.dir = tempfile.mkdtemp(prefix="nclust-test.", dir="/tmp")
        os.chmod(self.dir, 0o755)
        to_runner, self.orders = os.pipe()
        self.reports, to_us = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = self.fork_first()
        if self.pid == 0:
            status = 1
            try:
                os.close(self.orders)
                os.close(self.reports)
                self.be_first(to_runner, to_us)
                status = 0
            except BaseException as error:  # nobody else hears of it
                os.write(2, f"sandbox: {error!r}\n".encode())
            finally:
                os._exit(status)
        os.close(to_runner)
        os.close(to_us)

    def fork_first(self):
        if os.geteuid() != 0:
            return os.fork()
        with open("/proc/self/ns/pid") as own:
            check(libc.unshare(NEWPID), "unshare")
            pid = os.fork()
            if pid != 0:
                check(libc.setns(own.fileno(), NEWPID), "setns")
        return pid

    def be_first(self, orders, reports):
        if os.geteuid() != 0:
            uid, gid = os.geteuid(), os.getegid()
            check(libc.unshare(NEWUSER | NEWPID), "unshare (user namespaces)")
            become_mapped(uid, gid)
            pid = os.fork()
            if pid != 0:
                os.waitpid(pid, 0)
                return
        libc.prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
        enter()
        runner = os.fork()
        if runner != 0:
            os.close(orders)
            os.close(reports)
            be_init(runner)
        if os.geteuid() != 0:
            drop_capabilities()
        lab.begin(self.dir)
        self.carry_out(os.fdopen(orders), os.fdopen(reports, "w"))

    def carry_out(self, orders, reports):
        """The runner: one item after the other, as many as are ordered."""
        for order in orders:
            order = json.loads(order)
            item = self.session.items[order["item"]]
            following = None if order["next"] is None else self.session.items[order["next"]]
            lab.begin_item(leaks=item.get_closest_marker("leaks") is not None)
            to_json = item.config.hook.pytest_report_to_serializable
            got = runtestprotocol(item, log=False, nextitem=following)
            if following is None:
                lab.end()
                if found := lab.sanitizer_says():
                    got.append(self.crash(item, found))
            got = [to_json(config=item.config, report=r) for r in got]
            reports.write(json.dumps(got) + "\n")
            reports.flush()

    def run(self, item, following):
        """The reports of an item; `following`: the next one is to be run in here, too."""
        index = self.session.items.index
        order = {"item": index(item), "next": following and index(following)}
        text = b""
        end = time.monotonic() + WHOLE
        try:
            os.write(self.orders, json.dumps(order).encode() + b"\n")
        except BrokenPipeError:
            pass
        while not text.endswith(b"\n"):
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.reports], [], [], left)[0]:
                return [self.crash(item, f"it has not ended in {WHOLE} s")]
            piece = os.read(self.reports, 1 << 20)
            if piece == b"":
                return [self.crash(item, "its process has ended")]
            text += piece
        from_json = item.config.hook.pytest_report_from_serializable
        reports = [from_json(config=item.config, data=r) for r in json.loads(text)]
        for report in reports:  # JSON has no tuples
            if isinstance(report.longrepr, list):
                report.longrepr = tuple(report.longrepr)
        return reports

    def crash(self, item, why):
        text = f"{item.nodeid}: {why}\n{lab.show_logs(self.dir)}"
        call = pytest.CallInfo.from_call(lambda: pytest.fail(text, pytrace=False), "call")
        return item.ihook.pytest_runtest_makereport(item=item, call=call)

    def end(self):
        os.close(self.orders)
        os.close(self.reports)
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        os.waitpid(self.pid, 0)
        shutil.rmtree(self.dir, ignore_errors=True)


def drop_capabilities():
    """All that the user namespace has given: what runs in it is an ordinary user's."""
    header = struct.pack("Ii", 0x20080522, 0)
    check(libc.capset(header, struct.pack("6I", 0, 0, 0, 0, 0, 0)), "capset")


def is_shared(item):
    return item.cls is not None and item.get_closest_marker("shared") is not None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    stash = item.session.stash
    box = stash.get(sandbox, None) or Sandbox(item.session)
    stays = nextitem is not None and is_shared(item) and nextitem.cls is item.cls
    for report in box.run(item, nextitem if stays else None):
        item.ihook.pytest_runtest_logreport(report=report)
    if stays:
        stash[sandbox] = box
    else:
        stash[sandbox] = None
        box.end()
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed and lab.dir is not None:
        lab.show(report.sections)


def pytest_configure(config):
    config.addinivalue_line("markers", "shared: the tests of this class share a sandbox")
    config.addinivalue_line("markers", "leaks: no leak is looked for (scripts/run asan)")
    config.addinivalue_line("markers", "unsanitized: not for scripts/run asan")
    config.addinivalue_line("markers", "nightly: not in scripts/check, but in make nightly")
    faulthandler.enable()


@pytest.hookimpl(tryfirst=True)  # xdist looks at the groups
def pytest_collection_modifyitems(items):
    for item in items:
        if lab.SANITIZED and item.get_closest_marker("unsanitized"):
            item.add_marker(pytest.mark.skip("not with a sanitizer"))
        if is_shared(item):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.rpartition("::")[0]))
