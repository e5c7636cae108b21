# SPDX-License-Identifier: MIT
"""HTTP: what it answers and refuses, and that it is nobody else's trouble."""
import ctypes
import json
import re
import select
import socket

from harness import *

WEB = 9000
TOKEN = "0123456789abcdef0123456789abcdef"


def web(options=f"--http {WEB}", *command, **more):
    return cluster(f"-n 2 --ready alive:0s {options}", *(command or NAP), **more)


def ask(path="/healthz", **more):
    return get(path, WEB, **more)


def is_well():
    assert ask().body == "ok\n"


# ---- answers ----

def test_it_says_whether_nclust_lives_and_is_ready_and_its_status():
    it = web()
    assert "http: listening on http://127.0.0.1:9000/\n" in it.log()
    is_well()
    assert ask("/readyz").body == "ok\n"
    got = ask("/status")
    assert got.headers["Content-Type"].startswith("application/json")
    status = json.loads(got.body)
    assert status["pid"] == it.pid
    assert [w["pid"] for w in status["clusters"][0]["workers"]] == it.pids()
    assert (ask("/status", method="HEAD").status, ask("/status", method="HEAD").body) == (200, "")
    kill(it.pid, SIGSTOP)
    assert (ask("/status").status, ask("/status").body) == (503, "nclust does not answer\n")
    kill(it.pid, SIGCONT)


def six():
    return get("/healthz", WEB, host="::1").body


def test_a_port_alone_is_also_at_ipv6_if_that_is_to_be_had():
    need_root()
    with socket.create_server(("::1", WEB), family=socket.AF_INET6):
        it = web()
        assert re.search("http: not at ::1: .*Address already in use", it.log())
        is_well()
    kill(it.role("web"))
    wait(lambda: "listening on http://[::1]:9000/" in it.log())
    assert six() == "ok\n"  # some clients ask there alone, as busybox's wget
    pid = it.role("web")
    it.call("upgrade")
    assert six() == "ok\n"
    kill(pid)
    it.role("web", but=pid)
    assert six() == "ok\n"
    it.stop()
    it = web(f"--http 127.0.0.1:{WEB}")
    with pytest.raises(ConnectionRefusedError):
        six()
    it.stop()
    write("/proc/sys/net/ipv6/conf/lo/disable_ipv6", "1")
    said = it.log()
    it = web()
    is_well()
    assert "::1" not in it.log().removeprefix(said)


def test_a_cluster_without_a_ready_worker_503_with_the_reason():
    it = start(f"--http {WEB}", ini="".join(
        f"[cluster:{name}]\ncommand = sleep 1000\nworkers = 1\nready = {ready}\n"
        for name, ready in (("good", "alive:0s"), ("bad", "notify"), ("idle", "notify"))))
    it.call("scale", target="idle", count=0, no_wait=True)
    it.wait_ready("good")
    got = ask("/readyz")
    assert (got.status, got.body) == (503, "bad: 0 of 1 workers ready (starting)\n")
    is_well()


LONG = "0" * 8000


def test_what_it_does_not_understand_it_refuses():
    web()
    for status, path, more in (
            (404, "/other", {}), (405, "/status", {"method": "DELETE"}),
            (405, "/status", {"method": "ODD"}),
            (405, "/status", {"method": "POST", "body": "x=y"}),
            (400, "/status", {"body": "x=y"}), (200, "/healthz", {"headers": {"X": LONG}}),
            (431, "/healthz", {"headers": {"X": 2 * LONG}}),
            (431, "/healthz", {"headers": {"X": LONG, "Y": LONG}}), (414, "/" + 2 * LONG, {}),
            (421, "/healthz", {"headers": {"Host": "rebound.example"}}),
            (200, "/healthz", {"headers": {"Host": f"localhost:{WEB}"}})):
        got = ask(path, **more)
        assert got.status == status, (path, more, got)
        if status == 405:
            assert got.headers["Allow"] == "GET, HEAD"
    s = dial(WEB)
    s.sendall(b"GET no request\r\n\r\n")
    assert b"400 Bad Request" in s.recv(4096)
    is_well()


def test_other_machines_are_let_in_with_a_token_or_by_an_explicit_word():
    nclust(f"--name it --http 0.0.0.0:{WEB} -- touch ran").fails(64, "http-token", "http-open")
    write("token", "short\n")
    nclust(f"--name it --http {WEB} --http-token {path('token')} -- touch ran").fails(
        78, f"http-token '{path('token')}': wanted one line of 16")
    write("token", TOKEN + "\n", 0o644)
    it = web(f"--http 0.0.0.0:{WEB} --http-token {path('token')}")
    got = ask()
    assert (got.status, got.headers["WWW-Authenticate"]) == (401, "Bearer")
    it.logged(f"http-token '{path('token')}': every user can read it; try chmod o-r")
    for wrong in (TOKEN + "0", TOKEN[:-1], TOKEN[:-1] + "e", ""):
        assert ask(headers={"Authorization": f"Bearer {wrong}"}).status == 401
    assert ask(headers={"Authorization": f"Bearer {TOKEN}", "Host": "any"}).body == "ok\n"
    # it is on no command line and in no environment
    for pid in (it.pid, it.role("web")):
        assert TOKEN not in command(pid) + str(environment(pid))
    it.stop()
    os.chmod("token", 0o600)
    it = web(f"--http 0.0.0.0:{WEB} --http-token {path('token')}")
    assert it.log().count("every user") == 1
    it.stop()
    web(f"--http 0.0.0.0:{WEB} --http-open=yes")
    assert ask(headers={"Host": "any"}).body == "ok\n"
    assert not os.path.exists("ran")


# ---- the process ----

def status_of(pid, *names):
    return [re.search(rf"^{name}:\s*(.*)", read(f"/proc/{pid}/status"), re.M)[1] for name in names]


@pytest.mark.unsanitized  # a sanitizer's end passes no filter
def test_the_process_that_answers_can_do_nothing_else():
    need_root()
    it = web()
    is_well()  # it has given up its rights by then
    pid = it.role("web")
    assert status_of(pid, "Seccomp", "NoNewPrivs", "CapPrm", "Uid") == [
        "2", "1", "0" * 16, "\t".join(["65532"] * 4)]
    # nor does the supervisor pay for the library
    assert "microhttpd" in read(f"/proc/{pid}/maps")
    assert not re.search("microhttpd|gnutls", read(f"/proc/{it.pid}/maps"))
    # without memory it is worth no more than a worker
    assert len({read(f"/proc/{p}/oom_score_adj") for p in (pid, it.worker().pid)}) == 1


def test_killed_it_is_back_at_once_it_goes_through_an_upgrade_and_nobody_has_noticed():
    it = web(f"--http unix:{path('http')}")
    before = it.pids()
    for _ in (1, 2):
        pid = it.role("web")
        kill(pid)
        assert get("/healthz", unix="http").body == "ok\n"  # it waited in the queue
        pid = it.role("web", but=pid)
    it.logged("the web server ended (signal 9), starting it again", 2)
    it.call("upgrade")
    assert get("/readyz", unix="http").body == "ok\n"
    assert it.pids() == before and [w.restarts for w in it.workers()] == [0, 0]
    held = [it.connect() for _ in range(80)]  # who push out others
    assert get("/readyz", unix="http").body == "ok\n"
    assert it.roles("web") == [pid] and held
    it.forget()
    it.stop()
    assert not os.path.exists("http")


def ini(*options):
    return "\n".join(("[nclust]", *options, "[cluster:web]", "workers = 1", "ready = alive:0s",
                      "command = sleep 1000", ""))


def test_a_reload_moves_it_where_that_cannot_be_all_stays():
    it = cluster(ini=ini(f"http = {WEB}"))
    worker, pid = it.worker().pid, it.role("web")

    def reload(*options):
        it.reload(ini(*options))

    reload(f"http = {WEB}")
    with socket.create_server(("127.0.0.1", 9001)):
        with pytest.raises(Refused, match="http: cannot .*: Address already in use; in use by "):
            reload("http = 9001", "log-level = debug")
    is_well()
    assert it.roles("web") == [pid]
    reload(f"http = unix:{path('http')}")
    wait(lambda: not listens(WEB))
    assert get("/healthz", unix="http").body == "ok\n"
    reload()
    wait(lambda: not os.path.exists("http") and it.roles("web") == [])
    reload(f"http = {WEB}")
    is_well()
    write("token", TOKEN + "\n")
    pid = it.role("web")
    reload(f"http = {WEB}", f"http-token = {path('token')}")
    it.role("web", but=pid)
    assert ask().status == 401
    assert it.worker().pid == worker
    assert not it.says("the web server ended")


@pytest.mark.unsanitized
def test_what_it_cannot_have_is_an_error_before_anything_starts():
    web()
    nclust(f"--name other --http {WEB} -- touch ran").fails(
        1, "Address already in use; in use by nclust")
    if os.geteuid() == 0:
        library = re.search(r"=> (.*libmicrohttpd\.so\.12)", run("ldconfig", "-p").out)[1]
        for says, *under in (
                (package_of(library), "unshare", "-m", "sh", "-c",
                 f'mount --bind /dev/null {library}; exec "$@"', "-"),
                ("cannot give up its rights, for which it needs", "setpriv",
                 "--bounding-set=-setuid")):
            it = launch("--http 9001", "touch", "ran", name="lacks", under=under)
            assert it.exit() == 78 and it.says(says)
    assert not os.path.exists("ran")


@pytest.mark.unsanitized
def test_a_lack_of_memory_is_not_taken_for_a_missing_library():
    said = ""
    for megabytes in range(4, 16):
        it = launch(f"--restart never --http {WEB + megabytes}", "true", name=f"of{megabytes}",
                    under=("prlimit", f"--as={megabytes * 1024 * 1024}"))
        it.exit()
        said += it.log()
    assert "the web server could not start; a limit of memory" in said
    assert "install" not in said


def test_one_that_was_taken_over_cannot_shut_the_address_down_for_good():
    need_root()
    for options, at in ((f"--http {WEB}", {"port": WEB}), (f"--http unix:{path('http')}",
                                                           {"unix": "http"})):
        it = web(options)
        pid = it.role("web")
        done = 0
        for fd in descriptors(pid):
            got = ctypes.CDLL(None).syscall(438, os.pidfd_open(pid), fd, 0)  # pidfd_getfd
            try:
                s = socket.socket(fileno=got)
            except OSError:
                continue
            if s.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                s.shutdown(socket.SHUT_RDWR)
                done += 1
        assert done == (2 if "port" in at else 1)
        with pytest.raises(OSError):
            get("/healthz", **at)
        kill(pid)
        it.role("web", but=pid)
        assert get("/healthz", **at).body == "ok\n"
        it.stop()


def test_after_a_crash_a_port_that_is_taken_keeps_no_nclust_from_its_workers():
    options = f"--http {WEB} --orphans keep"
    it = web(options)
    were, pid = it.pids(), it.role("web")
    it.kill()
    wait_gone(pid)
    with socket.create_server(("127.0.0.1", WEB)):
        it = web(options, clock=True)
        assert it.pids() == were
        it.logged("Address already in use; in use by")
        assert it.says("trying again in a minute")
    it.advance(61)
    is_well()
    it.stop()


# ---- clients that harm ----

def advance_idle(it, pid, seconds):
    """Only while its web process waits for that: one that waits for the CPU would be too late."""
    if state(pid) == "S":
        it.advance(seconds)


def soon(it, **at):
    """Its answer, although nclust is asked only each 50 ms and time stands."""
    request, pid = Request("/healthz", **at), it.role("web")
    wait(lambda: select.select([request.socket], [], [], 0)[0] or advance_idle(it, pid, 0.1))
    return request.answer()


def test_200_clients_that_say_nothing_harm_nobody_and_the_slow_get_408():
    it = web(clock=True)
    quiet = [dial(WEB) for _ in range(200)]
    for _ in range(3):  # those who are cut come back at once
        quiet += [dial(WEB) for _ in range(64)]
        assert soon(it, port=WEB).body == "ok\n"
    assert it.status().pid == it.pid and quiet
    slow = dial(WEB)
    slow.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n")
    assert soon(it, port=WEB).body == "ok\n"  # by then it has been let in
    for _ in range(3):
        it.advance(1.2)
        slow.sendall(b"X: y\r\n")
    assert not select.select([slow], [], [], 0)[0]
    it.advance(2.5)
    assert slow.recv(4096).startswith(b"HTTP/1.1 408 ")


def test_who_leaves_after_half_a_request_leaves_its_place():
    it = web(clock=True)
    pid = it.role("web")
    free = len(descriptors(pid))
    kill(pid, SIGSTOP)
    with dial(WEB) as s:
        s.sendall(b"GET /healthz HTTP/1.1\r\n")
    kill(pid, SIGCONT)
    assert soon(it, port=WEB).body == "ok\n"  # by then it has been let in
    it.advance(2.5)
    wait(lambda: len(descriptors(pid)) == free)


def test_64_who_do_not_read_their_answers_make_room():
    # a status that no socket's buffer holds
    it = web(f"--http unix:{path('http')}", "sh", "-c", "exec sleep 1000", *["0" * 90_000] * 5,
             clock=True)
    held = [Request("/status", unix="http") for _ in range(64)]
    assert "64 others are being answered" in dial(unix="http").makefile().read()
    pid = it.role("web")
    wait(lambda: len(select.select([r.socket for r in held], [], [], 0)[0]) == 64
         or advance_idle(it, pid, 0.06))
    it.advance(5.1)
    assert soon(it, unix="http").body == "ok\n"


def test_a_client_that_sends_what_cannot_be_closed_keeps_no_other_waiting():
    web(f"--http unix:{path('http')}")
    begin_program("python3", server("unclosable.py"), "client", path("http"), stdout="said")
    wait(lambda: "sent" in read("said"))
    assert get("/healthz", unix="http").body == "ok\n"
