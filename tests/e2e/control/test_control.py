# SPDX-License-Identifier: MIT
"""The control socket: what it answers and refuses, who may use it, where it is; and that nobody who
misbehaves is noticed by the others."""
import contextlib
import fcntl
import json
import re
import select
import shutil
import socket
import struct
import subprocess
import termios

from harness import *

PARSE, INVALID, METHOD, PARAMS = -32700, -32600, -32601, -32602
NOT_FOUND, BUSY, NOT_PERMITTED = -32000, -32001, -32002


def quick(count=1, options="", **more):
    return cluster(f"-n {count} --ready notify --drain off {options}", HEAR, "--notify", **more)


def request(method, id=1, **params):
    return json.dumps({"jsonrpc": "2.0", "id": id, "method": method,
                       "params": params}).encode() + b"\n"


def answer(peer):
    """The next message that is no event."""
    while (message := peer.read()).get("method") == "event":
        pass
    return message


def is_open(peer):
    return not select.select([peer.socket], [], [], 0)[0]


def wait_closed(peer):
    with pytest.raises(Closed):
        while peer.read() is not None:
            pass


Control.fileno = lambda self: self.socket.fileno()


def stranger(it):
    """What is said to one who comes, and may be refused."""
    with dial(unix=f"{it.directory}/control") as s:
        return json.loads(s.makefile().readline())


def turns(it):
    """What has reached nclust before this has been dealt with."""
    it.call("status")
    it.call("status")


# ---- what it says ----

def test_it_greets_and_answers_every_method_under_the_id_of_the_question():
    it = quick(2)
    peer = it.connect()
    hello = peer.hello
    assert (hello.name, hello.pid, hello.protocol, hello.clusters) == ("it", it.pid, 1, ["it"])
    assert hello.version
    for number in (1, 0, -7, 2**53, "a", "", "with \" and \\ and \u00e9\n"):
        peer.socket.sendall(request("status", id=number))
        got = answer(peer)
        assert (got.id, got.jsonrpc, got.result.name) == (number, "2.0", "it")
    status = peer.call("status")
    assert (status.pid, status.upgrades) == (it.pid, 0)
    assert "ini" in peer.call("config")
    assert peer.call("signal", signal="WINCH").reached == 1
    assert peer.call("signal", signal="WINCH", all=True).reached == 2
    assert peer.call("signal", signal="CONT", target="it.1").reached == 1
    for method, params in (("scale", {"count": 3}), ("scale", {"by": -1}), ("restart", {}),
                           ("restart", {"target": "it.0"}), ("events", {"last": 3}), ("stop", {})):
        assert peer.call(method, **params).ok
    wait_closed(peer)
    assert it.exit() == 0


def test_a_long_operation_tells_its_steps_under_its_id_then_its_one_outcome():
    it = quick(2)
    peer = it.connect()
    peer.socket.sendall(request("restart", id="roll"))
    events = []
    while "method" in (message := peer.read()):
        assert message.method == "event" and "id" not in message
        assert message.params.request == "roll"
        events.append(message.params.event)
    assert message.id == "roll" and message.result.ok
    assert events.count("ready") == 2 and "rollout-done" in events
    assert it.cluster().generation == 2


WRONG = (
    (b"hello", PARSE), (b'{"jsonrpc":"2.0","id":1,"method":"sta\xff\xfetus"}', PARSE),
    (b'{"jsonrpc":"2.0","id":1,"method":"status\x00"}', PARSE), (b"[" * 30000, INVALID),
    (b"[" + request("status").strip() + b"]", INVALID), (b"1", None),
    (b'{"jsonrpc":"2.0","method":"status"}', INVALID),
    (b'{"jsonrpc":"2.0","id":1,"method":"status","more":1}', INVALID),
    (request("statsu"), METHOD), (request("../status"), METHOD), (request("scale"), PARAMS),
    (request("status", more=1), PARAMS), (request("reload", file="/etc/passwd"), PARAMS),
    (request("scale", count=10001), PARAMS), (request("signal", signal="USR1", pid=1), PARAMS),
    (request("stop", now="yes"), PARAMS), (request("stop", target="it.0"), PARAMS),
    (request("status", target="nobody"), NOT_FOUND), (request("status", target="it.1"), NOT_FOUND),
    (request("status", target="x" * 4000), None),
)


def test_what_is_no_request_gets_its_error_and_the_next_one_its_answer():
    it = quick()
    peer = it.connect()
    for data, code in WRONG:
        peer.socket.sendall(data.strip() + b"\n" + request("status", id="after"))
        got = answer(peer)
        assert code in (None, got.error.code) and got.error.message, data[:80]
        # an id that was understood is in the answer
        assert got.id == (1 if code in (METHOD, PARAMS, NOT_FOUND) else got.id)
        assert answer(peer).id == "after"
    assert (it.cluster().wanted, it.cluster().ready, it.cluster().generation) == (1, 1, 1)
    # no line is none, and CRLF is a line end, too
    peer.socket.sendall(b"\n\r\n" + request("status", id=5).strip() + b"\r\n")
    assert answer(peer).id == 5
    peer.socket.sendall(b"nonsense\n" + request("scale", id=4))
    assert (answer(peer).id, answer(peer).id) == (None, 4)


def test_a_line_is_refused_at_64_kib():
    it = quick()
    peer, longest = it.connect(), request("status", id=1).strip().ljust(65535)
    peer.socket.sendall(longest + b"\n")
    assert answer(peer).result.name == "it"
    peer.socket.sendall(longest + b" \n")
    assert answer(peer).error.code == INVALID
    peer = it.connect()
    with contextlib.suppress(OSError):
        peer.socket.sendall(b"x" * 10_000_000)
    with pytest.raises(Closed):  # perhaps the error first, unless the reset was faster
        assert "64 KiB" in answer(peer).error.message
        peer.read()
    it.call("status")


# ---- how it is asked ----

def test_who_shuts_down_its_side_still_gets_all_answers():
    peer = quick().connect()
    peer.socket.sendall(request("restart", id=1) + request("status", id=2))
    peer.socket.shutdown(socket.SHUT_WR)
    assert answer(peer).result.ok
    assert answer(peer).result.clusters[0].generation == 2
    wait_closed(peer)


def test_many_requests_at_once_are_answered_one_after_the_other():
    peer = quick(2).connect()
    peer.socket.sendall(b"".join(request("status", id=i) for i in range(200)))
    assert [answer(peer).id for _ in range(200)] == list(range(200))
    # the change is done before the next question is looked at
    peer.socket.sendall(request("scale", id="s", count=4) + request("status", id="t"))
    assert answer(peer).id == "s"
    assert answer(peer).result.clusters[0].ready == 4
    for byte in request("status", id=9):
        peer.socket.sendall(bytes([byte]))
    assert answer(peer).id == 9


def test_who_does_not_take_its_answers_is_closed_after_10_s_and_nobody_waits():
    it = quick(20, clock=True)
    before = len(inodes(it.pid))
    deaf = [it.connect() for _ in range(5)]
    for peer in deaf:
        peer.socket.sendall(b"".join(request("status", id=i) for i in range(100)))

    def unread():
        turns(it)
        return [struct.unpack("i", fcntl.ioctl(p.socket, termios.FIONREAD, bytes(4))) for p in deaf]

    wait(lambda: unread() == unread() == unread())
    # one that reads, if slowly, gets all of a hundred
    slow = it.connect()
    slow.socket.sendall(b"".join(request("status", id=i) for i in range(100)))
    assert [answer(slow).id for _ in range(100)] == list(range(100))
    it.advance(9)
    assert len(inodes(it.pid)) == before + 6
    it.advance(2)
    # a child may close them, where the kernel lets a client send descriptors (before Linux 6.16)
    wait(lambda: len(inodes(it.pid)) == before + 1)
    assert slow.call("status").name == "it"


# ---- how many ask ----

def test_the_65th_client_takes_the_place_of_the_one_that_was_idle_for_longest():
    it = quick()
    it.forget()
    peers = [it.connect() for _ in range(64)]
    peers[0].call("status")
    assert it.connect().call("status").name == "it"
    wait_closed(peers.pop(1))
    assert all(map(is_open, peers))


def test_with_64_requests_under_way_the_65th_client_is_refused_and_told():
    it = quick()
    it.forget()
    peers = [it.connect() for _ in range(64)]
    for peer in peers:
        peer.send("events", follow=True, last=1)
        peer.read()
    assert stranger(it)["error"]["code"] == BUSY
    nclust("status it").fails(75, "64 clients")
    peers.pop().close()
    wait(lambda: "error" not in stranger(it))


def test_who_is_gone_before_the_answer_does_no_harm():
    it = quick(2)
    # that by which it counts OOM kills comes last
    wait(lambda: re.search(r"/(memory\.events|vmstat)'", repr(descriptors(it.pid))))
    before = len(descriptors(it.pid))
    for i in range(300):
        with dial(unix=f"{it.directory}/control") as s, contextlib.suppress(OSError):
            s.sendall((request("restart") if i % 30 == 0 else request("status") * 20)[:9 * i])
            if i % 2:
                s.recv(100)
    assert it.reconnect().call("restart").ok
    wait(lambda: len(descriptors(it.pid)) <= before, "all are closed")
    it.wait_ready()


@pytest.mark.nightly  # the client waits for 10 s
@pytest.mark.parametrize("full", (False, True))
def test_a_stopped_nclust_is_given_up_by_the_verbs_also_when_its_queue_is_full(full):
    need_root()
    write("/proc/sys/net/core/somaxconn", "1")
    it = quick()
    kill(it.pid, SIGSTOP)
    queued = []
    while full:
        queued.append(socket.socket(socket.AF_UNIX))
        queued[-1].setblocking(False)
        try:
            queued[-1].connect(f"{it.directory}/control")
        except BlockingIOError:
            break
    nclust("status it").fails(75)
    kill(it.pid, SIGCONT)
    it.call("status")


# ---- who may ----

def as_other(groups, *args, gid=65534):
    groups = f"--groups={groups}" if groups else "--clear-groups"
    return run("setpriv", "--reuid", 65534, "--regid", gid, groups, inside(PROGRAM), *args)


@contextlib.contextmanager
def being_nobody(groups):
    """Connect as nobody: the kernel tells who it was that did."""
    own = os.getgroups()
    os.setgroups(groups)
    os.setegid(65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(own)


def test_another_user_is_refused_by_the_sockets_mode_and_by_its_credentials():
    need_root()
    it = quick()
    as_other("", "status", "it").fails(77, "ermission")
    os.chmod(f"{it.directory}/control", 0o666)  # even if somebody opens the file to all
    as_other("", "status", "it").fails(77, "not permitted")
    with being_nobody([]):
        assert stranger(it)["error"]["code"] == NOT_PERMITTED


def test_members_of_control_group_may_look_not_change():
    need_root()
    it = quick(1, "--control-group '#4711'")
    st = os.stat(f"{it.directory}/control")
    assert (st.st_mode & 0o777, st.st_gid) == (0o660, 4711)
    for verb in ("status", "config", "events"):
        as_other(4711, verb, "it").ok()
    for verb in ("restart", "stop", "reload", "signal it TERM", "scale it 2"):
        verb, *more = verb.split()
        as_other(4711, verb, *more or ["it"]).fails(77, "control-group")
    assert (it.cluster().wanted, it.cluster().generation) == (1, 1)
    as_other("", "status", "it", gid=4711).ok()
    os.chmod(f"{it.directory}/control", 0o666)
    as_other(4712, "status", "it").fails(77)


def test_a_user_cannot_name_a_group_that_it_is_not_in_and_learns_it():
    need_root()
    os.mkdir("own")
    os.chown("own", 65534, 65534)
    where = f"--runtime-directory={path('own')}"
    as_other("", where, "--control-group", "#4711", "--restart=never", "--", "true").fails(
        1, "Operation not permitted; only root may set 'control-group' to a group that it is not in")
    as_other(4711, where, "--control-group", "#4711", "--restart=never", "--", "true").ok()


def test_readers_with_very_many_requests_leave_each_other_their_turn():
    need_root()
    it = quick(1, "--control-group '#4711'")
    # what nobody has ever heard of is looked for in the whole history
    ask, each, got = request("events", target="nobody.1"), 200, {}
    with being_nobody([4711]):
        for _ in range(30):
            got[it.connect()] = 0
    for peer in got:
        peer.socket.sendall(each * ask)
    least = None
    while min(got.values()) < each:
        for peer in select.select(got, [], [], BOUND)[0]:
            data = peer.socket.recv(65536)
            assert data, "closed"
            got[peer] += data.count(b'"id":1,')
        if least is None and max(got.values()) == each:
            least = min(got.values())
    assert least > 0  # nobody had to wait until others had all


@pytest.mark.parametrize("umask, user", (("000", ""), ("077", "--user '#4242' --group '#4242'")))
def test_the_files_have_their_modes_from_the_start_whatever_the_umask(umask, user):
    if user:
        need_root()
    it = quick(1, user, under=("sh", "-c", f'umask {umask}; exec "$@"', "-"))
    (notify,) = os.listdir(f"{it.directory}/notify")
    modes = [os.stat(f"{it.directory}/{name}").st_mode & 0o7777
             for name in (".", "control", "lock", "notify", f"notify/{notify}")]
    assert modes == [0o711, 0o600, 0o600, 0o711, 0o600]
    # that of notify belongs to the user of its worker
    assert os.stat(f"{it.directory}/notify/{notify}").st_uid == (4242 if user else os.geteuid())


# ---- where it is ----

@pytest.mark.parametrize("laid_out, says", (
    ("chmod 757 run", "writable by others"), ("chmod 1777 run", "try another directory"),
    ("mkdir run/it; chmod 772 run/it", "writable by others"),
    ("ln -s ../elsewhere run/it", "symbolic link"),
    ("rmdir run; ln -s elsewhere run", "symbolic link"),
    ("chown 65534 run", "user 65534"), ("mkdir run/it; chown 65534 run/it", "user 65534"),
    ("mkdir -m 711 run/it; ln -s ../../precious run/it/lock", "lock"),
    ("mkdir -m 711 run/it; mkdir run/it/lock", "lock"),
    ("mkdir -m 711 run/it; ln -s ../../elsewhere run/it/notify", "notify")))
def test_a_runtime_directory_that_is_not_safe_is_refused(laid_out, says):
    if "chown" in laid_out:
        need_root()
    os.mkdir("elsewhere")
    write("precious", "precious")
    run("sh", "-c", laid_out).ok()
    refused = nclust("--name it -n 1 -- touch ran")
    assert refused.status != 0 and says in refused.err and refused.err.startswith("nclust: ")
    assert not os.path.exists("ran") and not os.listdir("elsewhere")
    assert read("precious") == "precious"
    if "chown" in laid_out:  # the clients do not trust it either
        assert nclust("status it").status in (3, 77)


def test_a_runtime_directory_below_a_file_is_refused_with_the_reason():
    refused = nclust("--name it -n 1 --runtime-directory /etc/passwd/it -- touch ran")
    assert refused.status != 0 and "'/etc/passwd/it': Not a directory" in refused.err


def test_a_link_in_the_place_of_the_socket_is_replaced_not_followed():
    os.mkdir("run/it", 0o711)
    write("precious", "precious")
    os.symlink(path("precious"), "run/it/control")
    it = quick()
    assert not os.path.islink(f"{it.directory}/control")
    assert read("precious") == "precious"


def test_names_that_are_none_are_refused():
    for name in ("", ".", "..", ".hidden", "-x", "a/b", "../x", "/tmp/x", "a\nb", "a b", "a;b",
                 b"\xff", "x" * 65, "x" * 300):
        name = name if isinstance(name, bytes) else name.encode()
        done = subprocess.run([inside(PROGRAM), b"--name=" + name, "-n", "1", "--", "touch", "ran"],
                              stderr=subprocess.DEVNULL)
        assert done.returncode in (64, 78), name
    assert not os.path.exists("ran") and not os.listdir("run")
    assert cluster("-n 1 --ready alive:1ms", *NAP, name="x" * 64).status().name == "x" * 64


def test_paths_longer_than_a_sockets_address_work():
    deep, name = path(f"run/{'d' * 150}"), "x" * 64
    os.mkdir(deep)
    launch(f"-n 1 --ready notify --runtime-directory {deep}", HEAR, "--notify", name=name)

    def there(verb, *args):
        return nclust(verb, name, *args, "--runtime-directory", deep)

    wait(lambda: there("status").status == 0)
    there("scale", 2).ok()
    there("stop").ok()


# ---- one of a name ----

def test_of_ten_that_start_at_the_same_time_exactly_one_runs():
    ten = [launch("-n 1 --ready notify", HEAR, "--notify") for _ in range(10)]
    wait(lambda: sum(it.process.poll() is not None for it in ten) == 9)
    (one,) = [it for it in ten if it.process.poll() is None]
    assert [it.process.returncode for it in ten if it is not one] == [75] * 9
    one.wait_there().wait_ready()
    assert len(re.findall(f"already running.*pid {one.pid}", one.log())) == 9


def test_after_a_kill_the_next_start_takes_the_name_over_and_its_end_leaves_nothing():
    it = quick()
    it.kill()
    assert os.path.exists(f"{it.directory}/control")
    # processes of its own that are about to end may have the socket for a moment
    wait(lambda: nclust("status it").status == 3)
    it = quick(2)
    assert len(os.listdir(f"{it.directory}/notify")) == 2
    assert it.stop() == 0
    assert os.listdir("run") == []


# ---- cleaners ----

def test_a_control_socket_that_was_removed_is_made_anew_workers_unaffected():
    it = quick(2, clock=True).follow()
    old = it.pids()
    for n, spoil in enumerate((lambda: os.unlink("run/it/control"), lambda: shutil.rmtree("run/it"),
                               lambda: shutil.rmtree("run"),
                               lambda: os.rename("run/it", "run/away")), 1):
        spoil()
        turns(it)
        it.advance(0.3)  # who removes may finish
        assert "made again" in it.event("control-renewed", n=n).text
        assert [w.pid for w in it.connect().call("status").clusters[0].workers] == old
    # the name is still taken, and a roll still hears its workers
    nclust("--name it -n 1 -- touch ran").fails(75)
    it.verb("restart").ok()
    assert it.cluster().ready == 2
    assert it.stop() == 0
    assert os.listdir("run") == ["away"]


def test_a_worker_that_dies_while_the_directory_is_missing_is_replaced_at_once():
    it = quick().follow()
    old = it.worker().pid
    kill(it.pid, SIGSTOP)
    shutil.rmtree("run/it")
    kill(old)
    kill(it.pid, SIGCONT)
    it.event("ready", n=2)
    assert it.says("replaced at once") and not it.says("could not be started")


def test_a_name_that_another_instance_has_taken_meanwhile_is_left_to_it():
    first = quick()
    kill(first.pid, SIGSTOP)
    shutil.rmtree("run/it")
    second = quick(3)
    kill(first.pid, SIGCONT)
    first.logged(f"the name was taken by another instance (pid {second.pid})")
    kill(first.pid, SIGTERM)
    first.exit()
    assert second.cluster().ready == 3
    assert second.connect().hello.pid == second.pid


# ---- what is in it ----

def test_control_bytes_of_commands_status_texts_and_settings_are_escaped():
    # quotes, ESC, bytes that are no UTF-8, C1 controls
    evil = 'a"b\\c\033[31mred\a\udcff\udcc2\udc9bz'
    it = cluster(f"-n 1 --ready notify --env 'EVIL={evil}'", NOTIFY,
                 'READY=1\\nSTATUS=x"y\033[2J\udcff')
    with dial(unix=f"{it.directory}/control") as s:
        s.sendall(request("status"))
        lines = s.makefile("rb")
        lines.readline()
        line = lines.readline()
    assert not any(byte in line[:-1] for byte in (*range(32), 0x7f, 0xff))
    assert "\033[2J\ufffd" in json.loads(line)["result"]["clusters"][0]["command"][1]
    for verb in ("status", "status --json", "config", "config --json"):
        assert re.search("[\0-\x08\x0b-\x1f\x7f\udc80-\udcff]", it.verb(*verb.split()).ok()) is None
    assert it.worker().status == 'x"y\\x1b[2J\\xff'


def test_what_turns_text_around_is_escaped_but_not_in_a_workers_own_lines():
    turn = "\u202e"
    it = start("-n 1 --ready alive:1h --backoff-min 1h --backoff-max 1h", "sh", "-c",
               f"echo 'Error: user {turn}nimda refused' >&2; exit 3")
    it.event("exited")
    end = [line for line in it.log().splitlines() + it.verb("events").ok().splitlines()
           if "ended with exit 3" in line or "exit 3 after" in line]
    assert len(end) == 2
    assert all(r"user \xe2\x80\xaenimda" in line and turn not in line for line in end)
    assert f"user {turn}nimda" in it.verb("logs").ok()
