# SPDX-License-Identifier: MIT
"""What becomes of workers that die, hang, leave processes behind, or lose nclust."""
import re

from harness import *
from harness import lab


# ---- deaths ----

def test_workers_killed_under_load_nothing_is_refused():
    it = cluster("-n 2 -l 8000 --ready notify", SERVE, "--notify")
    load = Clients()
    for n in (1, 2, 3):
        for slot in (0, 1):
            it.reborn(slot)
    got = load.end()
    assert got.answered > 0
    assert (got.refused, got.late) == (0, 0)
    assert got.lost <= 6  # what the dead had accepted


def test_while_every_worker_is_down_connections_wait_and_are_answered():
    it = cluster("-n 1 -l 8000 --ready notify --backoff-min 1h --backoff-max 1h --stable-after 24h",
                 SERVE, "--notify", clock=True)
    it.reborn()  # the first early death of a ready worker is forgiven
    kill(it.worker().pid)
    it.event("exited", n=2)
    request = Request()
    it.advance(7200)
    assert request.answer().slot == 0


def test_many_deaths_while_nclust_stands_still_are_all_noticed():
    it = cluster("-n 20 --ready notify", NOTIFY, "READY=1")
    old = it.pids()
    kill(it.pid, SIGSTOP)
    for pid in old:
        kill(pid)
    kill(it.pid, SIGCONT)
    it.event("ready", n=40)
    assert [w.restarts for w in it.workers()] == [1] * 20
    assert {state(pid) for pid in old} == {"gone"}


def test_a_crash_loop_waits_longer_each_time_and_status_tells_the_next_try():
    it = start("-n 1 --backoff-min 100ms --backoff-max 60s --backoff-jitter 0%", DIE, "--exit", 3,
               clock=True)
    for n, wait_for in enumerate((0.1, 0.2, 0.4, 0.8), 1):
        assert it.event("exited", n=n).next_try == wait_for
        assert f"next try in {wait_for} s" in it.log()
        if n < 4:
            it.advance(wait_for)
    worker = it.worker()
    assert (worker.state, worker.pid, worker.next_try) == ("backoff", None, 0.8)
    assert worker.last_exit.text == "exit 3"
    said = it.verb("status")
    assert said.status == 2 and re.search("backoff.*exit 3", said.out)
    assert it.log().count("exit 3") == worker.restarts  # a line a death


def test_a_stop_during_backoff_is_immediate_and_nothing_is_born_after_it():
    it = start("-n 2 --backoff-min 1h --backoff-max 1h", "sh", "-c", 'echo x >>"$0"; exit 1',
               path("lives"))
    it.event("exited", n=2)
    assert it.stop() == 0
    assert len(lines("lives")) == 2


def test_give_up_the_others_are_stopped_in_order_exit_1_and_the_reason():
    it = launch("-n 2 --ready notify --give-up 3/1m --backoff-min 1ms --backoff-max 1ms",
                "sh", "-c", '[ "$NCLUST_SLOT" -eq 0 ] && exec "$0" --notify --to "$1"\n'
                'until [ -e "$1" ]; do sleep 0.02; done\nexit 1', HEAR, path("heard"))
    assert it.exit() == 1
    assert it.says("gave up after 3 deaths within 1m")
    assert "TERM" in read("heard")
    assert living() == []


def test_one_cluster_gives_up_the_others_go_on_at_the_end_the_status_is_1():
    it = start(ini=section("bad", f"{DIE} --exit 1", "give-up = 2/1m", "backoff-min = 1ms",
                           "backoff-max = 1ms", workers=1, ready=None)
               + section("good", f"{HEAR} --notify", workers=1))
    assert "gave up after 2 deaths" in it.event("gave-up", cluster="bad").text
    it.event("ready", cluster="good")
    assert it.cluster("bad").state == "failed"
    assert it.stop() == 1


# ---- ends that were asked for ----

def test_a_worker_that_is_deaf_to_sigterm_is_killed_at_stop_timeout_not_before():
    it = cluster("-n 1 --ready notify --stop-timeout 7s --drain off", fixture("deaf"), "--notify",
                 clock=True)
    pid = it.worker().pid
    it.call("stop", no_wait=True)
    it.advance(6.9)
    assert is_alive(pid)
    it.advance(0.2)
    assert it.exit() == 0
    assert it.says("did not end in time, sending SIGKILL")
    assert is_gone(pid)


def test_a_list_of_stop_signals_escalates_in_its_order():
    it = cluster("-n 1 --ready notify --stop-signal 'QUIT:1s TERM:1s USR1:10s' --drain off",
                 HEAR, "--notify", "--to", path("heard"), "--end-on", "USR1", clock=True)

    def heard():
        return [line.split()[-1] for line in lines("heard") if "CONT" not in line]

    it.call("stop", no_wait=True)
    for so_far in (["start", "QUIT"], ["start", "QUIT", "TERM"]):
        wait(lambda: heard() == so_far)
        it.advance(1.1)
    it.exit()
    assert heard() == ["start", "QUIT", "TERM", "USR1"]


def test_a_worker_stopped_by_sigstop_is_told_by_status_and_a_stop_gets_past_it():
    it = cluster("-n 2 --ready notify --stop-timeout 1h", HEAR, "--notify")
    pid = it.worker(1).pid
    freeze(pid)
    wait(lambda: it.worker(1).get("stopped"))
    assert "stopped" not in it.worker(0)
    assert "stopped" in it.verb("status").out
    assert it.stop() == 0
    assert is_gone(pid)


def test_a_restart_gets_past_a_worker_stopped_by_sigstop():
    it = cluster("-n 1 --ready notify --stop-timeout 1h", HEAR, "--notify")
    pid = it.worker().pid
    freeze(pid)
    it.call("restart")
    wait_gone(pid)


def test_stop_now_does_not_wait_for_the_grace():
    it = cluster("-n 2 --ready notify --stop-timeout 1h", fixture("deaf"), "--notify")
    it.verb("stop", "--now").ok()
    assert it.exit() == 0
    assert living() == []


def test_while_nobody_is_at_work_one_slot_starts_at_once():
    it = cluster("-n 2 --ready notify --backoff-min 1h --backoff-max 1h", HEAR, "--notify")
    for _ in range(4):
        dead = it.pids()
        for pid in dead:
            kill(pid)
        for pid in dead:
            it.event("exited", pid=pid)
        wait(lambda: it.cluster().ready)
    assert sorted(w.state for w in it.workers()) == ["backoff", "ready"]


# ---- what workers leave behind ----

LEAVERS = {
    # Without our variables in its environment only the group tells whose it is.
    "in the group": ("sh", "-c", 'env -i "$0/fork-away" --group --pidfile "$1" &\n'
                     'until [ -s "$1" ]; do sleep 0.01; done\nexec "$0/hear" --notify'),
    "in a session of its own": ("sh", "-c", 'exec "$0/fork-away" --setsid --pidfile "$1" --notify'),
    "deaf, in a session of its own": ("sh", "-c", 'setsid "$0/deaf" & echo $! >"$1"\n'
                                      'exec "$0/hear" --notify'),
}


@pytest.mark.parametrize("how", LEAVERS)
def test_what_a_worker_leaves_ends_with_it_and_at_a_stop(how):
    it = cluster("-n 1 --ready notify --stop-timeout 1s", *LEAVERS[how], fixture(""), path("left"))
    left = int(wait(lambda: read("left")))
    os.unlink("left")
    kill(it.worker().pid)
    wait_gone(left)
    it.event("ready", n=2)
    left = int(wait(lambda: read("left")))
    assert is_alive(left)  # the successor's own is let be
    assert it.stop() == 0
    assert living() == []


def test_a_deaf_child_in_the_group_of_a_deaf_worker_is_killed_with_it():
    it = cluster("-n 1 --ready notify --log inherit --stop-timeout 50ms",
                 fixture("deaf"), "--child", "--notify")
    it.logged("child ")
    child = int(re.search(r"child (\d+)", it.log()).group(1))
    assert it.stop() == 0
    assert is_gone(child)


def test_a_server_that_goes_to_the_background_is_recognised_and_told():
    it = start("-n 1 --backoff-min 20ms --backoff-max 20ms", fixture("fork-away"), "--pidfile",
               path("left"))
    it.logged("went to the background")
    it.event("exited", n=5)
    it.stop()
    assert living() == []


def test_a_slot_gets_no_successor_while_something_of_its_predecessor_lives():
    # each daemon is looked for by the next worker of its slot
    it = start("-n 8 --backoff-min 10ms --backoff-max 20ms", "sh", "-c", """
        left=$2/$NCLUST_SLOT
        status=$(cat "/proc/$(cat "$left")/status") 2>/dev/null
        if echo "$status" | grep -q "^State:[[:space:]]*[^ZX]"
        then echo "slot $NCLUST_SLOT, as $$: $status" >>"$2/doubled"; fi
        exec "$1/fork-away" --pidfile "$left\"""", "sh", fixture(""), path())
    it.event("exited", n=80)
    it.stop()
    assert read("doubled") == ""
    assert living() == []


def test_who_hangs_in_its_exit_is_still_there():
    need_root()
    os.mkdir("disk")
    write("real/file", "")
    disk = begin_program("python3", server("shared.py"), path("disk"), path("real"))
    wait(lambda: os.path.exists("disk/file"))
    it = start("-n 1 --ready alive:1ms", "sh", "-c",
               "exec 9<disk/file; setsid sh -c 'echo $$ >left; exec sleep 1000' & "
               "exec 9<&-; exec sleep 1000", clock=True)
    lab.clock.flow()
    it.wait_ready()
    main = it.worker().pid
    left = int(wait(lambda: read("left")))
    wait(lambda: command(main) == command(left) == "sleep 1000")
    lab.clock.stand()
    os.mkfifo("real/hang")
    kill(main)
    # it gives its memory back, and then closes its files
    wait(lambda: it.advance(0.01) or state(left) == "D")
    it.advance(2, step=0.1)
    assert it.happened("exited") == [] and it.worker().pid == main
    lab.clock.flow()
    write("real/hang", "")
    os.unlink("real/hang")
    it.event("exited")
    it.wait_ready()
    it.stop()
    disk.kill()


def test_a_death_that_is_reported_later_has_its_own_last_words():
    it = start("-n 4 --log prefix --backoff-min 1h --backoff-max 1h", "sh", "-c",
               'echo "words of $NCLUST_SLOT"\n"$0" >/dev/null 2>&1\nexit 3', fixture("fork-away"))
    for slot in range(4):
        assert it.event("exited", slot=slot).last_output == f"words of {slot}"
        assert it.worker(slot).last_failure.last_output == f"words of {slot}"


def test_slots_keep_their_numbers_and_successors_take_them():
    it = cluster("-n 3 --ready notify", HEAR, "--notify", "--to", path("heard"))
    it.reborn(1)
    it.call("restart")
    it.call("scale", count=2)
    it.call("scale", count=3)
    assert [w.slot for w in it.workers()] == [0, 1, 2]
    assert {line.split()[0] for line in lines("heard")} == {"slot=0", "slot=1", "slot=2"}


# ---- nclust itself ----

@pytest.mark.parametrize("user", ("root", "nobody"))
def test_nclust_killed_no_worker_is_left_and_a_start_works_at_once(user):
    if user != "root":
        need_root()
    options = f"-n 2 -l 8000 --ready notify --log prefix --user {user}" if os.geteuid() == 0 else \
        "-n 2 -l 8000 --ready notify"
    it = cluster(options, SERVE, "--notify")
    it.kill()
    wait(lambda: living() == [])
    cluster(options, SERVE, "--notify")
    assert get().pid


def oom(pid):
    return int(read(f"/proc/{pid}/oom_score_adj"))


def test_the_oom_killer_would_rather_take_a_worker_than_nclust():
    before = oom("self")
    it = cluster("-n 1 --ready notify --log prefix", HEAR, "--notify")
    assert oom(it.worker().pid) == (before if oom(it.pid) < before else before + 100)
    logger = it.role("logger")
    assert oom(logger) == oom(it.pid)  # nclust's own other process is no worker


def test_without_cap_sys_resource_nclust_is_not_the_oom_killers_first_choice():
    need_root()
    it = cluster("-n 1 --ready notify", HEAR, "--notify",
                 under=("setpriv", "--bounding-set", "-sys_resource"))
    assert oom(it.pid) == oom("self")
    assert oom(it.worker().pid) == oom("self") + 100


def test_children_that_nclust_had_before_its_exec_are_reaped_and_let_be():
    os.mkfifo("go")
    it = cluster("-n 1 --ready notify", HEAR, "--notify", under=(
        "bash", "-c", 'cat go >/dev/null & echo $! >reaped; "$0" & echo $! >kept; exec "$@"', HEAR))
    reaped, kept = int(read("reaped")), int(read("kept"))
    write("go", "go")
    wait(lambda: state(reaped) == "gone")
    it.reborn()
    it.stop()
    assert is_alive(kept)


def test_no_signal_goes_to_a_stranger_though_process_numbers_are_reused():
    need_root()
    # strangers are born all the time, while process numbers go round after 350
    it = launch("-n 4 --backoff-min 1ms --backoff-max 1ms", "sh", "-c", "sleep 60 & exit 1", under=(
        "unshare", "-pf", "--kill-child", "--mount-proc", "bash", "-c", """
        echo 350 >/proc/sys/kernel/pid_max
        "$@" & bad=0
        while [ ! -e enough ]; do sleep 0.01 || bad=$((bad + 1)); done
        echo "$bad" >bad""", "-"))
    it.wait_there()
    it.event("exited", n=700)
    write("enough", "")
    assert wait(lambda: read("bad")) == "0\n"


# ---- PID 1 ----

INIT = ("unshare", "-pf", "--kill-child", "--mount-proc")


def init_of(it):
    return int(read(f"/proc/{it.process.pid}/task/{it.process.pid}/children"))


def test_as_pid_1_it_honours_sigterm_and_names_the_grace_of_containers():
    need_root()
    it = cluster("-n 2 --ready notify", HEAR, "--notify", under=INIT)
    assert it.pid == 1
    assert it.says("container runtimes kill PID 1 after 10s: grant more")
    assert it.says("'docker stop -t 65', 'terminationGracePeriodSeconds: 65'")
    it.call("restart")
    assert it.log().count("container runtimes") == 1
    kill(init_of(it), SIGTERM)
    assert it.exit() == 0


def test_nothing_is_said_of_containers_where_the_grace_is_theirs_or_it_is_not_pid_1():
    need_root()
    for name, options in (("one", {"under": INIT}), ("two", {})):
        grace = "10s" if options else "60s"
        it = cluster(f"-n 1 --ready alive:1ms --stop-timeout {grace}", HEAR, name=name, **options)
        assert not it.says("container runtimes")


def test_as_pid_1_it_ends_with_the_workers_status_when_that_has_ended():
    need_root()
    assert launch("-n 1 --restart never", DIE, "--exit", 7, under=INIT).exit() == 7


def test_as_pid_1_it_reaps_orphans_and_answers_in_the_midst_of_a_storm():
    need_root()
    it = cluster("-n 1 --ready notify", "sh", "-c", '"$0/fork-away" --many 1000 --notify &\n'
                 'wait\nexec "$0/hear"', fixture(""), under=INIT)
    init = init_of(it)

    def zombies():
        return [p for p in read(f"/proc/{init}/task/{init}/children").split() if state(p) == "Z"]

    it.status()
    wait(lambda: not zombies())
    kill(init, SIGTERM)
    assert it.exit() == 0


# ---- policies ----

@pytest.mark.parametrize("options, command, status", (
    ("-n 2 --restart never", [DIE], 0),
    ("-n 2 --restart never", ["sh", "-c", "exit $((NCLUST_SLOT * 7))"], 7),
    ("-n 1 --restart never", [DIE, "--signal", 9], 137),
    ("-n 1 --restart on-failure --backoff-min 1ms --backoff-max 1ms",
     ["sh", "-c", "[ -e tried ] && exit 0; touch tried; exit 3"], 0),
    ("-n 1 --restart on-failure --success-exit '0 5'", [DIE, "--exit", 5], 0),
))
def test_when_all_have_ended_for_good_so_does_nclust_with_their_status(options, command, status):
    assert launch(options, *command).exit() == status


def test_restart_always_exit_0_is_a_death_like_any_other():
    start("-n 1 --backoff-min 1ms --backoff-max 1ms", DIE).event("exited", n=4)


def test_one_slot_has_ended_for_good_the_others_go_on():
    it = start("-n 2 --ready notify --restart never", "sh", "-c",
               '[ "$NCLUST_SLOT" -eq 0 ] && exit 0; exec "$0" --notify', HEAR)
    it.event("slot-ended", slot=0)
    pid = it.event("ready", slot=1).pid
    assert it.worker(0).state == "ended"
    kill(pid, SIGTERM)
    assert it.exit() == 0


# ---- the shared socket ----

@pytest.mark.parametrize("harm", (
    'exec 3>&-',
    # O_NONBLOCK belongs to the socket, which all share
    'exec perl -MFcntl -e \'open(my $s, q(+<&=3)) or die; fcntl($s, F_SETFL, O_NONBLOCK) or die; '
    'exec @ARGV\' "$0/hear" --notify'), ids=("closed", "nonblocking"))
def test_a_worker_that_harms_its_socket_leaves_it_served(harm):
    it = start("-n 2 -l 8000 --ready notify --backoff-min 1ms --backoff-max 10ms", "sh", "-c",
               '[ "$NCLUST_SLOT" -eq 0 ] || exec "$0/serve" --notify\n'
               f'{harm}\nexec "$0/hear" --notify', fixture(""))
    it.event("ready", slot=0)
    assert slots(10) == {1}
    assert it.worker(0).state == "ready"


# ---- tracers ----

TRACED = """
import ctypes, os, signal, socket, sys, threading
signal.signal(signal.SIGUSR1, lambda *a: print("handled", flush=True))
asked = threading.Event()
def ask():
    ctypes.CDLL(None).ptrace(0, 0, 0, 0)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
    asked.set()
    while sys.argv[1] == "thread":
        signal.sigwait({signal.SIGRTMAX})
if sys.argv[1] == "thread":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    threading.Thread(target=ask, daemon=True).start()
    asked.wait()
else:
    ask()
n = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
n.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
while True:
    threading.Event().wait(0.1)
"""


@pytest.mark.parametrize("how", ("main", "thread"))
def test_a_worker_that_asks_nclust_to_trace_it_goes_on_with_its_signals(how):
    it = cluster("-n 1 --ready notify", "python3", write("traced.py", TRACED), how)
    it.call("signal", signal="USR1")
    it.logged("handled")
    assert it.worker().restarts == 0


def test_a_stop_ends_what_a_worker_has_left_however_often_it_forks():
    need_root()  # another user's
    write("runner.py", """
import os, socket, sys, time
n = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
if os.fork() == 0:
    n.close()
    os.setsid()
    while True:
        time.sleep(float(sys.argv[1]))
        if os.fork():
            os._exit(0)
        os.setsid()
n.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
time.sleep(1000)
""")
    for pause in (0.00005, 0.0005, 0.002):
        it = cluster("-n 1 --ready notify --user daemon", "python3", path("runner.py"), pause)
        it.stop()
        assert living() == []
        assert not it.says("still there")


def test_a_worker_whose_end_a_tracer_keeps_costs_nothing_and_is_replaced_after_that():
    it = cluster("-n 1 --ready alive:1ms", *NAP)
    old = it.worker().pid
    tracer = begin_program("python3", "-c", f"""
import ctypes, os, signal, time
assert ctypes.CDLL(None).ptrace(0x4206, {old}, 0, 0) == 0  # PTRACE_SEIZE
os.kill({old}, signal.SIGKILL)
os.waitid(os.P_PID, {old}, os.WEXITED | os.WNOWAIT)
open("ended", "w").close()
time.sleep(1000)""")
    wait(lambda: os.path.exists("ended"))
    assert not it.spins()
    tracer.kill()
    assert it.event("ready", n=2).pid != old
