# SPDX-License-Identifier: MIT
"""Where the workers' output goes, that all of it gets there, and that neither they nor nclust wait
for who reads it, unless that is what they want."""
import fcntl
import json
import random
import re
import select
import signal
import termios

from harness import *
from harness.says import COUNTER, held, here, ini, say, says
from harness.terminal import Terminal

COLOUR = "\033\\[\\d+m"


def tells(text):
    return "sh", "-c", f"{text}; exec sleep 1000"


# ---- on a terminal ----

@pytest.mark.parametrize("colour", (True, False))
def test_on_a_terminal_each_line_has_its_worker_before_it_in_a_colour_of_its_own(colour):
    t = Terminal()
    cluster("-n 2 --ready alive:1ms", *tells('echo "hello from $NCLUST_SLOT"; echo bad >&2'),
            env={} if colour else {"NO_COLOR": "1"}, **t.streams)
    t.wait(lambda: len(re.findall(r"(hello from \d|bad)\r\n", t.said)) == 4)
    before = re.findall(r"^(.*)it\.(\d) \|(.*) hello from (\d)\r$", t.said, re.M)
    assert sorted(b[1] for b in before) == ["0", "1"] and all(b[1] == b[3] for b in before)
    if colour:
        assert all(re.fullmatch(COLOUR, b[0]) and b[2] == "\033[0m" for b in before)
        assert len({b[0] for b in before}) == 2
    else:
        assert "\033" not in t.said


def test_a_worker_may_colour_its_lines_and_all_else_that_it_sends_is_harmless():
    t = Terminal()
    cluster("-n 1 --ready alive:1ms", *tells(
        r"printf '\033[31mred\033[0m\033[2J\033]0;owned\007\200rest\n'"), **t.streams)
    t.wait(lambda: "rest" in t.said)
    assert "\033[31mred\033[0m" in t.said
    assert r"\x1b[2J\x1b]0;owned\x07\x80rest" in t.said


@pytest.mark.parametrize("log", ("auto", "inherit"))
def test_tostop_does_not_stop_workers_that_write(log):
    t = Terminal()
    modes = termios.tcgetattr(t.master)
    modes[3] |= termios.TOSTOP
    termios.tcsetattr(t.master, termios.TCSANOW, modes)
    it = cluster(f"-n 1 --log {log} --ready notify", *tells(
        f"echo one; {NOTIFY} READY=1 --barrier --exit 0; echo two"), **t.streams)
    t.wait(lambda: "two" in t.said)
    wait(lambda: state(it.worker().pid) == "S")
    assert ("it.0 |" in t.said) == (log == "auto")


@pytest.mark.parametrize("stream", (1, 2))
def test_a_stream_that_goes_elsewhere_is_no_terminal_and_the_other_one_stays_one(stream):
    t = Terminal()
    with open("out", "wb") as out:
        cluster("-n 1 --ready alive:1ms", *tells("test -t 1; a=$?; test -t 2; echo $a $? >said"),
                **{**t.streams, ("stdout", "stderr")[stream - 1]: out})
    assert wait(lambda: read("said")) == ("1 0\n" if stream == 1 else "0 1\n")


# ---- all that is written ----

@pytest.mark.parametrize("log", ("auto", "auto --pty yes", "prefix", "file:all"))
def test_every_byte_gets_there_from_both_streams_and_at_the_end(log):
    wanted = {n: random.Random(n).randbytes(200_000) + b"\n" + b"%d" % n * 1_200_000 +
              b"\n\0\n\xff\r\n\x04\x03\x11\x13 no end" for n in (1, 2)}
    for n, data in wanted.items():
        with open(f"{n}.in", "wb") as f:
            f.write(data)
    with open("1", "wb") as out, open("2", "wb") as err:
        it = launch(f"-n 1 --restart never --log-level error --log {here(log)}", "python3", "-c",
                    """
import os
both = [open(f"{n}.in", "rb").read() for n in (1, 2)]
for at in range(0, len(both[0]), 5000):
    for n in (1, 2) if not os.path.exists("all") else (1,):
        part = both[n - 1][at:at + 5000]
        while part:
            part = part[os.write(n, part):]""", stdout=out, stderr=err)
    assert it.exit() == 0
    if log == "file:all":
        os.rename("all", "1")
        del wanted[2]
    for n, data in wanted.items():
        with open(str(n), "rb") as f:
            got = f.read()
        if log == "prefix":  # a line, or a piece that goes on with one
            assert got.startswith(b"it.0 | ") and got.endswith(b"\n")
            got = re.sub(rb"\nit\.0 \+ ", b"", got)[7:-1].replace(b"\nit.0 | ", b"\n")
        assert got == data


def test_what_goes_to_one_place_keeps_its_order():
    with open("out", "wb") as out:
        launch("-n 1 --restart never --log-level error", "python3", "-c",
               'import os\nfor i in range(3000): os.write(1 + i % 2, b"%d " % i)',
               stdout=out, stderr=out).exit()
    assert read("out") == "".join(f"{n} " for n in range(3000))


@pytest.mark.parametrize("first, then", (("out", "err"), ("err", "out")))
def test_what_a_worker_writes_to_both_streams_keeps_its_order(first, then):
    it = says("--log prefix", ("sh", "-c", f'echo begun; read -r go <"$0"; echo first >/dev/std{first};'
                               f' echo then >/dev/std{then}; exec sleep 1000'))
    logger = it.role("logger")
    it.logged("it.0 | begun\n")
    wait(lambda: state(logger) == "S")  # it waits for both
    freeze(logger)
    say("go")
    wait(lambda: "sleep" in read(f"/proc/{it.worker().pid}/cmdline"))
    thaw(logger)
    it.logged("it.0 | first\nit.0 | then\n")


def test_of_a_long_line_each_piece_after_the_first_says_so():
    with open("out", "wb") as out:
        launch("-n 1 --restart never --log 'prefix json' --log-level error", "sh", "-c",
               "printf '%020000d\\nnext\\n' 0", stdout=out).exit()
    said = read("out").splitlines()
    assert [line[:7] for line in said if line[0] == "i"] == [
        "it.0 | ", "it.0 + ", "it.0 + ", "it.0 | "]
    objects = [json.loads(line) for line in said if line[0] == "{"]
    assert [o.get("goes_on") for o in objects] == [None, True, True, None]
    assert "".join(o["message"] for o in objects) == "0" * 20000 + "next"


@pytest.mark.parametrize("log", ("prefix", "off --pty yes", "file:all"))
def test_last_words_are_told_also_without_a_line_end(log):
    it = launch(f"-n 1 --restart never --log {here(log)}", "sh", "-c",
                "echo on stdout; printf 'on stderr' >&2; exit 3")
    assert it.exit() == 3
    assert re.search("exit 3.*last output: .*on stderr", it.log())
    if log == "prefix":
        assert "it.0 | on stderr\n" in it.log()
    elif log == "file:all":
        assert sorted(read("all").split("\n")) == ["on stderr", "on stdout"]
    else:
        assert "on stdout\n" not in it.log()


@pytest.mark.parametrize("log, text, number, hint", (
    ("prefix", "print('lost')", 6, True), ("off", "print('lost')", 11, True),
    ("prefix", "print('said', flush=True)", 6, False), ("prefix --pty yes", "pass", 6, False),
    ("prefix", "pass", 9, False), ("prefix", "pass", 15, False)))  # whoever sent it knows why
def test_who_dies_without_a_word_may_have_kept_its_output_in_a_buffer(log, text, number, hint):
    it = launch(f"-n 1 --restart never --log {log} --limit-core 0", "python3", "-c",
                f"import os; {text}; os.kill(os.getpid(), {number})", env={"PYTHONUNBUFFERED": ""})
    assert it.exit() == 128 + number
    line = next(line for line in it.log().splitlines() if "killed by SIG" in line)
    assert ("'pty = yes'" in line) == ("PYTHONUNBUFFERED" in line) == hint


def test_the_first_error_explains_a_failed_start_and_a_failed_restart():
    fpm = write("fpm", f"""#!/bin/sh
[ ! -e ok ] || exec {NOTIFY} READY=1
echo "ERROR: unable to bind listening socket for address '/run/a': Address already in use (98)"
echo ERROR: FPM initialization failed
exit 78""", 0o755)
    says = "last output: ERROR: unable to bind listening socket for address '/run/a'"
    nclust("-n 1 --name a --restart never --log off --", fpm).fails(78, says)
    write("ok", "")
    it = cluster("-n 1 --log off --ready notify", fpm)
    os.unlink("ok")
    it.verb("restart").fails(1, says)


@pytest.mark.parametrize("log", ("auto", "prefix", "json", "inherit"))
def test_a_log_that_is_truncated_in_its_place_begins_with_what_comes_then(log):
    os.mkfifo("say")
    with open("out", "wb") as out:
        it = cluster(f"-n 1 --log {log} --ready alive:1ms", "sh", "-c", "exec cat <>say",
                     stdout=out, stderr=out)
    for word in ("first", "second"):
        with open("say", "w") as fifo:
            fifo.write(f"{word}\n")
        wait(lambda: word in read("out"))
        if word == "first":
            os.truncate("out", 0)
    it.stop()
    assert "\0" not in read("out")


def test_a_process_that_holds_the_pipe_delays_neither_news_nor_the_successor():
    it = says("--log prefix", ("sh", "-c", 'setsid sleep 1000 & read -r go <"$0"\n'
                               'echo the last word; printf "no end"; exit 3'))
    say("go")
    assert it.event("exited").last_output.endswith("no end")
    it.event("ready", n=2)
    it.logged("exit 3")
    assert it.log().index("it.0 | the last word") < it.log().index("exit 3")


def test_log_inherit_gives_the_workers_the_output_of_nclust_itself():
    it = leak("--log inherit")
    assert [f.target for f in born().fds if f.fd in (1, 2)] == [it.log_path] * 2
    assert it.roles("logger") == []


def test_who_closes_its_output_or_only_waits_makes_nobody_turn():
    it = cluster(f"-n 2 --log 'prefix file:{path('web')}' --ready alive:1ms", "sh", "-c",
                 '[ "$NCLUST_SLOT" -eq 1 ] || { echo last; exec >&- 2>&-; }; exec sleep 1000')
    it.logged("it.0 | last")
    wait(lambda: rests(it.role("logger")))
    wait(lambda: rests(it.pid))


def test_a_worker_of_another_user_may_open_its_stderr_by_name():
    need_root()
    it = launch("-n 1 --user nobody --restart never", "sh", "-c", "echo opened >/dev/stderr")
    it.exit()
    assert it.says("opened\n")


# ---- who reads ----

def reads_on(pipe):
    """From now on somebody reads from that pipe, to "got"."""
    return begin_program("cat", stdin=pipe, stdout="got")


def test_as_it_is_a_worker_waits_for_the_reader_and_nothing_is_lost_meanwhile():
    r, w = os.pipe()
    it = says("--restart never", ("sh", "-c", 'read -r go <"$0"; seq 100000'), stdout=w)
    os.close(w)
    pid = it.worker().pid
    say("go")
    wait(lambda: any("pipe_write" in read(f"/proc/{p}/wchan") for p in session(pid)))
    old = it.role("logger")
    wait(lambda: rests(old))  # else it may have lines in hand
    kill(old)  # whoever comes and goes between them
    new = it.role("logger", but=old)
    it.call("upgrade")
    assert (it.worker().pid, it.worker().state) == (pid, "ready")
    wait(lambda: rests(new))
    reads_on(r)
    assert it.exit() == 0
    wait(lambda: lines("got") == [str(n) for n in range(1, 100001)])


def test_as_it_is_workers_that_flood_wait_for_the_reader_by_turns():
    r, w = os.pipe()
    it = cluster("-n 3 --ready alive:0s", "yes", "{slot}", stdout=w)
    for slot in range(3):
        wait(lambda: held(it.worker(slot).pid, it.role("logger")))
    got = b""
    while len(got) < 1 << 21:
        wait(lambda: select.select([r], [], [], 0)[0])
        got += os.read(r, 1 << 12)
    assert min(got.count(b"%d\n" % slot) for slot in range(3)) > 1 << 17


def test_as_it_is_lines_of_several_workers_stay_whole_where_the_reader_is_slow():
    r, w = os.pipe()
    it = cluster("-n 3 --ready alive:0s", "sh", "-c", f"""
        n=0
        while [ $n -lt 3000 ]; do echo "$NCLUST_SLOT"{"x" * 99}; n=$((n + 1)); done
        exec sleep 1000""", stdout=w)
    for slot in range(3):
        wait(lambda: held(it.worker(slot).pid, it.role("logger")))
    got = b""
    while len(got) < 9000 * 101:
        wait(lambda: select.select([r], [], [], 0)[0])
        got += os.read(r, 1 << 12)
    assert not re.search(b"^(?![012]x{99}$)", got[:-1], re.M)


@pytest.mark.parametrize("log", ("auto", "prefix"))
def test_a_reader_that_has_gone_stops_nobody(log):
    r, w = os.pipe()
    os.close(r)
    it = says(f"--log {log}", COUNTER, stdout=w)
    say("go")
    it.logged("nobody reads the workers' output: it is dropped")
    wait(lambda: "pipe_read" in read(f"/proc/{it.worker().pid}/wchan"))
    it.reborn()


@pytest.mark.parametrize("reads", (True, False))
def test_prefix_a_reader_that_takes_nothing_for_a_second_is_told_what_it_lost(reads):
    r, w = os.pipe()
    it = says(ini="".join(ini("prefix", command=COUNTER, name=f"flood{slot}", slot=slot)
                          for slot in (0, 1)) + ini("prefix", name="quiet", slot=2),
              clock=True, stdout=w)
    os.close(w)
    if reads:
        reader = reads_on(r)
    for slot in (0, 1):
        say("go", slot)
    if not reads:
        for slot in (0, 1):
            wait(lambda: held(it.worker(cluster=f"flood{slot}").pid, it.role("logger")))
        it.advance(1.1)
    for slot in (0, 1):  # now all of it has been taken
        wait(lambda: "| go" in nclust(f"logs it/flood{slot}").out)
    # who floods costs no line of another cluster
    say("\n".join(f"line {n}" for n in range(280)), slot=2)
    wait(lambda: "| line 279" in nclust("logs it/quiet").out)
    if not reads:
        reader = reads_on(r)
    assert it.stop() == 0
    wait(lambda: reader.poll() is not None, "all is read")

    def count(pattern):
        return len(re.findall(pattern, read("got"), re.M))

    assert count(r"^quiet\.0 +\| line \d+$") == 280
    lost = sum(map(int, re.findall(r"^nclust: (\d+) lines? of output", read("got"), re.M)))
    assert (lost > 0) == (not reads)
    assert lost + count(r"^flood[01]\.0 \| (line \d+ x+|go)$") == 16002


def test_prefix_a_flood_keeps_no_other_cluster_from_a_reader_that_is_slow():
    r, w = os.pipe()
    it = says(ini=ini("prefix", command=("sh", "-c", 'read -r go <"$0"; exec yes'), name="flood",
                      slot=0) + ini("prefix", name="quiet", slot=1), clock=True, stdout=w)
    os.close(w)
    say("go")
    wait(lambda: held(it.worker(cluster="flood").pid, it.role("logger")))
    say("one", slot=1)
    wait(lambda: "| one" in nclust("logs it/quiet").out)
    got = b""
    while b"| one" not in got:
        assert len(got) < 1 << 18
        got += os.read(r, 1 << 16)


def test_a_cluster_that_logs_to_a_file_does_not_wait_for_a_reader():
    r, w = os.pipe()
    says(ini=ini("prefix", command=COUNTER, name="shown", slot=0) +
         ini("file:filed", command=COUNTER, name="filed", slot=1), clock=True, stdout=w)
    for slot in (0, 1):
        say("go", slot)
    wait(lambda: len(lines("filed")) == 8001)  # although time stands


# ---- the logger ----

def test_a_logger_that_takes_nothing_stops_nobody_and_is_replaced_and_no_line_is_lost():
    it = says("-n 2 --log prefix --backoff-min 1ms --backoff-max 1ms")
    say("one", slot=1)
    it.logged("it.1 | one")
    logger = it.role("logger")
    kill(logger, SIGSTOP)
    dead = it.worker(0).pid
    kill(dead)
    say("two", slot=1)
    wait(lambda: state(dead) == "gone")
    it.event("ready", slot=0, n=2)
    while not it.says("the logger does not answer: replacing it"):
        kill(it.pid, signal.SIGWINCH)  # it is told the terminal's size, until its channel is full
    it.role("logger", but=logger)
    it.logged("it.1 | two")
    assert it.worker(1).restarts == 0


def test_no_worker_can_stop_the_logger_and_none_gets_its_user():
    need_root()
    it = cluster(ini=section("web", f"{HEAR} --notify", "log = prefix", "user = nobody",
                             "group = #65534", workers=1))

    def is_safe():
        logger = it.role("logger")
        uid = os.stat(f"/proc/{it.worker().pid}").st_uid
        worker = ("setpriv", "--reuid", uid, "--regid", 65534, "--clear-groups")
        assert run(*worker, "kill", "-STOP", it.worker().pid).status == 0
        assert "not permitted" in run(*worker, "kill", "-STOP", logger).err
        assert "not permitted" in run(*worker, "prlimit", "--pid", logger, "--fsize=0").err
        return logger

    old = is_safe()
    edit("it.ini", "user = nobody", f"user = #{os.stat(f'/proc/{old}').st_uid}")
    it.verb("reload").fails(78, "are those of nclust's own processes")
    assert it.roles("logger") == [old]
    it.logged(f"web.0 | slot=0 pid={it.worker().pid}")


# ---- nclust's own words ----

@pytest.mark.parametrize("end", ("gone", "full"))
def test_nclust_goes_on_if_its_stderr_has_gone_or_takes_no_more(end):
    r, w = os.pipe()
    fcntl.fcntl(w, fcntl.F_SETPIPE_SZ, 4096)
    if end == "gone":
        os.close(r)
    it = cluster("-n 1 --log off --log-level debug --ready alive:1ms", *NAP, stderr=w)
    for _ in range(150):  # a line each
        kill(it.pid, SIGUSR1)
        it.status()
    if end == "full":
        assert len(os.read(r, 8192)) > 3000
    it.call("restart")
    assert it.cluster().ready == 1
    assert it.stop() == 0


def test_workers_of_an_nclust_without_standard_descriptors_have_them():
    leak(under=("sh", "-c", 'exec "$@" 0<&- >&- 2>&-', "-"))
    assert [f.fd for f in born().fds] == [0, 1, 2]


def test_a_worker_that_waits_for_who_reads_nclusts_output_is_shown_as_such():
    r, w = os.pipe()
    it = cluster("-n 1 --ready alive:1ms", "yes", stdout=w)
    os.close(w)
    it.wait(lambda: it.worker().get("waits_for") == "whoever reads nclust's output")
    assert "waits for whoever reads nclust's output" in it.verb("status").ok()
    os.close(r)  # what nobody reads any more is dropped
    it.wait(lambda: it.worker().get("waits_for") is None)
