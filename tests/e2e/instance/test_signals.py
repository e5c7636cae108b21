# SPDX-License-Identifier: MIT
"""What nclust does with signals, and on a terminal."""
from harness import *
from harness.terminal import Terminal

HEARS = (HEAR, "--notify", "--to", "heard")


def hearing(count, options="", *more, **others):
    """Workers that write what they hear."""
    return cluster(f"-n {count} --ready notify {options}", *HEARS, *more, **others)


def heard(what):
    """The slots that heard it, in order."""
    return [int(line.split()[0].partition("=")[2]) for line in lines("heard")
            if line.split()[-1] == what]


def wait_heard(what, *by):
    wait(lambda: len(heard(what)) >= len(by), f"{what} is heard")
    assert heard(what) == list(by)


def send_each(it, number, what, *by):
    """One after the other; these slots hear them."""
    for n in range(len(by)):
        kill(it.pid, number)
        wait_heard(what, *by[:n + 1])


# ---- passed on ----

def test_usr1_usr2_and_real_time_signals_go_to_one_worker_the_next_in_turn_and_none_is_lost():
    it = hearing(3)
    for number in signal.SIGCHLD, signal.SIGPIPE, signal.SIGWINCH:  # are never passed on
        kill(it.pid, number)
    send_each(it, SIGUSR1, "USR1", 0, 1, 2, 0)
    # once, and names the way to all of them
    it.logged("it: SIGUSR1 passed on to it.0, 1 of 3 workers; 'signal-USR1 = all' passes it on")
    assert it.log().count("passed on to") == 1
    send_each(it, SIGUSR2, "USR2", 1)
    send_each(it, signal.SIGRTMIN + 3, "RTMIN+3", 2)
    assert len(lines("heard")) == 3 + 6
    kill(it.pid, SIGSTOP)
    for _ in range(99):
        kill(it.pid, signal.SIGRTMIN + 1)
    kill(it.pid, SIGCONT)
    wait(lambda: len(heard("RTMIN+1")) == 99)
    assert heard("RTMIN+1").count(0) == 33


def test_a_slot_that_is_not_ready_is_passed_over_where_none_is_the_verb_says_so():
    it = start("-n 3 --ready notify --backoff-min 1h --backoff-max 1h --stable-after 1h",
               "sh", "-c", '[ "$NCLUST_SLOT" -ne 1 ] || exit 1; exec "$@"', "-", *HEARS)
    it.event("exited")
    it.event("ready", 2)
    send_each(it, SIGUSR1, "USR1", 0, 2, 0, 2)
    it.stop()
    it = start("-n 1 --ready notify", HEAR, "--to", "late")
    wait(lambda: "start" in read("late"))
    kill(it.pid, SIGUSR1)
    it.verb("signal", "USR1").fails(1, "no worker")
    it.stop()
    assert "USR1" not in read("late")


def test_every_cluster_has_a_turn_of_its_own():
    it = cluster(ini="".join(
        f"[cluster:{name}]\nready = notify\nworkers = 2\n"
        f"command = {HEAR} --notify --to {path(name)}\n" for name in ("a", "b")))
    for turn in range(2):
        kill(it.pid, SIGUSR1)
        for name in "a", "b":
            wait(lambda: read(name).count("USR1") == turn + 1)
            assert f"slot={turn}" in [text for text in lines(name) if "USR1" in text][-1]


def test_rules_all_first_ignore_stop_restart_and_translation():
    it = hearing(2, "--signal-USR1 all --signal-USR2 first --signal-RTMIN+1 ignore "
                 "--signal-RTMIN+2 'RTMIN+2->WINCH' --signal-RTMIN+3 restart --signal-RTMIN+4 stop")
    kill(it.pid, SIGUSR1)
    wait(lambda: sorted(heard("USR1")) == [0, 1])
    send_each(it, SIGUSR2, "USR2", 0, 0)
    kill(it.pid, signal.SIGRTMIN + 1)
    kill(it.pid, signal.SIGRTMIN + 2)
    wait(lambda: heard("WINCH"))
    assert "RTMIN" not in read("heard")
    kill(it.pid, signal.SIGRTMIN + 3)
    it.event("rollout-done")
    kill(it.pid, signal.SIGRTMIN + 4)
    assert it.exit() == 0
    os.unlink("heard")  # another first signal of the stop
    it = hearing(1, "--signal-TERM 'TERM->QUIT'", "--end-on", "QUIT")
    kill(it.pid, SIGTERM)
    assert it.exit() == 0
    assert heard("QUIT") and not heard("TERM")


# ---- to nclust ----

def test_ttin_and_ttou_one_worker_more_one_fewer_but_not_below_none():
    it = hearing(1)
    for number, wanted in ((signal.SIGTTIN, 2), (signal.SIGTTOU, 1), (signal.SIGTTOU, 0)):
        kill(it.pid, number)
        it.wait(lambda: it.cluster().wanted == wanted)
    kill(it.pid, signal.SIGTTOU)
    for _ in range(2):  # a turn each: it is taken, and not after a lower number
        it.status()
    kill(it.pid, signal.SIGTTIN)
    it.wait(lambda: it.cluster().ready == 1)


def test_term_is_a_graceful_stop_the_second_one_and_quit_are_at_once():
    for first in SIGTERM, SIGQUIT:
        it = hearing(2, "--stop-timeout 1h", "--end-on", "never", clock=True)
        kill(it.pid, first)
        if first == SIGTERM:
            wait(lambda: len(heard("TERM")) == 2)
            kill(it.pid, SIGTERM)  # the same stop, as time stands: timeout(1) sends two
            for _ in range(2):  # a turn each
                assert it.cluster().state == "stopping" and len(it.pids()) == 2
            it.advance(0.3)
            kill(it.pid, SIGTERM)
        assert it.exit() == 0
        assert living() == []
    assert len(heard("TERM")) == 2


def test_a_stop_signal_that_workers_get_too_as_from_systemd_is_told_once():
    it = cluster("-n 2", PLAIN, PORT)
    workers = it.pids()
    kill(it.pid, SIGSTOP)
    for pid in (it.pid, *workers):
        kill(pid, SIGTERM)
    wait_gone(*workers)
    kill(it.pid, SIGCONT)
    assert it.exit() == 0
    assert it.log().count("'KillMode=mixed' avoids that") == 1
    it = cluster("-n 2", PLAIN, PORT, name="other")
    kill(it.pid, SIGTERM)
    assert it.exit() == 0 and not it.says("KillMode")


def test_term_in_the_midst_of_spawning_everybody_goes():
    for n in 1, 20:
        it = start("-n 40 --ready notify --start-at-once all", HEAR, "--notify", name=f"after{n}")
        it.event("started", n)
        kill(it.pid, SIGTERM)
        assert it.exit() == 0
        assert living() == []


def test_a_storm_of_signals_is_survived():
    it = hearing(2, "--signal-HUP ignore --log-level error")
    for _ in range(60):
        for number in (SIGHUP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGPIPE, signal.SIGWINCH,
                       SIGUSR1, signal.SIGCHLD, signal.SIGRTMIN + 9):
            kill(it.pid, number)
    for _ in range(2):  # a turn each: all are taken
        it.status()
    it.call("scale", count=2)
    assert [w.state for w in it.workers()] == ["ready"] * 2
    assert it.stop() == 0


def test_while_it_stops_a_hup_reloads_nothing_and_nobody_is_started():
    it = cluster("--log-level debug", ini=section("web", f"{fixture('deaf')} --notify",
                                                  "stop-timeout = 1h", workers=1))
    old = it.worker().pid
    kill(it.pid, SIGTERM)
    it.event("stopping")
    write("it.ini", read("it.ini") + "env = A=1\n")
    kill(it.pid, SIGHUP)
    it.logged("received SIGHUP")
    kill(old)
    it.exit()
    assert not it.says("reload") and not it.says("rollout")


# ---- stopped ----

def test_a_stop_and_cont_of_nclust_change_nothing_a_tstp_stops_the_workers_too():
    it = hearing(2)
    before = it.pids()
    kill(it.pid, SIGSTOP)
    wait(lambda: is_stopped(it.pid))
    kill(it.pid, SIGCONT)
    assert it.pids() == before
    kill(it.pid, signal.SIGTSTP)
    wait(lambda: all(map(is_stopped, (*before, it.pid))))
    kill(it.pid, SIGCONT)
    wait(lambda: not any(map(is_stopped, before)))
    assert it.pids() == before and it.cluster().ready == 2


# ---- terminals ----

TELL = ("sh", "-c", 'trap : INT; "$@"; echo "status=$?"; stty -a', "-")


def test_interrupt_is_one_graceful_stop_and_the_terminal_is_sane():
    terminal = Terminal()
    hearing(2, under=TELL, **terminal.streams)
    terminal.type("\3")
    terminal.sees("status=0")
    terminal.sees("isig icanon")
    # their own sessions: they hear nclust's TERM, not the terminal's INT
    assert sorted(heard("TERM")) == [0, 1] and not heard("INT")
    wait(lambda: living() == [])


def test_a_second_interrupt_ends_at_once_what_takes_long_and_says_for_what_it_waits():
    terminal = Terminal(columns=300)
    it = hearing(1, "--stop-timeout 1h --drain off", "--end-on", "never", under=TELL, clock=True,
                 **terminal.streams)
    worker = it.worker().pid
    terminal.type("\3")
    wait(lambda: heard("TERM"))
    it.advance(10)
    terminal.sees("it: still stopping after ", "to end it now: nclust stop --now it, or Ctrl-C",
                  rf"it.0 \(worker {worker}\) has got SIGTERM, SIGKILL follows in")
    terminal.type("\3")
    terminal.sees("status=0")


def test_suspended_by_a_key_nclust_and_its_workers_stop_and_fg_resumes_them():
    terminal = Terminal()
    it = hearing(1, under=("bash", "-mc", '"$@"; fg >foreground; echo "status=$?"', "-"),
                 **terminal.streams)
    worker = it.worker().pid
    kill(it.process.pid, SIGSTOP)  # the shell, which would go on at once
    terminal.type("\x1a")
    wait(lambda: is_stopped(it.pid) and is_stopped(worker))
    kill(it.process.pid, SIGCONT)
    wait(lambda: not is_stopped(it.pid) and not is_stopped(worker))
    assert it.pids() == [worker] and os.path.exists("foreground")
    terminal.type("\3")
    terminal.sees("status=0")


def test_a_terminal_that_hangs_up_is_a_stop():
    terminal = Terminal()
    it = hearing(1, **terminal.streams)
    terminal.hang_up()
    it.exit()
    assert heard("TERM") and living() == []


def test_under_nohup_a_hang_up_changes_nothing():
    terminal = Terminal()
    it = hearing(1, under=("sh", "-c", 'nohup "$@" >out & wait', "-"), **terminal.streams)
    worker = it.worker().pid
    terminal.hang_up()
    wait(lambda: it.process.poll() is not None)
    kill(it.pid, SIGHUP)
    send_each(it, SIGUSR1, "USR1", 0)
    assert it.pids() == [worker] and it.cluster().generation == 1
