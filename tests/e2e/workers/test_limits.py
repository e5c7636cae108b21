# SPDX-License-Identifier: MIT
"""`memory-max`, `pids-max` and their like: a cgroup for each worker."""
import re

from harness import *
from harness.trace import Trace

EAT = fixture("eat-memory")


def test_a_worker_is_born_in_a_group_with_its_limits_as_which_user_ever(make_group):
    group = make_group("memory", "cpu", "pids")
    it = cluster("-n 2 --ready notify --user daemon --memory-max 64M --cpu-max 150% "
                 "--cpu-weight 300 --pids-max 40", "sh", "-c",
                 'cat /proc/self/cgroup >&2; exec "$0" --notify', HEAR, under=group.under)
    for slot in (0, 1):
        pid = it.worker(slot).pid
        assert f"/{group.name}/nclust@it@it/{slot}." in group.of(pid)
        # the shell that was the worker's first program was inside
        assert read(f"/proc/{pid}/cgroup") in it.log()
        assert group.limit("memory-max", pid) == f"{64 << 20}"
        assert group.limit("cpu-max", pid).split()[0] == "150000"
        assert group.limit("pids-max", pid) == "40"
        assert group.limit("cpu-weight", pid, up=1) == "300"
        use = it.worker(slot).cgroup
        assert use.processes >= 1 and use.memory_bytes > 0
    it.stop()
    assert not any(name.startswith("nclust@") for name in os.listdir(group.at))


def test_a_worker_over_memory_max_is_killed_alone_and_that_is_what_is_told(make_group):
    gate = Gate()
    it = cluster("-n 2 --ready notify --memory-max 32M", "sh", "-c", """
        [ "$NCLUST_SLOT" -eq 0 ] && mkdir "$2" && exec "$0/eat-memory" 200 --notify --after "$1"
        exec "$0/hear" --notify""", fixture(""), gate, path("fat"), under=make_group("memory").under)
    sibling = it.worker(1).pid
    gate.open()
    exited = it.event("exited", slot=0)
    assert (exited.why, exited.exit) == ("out-of-memory", "SIGKILL, out of memory")
    assert "it needs more than memory-max, 32 MiB" in exited.cause
    it.event("ready", slot=0, n=2)
    assert it.worker(0).last_exit.text == "SIGKILL, out of memory"
    assert "memory-max, 32 MiB" in it.worker(0).last_failure.cause
    assert it.worker(1).pid == sibling
    kill(sibling)  # is not told as memory
    assert it.event("exited", slot=1).exit == "killed by SIGKILL"


def test_a_program_over_memory_max_in_a_shell_is_told_as_that(make_group):
    gate = Gate()
    it = cluster("-n 1 --ready alive:1ms --memory-max 32M", "sh", "-c",
                 '"$0" 200 --after "$1"; exit', EAT, gate, under=make_group("memory").under)
    gate.open()
    assert "memory-max, 32 MiB" in it.event("exited").cause


def test_nclust_lives_on_where_memory_max_is_too_little_for_an_exec(make_group):
    # until the exec the child's memory is that of nclust
    it = start("-n 1 --ready notify --memory-max 1M", HEAR, "--notify",
               under=make_group("memory").under,
               env={f"LONG_{i}": "0" * 120000 for i in range(10)})
    exited = it.event("exited")
    assert exited.exit == "SIGKILL, out of memory"
    assert "memory-max, 1 MiB" in exited.cause
    it.status()


def test_forks_over_pids_max_are_refused_and_told_at_its_end(make_group):
    os.mkfifo("go")
    it = cluster("-n 1 --ready alive:1ms --pids-max 3", "sh", "-c",
                 'read _ <"$0"; for i in 1 2 3 4; do sleep 1000 & done; wait', path("go"),
                 under=make_group("pids").under)
    write("go", "\n")
    assert it.event("exited").cause == "it has reached pids-max, 3 processes and threads"


def test_what_a_worker_has_survived_is_not_told_as_the_cause_of_its_end(make_group):
    # a fork was refused, for long enough before the end
    group, limited, ended = make_group("memory", "pids"), Gate("limited"), Gate("ended")
    for slot in range(3):
        os.mkfifo(f"go.{slot}")
    it = start("-n 3 --ready alive:1ms --memory-max 32M --pids-max 4", "sh", "-c", """
        until [ -e "$1" ]; do sleep 0.01; done
        (for i in 1 2 3 4; do "$0/die" --after "$2" & done)
        read _ <"$3"
        case $NCLUST_SLOT in
        0) exit 3 ;;
        1) kill -SEGV $$ ;;
        2) kill -KILL $$ ;;
        esac""", fixture(""), limited, ended, path("go.{slot}"), under=group.under,
               clock=True)
    it.event("started", n=3)
    it.advance(0.01)
    it.wait_ready()
    limited.open()
    it.wait(lambda: all(w.cgroup.forks_refused for w in it.workers()))
    ended.open()
    it.wait(lambda: all(w.cgroup.processes == 1 for w in it.workers()))
    it.advance(3)
    os.unlink(limited.path)  # for those that follow
    for slot, exit_text in enumerate(("exit 3", "killed by SIGSEGV", "killed by SIGKILL")):
        write(f"go.{slot}", "\n")
        exited = it.event("exited", slot=slot)
        assert (exited.exit, exited.get("cause")) == (exit_text, None)
    assert not it.says("out of memory")


# ---- groups come and go ----

def with_pids(group, count=2, options="", **more):
    return cluster(f"-n {count} --ready notify --pids-max 40 {options}", HEAR, "--notify",
                   under=group.under, **more)


def put_into(group, pid):
    write(f"{group}/cgroup.procs", f"{pid}")


def wait_removed(*groups):
    wait(lambda: not any(map(os.path.exists, groups)), f"{groups} are removed")


def test_groups_go_with_their_workers_also_those_in_which_something_is_left(make_group):
    group = make_group("pids")
    it = with_pids(group)
    olds = [group.of(it.worker(slot).pid) for slot in (0, 1)]
    left = []
    for old in olds:
        os.makedirs(f"{old}/a/b")
        os.mkdir(f"{old}/c")
        left.append(begin_program(*NAP))
        put_into(f"{old}/a/b", left[-1].pid)
    assert len(group.left()) == 8
    it.reborn(0)
    wait_removed(olds[0])
    wait_gone(left[0].pid)
    it.call("scale", count=1)
    wait(lambda: len(group.left()) == 1)
    for i in range(600):  # many take more than one look
        os.mkdir(f"{group.of(it.worker(0).pid)}/{i}")
    it.call("scale", count=0)
    wait(lambda: group.left() == [])


def test_what_a_worker_leaves_without_its_name_and_group_ends_with_its_cgroup(make_group):
    # as sudo does: neither the environment nor the session tells whose it is
    group = make_group("memory", "pids")
    it = cluster("-n 1 --ready notify --memory-max 64M --pids-max 40", "sh", "-c", """
        (env -i setsid sh -c 'echo $$ >>"$0"; exec sleep 1000' "$1" &)
        exec "$0" --notify""", HEAR, path("left"), under=group.under)
    pid = it.worker().pid
    old = group.of(pid)
    left = wait(lambda: [int(line) for line in lines("left")])[0]
    kill(pid)
    it.event("ready", n=2)
    wait_removed(old)
    assert is_gone(left)


def test_what_is_left_of_an_earlier_worker_is_not_taken_for_the_new_ones(make_group):
    group = make_group("memory", "pids")
    used, empty = (f"{group.at}/nclust@it@it/0.{n}" for n in (1, 2))
    left = begin_program(*NAP)
    os.makedirs(used)
    os.makedirs(empty)
    put_into(used, left.pid)
    it = with_pids(group, 1, "--memory-max 64M")
    worker = it.worker()
    assert (worker.restarts, worker.cgroup.processes, worker.cgroup.oom_kills) == (0, 1, 0)
    wait_removed(empty)
    kill(left.pid)
    wait_removed(used)


def test_an_upgrade_keeps_the_groups_and_removes_them_later(make_group):
    group = make_group("pids")
    it = with_pids(group)
    pid = it.worker(1).pid
    own = group.of(pid)
    it.call("upgrade")
    assert group.of(pid) == own
    assert it.worker(1).cgroup.processes == 1
    kill(pid)
    it.event("ready", slot=1, n=2)
    wait_removed(own)
    it.stop()
    assert group.left() == []


def test_the_next_nclust_removes_the_groups_of_one_that_was_killed(make_group):
    group = make_group("pids")
    it = with_pids(group, options="--orphans keep")
    pid = it.worker(1).pid
    own = group.of(pid)
    os.mkdir(f"{os.path.dirname(own)}/7.123456")  # of a worker that has ended meanwhile
    it.kill()
    it = with_pids(group, options="--orphans keep")
    assert it.worker(1).pid == pid
    assert group.of(pid) == own
    wait(lambda: len(group.left()) == 2)
    it.stop()
    assert group.left() == []


def test_a_reload_with_another_limit_or_name_replaces_the_workers_and_their_groups(make_group):
    group = make_group("pids")
    it = cluster(ini=section("a", f"{HEAR} --notify", "pids-max = 40"), under=group.under)
    for old, new, limit, name in (("pids-max = 40", "pids-max = 50", "50", "a"),
                                  ("cluster:a", "cluster:b", "50", "b")):
        before = [group.of(pid) for pid in it.pids()]
        it.reload(read("it.ini").replace(old, new))
        wait_removed(*before)
        for pid in it.pids():
            assert f"nclust@it@{name}/" in group.of(pid)
            assert group.limit("pids-max", pid) == limit
        assert len(group.left()) == 2
    it.reload(read("it.ini").replace("pids-max = 50", ""))
    wait(lambda: group.left() == [])


# ---- where they cannot be had ----

def test_without_a_group_of_its_own_nclust_says_what_to_write_and_runs():
    need_root()
    os.chown("run", 65534, 65534)
    it = cluster(ini=section("a", f"{HEAR} --notify", "memory-max = 64M",
                             "pids-max = 40"), under=AS_NOBODY)
    assert it.says("write 'Delegate=yes' under [Service] in its unit")
    assert it.log().count("(memory-max and its like)") == 1
    assert it.worker().get("cgroup") is None
    shown = run(*AS_NOBODY, inside(PROGRAM), "status", "--runtime-directory", path("run")).ok()
    assert "2 workers run without all of the cgroup limits that are set" in shown
    write("it.ini", read("it.ini").replace("pids-max = 40", "pids-max = 50"))
    it.call("reload")  # it is told again after that
    assert it.log().count("(memory-max and its like)") == 2
    assert it.says("(generation 2); not all cgroup limits are in force: 'nclust doctor' says why")


def test_without_such_a_setting_no_start_asks_for_a_cgroup():
    it = cluster("-n 1 --ready notify", HEAR, "--notify")
    # it counts OOM kills of the machine soon after its start
    wait(lambda: re.search(r"/(memory\.events|memory\.oom_control|vmstat)'",
                           repr(descriptors(it.pid))))
    trace = Trace(it.pid, "-f", "-e", "trace=openat,mkdirat,write")
    kill(it.worker().pid, SIGTERM)
    it.event("ready", n=2)
    assert "cgroup" not in trace.end()
