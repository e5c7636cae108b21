# SPDX-License-Identifier: MIT
"""Servers that bind a unix path by themselves, and remove it as they end."""
import socket

from harness import *
from harness import lab

NOBODY = 65534
OWN = ("python3", server("own-path.py"), "s")


def reached():
    """The pid of the one whom a client of the path reaches; None: nobody."""
    try:
        return get(unix="s").pid
    except OSError:
        return None


def left():
    """What is in the directory that was not there before."""
    return [name for name in os.listdir() if name == "s" or name.endswith(".nclust")
            or name.startswith("tmp")]


@pytest.mark.parametrize("options, words", (
    ("-n 1", OWN),
    ("-n 2", OWN),
    ("-n 2", ("gunicorn", "-b", "unix:s", "app:application")),
    ("-n 2", ("node", server("own-path.js"), "s")),
    ("-n 2 --ipc off", ("node", server("own-path.js"), "s")),
), ids=("one", "two", "gunicorn", "node", "node alone"))
def test_a_restart_leaves_the_path_to_a_new_worker(options, words):
    write("app.py", """
import os
def application(_, start):
    start("200 OK", [])
    return [b"pid=%d\\n" % os.getppid()]
""")
    it = cluster(options, *words)
    wait(lambda: reached() in it.pids())  # its listen(2) goes through
    for _ in range(2):
        before = it.pids()
        it.call("restart")
        wait(lambda: reached() in set(it.pids()) - set(before))
        it.call("upgrade")
    assert it.stop() == 0 and left() == []


BINDS = """
import socket, sys, time
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen()
time.sleep(1000)
"""


def test_two_workers_at_one_path_are_warned_of_and_one_after_the_other_is_not():
    it = cluster("-n 1", *OWN)
    it.call("restart")
    assert "each worker binds" not in it.log()
    it.verb("scale", "2")
    whole = f"unix:{path('s')}"
    it.logged(f"it: each worker binds {whole} by itself, and clients reach only the last one; "
              f"to share it: '-l {whole}'")
    it.call("restart")
    assert it.stop() == 0 and it.log().count("each worker binds") == 1


def test_a_second_worker_that_finds_the_path_taken_says_who_has_it():
    write("binds.py", BINDS)
    it = cluster("-n 1", "python3", "binds.py", "s")
    it.verb("scale", "2", "--no-wait")  # else either may be the first
    it.logged(f"its address is in use, maybe '{path('s')}' by it.0; to share that: "
              f"'-l unix:{path('s')}' if the program takes LISTEN_FDS")


REFUSES = """
import os, socket, sys, time
s = socket.socket(socket.AF_UNIX)
try:
    s.connect(sys.argv[1])
    sys.exit("There is already a server bound to: " + sys.argv[1])  # as puma
except (FileNotFoundError, ConnectionRefusedError):
    pass
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen()
time.sleep(1000)
"""


def test_a_restart_that_fails_at_a_path_advises_to_share_that_first():
    write("refuses.py", REFUSES)
    it = cluster("-n 1", "python3", "refuses.py", "s")
    is_refused(f"'-l unix:{path('s')}' if the program takes LISTEN_FDS; if only one copy.*surge = 0",
               it.call, "restart")


def test_a_copy_that_names_the_path_as_it_ends_is_advised_to_share_it_and_no_less():
    write("refuses.py", REFUSES)
    it = cluster("-n 1 --backoff-max 0.1s", "python3", "refuses.py", path("s"))
    it.verb("scale", "2", "--no-wait")
    it.logged(f"its address is in use, maybe '{path('s')}' by it.0; to share that: '-l unix:{path('s')}'")
    it.event("not-ready")
    is_refused("'-l unix:", it.call, "restart")
    assert "surge" not in it.log()


def test_a_release_that_fails_leaves_the_path_to_the_old_workers():
    it = cluster("-n 1", *OWN)
    it.call("restart")
    it.call("upgrade")
    write("broken", "")
    is_refused("exit 3", it.call, "restart", bake=3600)
    assert reached() in it.pids()
    kill(it.worker(0).pid)  # and what it leaves by SIGKILL is no path
    os.unlink("broken")
    it.wait_ready()
    wait(lambda: reached() in it.pids())


def test_it_has_its_path_again_while_the_old_one_ends_but_who_ends_itself_has_none():
    write("hold", "")
    it = cluster("-n 1", *OWN, "hold")
    old, = it.pids()
    place, = (name for name in left() if name.startswith("tmp"))
    answer = it.begin("restart")
    wait(lambda: place not in left())  # it was told to stop, and removes the path next
    wait(lambda: reached() not in (old, None))
    assert is_alive(old)
    os.unlink("hold")
    answer()
    write("hold", "")
    before = it.log().count("has removed")
    it.call("stop", no_wait=True)
    wait(lambda: not os.path.exists("s"))
    os.unlink("hold")
    assert it.exit() == 0 and left() == []
    assert it.log().count("has removed") == before


SLOW = """
import os, socket
if os.path.exists("s"):
    os.unlink("s")
if os.path.exists("pipe"):
    open("pipe").read()
s = socket.socket(socket.AF_UNIX)
s.bind("s")
s.listen()
while True:
    with s.accept()[0] as client:
        client.recv(1000)
        client.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\npid=%d\\n" % os.getpid())
"""


def test_it_binds_its_path_although_the_name_was_put_back_meanwhile():
    it = cluster("-n 1 --ready listen", "python3", "-c", SLOW)
    for count in (2, 3):  # one after the other: two that begin at once can be in each other's way
        it.call("scale", count=count)
    os.mkfifo("pipe")
    before = it.log().count("has removed")
    kill(it.worker(0).pid)
    wait(lambda: it.log().count("has removed") > before)
    scaled = it.begin("scale", count=2)
    with open("pipe", "w"):
        os.unlink("pipe")
    scaled()
    it.wait_ready()
    wait(lambda: reached() in it.pids())  # its listen(2) goes through
    assert "Address already in use" not in it.log()


SOMEWHERE = """
import os, socket
path, s = os.path.abspath("s"), socket.socket(socket.AF_UNIX)
if os.path.exists(path):
    os.unlink(path)
s.bind(path)
s.listen()
while True:
    s.accept()"""


def test_a_number_in_the_paths_directory_that_is_the_workers_pid_by_chance():
    place = make("-".join(map(str, range(2, 25))))
    it = cluster(f"-n 2 --ready listen --directory {place}", "python3", "-c", SOMEWHERE)
    assert all(0 < pid < 25 for pid in it.pids())


SWAPS = """
import os, socket, sys, time
s = socket.socket(socket.AF_UNIX)
s.bind("own/dir/s")
os.rename("own/dir", "own/away")
os.symlink(sys.argv[1], "own/dir")
s.listen()
open("own/listens", "w").close()
time.sleep(1000)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="needs root")
@pytest.mark.parametrize("whose", (0, NOBODY), ids=("a directory of root's", "its own"))
def test_a_worker_that_turns_its_directory_into_a_link_leads_root_nowhere(whose):
    for name, uid in (("own", NOBODY), ("own/dir", NOBODY), ("there", whose)):
        os.chown(make(name), uid, uid)
    with socket.socket(socket.AF_UNIX) as other:  # another service of the same user
        other.bind("there/s")
        other.listen()
        os.chown("there/s", NOBODY, NOBODY)
        it = cluster("-n 1 --user nobody --ready listen", "python3", "-c", SWAPS, path("there"))
        wait(lambda: os.path.exists("own/listens"))
        assert os.listdir("there") == ["s"]
        assert it.stop() == 0 and os.listdir("there") == ["s"]


# A start script that removes what may be left, and a program that takes its time to load.
GUNICORN = """#!/bin/sh
rm -f s
touch removed
[ ! -e pipe ] || cat pipe
exec gunicorn --preload -b unix:s app:application
"""
NODE = """
const fs = require("fs"), http = require("http");
try { fs.unlinkSync("s"); } catch {}
fs.writeFileSync("removed", "");
if (fs.existsSync("pipe")) fs.readFileSync("pipe");
http.createServer((_, to) => to.end(`pid=${process.pid}\\n`)).listen("s", () => {
  fs.chmodSync("s", 0o777);
});
"""


@pytest.mark.parametrize("options, text, words", (
    ("", GUNICORN, ("sh", "start")),
    ("", NODE, ("node", "start")),
    ("--ipc off", NODE, ("node", "start")),
), ids=("gunicorn", "node", "node alone"))
def test_a_start_that_removes_the_path_leaves_it_to_the_old_worker(options, text, words):
    write("app.py", """
import os
def application(_, start):
    start("200 OK", [])
    return [b"pid=%d\\n" % os.getppid()]
""")
    write("start", text)
    it = cluster(f"-n 1 {options}", *words)
    old = it.worker(0).pid
    wait(lambda: reached() == old)
    os.unlink("removed")
    os.mkfifo("pipe")
    answer = it.begin("restart")
    wait(lambda: os.path.exists("removed"))
    wait(lambda: reached() == old)
    with open("pipe", "w"):
        os.unlink("pipe")
    answer()
    wait(lambda: reached() in set(it.pids()) - {old})
    assert it.stop() == 0 and left() == []


@pytest.mark.parametrize("workers, name", ((1, "web.sock"), (2, "web.$NCLUST_SLOT.sock")))
def test_one_that_opens_its_path_late_is_waited_for_in_each_restart(workers, name):
    """A path of its own is no sign that the command opens none."""
    write("app.py", """
import os
async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"pid=%d" % os.getpid()})
""")
    write("start", f"""
while [ -e slow ]; do sleep .02; done
rm -f {name}
exec uvicorn --uds {name} app:app
""")
    paths = [name.replace("$NCLUST_SLOT", str(slot)) for slot in range(workers)]
    write("slow", "")
    it = start(f"-n {workers} --surge all --bake 0", "sh", "start", clock=True)
    for count in (1, 2, 3):
        it.event("started", count * workers)
        it.advance(5, step=0.5)
        assert len(it.happened("ready")) == (count - 1) * workers
        os.unlink("slow")
        if count == 1:
            wait(lambda: all(map(os.path.exists, paths)))
            it.advance(15, step=0.5)
        lab.clock.flow()
        it.event("ready", count * workers)
        assert {get(unix=path).pid for path in paths} <= set(it.pids())
        lab.clock.stand()
        if count < 3:
            write("slow", "")
            it.call("restart", no_wait=True)


def test_a_path_that_a_copy_lost_before_it_listened_is_given_back_to_the_other():
    """Both bind it at once, so that the younger one has no name any more when it listens."""
    os.mkfifo("bound")
    os.mkfifo("go")
    it = cluster("-n 2", "python3", write("both.py", """
import os, signal, socket
s = socket.socket(socket.AF_UNIX)
second = os.environ["NCLUST_SLOT"] == "1"
if not second:
    open("bound").close()
try:
    os.unlink("s")
except FileNotFoundError:
    pass
s.bind("s")
open("bound" if second else "go", "w").close()
if second:
    open("go").close()
s.listen()
signal.pause()
"""))
    younger, older = it.worker(1), it.worker(0)
    assert younger.id > older.id
    first = os.stat("s").st_ino
    os.unlink("s")
    wait(lambda: os.path.exists("s"), "the path is back")
    assert os.stat("s").st_ino == first


def test_a_path_whose_name_is_in_a_word_of_the_command_by_chance_is_no_port_of_it():
    os.mkfifo("go")
    write("server.py", """
import socket
own = socket.socket(socket.AF_UNIX)
own.bind("s")
own.listen()
open("bound", "w").close()
open("go").close()
server = socket.create_server(("127.0.0.1", 8000))
while True:
    server.accept()
""")
    it = start("-n 1", "python3", "server.py", clock=True)
    wait(lambda: os.path.exists("bound"))
    it.advance(0.5, step=0.1)
    assert not it.happened("ready")
    write("go", "")
    wait(listens)
    it.advance(0.1)
    it.event("ready")
