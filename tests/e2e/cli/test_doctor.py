# SPDX-License-Identifier: MIT
"""`nclust doctor`: what this machine allows, and what nclust makes of it.  (With a command:
test_trial.py.)"""
import json
import re

from harness import *


def facts(*under, **options):
    """Name -> mark, what was found, and what nclust does."""
    said = run(*under, inside(PROGRAM), "doctor", "--json", **options).out
    assert said.count("\n") == 1
    return {f["name"]: f"{f['mark']} {f['found']}; {f['does']}" for f in json.loads(said)["facts"]}


def test_doctor_tells_of_kernel_cpus_limits_privileges_and_directory():
    said = nclust("doctor").ok()
    for text in (os.uname().release, "CPU", "CAP_KILL", path("run")):
        assert text in said
    assert re.search(f"accept queue.*{read('/proc/sys/net/core/somaxconn').strip()}", said)
    # a program that reads it gets no escape sequences
    assert "\033" not in said
    assert os.uname().release in facts()["kernel"]


def test_doctor_sees_the_cpus_that_it_may_use():
    cpu = min(os.sched_getaffinity(0))
    assert ", 1 allowed by affinity" in facts("taskset", "-c", cpu)["CPUs"]


def test_doctor_runs_as_an_ordinary_user_and_without_proc():
    need_root()
    under = (*AS_NOBODY, "env", f"NCLUST_RUNTIME_DIR={make('theirs', 65534, 0o700)}")
    run(*under, inside(PROGRAM), "doctor").ok()
    theirs = facts(*under)
    assert "uid 65534" in theirs["user"]
    assert re.search("^ok .*set-user-ID programs gain nothing.*intercept = off", theirs["seccomp notify"])
    assert "/proc" in facts("unshare", "-m", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"',
                            "-")


def test_doctor_exits_1_where_nclust_could_not_run_and_says_why():
    os.chmod("run", 0o777)
    said = nclust("doctor")
    assert said.status == 1 and "chmod go-w" in said.out


@pytest.mark.parametrize("kind, wanted", (
    (None, {"taking over ports": "ok works, with the sockets that the servers make",
            "seccomp notify": "ok works", "pidfd_getfd": "ok works", "process_vm_readv": "ok works",
            "ptrace_scope": "", "CAP_SYS_PTRACE": ""}),
    ("docker", {"taking over ports": "note each server gets a socket",
                "pidfd_getfd": "note refused.*--cap-add SYS_PTRACE", "CAP_SYS_PTRACE": ".*not held",
                "seccomp notify": "ok works, with no_new_privs"}),
    ("unnotified", {"taking over ports": "warn not possible.*LISTEN_FDS",
                "seccomp notify": "note missing.*sandbox"}),
    ("stacked", {"taking over ports": "warn not by this nclust",
                 "seccomp notify": "note in use"})))
def test_doctor_tells_how_ports_can_be_taken_over(kind, wanted):
    if kind == "docker":
        need_root()
    got = facts(*(() if kind is None else (fixture("confine"), kind, "--")))
    for name, pattern in wanted.items():
        assert re.match(pattern, got[name])
