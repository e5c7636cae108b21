# SPDX-License-Identifier: MIT
"""fallback = 503 | FILE: what HTTP clients get while no worker is ready."""
import re
import select
import socket

from harness import *
from harness import lab

HELD = "--ready notify --fallback 503 --fallback-after 100ms"
OUT = f"-n 1 -l 8000 --start-timeout 24h {HELD}"
HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def gated(*command):
    """A worker that begins when it may."""
    return [*(command or (SERVE, "--notify", "--delay")), Gate("go")]


def go():
    Gate("go").open()


def halt():
    """The next one has to wait."""
    os.unlink(path("go"))


def out(options=OUT, *command, **more):
    """Nobody is ready, and it answers."""
    it = start(options, *(command or "ini" not in more and gated() or ()), **more)
    it.event("fallback")
    return it


def flowing(options, *command):
    """Time goes on as usual, and the test lets it jump."""
    it = start(options, *command, clock=True)
    lab.clock.flow()
    return it


def is_well(**how):
    """A worker answers.  Just before that, it may still have been another process."""
    wait(lambda: get(**how).status == 200)


def is_503(**how):
    assert get(**how).status == 503


def says(text):
    wait(lambda: get().body.endswith(text + "\n"), text)


def everything(s):
    return b"".join(iter(lambda: s.recv(1 << 20), b""))


def ask(text):
    with dial() as s:
        s.sendall(text)
        return everything(s)


# ---- what is answered, and when ----

def test_503_until_a_worker_is_ready_and_then_no_more():
    it = out(f"{OUT} -l unix:{path('sock')}")
    got = get(unix=path("sock"))
    assert got.status == 503
    assert got.body == "503 Service Unavailable: starting\n"
    assert (got.headers["Retry-After"], got.headers["Connection"]) == ("1", "close")
    head = ask(HEAD.replace(b"GET", b"HEAD"))
    assert head.startswith(b"HTTP/1.1 503 ") and head.endswith(b"\r\n\r\n")
    is_503(host="::1")
    assert it.says("no worker was ready for 100ms: HTTP clients get 503 (starting)")
    wait(lambda: it.cluster().fallback == {"active": True, "answers": 3})
    assert "nclust answers 503 now, 3 times so far" in it.verb("status").out
    responder, listener = it.role("courier"), it.cluster().listeners[0].inode
    go()
    it.event("fallback-over", text="it: a worker is ready: clients are its own again")
    wait(lambda: listener not in inodes(responder))
    assert slots(10) == {0}
    assert it.cluster().fallback == {"active": False, "answers": 3}


def test_who_comes_before_fallback_after_waits_for_a_worker():
    it = start(f"{OUT} --fallback-after 1h", *gated(), clock=True)
    request = Request()
    it.advance(3599)
    assert not it.happened("fallback")
    go()
    assert request.answer().status == 200
    it.wait_ready()
    halt()
    kill(it.worker().pid)
    it.event("exited")
    it.advance(3599)
    assert not it.happened("fallback")
    it.advance(2)
    it.event("fallback")
    lab.clock.flow()
    is_503()


def test_a_crash_loop_the_page_says_when_the_next_try_is():
    it = out(f"{OUT} --backoff-min 1h --backoff-max 1h --backoff-jitter 0%", DIE, "--exit", 3)
    it.event("exited")
    wait(lambda: "next try" in get().body)
    got = get()
    left = int(re.fullmatch("503 Service Unavailable: restarting after a crash, "
                            r"next try in (\d+) s\n", got.body).group(1))
    assert 0 < left <= 3600
    assert got.headers["Retry-After"] == str(left)


def test_killed_under_load_each_client_gets_200_or_503():
    go()
    it = cluster(OUT, *gated())
    load = Visits(PORT, "--want", "HTTP/1.", "--clients", 8)
    for n in (1, 2, 3):
        load.more()
        halt()
        kill(it.worker().pid)
        it.event("fallback", n=n)
        load.more()
        go()
        it.event("ready", n=n + 1)
    load.more()
    got = load.end()
    assert (got.refused, got.late) == (0, 0)
    assert got.lost <= 3  # what the dead had accepted
    assert it.cluster().fallback.answers > 0


def test_fallback_is_a_files_text_read_at_the_start_and_at_a_reload():
    write("soon.html", "<h1>soon</h1>\n")
    it = out("", ini=f"""
        [cluster:web]
        command = {SERVE} --notify --delay {Gate("go")}
        listen = 8000
        ready = notify
        fallback-after = 100ms
        fallback = {path("soon.html")}
        """)
    got = get()
    assert (got.status, got.body) == (503, "<h1>soon</h1>\n")
    assert got.headers["Content-Type"] == "text/html; charset=utf-8"
    write("soon.html", 65535 * "x" + "\n")
    it.call("reload", no_wait=True)
    says(65535 * "x")
    write("soon.html", 65536 * "x" + "\n")  # what is wrong is said, and changes nothing
    with pytest.raises(Refused, match=":7: cluster:web.fallback: '.*': larger than 64 KiB"):
        it.call("reload")
    is_503()
    edit("it.ini", f"fallback = {path('soon.html')}", "fallback = 503")
    it.call("reload", no_wait=True)
    says(": starting")
    edit("it.ini", "fallback = 503", "")
    it.call("reload", no_wait=True)
    wait(lambda: it.cluster().fallback is None and not it.roles("fallback"))
    request = Request()
    go()
    assert request.answer().status == 200


def test_many_clusters_at_once_each_with_a_large_page():
    write("page", 65536 * "x")
    ports = range(8000, 8006)
    it = start(ini="\n".join(f"""
        [cluster:c{port}]
        command = {SERVE} --notify --delay {Gate("go")}
        listen = {port}
        ready = notify
        fallback-after = 100ms
        fallback = {path("page")}""" for port in ports))
    for port in ports:
        it.event("fallback", cluster=f"c{port}")
        assert get(port=port).body == 65536 * "x"
    go()
    for port in ports:
        is_well(port=port)
    assert not it.says("the process that answers ended")


# ---- what cannot be ----

@pytest.mark.parametrize("lines, says", (
    ("listen = 8000\nfallback = {dir}/none.html",
     "4: cluster:web.fallback: '{dir}/none.html': cannot open: No such file or directory"),
    ("fallback = {dir}", "3: cluster:web.fallback: '{dir}': is not a regular file"),
    ("fallback = {dir}/empty", "3: cluster:web.fallback: '{dir}/empty': "
     "wanted a file of 1 byte to 64k, found an empty one"),
    ("fallback = {dir}/nul",
     "3: cluster:web.fallback: '{dir}/nul': wanted text, found a NUL byte"),
    ("fallback = 503\nfallback-after = 10ms", "4: cluster:web.fallback-after: wanted a time "),
    ("fallback = 503\nintercept = off", "3: cluster:web.fallback: has nowhere to answer: "
     "there is no listener, and 'intercept' is off"),
))
def test_what_fallback_cannot_be_is_said_with_its_line(lines, says):
    write("empty", "")
    write("nul", "a\0b")
    write("bad.ini", "[cluster:web]\ncommand = true\n" + lines.format(dir=path()))
    nclust("-c bad.ini").fails(78, "bad.ini:" + says.format(dir=path()))


def test_root_takes_no_page_that_others_can_change():
    need_root()
    os.chown(write("page", "hello"), 65534, -1)
    nclust("-l 8000 --fallback", path("page"), "-- true").fails(
        64, "belongs to user 65534, refused for root")


# ---- the process that answers ----

def test_the_courier_who_answers_has_no_rights_and_nobody_notices_its_end():
    it = out()
    is_503()  # whoever answers has given up its rights before
    first = it.role("courier")
    status = dict(line.split(":\t", 1) for line in lines(f"/proc/{first}/status"))
    if os.geteuid() == 0:
        assert 65520 <= int(status["Uid"].split()[0]) < 65534
    assert int(status["CapEff"], 16) == 0
    assert status["NoNewPrivs"] == "1"
    kill(first)
    is_503()
    it.role("courier", but=first)
    is_503()


def test_one_that_cannot_be_started_is_told_once_and_started_when_it_can():
    need_root()  # who has no such limit, but others have
    as_user = ("setpriv", "--reuid", 54321, "--clear-groups")
    os.chown("run", 54321, 54321)
    it = start(f"{OUT} --log inherit", *gated(), clock=True,
               under=("prlimit", "--nproc=5000:5000", *as_user))
    it.advance(1)
    it.event("fallback")
    for time in (1, 2):
        pid = it.role("courier")
        run(*as_user, "prlimit", "--pid", it.pid, "--nproc=1:").ok()
        kill(pid)
        it.advance(20, step=1)
        it.logged("cannot start 'courier'", time)
        it.advance(20, step=1)
        assert it.log().count("cannot start 'courier'") == time
        run(*as_user, "prlimit", "--pid", it.pid, "--nproc=5000:").ok()
        it.advance(2, step=1)
        it.role("courier", but=pid)


def limit(pid, files):
    """As its user, since root of a container may not; it has one once it is bound."""
    wait(lambda: "\nSeccomp:\t2" in read(f"/proc/{pid}/status"))
    uid, gid = (re.search(rf"{key}:\t(\d+)", read(f"/proc/{pid}/status")).group(1)
                for key in ("Uid", "Gid"))
    run("setpriv", "--reuid", uid, "--regid", gid, "--clear-groups",
        "prlimit", "--pid", pid, f"--nofile={files}:{files}").ok()


def dial_all(count):
    """So many clients who say nothing.  The time stands from then on: it is moved on until they
    are let in, which takes 50 ms, and all are safe meanwhile."""
    lab.clock.stand()
    return [dial() for _ in range(count)]


def test_no_descriptor_left_the_oldest_silent_client_leaves_for_the_next():
    need_root()
    it = start(OUT, *gated(), clock=True, under=("prlimit", "--nofile=64:64"))
    lab.clock.flow()
    it.event("fallback")
    pid = it.role("courier")
    limit(pid, 12)  # 8 places, and some of these descriptors are for other things
    idle = dial_all(40)
    wait(lambda: lab.clock.advance(0.05) or 0 < queued() < 40)
    lab.clock.flow()
    lab.clock.advance(2)  # they are safe for a second
    is_503()
    assert everything(idle[0]) == b""
    assert it.role("courier") == pid


def test_while_it_answers_nclust_sleeps():
    it = out()
    is_503()
    wait(lambda: it.cluster().fallback.answers == 1)
    wait(lambda: rests(it.pid, 2))


@pytest.mark.parametrize("count, room, under", (
    (300, 256, ()), (16, 8, ("prlimit", "--nofile=64:64"))), ids=("many", "few-files"))
def test_clients_who_say_nothing_leave_for_those_who_ask(count, room, under):
    it = start(OUT, *gated(), clock=True, under=under)
    lab.clock.flow()
    it.event("fallback")
    idle = dial_all(count)
    wait(lambda: lab.clock.advance(0.05) or queued() == count - room)
    lab.clock.flow()
    lab.clock.advance(2)  # they are safe for a second
    is_503()
    assert everything(idle[0]) == b""
    lab.clock.advance(6)
    is_503()
    assert everything(idle[-1]) == b""


def test_long_slow_and_strange_clients_are_bounded():
    it = flowing(OUT, *gated())
    it.event("fallback")
    assert ask(HEAD[:-2] + b"X: " + b"x" * 9000).startswith(b"HTTP/1.1 503 ")
    assert ask(b"\x16\x03\x01\x02\x00\x01") == b""  # TLS
    with dial() as s:
        for byte in HEAD:
            s.sendall(bytes([byte]))
        assert everything(s).startswith(b"HTTP/1.1 503 ")
    with dial() as s:
        s.sendall(b"POST / HTTP/1.1\r\nContent-Length: 3000000\r\n\r\n")
        select.select([s], [], [], BOUND)
        lab.clock.stand()  # else it would have five seconds to send what nobody reads
        s.sendall(bytes(3_000_000))
        assert everything(s).startswith(b"HTTP/1.1 503 ")


def test_a_client_that_sends_what_cannot_be_closed_keeps_no_other_waiting():
    it = flowing(f"{OUT} -l unix:{path('sock')}", *gated())
    it.event("fallback")
    begin_program("python3", server("unclosable.py"), "client", path("sock"), stdout="client")
    for word in ("sent", "passed"):
        wait(lambda: word in read("client"))
        is_503()
        it.advance(6)  # it may stay for five seconds
        is_503(unix=path("sock"))


# ---- whose the clients are ----

def test_a_worker_that_accepts_before_it_is_ready_keeps_its_clients():
    it = start(OUT, SERVE, clock=True)
    it.advance(0.2)
    it.event("fallback")
    pid = it.worker().pid
    assert {get().pid for _ in range(10)} == {pid}  # they are left to the worker for 50 ms
    assert it.worker().state == "starting"
    freeze(pid)
    lab.clock.flow()
    is_503()


@pytest.mark.parametrize("ready", ("tcp", "http:/"))
def test_a_probe_does_not_take_the_answers_for_a_workers(ready):
    it = flowing(f"{OUT} --ready {ready}", SERVE, "--delay", Gate("go"))
    it.event("fallback")
    for _ in range(5):
        is_503()
        it.advance(1)
        assert it.worker().state == "starting"
    go()
    it.event("ready")
    is_well()


def test_a_worker_that_has_more_clients_than_it_can_serve_passes_its_probe_at_last():
    it = flowing(f"{OUT} --balance share --ready http:/ready", "python3", write("busy.py", """
import os, socket, time
s = socket.socket(fileno=3)
while True:
    c = s.accept()[0]
    asked = c.recv(1000)
    if b"/hold" in asked:
        open("held", "w").close()
        while not os.path.exists("well"):
            time.sleep(0.01)
    try:
        c.send(b"HTTP/1.0 %d x\\r\\nContent-Length: 0\\r\\n\\r\\n"
               % (200 if os.path.exists("well") else 500))
    except OSError:
        pass
    c.close()
"""))
    it.event("fallback")

    def held():  # by the worker, not by the process that answers
        request = Request("/hold")
        wait(lambda: os.path.exists("held") or select.select([request.socket], [], [], 0)[0])
        return os.path.exists("held") and request

    request = wait(held)
    wait(lambda: it.advance(1) or it.says("a worker that is not ready has clients: they are its"))
    write("well", "")
    assert request.answer().status == 200
    wait(lambda: it.advance(1) or it.worker().state == "ready")
    assert it.worker().restarts == 0


def test_a_server_that_binds_by_itself_its_port_answers_after_a_crash_and_when_parked():
    go()
    it = cluster(f"-n 2 {HELD} --ready listen", *gated(UNWELL, "--port", PORT, "--start"))
    is_well()
    halt()
    for pid in it.pids():
        kill(pid)
    it.event("fallback")
    assert get().body.endswith(": restarting after a crash\n")
    go()
    it.wait_ready()
    is_well()
    it.call("scale", count=0)
    says(": stopped for now")
    assert get().headers["Retry-After"] == "30"
    it.call("scale", count=1)
    is_well()


def test_a_cluster_of_node_its_port_answers_when_all_are_dead():
    it = cluster(f"-n 1 {HELD} --ready listen --backoff-min 1h --backoff-max 1h", "node", write(
        "app.js", "if (require('fs').existsSync('ill')) process.exit(1)\n"
        "require('http').createServer((q, r) => r.end('x')).listen(8000)"))
    is_well()
    write("ill", "")
    kill(it.worker().pid)
    it.event("fallback")
    is_503()


# ---- clusters that sleep, change and end ----

def test_a_cluster_that_sleeps_its_first_client_waits_for_the_start():
    go()
    it = start(f"{OUT} -n 0..1 --fallback-after 1h", *gated())
    assert it.cluster().wanted == 0
    assert get().status == 200
    assert it.cluster().fallback == {"active": False, "answers": 0}


def test_a_cluster_that_does_not_wake_up_answers_after_all():
    it = flowing(f"{OUT} -n 0..1 --fallback-after 1h", *gated())
    it.advance(3700)
    request = Request()
    it.event("started")
    it.advance(3500)
    assert not it.happened("fallback")
    it.advance(200)
    assert request.answer().status == 503


def test_a_start_that_takes_longer_than_idle_after_goes_on():
    it = flowing(f"{OUT} -n 0..1 --idle-after 1s", *gated())
    is_503()
    pid = it.worker().pid
    for _ in range(10):
        it.advance(1)
    assert (it.worker().pid, it.worker().state) == (pid, "starting")
    go()
    it.event("ready", pid=pid)


def test_a_restart_of_all_at_once_with_nobody_left_meanwhile():
    go()
    it = cluster(f"{OUT} --surge 0 --max-unavailable 1", *gated())
    since = it.mark()  # there may have been one at the start
    halt()
    it.call("restart", no_wait=True)
    it.event("fallback", since=since)
    assert get().body.endswith(": starting\n")
    go()
    it.event("rollout-done")
    is_well()


def test_a_reload_gives_up_an_address_while_its_clients_are_answered():
    it = out("", ini=section("web", f"{SERVE} --notify --delay {Gate('go')}", "listen = 8000",
                             "fallback = 503", "fallback-after = 100ms", "stop-timeout = 1ms",
                             "start-timeout = 1s", workers=1)
             + section("nap", "sleep 1000", "fallback = 503", workers=1, ready="alive"))
    is_503()
    it.call("scale", target="web", count=0)
    edit("it.ini", "listen = 8000", "listen = 8001")
    it.call("reload")
    is_503(port=8001)
    wait(lambda: not listens(8000))
    edit("it.ini", "cluster:web", "cluster:shop")  # and by another name it goes on
    it.call("reload", no_wait=True)
    wait(lambda: [c.name for c in it.status().clusters] == ["nap", "shop"])
    is_503(port=8001)
    it.reload("[cluster:nap]" + read("it.ini").partition("[cluster:nap]")[2])
    wait(lambda: not listens(8001))


def test_an_upgrade_goes_on_answering_and_counts_on():
    it = out()
    is_503()
    wait(lambda: it.cluster().fallback.answers == 1)
    old = it.role("courier")
    it.call("upgrade")
    is_503()
    wait(lambda: it.cluster().fallback.answers == 2)
    assert it.log().count("HTTP clients get 503") == 1  # it is no news
    go()
    it.wait_ready()
    is_well()
    assert it.role("courier") == old


def test_after_an_upgrade_no_order_of_before_is_left():
    """The first to be out has the first number: another cluster than before."""
    it = start(ini=section("first", f"{SERVE} --notify", "listen = 8000", "fallback = 503",
                           "fallback-after = 100ms", workers=1)
               + section("second", f"{SERVE} --notify --delay {Gate('go')}", "listen = 8001",
                         "fallback = 503", "fallback-after = 100ms", workers=1))
    it.event("ready", cluster="first")
    it.event("fallback", cluster="second")
    is_503(port=8001)
    it.call("upgrade")
    is_503(port=8001)
    listener = it.cluster("second").listeners[0].inode
    go()
    it.wait_ready()
    wait(lambda: listener not in inodes(it.role("courier")))


def test_with_orphans_keep_nclust_is_killed_while_it_answers():
    it = out(f"{OUT} --orphans keep")
    old = it.role("courier")
    it.kill()
    wait_gone(old)
    it = out(f"{OUT} --orphans keep")
    is_503()
    go()
    it.wait_ready()
    is_well()


def test_at_the_end_the_address_and_the_process_are_gone_at_once():
    it = out(OUT, fixture("slow-ready"), "never")
    old = it.role("courier")
    kill(it.pid, SIGTERM)
    assert it.exit() == 0
    assert is_gone(old)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", PORT))
