# SPDX-License-Identifier: MIT
"""`shared-memory`: one segment for all workers of a cluster, and what it outlives."""
import mmap
import re
import shutil
import struct

from harness import *

PAGE = os.sysconf("SC_PAGESIZE")
IDLE = "--ready alive:1ms --bake 0s"


def idle(options, **more):
    """Workers that do nothing but have it."""
    return cluster(f"{IDLE} --shared-memory {options}", *NAP, **more)


class Memory:
    """It, as the worker of that slot has it."""

    def __init__(self, it, slot=0):
        pid = it.worker(slot).pid
        # one that has only just been started may not run its program yet
        wait(lambda: command(pid).startswith(" ".join(NAP)) or "python3" in command(pid))
        self.env = environment(pid)
        self.place = f"/proc/{pid}/fd/{self.env['NCLUST_SHM_FD']}"
        self.size = int(self.env["NCLUST_SHM_SIZE"])
        self.inode = os.stat(self.place).st_ino

    def write(self, text, at=0):
        with open(self.place, "r+b") as f:
            f.seek(at)
            f.write(text)

    def read(self, count, at=0):
        with open(self.place, "rb") as f:
            f.seek(at)
            return f.read(count)


def keeps(it, inode, slots=(0,)):
    """Each of these still has it, with what was written there."""
    assert it.cluster().shared_memory.inode == inode
    for slot in slots:
        memory = Memory(it, slot)
        assert (memory.inode, memory.read(4)) == (inode, b"kept")


def born_again(it, slot=0):
    """Its worker is killed, and has a successor."""
    old = it.worker(slot)
    kill(old.pid)
    wait(lambda: it.worker(slot).restarts > old.restarts and it.worker(slot).pid)
    it.wait_ready()


def begun(options, **more):
    """With something in it: the cluster, and the inode."""
    it = idle(options, **more)
    memory = Memory(it)
    memory.write(b"kept")
    return it, memory.inode


# ---- what a worker gets ----

def test_all_workers_have_one_segment_in_whole_pages_which_keeps_its_size():
    it = idle("5000 -n 2")
    one, other = Memory(it, 0), Memory(it, 1)
    known = it.cluster().shared_memory
    assert one.size == other.size == known.size == -(-5000 // PAGE) * PAGE
    assert one.inode == other.inode == known.inode
    assert one.env["NCLUST_SHM_FD"] == "3"
    assert known.used == 0
    one.write(b"from slot 0", at=100)
    assert other.read(11, at=100) == b"from slot 0"
    assert it.cluster().shared_memory.used == PAGE
    for size in (0, 1 << 20):
        with pytest.raises(PermissionError):
            os.truncate(one.place, size)


def test_its_descriptor_comes_behind_the_sockets_and_the_message_channel():
    it = idle(f"64k -n 1 -l 8000 -l unix:{path('s')} --ipc on")
    env = Memory(it).env
    assert (env["LISTEN_FDS"], env["NCLUST_CHANNEL_FD"], env["NCLUST_SHM_FD"]) == ("2", "5", "6")
    it.stop()
    it = idle(f"64k -n 1 -l unix:{path('s')} --pass stdin")
    assert Memory(it).env["NCLUST_SHM_FD"] == "3"
    assert os.readlink(Memory(it).place).startswith("/memfd:nclust-")


def test_another_user_maps_it_and_writes_by_descriptor_and_by_name():
    need_root()
    it = cluster(f"-n 1 {IDLE} --user nobody --shared-memory 64k", "python3", "-c", """
import mmap, os, time
n = int(os.environ['NCLUST_SHM_FD'])
size = int(os.environ['NCLUST_SHM_SIZE'])
mmap.mmap(n, size)[0:2] = b'by'
again = os.open('/proc/self/fd/%d' % n, os.O_RDWR)
mmap.mmap(again, size)[2:10] = b' another'
time.sleep(1000)""")
    wait(lambda: Memory(it).read(10) == b"by another")


# ---- what cannot be had ----

def test_more_than_there_is_is_refused_at_the_start():
    said = nclust("-n 1 --shared-memory 60T -- true").fails(1, "more than the machine has")
    assert len(said.err.splitlines()) == 1
    # growing a file beyond it would be a signal
    run("bash", "-c", 'ulimit -f 16; exec "$@"', "-", inside(PROGRAM), "-n", 1,
        "--shared-memory", "1M", "--", "true").fails(1, "RLIMIT_FSIZE")
    run("bash", "-c", 'ulimit -f 0; exec "$@"', "-", inside(PROGRAM), "-n", 1,
        "--", "true").fails(1, "File too large")


def test_huge_pages_are_what_workers_ask_for_themselves():
    nclust("-n 1 --shared-memory '64M, huge' -- true").fails(64, "'64M, huge'", "madvise(2)")


# ---- what it outlives ----

def test_what_is_in_it_outlives_the_workers_a_rolling_restart_and_scale_0():
    it, inode = begun("64k -n 2")
    born_again(it)
    keeps(it, inode)
    it.call("restart")
    keeps(it, inode, slots=(0, 1))
    it.call("scale", count=0)
    it.call("scale", count=1)
    keeps(it, inode)


def ini(*settings, command="sleep 1000", ready="alive:1ms"):
    lines = ("[cluster:web]", f"command = {command}", "workers = 2", f"ready = {ready}",
             "bake = 0s", *settings)
    write("it.ini", "".join(f"{line}\n" for line in lines))
    return f"-c {path('it.ini')}"


def begun_by_file():
    it = cluster(ini("shared-memory = 64k"))
    memory = Memory(it)
    memory.write(b"kept")
    return it, memory.inode


def test_a_reload_keeps_it_but_for_another_size_that_is_new_and_told():
    it, inode = begun_by_file()
    ini("shared-memory = 65536", "nice = 1")
    it.call("reload")
    keeps(it, inode, slots=(0, 1))
    ini("shared-memory = 128k", "nice = 1")
    it.call("reload")
    one, other = Memory(it, 0), Memory(it, 1)
    assert one.size == 131072
    assert one.inode == other.inode != inode
    assert one.read(4) == bytes(4)
    assert it.says("web: new workers share 128k of memory")
    ini("nice = 1")
    it.call("reload")
    assert it.says("web: no more shared memory")
    assert it.cluster().shared_memory is None
    assert "NCLUST_SHM_FD" not in environment(it.worker().pid)


def test_a_reload_that_cannot_have_it_changes_nothing():
    it, inode = begun_by_file()
    pids = it.pids()
    ini("shared-memory = 60T")
    is_refused("more than the machine has", it.call, "reload")
    keeps(it, inode)
    assert it.pids() == pids


def test_a_failed_rolling_restart_goes_back_to_the_one_of_before():
    it, inode = begun_by_file()
    ini("shared-memory = 128k", command="false", ready="notify")
    is_refused("", it.call, "reload")
    assert it.cluster().shared_memory.inode == inode
    born_again(it, 1)
    keeps(it, inode, slots=(1,))


def test_an_upgrade_carries_it():
    it, inode = begun("64k -n 2")
    it.call("upgrade")
    assert it.status().upgrades == 1
    keeps(it, inode)
    it.call("restart")
    keeps(it, inode, slots=(0, 1))


# ---- the death of nclust ----

@pytest.mark.parametrize("keeper", (True, False), ids=("from the keeper", "from a worker"))
def test_nclust_killed_the_next_one_gets_it(keeper):
    it, inode = begun("64k -n 2 --orphans keep")
    pids = it.pids()
    it.kill() if keeper else kill_keeper_and(it)
    it = idle("64k -n 2 --orphans keep")
    assert it.says("took over 2 workers")
    # without the keeper it does not know how they were started, and replaces them
    wait(lambda: it.cluster().rollout is None)
    assert (it.pids() == pids) == keeper
    keeps(it, inode)
    born_again(it)
    it.call("restart")
    keeps(it, inode, slots=(0, 1))


CLOSED = ("sh", "-c", 'eval "exec $NCLUST_SHM_FD<&-"; exec sleep 1000')


def closed():
    """Workers that have mapped it, as it were, and closed the descriptor."""
    it = cluster(f"-n 2 {IDLE} --shared-memory 64k --orphans keep", *CLOSED)
    wait(lambda: [command(p) for p in it.pids()] == ["sleep 1000"] * 2)
    return it, it.cluster().shared_memory.inode


def test_the_keeper_alone_has_it_it_comes_back_from_there():
    it, inode = closed()
    it.kill()
    it, now = closed()
    assert it.says("took over 2 workers")
    assert now == inode


def test_nobody_gives_it_back_nothing_is_started_and_it_is_told():
    it, _ = closed()
    pids = it.pids()
    kill_keeper_and(it)
    said = nclust("--name it -n 2 --shared-memory 64k --orphans keep --ready alive:1ms -- sleep 1")
    assert said.status != 0
    assert "shared memory cannot be taken back from worker" in said.err
    assert all(map(is_alive, pids))


def test_after_a_death_of_nclust_another_size_is_a_new_segment():
    it, inode = begun("64k -n 2 --orphans keep")
    it.kill()
    it = idle("128k -n 2 --orphans keep")
    wait(lambda: it.cluster().rollout is None
         and [Memory(it, slot).size for slot in (0, 1)] == [131072] * 2)
    assert Memory(it, 0).inode == Memory(it, 1).inode != inode


# ---- counting together ----

@pytest.mark.nightly
def test_c_python_and_java_count_together_and_sigkill_loses_nothing():
    shutil.copytree(f"{SRC}/etc/examples/shared-memory", ".", dirs_exist_ok=True)
    run("gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", "count-c", "count.c").ok()
    run("javac", "-d", ".", "Count.java").ok()
    write("rounds", "")

    def rounds():
        return [lines("rounds").count(word) for word in ("c", "python", "java")]

    def wait_round():
        before = rounds()
        wait(lambda: all(now > was for now, was in zip(rounds(), before)))

    it = cluster("-n 6 --shared-memory 64k --ready alive:1ms --backoff-min 1ms --backoff-max 10ms",
                 path("count"), path("rounds"))
    memory = os.open(f"/proc/{it.worker().pid}/fd/{environment(it.worker().pid)['NCLUST_SHM_FD']}",
                     os.O_RDWR)
    kills = 0
    for _ in range(3):
        wait_round()
        for slot in range(3):  # in the midst of it, one of each language
            born_again(it, slot)
            kills += 1
    wait_round()
    it.call("signal", signal="STOP", all=True)
    wait(lambda: [w.get("stopped") for w in it.workers()] == [True] * 6)
    words = struct.unpack("8192q", mmap.mmap(memory, 65536)[:])
    # who was killed or stopped has counted, and not yet put down its tally
    slack = kills + 6
    for counted, first in ((words[0], 16), (words[8], 17)):  # atomic; by a lock
        tallies = sum(words[first + 8 * slot] for slot in range(6))
        assert tallies > 0
        assert 0 <= counted - tallies <= slack
