# SPDX-License-Identifier: MIT
"""log = file:PATH: every byte gets there once and in its order, whatever happens to the file, to
the logger, or to nclust; and old files make room for new ones."""
from datetime import datetime
import contextlib
import gzip
import json
import os
import re
import socket
import struct
import threading
import time

from harness import *
from harness.says import COUNTER, held, here, ini, say, says
from harness.trace import Trace

WEB = "web"  # the log file of most tests


def wait_in(name, text):
    wait(lambda: f"{text}\n" in read(name), f"{text} in {name}")


def wait_open(it, *names):
    logger = it.role("logger")
    wait(lambda: {path(n) for n in names} <= set(descriptors(logger).values()), f"{names} open")


def unpacked(name):
    """What is in an old file, compressed or not (yet)."""
    try:
        with gzip.open(path(name), "rt") as f:
            return f.read()
    except (OSError, EOFError):
        return read(name) if not name.endswith(".gz") else ""


def files(name=WEB):
    """It and its old ones, the oldest first."""
    found = [f for f in os.listdir() if re.fullmatch(rf"{name}(\.\d{{1,3}})?(\.gz)?", f)]
    return sorted(found, key=lambda f: -int(re.sub(r"\D", "", f) or 0))


def turn(it, n, name=WEB, old=f"{WEB}.1"):
    """It gets two lines, and becomes too large: then it is called `old`."""
    say(f"line {n}")
    wait_in(name, f"line {n}")
    say("x" * 4096)
    wait(lambda: f"line {n}" in unpacked(old))
    wait(lambda: {f for f in descriptors(it.role("logger")).values() if f.startswith(path(name))}
         == {path(name)}, f"a new {name}")


# ---- under a flood ----

def flood(options, width=80, at_once=40, **more):
    return cluster(f"--ready alive:0s --stop-signal KILL {here(options)}", "python3",
                   server("flood.py"), width, at_once, **more)


def size_of(name):
    try:
        return os.stat(name).st_size
    except FileNotFoundError:  # it is about to come
        return 1 << 60


def has_all(slots=1, size=1 << 60):
    """No more is said: wait for the end, and look if each line is there, once and in its order."""
    write("enough", "")
    said = [int(wait(lambda: read(f"said.{slot}"))) for slot in range(slots)]
    wait(lambda: all(f"line {slot} {n - 1} " in "".join(map(read, files()[-2:]))
                     for slot, n in enumerate(said)))
    wait(lambda: size_of(WEB) < size)  # else it is renamed soon
    found = [[] for _ in said]
    for name in files():
        for line in read(name).splitlines(keepends=True):
            at = re.fullmatch(r"line (\d+) (\d+) x+\n", line)
            assert at, f"no whole line in {name}: {line[:100]!r}"
            found[int(at[1])].append(int(at[2]))
    assert found == [list(range(n)) for n in said]


@pytest.mark.parametrize("workers, width, at_once, size", (
    (2, 80, 40, 1 << 18), (1, 900_000, 1, 1 << 20)), ids=("two", "long"))
def test_rotation_in_a_flood_and_upgrades_loses_no_line_and_keeps_their_order(
        workers, width, at_once, size):
    it = flood(f"-n {workers} --log file:{WEB} --log-size {size} --log-keep 1000", width, at_once)
    wait(lambda: len(files()) > 3)
    for _ in range(2):  # it goes on to ask the next nclust for new ones
        count = len(files())
        it.call("upgrade")
        wait(lambda: len(files()) > count + 1)
    has_all(workers, size)
    assert not it.says("dropped")


@pytest.mark.parametrize("signal", (SIGUSR1, None), ids=("signal", "moved"))
def test_files_that_are_renamed_and_opened_anew_have_all_lines(signal):
    it = flood(f"-n 1 --log file:{WEB} --log-size never --signal-USR1 reopen-logs")
    for old in (4, 3, 2, 1):
        wait(lambda: read(WEB))
        os.rename(WEB, f"{WEB}.{old}")
        if signal:
            kill(it.pid, signal)
        wait(lambda: os.path.exists(WEB))
    has_all()


def test_a_file_that_logrotate_renames_and_makes_or_that_is_removed_gets_no_more_lines():
    it = says(f"--log file:{WEB}")
    for name, then in ("1", lambda: write(WEB, "", 0o600)), ("2", lambda: None):
        say(f"line {name}")
        wait_in(WEB, f"line {name}")
        os.rename(WEB, f"{WEB}.{name}")
        then()
    os.rename(f"{WEB}.2", f"{WEB}.3")
    say("line 3")
    wait(lambda: read(WEB) == "line 3\n")
    wait(lambda: set(descriptors(it.role("logger")).values()) & {path(f) for f in files()}
         == {path(WEB)}, "the old ones are closed")
    os.unlink(WEB)
    say("line 4")
    wait(lambda: os.path.exists(WEB) and read(WEB) == "line 4\n")
    assert [read(f) for f in files()] == ["line 2\n", "line 1\n", "line 4\n"]


def test_a_directory_that_is_removed_and_made_again_soon_has_its_file():
    os.mkdir("logs")
    it = says("--log file:logs/log")
    wait_open(it, "logs/log")
    os.rename("logs", "removed")
    say("one")
    it.logged("logs/log': cannot open: No such file or directory")
    wait_in("removed/log", "one")
    os.mkdir("logs")
    begun = time.monotonic()
    wait(lambda: say("two") or os.path.exists("logs/log"))
    assert time.monotonic() - begun < 30


def test_sighup_opens_the_files_anew_before_any_line_comes():
    it = says(f"--log file:{WEB}")
    wait_open(it, WEB)
    os.rename(WEB, "old")
    kill(it.pid, SIGHUP)
    wait(lambda: os.path.exists(WEB))


@pytest.mark.parametrize("log", (WEB, "it.log"))
def test_a_logger_that_is_killed_is_replaced_and_goes_on_where_it_was(log):
    it = flood("-n 1 --log " + (f"file:{WEB}" if log == WEB else "prefix"), at_once=1, clock=True)

    def numbers_so_far():
        return [int(n) for n in re.findall(r"line 0 (\d+) x+$", read(log), re.M)]

    for _ in range(3):
        before = len(numbers_so_far())
        wait(lambda: len(numbers_so_far()) > before + 10)
        old = it.role("logger")
        kill(old)
        wait_gone(old)
        it.advance(2)
        it.role("logger", but=old)
    write("enough", "")
    wait(lambda: read("said.0") and numbers_so_far()[-1] == int(read("said.0")) - 1)
    got = numbers_so_far()
    # what it had read and not yet written went with it, each time
    assert got == sorted(set(got)) and sum(b - a > 1 for a, b in zip(got, got[1:])) <= 3
    assert it.worker().restarts == 0


@pytest.mark.parametrize("log, width", (("file:web", 50000), ("prefix", 500)))
def test_lines_of_several_workers_are_never_mixed(log, width):
    it = cluster(f"-n 4 --ready alive:1ms --log {here(log)}", "python3", "-c", f"""
import os, time
slot = os.environ["NCLUST_SLOT"].encode()
for i in range(50):
    for part in (b"begin " + slot, slot * {width}, b" end\\n"):
        os.write(1, part)
time.sleep(1000)""")
    name, before = (WEB, "") if log != "prefix" else (it.log_path, "it.{} | ")
    wait(lambda: read(name).count(" end") == 200)
    assert {line for line in lines(name) if not line.startswith("nclust: ")} == {
        f"{before.format(n)}begin {n}{str(n) * width} end" for n in range(4)}


# ---- what is where ----

def test_each_slot_has_its_file_beside_one_for_all_and_json_on_stdout():
    log = here("'file:{cluster}-{slot} file:all json'")
    it = cluster(f"-n 2 --ready alive:0s --log {log}", "sh", "-c",
                 'echo "line $NCLUST_SLOT"; echo bad >&2; exec sleep 1000')
    for slot in (0, 1):
        wait(lambda: sorted(lines(f"it-{slot}")) == ["bad", f"line {slot}"])
    wait(lambda: sorted(lines("all")) == ["bad", "bad", "line 0", "line 1"])
    assert os.stat("all").st_mode & 0o777 == 0o640
    it.logged('"message":', 4)
    said = [json.loads(line) for line in it.log().splitlines() if line.startswith("{")]
    assert all(re.fullmatch(r"20\d\d-\d\d-\d\dT[\d:]{8}\.\d{3}Z", s.pop("time")) for s in said)
    assert {"cluster": "it", "slot": 1, "pid": it.worker(1).pid, "stream": "stderr",
            "message": "bad"} in said
    it.call("scale", count=3)
    wait_in("it-2", "line 2")


def test_lines_have_their_time_and_standard_error_is_apart():
    log = here("'file:out,time stderr:file:err,time stderr:file:bare'")
    begun = time.time()
    cluster(f"-n 1 --ready alive:0s --log {log}", "sh", "-c",
            'echo good; echo bad >&2; printf "no end"; exec sleep 1000')
    for name, text in ("out", "good"), ("err", "bad"):
        at = wait(lambda: re.fullmatch(
            rf"(20\d\d-\d\d-\d\dT[\d:]{{8}}\.\d{{3}}Z) {text}\n", read(name)))
        said = datetime.fromisoformat(at[1].replace("Z", "+00:00")).timestamp()
        assert begun - 1 < said < time.time() + 1
    wait(lambda: read("bare") == "bad\n")


MISTAKES = {  # of anybody
    "file:none/log": "cannot open: No such file",
    "file:link": "it is a symbolic link, which is not followed; name the file itself; to write to "
                 "nclust's own output, use 'prefix' or 'json'",  # as /dev/stdout is
    "file:real": "/real': ",
    "journal:none": "/none': cannot open: No such file",
    "journal:plain": "/plain': cannot connect: Connection refused",
    "file:real/a file:/real/./a": "/real/./a' is a file of cluster ",
    "file:real/b file:by/b": "/by/b' is a file of cluster ",
    "file:a-{slot} file:a-1{slot}": "/a-1{slot}' is a file of cluster ",
}
ROOTS = {  # nothing that a worker's user can change is opened
    "file:theirs/log": "refused for root",
    "file:sticky/log": "refused for root; try another directory",
    "file:listed/log": "writable by others than its owner, refused",
    "journal:theirs/socket": "refused for root",
    "syslog:sticky/socket": "refused for root",
    "journal:real/linked": "it is a symbolic link",
}


def places_of_root():
    for name in ("theirs", "sticky", "listed"):
        os.mkdir(name)
        os.symlink(path("real/socket"), f"{name}/socket")
    os.chown("theirs", 1234, -1)
    os.chmod("sticky", 0o1777)
    os.chmod("listed", 0o775)  # root's own group may write there
    nclust("-n 1 --restart never --log", f"file:{path('listed/log')} -- true").ok()
    os.setxattr("listed", "system.posix_acl_access", struct.pack("<I", 2) + b"".join(
        struct.pack("<HHi", *entry) for entry in (
            (1, 7, -1), (2, 7, 1234), (4, 5, -1), (16, 7, -1), (32, 5, -1))))
    socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).bind("real/socket")
    os.symlink("socket", "real/linked")


def test_what_cannot_be_written_to_is_a_mistake_all_are_told_and_nothing_starts():
    os.mkdir("real")
    os.symlink("real", "by")
    os.symlink(path("victim"), "link")
    write("plain", "")
    cases = dict(MISTAKES)
    if os.geteuid() == 0:
        places_of_root()
        cases |= ROOTS
    text = "".join(f"[cluster:c{n}]\ncommand = touch ran\nworkers = 11\nlog = "
                   + sinks.replace(":", f":{path()}/") + "\n" for n, sinks in enumerate(cases))
    said = nclust("-c", write("it.ini", text)).fails(78).err.splitlines()
    for n, text in enumerate(cases.values()):
        at = f"it.ini:{4 * n + 4}: cluster:c{n}.log: "
        assert any(at in line and text in line for line in said), (at, text, said)
    nclust("-n 1 --log file:none/log -- touch ran").fails(64, "--log: ")
    assert not os.path.exists("ran") and not os.path.exists("victim")


def test_a_reload_adds_and_removes_a_file_without_new_workers_a_bad_one_changes_nothing():
    it = says(ini=ini("file:a"))
    pid = it.worker().pid
    for n, (sinks, place) in enumerate((
            ("file:a", "a"), ("file:b file:a", "b"), ("file:b file:none/c", "a"), ("file:b", "b"))):
        write("it.ini", ini(sinks))
        try:
            it.call("reload")
        except Refused as refused:
            assert n == 2 and "none/c': cannot open" in refused.message
        say(f"line {n}")
        wait_in(place, f"line {n}")
    assert (read("a"), read("b")) == ("line 0\nline 1\nline 2\n", "line 1\nline 2\nline 3\n")
    assert path("a") not in descriptors(it.role("logger")).values()
    assert it.worker().pid == pid


# ---- old files ----

SMALL = f"--log file:{WEB} --log-size 4K --log-keep 50"


def asides(it):
    """Processes of its own that open files: they may take ten seconds."""
    return [p for p in living() if stat(p)[1:2] == [str(it.pid)] and command(p) == command(it.pid)]


def test_a_file_that_is_too_old_makes_room_at_the_next_line_not_before():
    it = says(f"--log file:{WEB} --log-age 1h", clock=True)
    for text in ("one", "two"):
        say(text)
        wait_in(WEB, text)
        wait(lambda: not asides(it))
        it.advance(1700)
    assert files() == [WEB]
    it.advance(3600)
    say("three")
    wait(lambda: "two" in read(f"{WEB}.1"))
    wait(lambda: read(f"{WEB}.1") + read(WEB) == "one\ntwo\nthree\n")


def test_a_file_that_is_full_waits_for_the_next_one_for_a_while():
    it = says(f"--log file:{WEB} --log-size 64K", COUNTER, clock=True)
    wait_open(it, WEB)
    worker, logger = it.worker().pid, it.role("logger")
    kill(it.pid, SIGSTOP)  # who opens the next one
    say("go")
    wait(lambda: held(worker, logger))
    assert 1 << 16 <= size_of(WEB) < (1 << 16) + 200
    kill(it.pid, SIGCONT)
    wait_in(WEB, "go")
    assert len(lines(f"{WEB}.1") + lines(WEB)) == 8001


def test_old_files_are_compressed_the_oldest_go_and_nothing_else_is_touched():
    for mine in ("20240101", "3.mine"):
        write(f"{WEB}.{mine}", "mine")
    it = says(SMALL.replace("50", "2") + " --log-compress gzip")
    for n in range(4):
        turn(it, n, old=f"{WEB}.1.gz")
    wait(lambda: sorted(f for f in os.listdir() if f.startswith(WEB)) == [
        WEB, *(f"{WEB}.{old}" for old in ("1.gz", "2.gz", "20240101", "3.mine"))])
    assert [unpacked(f)[:7] for f in files()] == ["line 2\n", "line 3\n", ""]


PACK = """#!/bin/sh
case $1 in */web.1) touch packing; until [ -e go ]; do sleep 0.01; done;; esac
exec gzip "$1"
"""


@pytest.mark.parametrize("event", ("upgrade", "reload"))
def test_an_old_file_that_is_being_compressed_is_left_alone(event):
    options = ("log-size = 4K", f"log-compress = {write('pack', PACK, 0o755)}")
    it = says(ini=ini(f"file:{WEB} file:other", *options))
    turn(it, 1)
    wait(lambda: os.path.exists("packing") and "line 1" in unpacked("other.1.gz"))
    if event == "reload":
        write("it.ini", ini(f"file:other file:{WEB}", *options))
    it.call(event)
    turn(it, 2, "other", "other.1.gz")
    assert files() == [f"{WEB}.1", WEB]  # in spite of its size
    write("go", "")
    wait(lambda: files() == [f"{WEB}.2.gz", f"{WEB}.1.gz", WEB])
    assert [unpacked(f)[:7] for f in files()] == ["line 1\n", "line 2\n", ""]


def test_log_compress_is_run_as_nclust_and_does_not_stop_rotation_whatever_becomes_of_it():
    need_root()
    write("bad/pack", "#!/bin/sh\necho bad >said\n", 0o755)
    write("good/pack", "touch ran\n", 0o755)
    env = write("env", f"PATH={path('bad')}:/usr/bin:/bin\nLEAK=1\nNCLUST_NAME=bad\n")
    os.chown(env, 65534, -1)
    it = says(ini=ini(f"file:{WEB}", "log-size = 4K", "log-compress = pack", "user = nobody",
                      f"env-file = {env}", "env = LEAK_TOO=1", "umask = 0123", "nice = 7",
                      "limit-core = 4096"),
              env={"OURS": "1", "PATH": f"{path('good')}:/usr/bin:/bin"},
              under=("sh", "-c", 'umask 022; ulimit -S -c 0; exec "$@"', "-"))
    turn(it, 1)  # what is no program is not a shell's
    it.logged(f"log-compress: cannot execute '{path('good/pack')}': Exec format")
    edit("it.ini", "= pack", "= sh -c 'exit 3'")
    it.call("reload")
    turn(it, 2)
    it.logged(f"log-compress: '{path(WEB)}.1': failed (exit 3)")
    edit("it.ini", "= sh -c 'exit 3'", "= pack")
    write("good/pack", "#!/bin/sh\n{ env; umask; ulimit -c; nice; id -u; } >new; mv new said\n"
          "setsid sleep 1000 &\n", 0o755)  # which outlives it
    it.call("reload")
    turn(it, 3)
    said = wait(lambda: lines("said"))
    assert "OURS=1" in said and "NCLUST_CLUSTER=it" in said and not os.path.exists("ran")
    assert not re.search(r"LEAK|/bad\b|=bad$|HOME=/nonexistent|USER=nobody", "\n".join(said), re.M)
    assert said[-4:] == ["0022", "0", str(os.nice(0)), "0"]
    # nor do those who read an old file
    begin_program("flock", f"{WEB}.1", "sh", "-c", f"exec 9<{WEB}.1; touch locked; sleep 1000")
    wait(lambda: os.path.exists("locked"))
    turn(it, 4)
    assert [read(f)[:6] for f in files()] == [f"line {n}" for n in (1, 2, 3, 4)] + [""]


def test_a_file_that_is_another_ones_by_now_is_not_rotated():
    it = says("--log 'file:a-{slot} file:a-1' --log-size 4K")
    turn(it, 1, "a-1", "a-1.1")  # nobody has slot 1 yet
    it.call("scale", count=2)
    say("two", slot=1)
    wait(lambda: read("a-1") == "two\ntwo\n")  # both have it open
    say("y" * 5000, slot=1)
    it.logged("another place of 'log' is the same file")
    wait(lambda: read("a-1").count("y") == 10000)
    assert files("a-1") == ["a-1.1", "a-1"]


# ---- places that take nothing ----

REOPENS = "signal-USR1 = reopen-logs"


@contextlib.contextmanager
def full_disk():
    need_root()
    os.mkdir("small")
    run("mount", "-t", "tmpfs", "-o", "size=1M,mode=755", "none", "small").ok()
    write("small/fill", "x" * 900_000)
    yield ("file:small/log", "No space left on device", lambda: None,
           lambda: os.unlink("small/fill"), lambda: read("small/log"))


@contextlib.contextmanager
def hanging_disk():
    """One that fsfreeze lets hang; not even SIGKILL ends who waits for it."""
    need_root()
    os.mkdir("disk")
    with open("image", "wb") as f:
        f.truncate(20 << 20)
    run("mkfs.ext4", "-q", "image").ok()
    run("mount", "-o", "loop", "image", "disk").ok()
    os.chmod("disk", 0o755)

    def thaw_it():
        run("fsfreeze", "-u", "disk")

    try:
        yield ("file:disk/log", "its disk does not answer",
               lambda: run("fsfreeze", "-f", "disk").ok(), thaw_it, lambda: read("disk/log"))
    finally:
        thaw_it()
        run("umount", "-l", "disk")


@contextlib.contextmanager
def unread_fifo():
    os.mkfifo("fifo")
    yield ("file:fifo", "it was too slow", lambda: None,
           lambda: begin_program("sh", "-c", "exec cat fifo >got"), lambda: read("got"))


@contextlib.contextmanager
def deaf_daemon():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind("socket")
        got = []

        def take():
            while True:
                got.append(s.recv(65536).decode())

        yield ("journal:socket", "it was too slow", lambda: None,
               threading.Thread(target=take, daemon=True).start,
               lambda: "\n".join(re.findall("^MESSAGE=(.*)", "".join(got), re.M)))


@pytest.mark.parametrize("place", (full_disk, hanging_disk, unread_fifo, deaf_daemon))
def test_a_place_that_takes_nothing_keeps_workers_for_a_second_and_is_told_what_it_lost(place):
    with place() as (sink, why, block, cure, got):
        it = says(ini=ini(f"{sink} file:other", "stop-signal = KILL", command=COUNTER) +
                  ini("file:two", name="two", slot=1), clock=True)
        own = [sink.removeprefix("file:")] if sink.startswith("file:") else []
        wait_open(it, "other", "two", *own)
        block()
        say("go")
        say("two", slot=1)
        wait_in("two", "two")  # nobody else waits
        wait(lambda: held(it.worker(cluster="it").pid, it.role("logger")))
        assert not it.says("dropped")
        it.advance(1.1)
        it.logged(f"are dropped until it takes them again: {why}")
        wait(lambda: "line 7999" in read("other"))
        assert it.call("reload")
        cure()
        it.advance(30)
        wait(lambda: "dropped" in got(), "told what it has lost")
        say("the end")
        wait(lambda: got().splitlines()[-1] == "the end")
        dropped = sum(map(int, re.findall(rf"(\d+) lines? of output w\w+ dropped, {why}", got())))
        assert dropped > 0
        assert dropped + len(re.findall(r"^line \d+ x+$|^go$", got(), re.M)) == 8001
        assert read("other").count("line ") == 8000


@pytest.mark.parametrize("place", (full_disk, hanging_disk))
def test_what_is_lost_as_nclust_ends_is_told(place):
    r, w = os.pipe2(os.O_NONBLOCK)
    with place() as (sink, why, block, _, got):
        it = says(ini=ini(f"{sink} file:other", "stop-signal = KILL", command=COUNTER), stdout=w)
        os.close(w)
        wait_open(it, "other", sink.removeprefix("file:"))
        block()
        say("go")
        wait(lambda: "line 7999" in read("other"))
        it.logged(f"are dropped until it takes them again: {why}")
        it.stop()
        assert os.read(r, 1) == b""  # who reads nclust's output sees its end
        lost = map(int, re.findall(rf"it: (\d+) lines of output were dropped, {why}", it.log()))
        # a line that is written in part is lost
        assert sum(lost) == 8001 - (0 if place is hanging_disk else got().count("\n"))


@pytest.mark.nightly  # it waits for 5 s of the machine's
def test_a_disk_that_hangs_at_the_start_is_told_and_nclust_ends():
    with hanging_disk() as (sink, _, block, *_):
        block()
        it = launch(f"-n 1 --log file:{path('disk/log')}", *NAP)
        assert it.exit() == 69
        assert it.says("the places of 'log' could not be opened within 5 s")


def test_many_files_on_a_disk_that_hangs_other_clusters_open_theirs():
    with hanging_disk() as (_, _, block, *_):
        names = [f"disk/{name}" for name in "abcd"]
        it = says(ini=ini(" ".join(f"file:{name}" for name in names), REOPENS) +
                  ini("file:two-{slot}", REOPENS, name="two"))
        wait_open(it, *names)
        for name in names:
            os.unlink(name)
        block()
        kill(it.pid, SIGUSR1)
        wait(lambda: sum(stat(p)[:2] == ["D", str(it.pid)] for p in living()) == 4)
        it.call("scale", target="two", count=2)
        say("two", slot=1)
        wait_in("two-1", "two")


# ---- the moment of opening ----

def stop_opener(it):
    """Files are reopened at SIGUSR1; who opens WEB waits at it: its pid."""
    wait_open(it, WEB)
    wait(lambda: not asides(it))
    trace = Trace(it.pid, "-f", "-P", WEB, "-e", "inject=openat:signal=SIGSTOP")
    kill(it.pid, SIGUSR1)
    wait(lambda: "stopped by SIGSTOP" in read("trace"))
    trace.end()
    return wait(lambda: next((p for p in living() if stat(p)[:2] == ["T", str(it.pid)]), None))


def test_a_file_that_comes_after_a_reload_by_then_in_another_place_is_not_taken():
    it = says(ini=ini(f"file:{WEB} file:other", REOPENS))
    opener = stop_opener(it)
    it.reload(ini(f"file:other file:{WEB}", REOPENS))
    kill(opener, SIGCONT)
    wait_gone(opener)
    say("one")
    wait(lambda: read(WEB) == read("other") == "one\n")


def test_nclust_is_killed_while_a_file_is_opened_the_logger_sees_it_and_nothing_is_left():
    it = says(f"--signal-USR1 reopen-logs --log file:{WEB}")
    stop_opener(it)
    it.kill()
    wait(lambda: living() == [])


def test_a_link_that_is_planted_later_is_left_and_the_old_file_is_written():
    it = says(f"--signal-USR1 reopen-logs --log file:{WEB}")
    wait_open(it, WEB)
    os.rename(WEB, "old")
    os.symlink(path("victim"), WEB)
    kill(it.pid, SIGUSR1)
    it.logged("it is a symbolic link")
    it.logged("; still writing to the old file")
    say("one")
    wait_in("old", "one")
    assert not os.path.exists("victim")


def test_a_file_that_logrotate_has_made_for_another_user_is_told_and_the_old_one_is_written():
    need_root()
    os.mkdir("theirs")
    for name in "run", "theirs":
        os.chown(name, 65534, 65534)
    it = says("--signal-USR1 reopen-logs --log file:theirs/log", under=AS_NOBODY)
    wait_open(it, "theirs/log")
    os.rename("theirs/log", "old")
    write("theirs/log", "", 0o600)
    kill(it.pid, SIGUSR1)
    it.logged("theirs/log': cannot open: Permission denied; let this user write to the file; "
              "still writing to the old file")
    say("one")
    wait_in("old", "one")


def test_a_file_that_a_reload_adds_where_none_was_gets_the_lines_of_the_new_workers():
    """They are born in a rollout whose settings are not in force yet."""
    def slow(log):
        return ini(log).replace("alive:0s", "alive:1s").replace("workers = 1", "workers = 2")

    it = says(ini=slow("off"))
    it.reload(slow(f"file:{WEB}"))
    it.event("rollout-done")
    say("to the file")
    wait_in(WEB, "to the file")
    it.reload(slow("off"))
    it.event("rollout-done", n=2)
    before = read(WEB)
    say("to nobody")
    wait(lambda: "to nobody" in it.verb("logs").ok())
    assert read(WEB) == before
