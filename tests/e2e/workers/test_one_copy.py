# SPDX-License-Identifier: MIT
"""Programs of which only one copy can run: why the next one does not come up, and what to do."""
from harness import *
from harness import lab

REMEDY = "workers = 1, surge = 0, max-unavailable = 1"
LOCKS = ("flock", "lock", PLAIN, PORT)
ENDS = ("sh", "-c", f"mkdir pid || exit 7; exec {PLAIN} {PORT}")


def begins_to_wait():
    wait(lambda: "-> FLOCK" in read("/proc/locks"))


def passes(it, seconds):
    it.advance(seconds, step=0.5)


def one(options, command, within="5s"):
    return cluster(f"-n 1 --start-timeout {within} --drain off --bake 0 {options}", *command,
                   clock=True)


def test_a_restart_names_the_lock_who_has_it_and_what_to_do_and_that_works():
    it = one("--surge 1", LOCKS)
    old = it.worker().pid
    answer = it.begin("restart")
    it.event("started", n=2)
    begins_to_wait()
    passes(it, 3.5)
    lock = f"waits for the lock of {path('lock')}, which it.0 (process "
    said = it.event("waits").text
    assert lock in said and f") has; if only one copy can run at a time: {REMEDY}" in said
    assert lock in it.verb("status").out
    passes(it, 2)
    with pytest.raises(Refused) as refused:
        answer()
    said = str(refused.value)
    assert lock in said and REMEDY in said and "drop-ports" not in said + it.log()
    lab.clock.flow()
    it.wait(lambda: it.pids() == [old])
    it.stop()

    it = one("--surge 0 --max-unavailable 1", LOCKS, within="1h")  # time is the machine's now
    it.call("restart")


def test_a_restart_whose_new_worker_ends_names_it_too():
    it = one("", ENDS)
    is_refused(f"exit 7 after .*the old workers keep serving; .*{REMEDY}", it.call, "restart")


@pytest.mark.parametrize("says, status", (
    ("Starting hot deployment for Hypnotoad server 5904", 0),
    ("torch.cuda.OutOfMemoryError: CUDA out of memory", 1)))
def test_a_restart_whose_new_worker_ends_names_it_whatever_that_says(says, status):
    it = one("", ("sh", "-c", f"""mkdir pid 2>err || {{ echo '{says}'; exit {status}; }}
        exec {PLAIN} {PORT}"""))
    is_refused(f"exit {status} after .*{says}; the old workers keep serving; .*{REMEDY}",
               it.call, "restart")


# Each copy ends the one before it, and serves in its place, as a hot deployment does.
DEPLOYS = """
import fcntl, os, signal, socket, time
signal.signal(signal.SIGUSR2, lambda *_: os._exit(0))
lock = open("lock", "w")
fcntl.flock(lock, fcntl.LOCK_EX)
if os.path.lexists("pid"):
    print("Starting hot deployment", flush=True)
    former = os.readlink("pid")
    os.kill(int(former), signal.SIGUSR2)
    os.unlink("pid")
    while os.path.exists("/proc/" + former):
        time.sleep(0.001)
server = socket.create_server(("127.0.0.1", 8000))
os.symlink(str(os.getpid()), "pid")
lock.close()
while True:
    server.accept()
"""


def test_copies_that_end_each_other_do_not_keep_the_start_for_ever():
    it = launch("-d -n 2 --start-timeout 3s --stable-after 1ms --backoff-max 100ms",
                "python3", "-c", DEPLOYS)
    assert it.process.wait(lab.BOUND) == 1
    said = it.says("was not ready within start-timeout") or it.says("ended just after it was ready")
    assert said and not it.says("daemon mode")


# Serves, and ends with its input, but for the first of `copies`, once there is a file.
CONSOLE = """
import os, socket, sys
first = "copies" in sys.argv and not os.path.exists("pid")
os.makedirs("pid", exist_ok=True)
server = socket.create_server(("127.0.0.1", 8000))
server.settimeout(0.1)
while first or not os.path.exists("go"):
    try:
        server.accept()
    except TimeoutError:
        pass
sys.stdin.read()
"""


@pytest.mark.parametrize("workers, words, says", (
    (2, ("copies",), REMEDY), (1, (), "if it ends with its standard input: that is /dev/null")))
def test_one_that_ends_with_0_after_the_start_is_told_why_that_may_be(workers, words, says):
    it = launch(f"-d -n {workers} --stable-after 1h", "python3", "-c", CONSOLE, *words).wait_there()
    it.event("ready", n=workers)
    write("go", "")
    assert it.exit() == 1
    assert it.says("ended just after it was ready") and it.says(says)
    assert not it.says("daemon mode")


@pytest.mark.parametrize("command, says", ((LOCKS, "waits for the lock of"), (ENDS, "exit 7")))
def test_two_copies_in_the_background_end_after_start_timeout(command, says):
    it = launch("-d -n 2 --start-timeout 5s --backoff-max 100ms", *command, clock=True).wait_there()
    it.event("ready")
    if command is LOCKS:
        begins_to_wait()
    else:
        wait(lambda: passes(it, 0.5) or it.says("not once ready in 3 tries, while others run"))
    for _ in range(20):
        if it.process.poll() is not None:
            break
        passes(it, 0.5)
    lab.clock.flow()  # the one that serves is still to end
    assert it.exit() == 1
    assert it.says(says) and it.says(REMEDY)


def test_a_start_in_the_background_does_not_wait_for_a_try_after_start_timeout():
    it = launch("-d -n 2 --start-timeout 60s", *ENDS, clock=True).wait_there()
    waited, n = 0, 0
    while not it.says("the start failed"):
        n += 1
        pause = it.event("exited", n).next_try
        it.turns(1)  # what it says of that is in the log
        if not it.says("the start failed"):
            waited += pause
            it.advance(pause)
    assert waited < 60 and it.says(f"while others ran; if only one copy can run at a time: {REMEDY}")
    lab.clock.flow()
    assert it.exit() == 1


def test_a_copy_without_a_port_that_ends_with_0_beside_another_is_no_job():
    it = start("-n 2", "sh", "-c", "mkdir pid || { echo already running; exit 0; }; exec sleep 1000",
               clock=True)
    for n in range(1, 6):
        it.event("exited", n)
        it.advance(1)
    said, = it.happened("done")
    assert "it ends while another copy runs on" in said.text and REMEDY in said.text
    assert "restart = never" not in said.text


# The first copy does as `first` says, and each other one as `others`.
def copies(first, others):
    return "sh", "-c", f"mkdir first 2>err || {{ {others}; }}; {first}"


def works_for(it, n, seconds):
    """The copy begins something in each half second, however fast the clock goes."""
    for _ in range(2 * seconds):
        begun = len(read(f"begun.{n}"))
        wait(lambda: len(read(f"begun.{n}")) > begun)
        it.advance(0.5)


def passes_with(it, n, seconds):
    """The next copy ends, `seconds` after it was started."""
    it.event("started", 1 + n)
    works_for(it, n, seconds)
    write(f"go.{n}", "")
    it.event("exited", n)
    it.advance(1)


# With something to do meanwhile, so that it is not ready as an idle one.
ENDS_WHEN_TOLD = ("n=$(ls -d run.* 2>err | wc -l); n=$((n + 1)); mkdir run.$n; "
                  "until [ -e go.$n ]; do echo >>begun.$n; sleep 0.01; done; exit ")


def test_a_copy_that_ends_with_0_later_beside_another_is_told_of_one_copy_too():
    it = start("-n 2", *copies("exec sleep 1000", ENDS_WHEN_TOLD + "0"), clock=True)
    for n in range(1, 4):
        passes_with(it, n, 4)
    said, = it.happened("done")
    assert REMEDY in said.text and "standard input" not in said.text


def test_one_that_dies_again_and_again_is_not_ready_by_time_before_the_age_of_its_last_death():
    it = launch("-d -n 2 --backoff-max 100ms",
                *copies("exec sleep 1000", ENDS_WHEN_TOLD + "1"), clock=True).wait_there()
    it.event("started", 2)
    works_for(it, 1, 12)
    it.event("ready")  # it opens no port
    passes_with(it, 1, 1)
    passes_with(it, 2, 4)
    passes_with(it, 3, 4)
    assert len(it.happened("ready")) == 1
    lab.clock.flow()
    it.stop()


def test_a_copy_that_has_ended_with_0_has_not_done_its_work_once_another_opens_a_port():
    os.mkfifo("gate")
    it = launch("-d -n 2 --start-timeout 30s --backoff-max 100ms",
                *copies(f"read -r _ <gate; exec {PLAIN} {PORT}",
                        "exit 0"), clock=True).wait_there()
    it.event("exited")
    it.advance(1)
    it.event("exited", 2)
    write("gate", "\n")
    it.event("ready")
    assert it.cluster().ready == 1 and not it.says("workers ready")
    wait(lambda: passes(it, 0.5) or it.says("the start failed"))
    lab.clock.flow()
    assert it.exit() == 1
    assert it.says(f"was not ready within start-timeout, while others ran; if only one copy can run at a time: {REMEDY}")


def test_a_spare_that_waits_for_a_lock_is_told_the_same():
    it = start("-n 1 --spare 1 --start-timeout 5s", *LOCKS, clock=True)
    it.event("ready")
    begins_to_wait()
    passes(it, 6)
    cause = it.event("exited", why="start-timeout").cause
    assert REMEDY in cause and "alive" not in cause
