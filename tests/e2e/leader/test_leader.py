# SPDX-License-Identifier: MIT
"""leader = yes: exactly one worker has the lock, whatever ends or is replaced."""
import ctypes
import itertools
import re

from harness import *

INI = """
    [cluster:web]
    workers = 3
    ready = notify
    drain = off
    intercept = off
    command = python3 {} {}"""


def leads(count, options="", *words):
    """Workers that write their number to a journal, all the time, while they lead."""
    if not os.path.exists("journal"):
        write("journal", "", 0o666)
    return cluster(f"-n {count} --leader=yes --ready notify --drain off {options}",
                   "python3", server("leads.py"), path("journal"), *words)


def leader(it):
    """Who that is, as the status says."""
    found = it.cluster().leader
    return found and found.pid


def last():
    """Who has written to the journal last."""
    return int((read("journal").rpartition("\n")[0] or "0").split()[-1])


def lead(it, but=None):
    """Wait until somebody leads, who is not `but`, and has said so: its pid."""
    return wait(lambda: (pid := leader(it)) not in (None, but) and pid == last() and pid)


def one_at_a_time():
    """Never did two lead at once: then their lines would be mixed."""
    begun = [line for line in lines("journal") if "begin" in line]
    runs = [who for who, _ in itertools.groupby(x for x in lines("journal") if "begin" not in x)]
    assert len(begun) == len(set(begun))
    assert len(runs) == len(set(runs))


def lock(pid):
    """Its description of the file, and what the kernel says of that."""
    fd = environment(pid)["NCLUST_LEADER_FD"]
    assert fd == "3"
    return os.stat(f"/proc/{pid}/fd/{fd}").st_ino, read(f"/proc/{pid}/fdinfo/{fd}")


# ---- who leads ----

def test_one_of_the_workers_leads_and_status_says_which():
    it = leads(3)
    pid = lead(it)
    assert it.event("leader").pid == pid
    assert re.search(rf"leader it\.\d \(pid {pid}\)", it.verb("status").out)
    # each has a description of its own of the same file: two of them cannot both have it
    locks = [lock(p) for p in it.pids()]
    assert len({inode for inode, _ in locks}) == 1
    assert sum("FLOCK" in info for _, info in locks) == 1
    one_at_a_time()


def test_when_the_leader_is_killed_another_one_leads_and_so_on():
    it = leads(3)
    pid = lead(it)
    for _ in range(4):
        kill(pid)
        pid = lead(it, but=pid)
    one_at_a_time()


def test_a_reload_gives_a_cluster_its_leader_and_takes_it_away():
    write("journal", "", 0o666)
    it = cluster(ini=INI.format(server("leads.py"), path("journal")))
    assert "NCLUST_LEADER_FD" not in environment(it.worker().pid)
    assert "leader" not in it.cluster()
    it.reload(read("it.ini") + "\nleader = yes\n")
    lead(it)
    edit("it.ini", "leader = yes\n", "")
    it.call("reload")
    assert "leader" not in it.cluster()
    assert "leader" not in it.verb("status").out
    one_at_a_time()


# ---- changes ----

def test_in_a_rollout_the_old_leader_leads_until_it_ends_beside_its_successor():
    gate = Gate()
    it = leads(1, "--surge 1", "--linger", gate)
    first = lead(it)
    it.call("restart", no_wait=True)
    it.event("stopping", pid=first)
    assert it.event("ready", n=2).slot == 0
    assert len(it.workers()) == 2 and leader(it) == first
    gate.open()
    assert lead(it, but=first) == it.worker().pid
    one_at_a_time()


def test_restart_upgrade_restart_reload_one_leads_at_any_time():
    write("journal", "", 0o666)
    it = cluster(ini=INI.format(server("leads.py"), path("journal")) + "\n    leader = yes\n")
    pid = lead(it)

    def renewed(method):
        it.call(method)
        now = lead(it, but=pid)
        # one of the old generation that waited may have led in between
        assert next(w for w in it.workers() if w.pid == now).generation == it.cluster().generation
        return now

    pid = renewed("restart")
    it.call("upgrade")
    assert leader(it) == pid
    kill(pid)
    pid = lead(it, but=pid)
    pid = renewed("restart")
    write("it.ini", read("it.ini") + "env = A=b\n")
    renewed("reload")
    one_at_a_time()


@pytest.mark.parametrize("how", ("lock", "message"))
def test_with_orphans_keep_the_leader_leads_on_without_nclust_and_after_it(how):
    options = ("--orphans keep --ipc on", "--message") if how == "message" else ("--orphans keep",)
    it = leads(3, *options)
    first = lead(it)
    it.kill()
    assert is_alive(first)
    it = leads(3, *options)
    assert leader(it) == first  # and is not told again: it would begin twice
    if how == "message":
        kill(first)
        lead(it, but=first)
    else:  # while there is no nclust the kernel alone gives the lock to another
        it.kill()
        kill(first)
        other = wait(lambda: last() != first and last())
        it = leads(3, *options)
        assert leader(it) == other
        it.call("restart")
        lead(it, but=other)
    one_at_a_time()


def test_by_its_keepers_loss_no_second_one_comes_to_lead_beside_an_orphan():
    options = "--orphans keep --intercept off"
    it = leads(2, options)
    first = lead(it)
    kill_keeper_and(it)
    it = leads(2, options)
    it.call("scale", count=4)
    assert leader(it) == last() == first
    kill(first)
    lead(it, but=first)
    one_at_a_time()


def test_of_another_users_orphans_none_is_known_again_and_no_second_one_leads():
    need_root()
    options = "--orphans keep --intercept off --user nobody"
    it = leads(2, options)
    first = lead(it)
    it.kill()
    it = leads(3, options)
    assert leader(it) == first
    # a new worker has the same file, which the keeper held
    assert lock(it.worker(2).pid)[0] == lock(first)[0]
    it.call("scale", count=2)
    kill_keeper_and(it)
    it = leads(2, options)
    assert leader(it) == first
    it.call("scale", count=4)
    kill(first)  # the other orphan has the lock now, which nclust cannot see
    other = wait(lambda: last() != first and last())
    wait(lambda: leader(it) is None)
    assert "no leader" in it.verb("status").out
    kill(other)
    lead(it, but=other)
    one_at_a_time()


# ---- messages ----

def test_a_worker_with_a_message_channel_is_told_that_it_leads():
    it = leads(3, "--ipc on", "--message")
    pid = lead(it)
    it.call("upgrade")
    assert leader(it) == pid
    assert it.log().count("is now the leader") == 1
    told = 1
    while told == 1 or it.cluster().leader.slot != 0:
        kill(pid)  # the next one is told at once, though nobody asks for a status
        wait(lambda: last() != pid)
        pid = lead(it, but=pid)
        told += 1
        it.wait_ready()
    it.call("restart")  # of new ones and old ones it is a new one
    lead(it, but=pid)
    assert it.log().count("is now the leader") == told + 1
    one_at_a_time()


# ---- somebody else has the lock ----

def test_what_the_leader_leaves_behind_does_not_keep_the_lock():
    it = leads(2, "--ipc on", "--message", "--leave")
    pid = lead(it)
    kill(pid)
    wait(lambda: last() != pid)
    one_at_a_time()


@pytest.mark.parametrize("upgraded", (False, True))
def test_while_somebody_else_has_what_the_dead_leader_had_none_leads_then_one_does(upgraded):
    it = leads(2, "--ipc on", "--message")
    pid = lead(it)
    held = ctypes.CDLL(None, use_errno=True).syscall(
        438, os.pidfd_open(pid), int(environment(pid)["NCLUST_LEADER_FD"]), 0)
    assert held != -1, "pidfd_getfd"
    kill(pid)
    it.event("ready", n=3)
    assert leader(it) is None
    if upgraded:
        it.call("upgrade")
        assert leader(it) is None
    os.close(held)
    wait(lambda: last() != pid)  # nobody asks for a status
    one_at_a_time()


def test_that_nobody_can_lead_is_said_once_until_one_can():
    # a description of its own, as no worker has it
    it = cluster("-n 1 --leader=yes --ready notify", "sh", "-c", """
exec 9<>"/proc/self/fd/$NCLUST_LEADER_FD"
flock 9
setsid sleep 1000 &
echo $! >"$0"
exec 9<&-
exec "$1" READY=1""", path("holder"), NOTIFY, clock=True)
    assert leader(it) is None
    for _ in range(100):
        it.advance(0.2)
    assert it.log().count("it: nobody leads, because a process that is no") == 1
    kill(int(read("holder")))
    wait_gone(int(read("holder")))
    it.advance(0.3)
    assert leader(it) == it.worker().pid


# ---- the example ----

@pytest.mark.parametrize("language, port, ready", (
    ("python", 8080, "alive:1ms"), ("node", 8081, "listen")), ids=("python", "node"))
def test_the_example(language, port, ready):
    for name in ("leader.ini", "leader.py", "leader.js"):
        write(name, read(f"{CHECKOUT}/etc/examples/leader/{name}"))
    nclust("config -c leader.ini --check").ok()
    # of the two clusters there, this one
    ini = read("leader.ini")
    write("leader.ini", next(f"[cluster:{part}" for part in ini.split("[cluster:")
                             if part.startswith(language)))
    it = cluster(f"-c leader.ini --log json --ready {ready}")

    def one_leads():
        said = [{get(port=port).body for _ in range(10)} for pid in alone(it)]
        return sorted(map(str, said)) == ["{'leader\\n'}", "{'worker\\n'}", "{'worker\\n'}"]

    wait(lambda: leader(it))
    wait(one_leads)
    old = leader(it)
    kill(old)
    wait(lambda: leader(it) not in (None, old))
    wait(one_leads)


def alone(it):
    """Each worker, while the others stand still."""
    for pid in it.pids():
        others = [p for p in it.pids() if p != pid]
        freeze(*others)
        try:
            yield pid
        finally:
            thaw(*others)
