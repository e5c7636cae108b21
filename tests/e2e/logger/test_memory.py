# SPDX-License-Identifier: MIT
"""nclust logs: what the workers have written, also before it was asked for, and also workers that
are gone."""
import json
import re

from harness import *
from harness.says import COUNTER, held, say, says
from harness.terminal import Terminal

# A worker that says who it is, by both streams.
TELLS = ("sh", "-c", 'echo "out $NCLUST_WORKER"; echo "err $NCLUST_WORKER" >&2; exec sleep 1000')


def logs(*args, name="it"):
    """The lines of `nclust logs`, without their time."""
    return [line[line.index(" it."):].strip() for line in nclust("logs", name, *args).ok()
            .splitlines()]


def wait_logs(*texts):
    wait(lambda: set(texts) <= set(logs()), texts)


def follow(*args):
    begin_program(inside(PROGRAM), "logs", "it", "-f", *args, stdout="followed")


def wait_followed(text, n=1):
    wait(lambda: len(re.findall(text, read("followed"), re.M)) >= n, text)


def replace(it, n):
    """The worker in slot 0 is killed, and its n-th successor says who it is."""
    kill(it.worker().pid)
    it.event("exited", n=n)
    it.advance(1)
    it.event("ready", slot=0, n=n + 1)


@pytest.mark.parametrize("log", ("off", "prefix", "auto"))
def test_lines_are_kept_whoever_is_killed_and_through_an_upgrade_and_can_be_followed(log):
    it = cluster(f"-n 2 --log {log} --ready alive:0s --backoff-min 1ms --backoff-max 1ms", *TELLS,
                 clock=True)
    said = ["it.0 | out 1", "it.0 | err 1", "it.1 | out 2", "it.1 | err 2"]
    wait_logs(*said)
    follow()
    wait_followed("out 1$")
    replace(it, 1)
    wait_logs(*said, "it.0 | out 3")
    old = it.role("logger")
    kill(old)
    wait_gone(old)
    it.advance(2)
    it.role("logger", but=old)
    replace(it, 2)
    it.call("upgrade")
    it.call("scale", count=3)
    wait_logs(*said, "it.0 | out 3", "it.0 | err 4", "it.2 | out 5")
    for n in range(1, 6):
        wait_followed(f"out {n}$")
    text = read("followed")
    assert [len(re.findall(f"out {n}$", text, re.M)) for n in range(1, 6)] == [1] * 5
    it.call("scale", count=1)
    assert "out 5" in nclust("logs it.2").ok()  # also of a slot that is gone
    nclust("logs it.3").fails(69)


def test_the_next_nclust_has_what_was_written_before_where_orphans_are_kept():
    options = ("-n 1 --log off --orphans keep --ready alive:1ms", *TELLS)
    it = cluster(*options)
    wait_logs("it.0 | out 1")
    it.kill()
    it = cluster(*options)
    wait_logs("it.0 | out 1")
    kill(it.worker().pid)
    wait_logs("it.0 | err 1", "it.0 | out 2")
    it.stop()


def test_what_is_written_after_all_is_ready_is_kept_with_d_and_inherit_says_what_to_set():
    os.mkfifo("go")
    nclust("--name it -d -n 1 --ready alive:1ms -- sh -c", f"'exec cat <>{path('go')}'").ok()
    write("go", "said\n")
    wait_logs("it.0 | said")
    cluster("-n 1 --log inherit --ready alive:1ms", *NAP, name="that")
    nclust("logs that").fails(1, "set 'log = prefix'")


def test_only_some_of_them():
    it = cluster("-n 2 --log off --ready alive:1ms", "sh", "-c",
                 "echo err >&2; echo 'one two'; echo three; exec sleep 1000")
    wait(lambda: len(logs()) == 6)
    for args, wanted in ((["--stderr"], ["it.0 | err", "it.1 | err"]),
                         (["--grep", "'^one|^err$'", "--since", "1h", "-n", 9],
                          ["it.0 | err", "it.0 | one two", "it.1 | err", "it.1 | one two"]),
                         (["--since", "2099-01-01"], [])):
        assert sorted(logs(*args)) == wanted
    assert [line[:5] for line in logs("-n", 1, name="it.1")] == ["it.1 "]
    nclust("logs it --grep '('").fails(64, "--grep")
    nclust("logs it.7").fails(69)
    said = json.loads(nclust("logs it.0 --json --stderr").ok())
    assert (said["message"], said["slot"], said["stream"], said["pid"]) == (
        "err", 0, "stderr", it.worker(0).pid)
    assert abs(it.event("started", slot=0).time - said["time"]) < 3600


def test_bytes_are_as_they_were_in_a_pipe_and_harmless_on_a_terminal_long_lines_are_whole():
    cluster("-n 1 --log off --ready alive:1ms", "sh", "-c",
            r"printf 'a\000b\377\033[31mc\033[2Jd\n'; head -c 20000 /dev/zero | tr '\000' x; echo;"
            "exec sleep 1000")
    wait_logs("it.0 | a\0b\udcff\033[31mc\033[2Jd")
    wait(lambda: sum(line.count("x") for line in logs()) == 20000)
    assert {line[:7] for line in logs()} == {"it.0 | ", "it.0 + "}
    seen = Terminal(inside(PROGRAM), "logs", "it")
    assert seen.exit() == 0
    assert r"a\x00b\xff" in seen.said.lower()
    assert "\033[31mc" in seen.said and "\033[2J" not in seen.said


def test_of_a_flood_the_last_lines_are_there_and_it_is_told_how_many_are_not():
    # written at once, it is read at once, but for the first bytes
    cluster("-n 1 --log off --ready alive:1ms", "sh", "-c",
            "seq 10000 | dd bs=64k iflag=fullblock status=none; exec sleep 1000")
    wait_logs("it.0 | 10000")
    last, missing = None, 0
    for line in logs():
        if "lines are not kept" in line:
            missing = int(re.search(r"~ (\d+)", line)[1])
            continue
        n = int(line.split()[-1])
        assert last is None or n == last + missing + 1
        last, missing = n, 0
    assert last == 10000 and "lines are not kept" in "".join(logs())


def test_who_does_not_read_on_harms_nobody_nor_who_follows_under_load():
    it = cluster("-n 2 --log off --ready alive:1ms", "sh", "-c",
                 "while :; do seq 1000; sleep 0.01; done")
    ours, theirs = os.pipe()
    begin_program(inside(PROGRAM), "logs", "it", "-f", stdout=theirs)
    follow()
    wait_followed(r"\| 1000$", 20)
    it.call("restart")
    kill(it.worker(1).pid)
    wait_followed(r"it\.1 \| 1000$", read("followed").count("it.1 | 1000\n") + 20)
    # only whole lines
    whole = r"[-0-9]+ [:0-9]+  it\.[01] ([|] \d+|~ \d+ lines.*)"
    assert all(re.fullmatch(whole, line) for line in read("followed").split("\n")[:-1])


MEMBER = r"""
import array, json, os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.recv(65536)
asks = b'{"jsonrpc":"2.0","id":1,"method":"logs","params":{}}\n'
s.sendall(asks)
data, control, flags, _ = s.recvmsg(65536, 4096)
assert json.loads(data)["result"]["logs"] == [{"cluster": "it", "slot": 0}]
fd = array.array("i", control[0][2])[0]
assert b"out 1" in os.pread(fd, 65536, 0)
for attempt in (lambda: os.pwrite(fd, b"x", 0), lambda: os.open(f"/proc/self/fd/{fd}", os.O_RDWR)):
    try:
        attempt()
        sys.exit("it could be written to")
    except OSError:
        pass
s.sendall(50 * asks)  # who does not read gets no descriptors
other = socket.socket(socket.AF_UNIX)
other.connect(sys.argv[1])
answers = other.makefile()
for _ in range(60):  # in turn with those: after these all of them have been answered
    other.sendall(b'{"jsonrpc":"2.0","id":1,"method":"events","params":{"last":0}}\n')
    answers.readline()
got = passed = 0
while got < 50:
    data, control, flags, _ = s.recvmsg(65536, 65536)
    got += data.count(b"\n")
    passed += sum(len(c[2]) // 4 for c in control)
assert passed < 50, passed
"""


def test_members_of_the_control_group_may_read_them_and_cannot_write():
    need_root()
    it = cluster("-n 1 --log off --control-group #4711 --ready alive:1ms", *TELLS)
    wait_logs("it.0 | out 1")
    run("setpriv", "--reuid", 4711, "--regid", 4711, "--clear-groups", "python3", "-c", MEMBER,
        f"{it.directory}/control").ok()


@pytest.mark.parametrize("full", (False, True), ids=("unread", "full"))
def test_lines_that_are_lost_are_counted_and_an_event_but_are_kept_all_the_same(full):
    os.mkfifo("out")
    out = os.open("/dev/full" if full else "out", os.O_RDWR)
    it = says("--log prefix", COUNTER, clock=True, stdout=out)

    def lost():
        return it.cluster().counters.log_lines_dropped

    for n in (1, 2):
        say("go")
        if n == 1 and not full:
            wait(lambda: held(it.worker().pid, it.role("logger")))
            it.advance(1.1)
        say(f"end {n}")
        wait_logs(f"it.0 | end {n}")
        it.advance(2)  # they are counted each second
        wait(lambda: lost() > (n - 1) * 8000)
    it.call("upgrade")
    assert lost() > 8000
    assert "lines of output dropped" in it.event("drop").text
