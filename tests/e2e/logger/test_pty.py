# SPDX-License-Identifier: MIT
"""A pseudo-terminal for the workers' output: programs hold no line back, and it is as wide as the
place that a line has."""
import re
import termios

from harness import *
from harness.says import say, says
from harness.terminal import Terminal

# Programs write to PROGRAM's stdout, and hold that back where it is no terminal.
HOLDS = "import os, time; print('said'); os.write(2, b'went on\\n'); time.sleep(1000)"
TELLS = """
import os, time
def tell(*words):
    os.write(2, (" ".join(map(str, words)) + "\\n").encode())
def of(what, *how):
    try:
        return what(*how)
    except OSError as e:
        return type(e).__name__
"""


def on_screen(options, program, *args, **more):
    os.environ.pop("PYTHONUNBUFFERED", None)
    t = Terminal(columns=100, rows=30)
    return t, cluster(f"--ready alive:1ms {options}", "python3", "-c", program, *args, **t.streams,
                      **more)


@pytest.mark.parametrize("option", ("", "--pty no", "--orphans keep"))
def test_what_a_program_holds_back_elsewhere_is_on_the_terminal_at_once(option):
    t, _ = on_screen(f"-n 2 {option}", HOLDS)
    t.sees(r"it\.0 \| went on", r"it\.1 \| went on")
    if option == "":
        t.sees(r"it\.0 \| said", r"it\.1 \| said")
    else:
        assert not t.has("said")


def test_the_only_worker_reads_the_terminal_and_is_seen_to_ask():
    t, it = on_screen("-n 1 --log-level warn", """
import os
x = 6
print(input("who? ").upper())
breakpoint()
print("x is", x)
os.read(0, 1)""")
    t.sees(r"it\.0 \| who\?$")
    t.type("me\n")
    t.sees(r"it\.0 \| who\? me$", r"it\.0 \| ME")
    t.sees(r"it\.0 \| \(Pdb\)$")
    t.type("x = 42\r")
    t.sees(r"it\.0 \| \(Pdb\) x = 42$")
    t.type("c\r")
    t.sees("x is 42")
    assert os.readlink(f"/proc/{it.worker().pid}/fd/0") == os.ttyname(t.streams["stdin"])


@pytest.mark.parametrize("options", ("-n 2", "-n 1 --user nobody"))
def test_no_other_worker_reads_it(options):
    need_root()
    _, it = on_screen(options, "import time; time.sleep(1000)")
    assert os.readlink(f"/proc/{it.worker().pid}/fd/0") == "/dev/null"


def test_a_worker_that_dies_leaves_the_terminal_as_it_was():
    t, it = on_screen("-n 1", """
import os, tty
if os.environ["NCLUST_WORKER"] == "1":
    tty.setraw(0)
    print("raw")
os.read(0, 1)""")
    t.sees("raw")
    kill(it.worker().pid)
    it.event("exited")
    wait(lambda: termios.tcgetattr(t.master) == t.before)


def test_each_stream_is_a_terminal_of_its_own_and_none_that_controls():
    t, _ = on_screen("-n 1", TELLS + """
tell("differ", os.ttyname(1) != os.ttyname(2), "TERM" in os.environ)
tell("reads", of(os.read, 1, 1))
tell("controls", of(os.open, "/dev/tty", os.O_RDWR))
os.open("/dev/stderr", os.O_WRONLY)
tell("controls", of(os.open, "/dev/tty", os.O_RDWR), "now")
time.sleep(1000)""", env={"TERM": "tiny"})
    t.sees("differ True True", "reads OSError", "controls OSError$", "controls OSError now")


def test_its_size_is_what_the_prefix_leaves_and_follows():
    t, it = on_screen("-n 11", TELLS + """
seen = None
while True:
    now = [os.get_terminal_size(i) for i in (1, 2)]
    if now != seen:
        tell("sizes", *(n for size in now for n in size))
    seen = now
    time.sleep(0.02)""")

    def follows(columns, rows):
        sizes = f"sizes {columns - 8} {rows} {columns - 8} {rows}"
        wait(lambda: t.look() and t.said.count(sizes) >= 11, sizes)

    follows(100, 30)
    t.resize(140, 40)
    follows(140, 40)
    assert re.search(r"it\.0  \|.* sizes 132", t.said)
    it.call("upgrade")
    t.resize(130, 35)
    follows(130, 35)
    kill(it.role("logger"))
    t.resize(120, 34)
    follows(120, 34)


def test_its_size_is_what_the_prefix_leaves_before_the_logger_has_seen_it():
    t, it = on_screen("-n 1", "import os, time; open('size', 'w').write("
                      "str(os.get_terminal_size(2).columns)); time.sleep(1000)")
    wait(lambda: os.path.exists("size") and read("size"))
    os.remove("size")
    os.kill(it.role("logger"), signal.SIGSTOP)
    kill(it.worker().pid)
    wait(lambda: os.path.exists("size") and read("size"))
    assert read("size") == "93"
    os.kill(it.role("logger"), signal.SIGCONT)


def test_a_progress_bar_is_shown_a_line_a_second_and_as_it_ends():
    os.mkfifo("go")
    t, it = on_screen("-n 1", r"""
import os, sys, time
os.write(1, b"\x1b[?25lbegins\r\x1b[K\x1b[32m 10%\x1b[0m")
for word in (b"then", b"soon"):
    open(sys.argv[1]).read()
    for i in range(200):
        os.write(1, b"\r\x1b[2K%s %d%%" % (word, i))
open(sys.argv[1]).read()
os.write(1, b"\r\x1b[K100%\x1b[?25h\r\nits next line\n")
time.sleep(1000)""", path("go"), clock=True)
    t.sees(r"it\.0 \| +10%")
    it.advance(1.1)
    write("go", "")
    t.sees(r"it\.0 \| then ")
    write("go", "")
    pid, logger = it.worker().pid, it.role("logger")
    wait(lambda: "partner" in read(f"/proc/{pid}/wchan") and state(logger) == "S")
    write("go", "")
    t.sees(r"it\.0 \| its next line", r"it\.0 \| 100%")
    assert len(re.findall("then", t.text)) == 1 and "soon" not in t.text
    assert "begins" not in t.text and "\\x" not in t.text and "it.0 +" not in t.text
    # so it is in what is shown of it later
    later = Terminal(inside(PROGRAM), "logs", "it.0")
    assert later.exit() == 0
    assert "| 100%" in later.said and not re.search("soon|\\\\x1b", later.said)
    assert "soon 0%" in nclust("logs it.0").ok()


def test_the_output_goes_on_after_an_upgrade_and_when_the_logger_is_killed():
    it = says("--pty yes --log prefix", clock=True)
    for n in (1, 2, 3):
        say(f"word {n}")
        it.logged(f"it.0 | word {n}")
        if n == 1:
            it.call("upgrade")
    old = it.role("logger")
    kill(old, SIGSTOP)
    say("meanwhile")
    kill(old)
    wait_gone(old)
    it.advance(2)
    it.logged("it.0 | meanwhile")


def test_its_workers_user_may_open_it_and_nobody_else():
    need_root()
    it = cluster("-n 1 --pty yes --log prefix --user nobody --ready alive:1ms", "sh", "-c",
                 'echo "by its name" >/dev/stderr; tty <&1; tty <&2; exec sleep 1000')
    it.logged("it.0 | by its name")
    it.logged("it.0 | /dev/pts/", 2)
    ttys = re.findall(r"^it\.0 \| (/dev/pts/\d+)", it.log(), re.M)
    assert len(set(ttys)) == 2
    for tty in ttys:
        assert (os.stat(tty).st_uid, os.stat(tty).st_mode & 0o777) == (65534, 0o620)
        other = run("setpriv", "--reuid", 65533, "--regid", 65533, "--clear-groups", "sh", "-c",
                    'echo hello >"$0"', tty)
        assert "Permission denied" in other.err


def test_where_there_are_not_enough_of_them_the_rest_are_pipes():
    need_root()
    it = cluster("-n 3 --pty yes --log prefix --ready alive:1ms", "sh", "-c",
                 "test -t 1; echo 1 $?; test -t 2; echo 2 $? >&2; exec sleep 1000",
                 under=("unshare", "-m", "sh", "-c", "mount -t devpts -o "
                        'newinstance,ptmxmode=0666,max=1 devpts /dev/pts && exec "$@"', "-"))
    it.logged("| 1 1", 2)
    it.logged("| 2 1", 3)
    it.logged("| 1 0")
    assert it.log().count("no pseudo-terminal") == 1
    assert it.says("No space left on device")
