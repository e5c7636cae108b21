# SPDX-License-Identifier: MIT
"""What an nclust that was killed has left is believed only as far as the kernel agrees: no
process that is somebody else's is touched, and no worker is started beside one that lives."""
from harness import *
from left import *

MANGLED = (b"", b"garbage" * 200, 40, 100, -7)


@pytest.mark.parametrize("name", ("state", "estate"))
def test_files_that_cannot_be_used_are_refused_while_workers_run(name):
    need_root()
    it = kept()
    pids = it.pids()
    it.kill()
    os.chdir(it.directory)
    with open(name, "rb") as f:
        data = f.read()

    def put(what):
        for old in (name, f"{name}.away"):
            if os.path.lexists(old):
                os.unlink(old)
        with open(name, "wb") as f:
            os.fchmod(f.fileno(), 0o600)
            f.write(what)

    why = "workers of an earlier 'it' are still running (pid "
    for how in MANGLED:
        put(how if isinstance(how, bytes) else data[:how])
        refuses(why, "and cannot be taken over: ", "end them first")
    for number in (0, 8, 12) if name == "state" else (0, 8):  # no nclust's, another version's
        put(data[:number] + bytes([data[number] ^ 77]) + data[number + 1:])
        refuses(why)
    put(data)
    os.rename(name, f"{name}.away")
    os.symlink(f"{name}.away", name)
    refuses(why)
    put(data)
    os.chmod(name, 0o666)
    refuses(why)
    put(data)
    os.chown(name, 65534, -1)
    refuses(why)
    put(data)
    assert kept().pids() == pids


def test_files_that_cannot_be_used_are_told_when_no_worker_runs():
    it = kept()
    pids = it.pids()
    it.kill()
    for pid in pids:
        kill(pid)
    wait_gone(*pids)
    write("run/it/state", "garbage")
    it = kept()
    assert it.says("the state of an earlier 'it' cannot be used: it is cut short; none of its "
                   "workers runs")
    assert serving() == it.pids()


def test_a_restart_while_the_disk_is_full_and_then_killed_the_next_one_takes_over():
    need_root()
    run("mount", "-t", "tmpfs", "-o", "size=100k,mode=755", "none", path("run")).ok()
    it = kept()
    with open("run/fill", "wb", buffering=0) as f, pytest.raises(OSError, match="No space"):
        while True:
            f.write(bytes(1024))
    it.call("restart")  # the workers get sockets of their own, which no state knows yet
    pids = it.pids()
    it.kill()
    it = kept()
    assert it.pids() == pids
    assert not it.says("cannot write the state")


def test_nobody_takes_over_from_another_network():
    need_root()
    it = kept()
    pids = it.pids()
    it.kill()
    refuses("are still running (pid", "it is of another network namespace",
            under=("unshare", "--net"))
    assert kept().pids() == pids


def stranger(number):
    """A process that has that number.  (Since Linux 6.15 a number becomes free a moment after
    its last process cannot be seen any more.)"""
    def has_it():
        write("/proc/sys/kernel/ns_last_pid", str(number - 1))
        process = begin_program(*NAP)
        if process.pid == number:
            return number
        process.kill()
        process.wait()
        return None
    wait(lambda: state(number) == "gone")
    return wait(has_it)


@pytest.mark.parametrize("keeper", ("keeper", "no keeper"))
def test_a_process_that_has_got_a_workers_number_is_never_touched(keeper):
    need_root()
    it = kept("--intercept off")
    pids = it.pids()
    it.kill() if keeper == "keeper" else kill_keeper_and(it)
    for pid in pids:
        kill(pid)
    strangers = [stranger(pid) for pid in pids]
    it = kept("--intercept off")
    assert not set(strangers) & set(it.pids())
    assert it.log().count("ended while no nclust was there") == 3
    it.call("stop", now=True)
    it.exit()
    assert all(map(is_alive, strangers))


def test_what_was_written_before_a_boot_says_nothing_about_who_lives_now():
    need_root()
    it = kept()
    pids = it.pids()
    kill_keeper_and(it, *pids)
    other = stranger(pids[0])
    boot = read("/proc/sys/kernel/random/boot_id")
    run("mount", "--bind", write("boot", boot[1:-1] + boot[0] + "\n"),
        "/proc/sys/kernel/random/boot_id").ok()
    it = kept()
    assert "ended while no nclust was there" not in it.log()
    it.call("stop", now=True)
    it.exit()
    assert is_alive(other)


def test_a_start_that_fails_leaves_no_path_and_those_of_before_alone():
    options = f"-l unix:{path('sock')}"
    it = kept(options)
    pids = it.pids()
    it.kill()
    refuses("cannot open the directory",
            options=f"{options} -l unix:{path('new')} -l unix:{path('no/such')}")
    assert not os.path.exists(path("new"))
    dial(unix=path("sock"))
    assert kept(options).pids() == pids
