# SPDX-License-Identifier: MIT
"""What Node programs do with Node's cluster they do under nclust, unchanged: each is written as
for Node's own primary, or knows of none."""
import json
import re
import select
import socket
import ssl

from harness import lab

from nodes import *

SERVER = 'require("http").createServer((q, r) => r.end(`pid=${process.pid}\\n`))'


def web(it, slot, path, body=None):
    return ask(it.worker(slot).pid, it, path, method="POST" if body else "GET", body=body).body


def hears(it, slot, text):
    wait(lambda: text in web(it, slot, "/heard"), f"{slot} hears {text}")


# ---- programs ----

@pytest.mark.parametrize("program", ("node", *OTHERS))
def test_a_server_that_has_never_heard_of_clusters_leads_a_life(program):
    it = node("plain.js", PORT, program=program)
    assert it.cluster().listeners[0].address == f"tcp:*:{PORT}"
    each_is_worker(it)
    Life(it, drains=True, at_once=3).lead()


@pytest.mark.parametrize("program", ("node", *OTHERS))
def test_all_that_programs_do_with_the_cluster_module(program):
    it = node("web.js", PORT, options="--relay others", program=program)
    pids = it.pids()
    for pid in pids:
        # a child has a channel of its own, a thread's own server is not in the way
        assert ask(pid, it, "/fork").body == '{"sum":6,"isWorker":false,"unique":null}'
        assert ask(pid, it, "/thread").body.startswith(f"fib=832040 pid={pid} ")
        ask(pid, it, "/again")  # the port is closed, and taken again
        wait(lambda: ask(pid, it, "/rounds").part("rounds") == "1")
        for _ in range(3):  # messages with handles are taken, and hold up none behind them
            assert ask(pid, it, "/say-handles").body == "said null\n"
    assert it.pids() == pids
    each_is_worker(it)


def test_one_that_is_its_own_primary_is_told_what_to_do():
    write("master.js", """
        const cluster = require("cluster")
        cluster.setupPrimary({exec: "worker.js"})
        cluster.fork()""")
    it = launch("-d -n 1 --backoff-min 10ms", "node", path("master.js"))
    assert it.process.wait(lab.BOUND) == 1
    assert it.says("cluster.setupPrimary is not a function")
    assert it.says("to let the program be its own: workers = 1, ipc = off")


STICKY = server("sticky.js")


@pytest.mark.parametrize("ticks, said", (
    ((), "waits for nothing but messages of a primary, and is let go: "),
    (("ticks",), "opens no port: is that right? ('--ready alive' does not wait); ")))
def test_one_whose_primary_was_to_hand_it_connections_is_told_what_to_do(ticks, said):
    it = start("-n 2", "node", NO_TIMER, STICKY, PORT, *ticks, clock=True)
    it.logged("waits\n", n=2)
    wait(lambda: all(lab.rests(pid, 0 if ticks else 1e5) for pid in it.pids()))
    for _ in range(20):
        if not it.says(said):
            it.advance(1)
    it.logged(f"{said}nclust is the primary of Node's cluster module, and runs no code of one; "
              "to let the program be its own: workers = 1, ipc = off")
    assert it.log().count("ipc = off") == 1
    status = " ".join(it.verb("status").out.split())
    assert "opens no port: is that right? nclust is the primary of Node's cluster module" in status
    it.stop()
    it = start("-n 1 --ipc off", "node", STICKY, PORT, *ticks, name="own")
    it.wait_ready()
    assert "primary" not in it.verb("status").out
    assert get().pid != it.pids()[0]


@pytest.mark.parametrize("said", ("{topic: 'log4js:message', data: 'lost'}", "'ready'"))
def test_messages_to_a_primary_that_is_nobody_are_told_of_once(said):
    write("logs.js", f"""
        require("http").createServer((q, r) => r.end()).listen(8000)
        process.send({said})
        process.send({said})""")
    it = cluster("-n 1", "node", path("logs.js"))
    lost = "log4js" in said
    if lost:
        it.logged("sends messages to a primary, and nobody hears them: ")
    get()
    assert it.log().count("nobody hears them") == lost


def test_messages_to_and_from_workers_and_between_them():
    it = node("web.js", PORT, options="--relay others")
    it.call("send", target="it.1", message='{"to":"one","n":1.5}')
    it.call("send", all=True, message='"all"')
    hears(it, 0, '"all"')
    hears(it, 1, '"all"')
    assert web(it, 0, "/heard") == '["all"]'
    assert web(it, 1, "/heard") == '[{"to":"one","n":1.5},"all"]'
    odd = r'{"lone":"\ud800 \udfff","nul":"\u0000","word":"äöü 😀"}'
    assert web(it, 0, "/say", odd.encode()) == "said null\n"
    assert web(it, 0, "/say-big", "300000") == "said null\n"
    it.call("upgrade")
    assert web(it, 0, "/say", '"last"') == "said null\n"
    hears(it, 1, '"last"')
    sender = '{"from":{"cluster":"it","slot":0},"message":'
    assert web(it, 1, "/heard").partition('"all",')[2] == (
        f'{sender}{odd}}},{sender}{{"big":"{300000 * "x"}"}}}},{sender}"last"}}]')
    assert web(it, 0, "/heard") == '["all"]'  # not to itself


def test_the_script_that_forks_itself_all_copies_are_workers_but_with_ipc_off_one_is_the_primary():
    it = node("clustered.js", PORT)
    each_is_worker(it)
    ends_cleanly(it)
    assert not it.says("the primary's branch")
    it = start("-n 1 --ipc off", "node", js("clustered.js"), PORT)
    it.logged("the primary's branch")
    wait_listened()
    assert get().part("worker") in "12"
    ends_cleanly(it)


@pytest.mark.parametrize("options, command, worker", (
    ("", (js("module.mjs"), PORT), True),  # a script that names node in its first line
    ("", ("sh", "-c", f"node {js('plain.js')} {PORT}; true"), False),
    ("--ipc on", ("sh", "-c", f"node {js('plain.js')} {PORT}; true"), True),
    ("", ("node", "-e", f"{SERVER}.listen({PORT})"), False),
    pytest.param(f"--directory {js('package')} --env npm_config_cache=/run/npm",
                 ("npm", "start", "--", PORT), False, marks=pytest.mark.nightly),
), ids=("shebang", "sh", "sh-ipc", "eval", "npm"))
def test_however_it_is_started_both_answer_and_none_is_left(options, command, worker):
    it = cluster(f"-n 2 --ready listen {options}", *command)
    life = Life(it)
    life.both_answer()
    if worker:
        assert get().part("worker").isdigit()
    it.call("restart")
    life.both_answer()
    ends_cleanly(it)


def test_who_listens_without_a_script_is_started_again_without_the_channel():
    program = write("eval", f"#!/bin/sh\nexec node -e '{SERVER}.listen({PORT})'\n", 0o755)
    it = start("-n 1 --ipc on", "sh", "-c", f"exec {program} node")
    it.logged("started again without")
    wait_listened()
    assert get().status == 200


def test_a_job_ends_when_it_is_done_and_what_comes_after_it_starts():
    job = write("job.js", "setTimeout(() => console.log('done'), 10)")
    it = start(ini=section("job", f"node {job}", "restart = never", workers=1, ready=None)
               + section("web", f"node {js('plain.js')} {PORT}", "after = job: done", ready=None))
    it.wait_ready("web")
    assert it.says("done") and get().part("worker").isdigit()


@pytest.mark.nightly
def test_express():
    it = node("express.js", PORT, env={"NODE_PATH": MODULES})
    each_is_worker(it)
    got = get("/sum", method="POST", body="[1,2,3]", headers={"Content-Type": "application/json"})
    assert got.body == '{"sum":6}'
    assert get("/none").status == 404


@pytest.mark.nightly
@pytest.mark.parametrize("program", ("@oven/bun-linux-x64-baseline/bin/bun",
                                     "@deno/linux-x64-glibc/deno run -A"))
def test_other_runtimes_share_a_port_too(program):
    program, *words = program.split()
    it = cluster(f"-n 2 --ready listen --env DENO_DIR={path('deno')}", f"{MODULES}/{program}",
                 *words, js("plain.js"), PORT)
    assert get().part("worker").isdigit() == ("bun" in program)
    assert set(counts(10)) <= set(it.pids())
    it.call("restart")
    assert set(counts(10)) <= set(it.pids())
    ends_cleanly(it)


# ---- what they listen on ----

def test_https_each_worker_resumes_the_sessions_of_the_others():
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
        "-nodes", "-days", 2, "-subj", "/CN=localhost", "-keyout", "key", "-out", "cert").ok()
    it = node("https.js", PORT, path("key"), path("cert"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def visit(session=None):
        with context.wrap_socket(dial(), session=session) as s:
            s.sendall(b"GET / HTTP/1.0\r\n\r\n")
            said = b"".join(iter(lambda: s.recv(4096), b""))
            assert f"pid={pid} ".encode() in said
            return s.session, s.session_reused

    for context.maximum_version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        session = None
        for pid, other in (it.pids(), it.pids()[::-1]):
            freeze(other)
            session, reused = visit(session)
            thaw(other)
            assert reused == (pid == it.worker(1).pid)
    # and who comes after them does, too, and after another nclust
    it.call("upgrade")
    it.call("restart")
    it.call("scale", count=1)
    pid = it.worker().pid
    assert visit(session)[1]


def test_datagrams():
    it = node("dgram.js", PORT)
    for pid in it.pids():
        others = [p for p in it.pids() if p != pid]
        freeze(*others)
        with socket.socket(type=socket.SOCK_DGRAM) as s:
            s.settimeout(BOUND)
            s.sendto(b"hello", ("127.0.0.1", PORT))
            assert re.match(rf"pid={pid} worker=\d", s.recv(1000).decode())
        thaw(*others)


def test_a_unix_socket_which_is_gone_after_the_stop():
    at = path("socket")
    it = node("plain.js", json.dumps(at))
    each_is_worker(it, unix=at)
    it.call("restart")
    each_is_worker(it, unix=at)
    ends_cleanly(it)
    assert not os.path.exists(at)


def test_a_port_that_the_system_chooses_is_the_same_in_all_workers():
    it = node("ports.js", PORT)  # ready by the ports before
    it.logged(f"listening on tcp:*:{PORT}")
    first, second = (ask(pid, it).body.partition(" pid=")[0] for pid in it.pids())
    one, other = first.removeprefix("ports=").split()
    assert first == second and one != other
    each_is_worker(it, port=int(other))


@pytest.mark.parametrize("options, listen, backlog", (
    ("", {"host": "127.0.0.1", "port": PORT, "backlog": 7}, range(7, 15)),  # of both together
    (f"-l {PORT}", PORT, (4096,)),
    (f"-l {PORT}", {"fd": 3}, (4096,)),
), ids=("host", "port", "fd"))
def test_what_listen_takes_as_options(options, listen, backlog):
    it = node("plain.js", json.dumps(listen), options=options)
    each_is_worker(it)
    assert it.cluster().listeners[0].queue_limit in backlog
    it.call("restart")
    each_is_worker(it)
    assert len(it.cluster().listeners) == 1


@pytest.mark.parametrize("count, listen, says", (
    (2, {"port": PORT, "exclusive": True}, "EADDRINUSE"), (1, {"fd": 0}, "E"),
    (2, {"port": 9000}, "EADDRINUSE bind")), ids=("exclusive", "fd", "taken"))
def test_what_cannot_be_had_the_worker_is_told(count, listen, says):
    with socket.create_server(("127.0.0.1", 9000)):
        it = start(f"-n {count}", "node", js("web.js"), json.dumps(listen))
        it.logged(f"cannot listen: {says}", 2 if listen.get("port") == 9000 else 1)
        if "exclusive" in listen:
            it.logged("listening at")
            assert get().part("worker").isdigit()
            assert it.log().count("listening at") == it.log().count("cannot listen") == 1
        assert [w.restarts for w in it.workers()] == count * [0]


def test_a_port_that_is_not_to_be_shared_is_in_use_for_the_other_worker():
    write("probe.js", """
const http = require("http");
const look = (port) => http.createServer().on("error", () => look(port + 1))
  .listen(port, () => console.log("at", port));
http.createServer().listen(8000, () => look(9100));""")
    it = cluster("-n 2 --ready listen --share-ports 8000", "node", "probe.js")
    it.logged("at 9100\n", 1)
    it.logged("at 9101\n", 1)


def test_a_server_that_is_closed_by_its_last_user_is_closed():
    it = cluster("-n 1 --ready listen", "node", write("close.js", """
const server = require('net').createServer(s => s.end('x')).listen(8000);
setInterval(() => {}, 1000);
process.on('SIGUSR2', () => server.close());
process.on('SIGHUP', () => server.listen(8000));
"""))
    assert listens()
    it.call("signal", signal="USR2")
    wait(lambda: it.cluster().listeners == [] and not listens())
    assert it.worker().state == "ready"
    it.call("signal", signal="HUP")
    wait(listens)


# ---- ready, and the end ----

def test_process_send_ready_makes_a_worker_ready():
    os.mkfifo("fifo")
    it = start("-n 1 --ready notify", "node", js("queue.js"), path("fifo"))
    write("fifo", "go")  # until it reads that it is not ready
    it.wait_ready()
    assert it.cluster().notify_seen
    ends_cleanly(it)


def test_a_worker_that_never_listens_is_as_any_other_program():
    it = cluster("-n 2 --ready alive:1ms", "node", js("queue.js"))
    it.call("restart")
    ends_cleanly(it)


# ---- by turns ----

@pytest.mark.parametrize("rights", ((), ("setpriv", "--bounding-set=-bpf,-sys_admin")),
                         ids=("root", "no-bpf"))
def test_by_turns_each_gets_as_many_as_the_others_and_an_upgrade_keeps_that(rights):
    it = node("plain.js", PORT, options="--env NODE_CLUSTER_SCHED_POLICY=rr", under=rights)
    assert it.cluster().balance == "rr"
    assert counts(20) == {pid: 10 for pid in it.pids()}
    it.call("upgrade")
    assert counts(20) == {pid: 10 for pid in it.pids()}
    # who has not taken what it was given gets no more, and its turn is another's
    first, second = it.pids()
    freeze(first)
    requests = [Request() for _ in range(6)]

    def answered():
        return select.select([r.socket for r in requests], [], [], 0)[0]

    wait(lambda: len(answered()) == 5)
    late = [r for r in requests if r.socket not in answered()]
    assert {r.answer().pid for r in requests if r not in late} == {second}
    thaw(first)
    assert late[0].answer().pid == first


def test_by_turns_who_has_max_connections_passes_on():
    it = node("net.js", PORT, 1, options="--balance rr")

    def come():
        s = dial()
        return s, s.makefile()

    (first, one), (second, two) = come(), come()
    held = [f.readline() for f in (one, two)]
    assert {re.match(r"pid=(\d+) worker=\d", line).group(1) for line in held} == set(
        map(str, it.pids()))
    third, three = come()  # it waits until the first has gone
    second.sendall(b"echo\n")
    assert two.readline() == "echo\n"
    one.close()
    first.close()
    assert three.readline() == held[0]


def test_by_turns_a_client_keeps_its_worker_as_socket_io_needs_it():
    it = node("plain.js", PORT, options="--sticky client-address")
    assert it.cluster().balance == "client-address"
    found = []
    for host in range(2, 18):
        visitors = {get(source=f"127.0.0.{host}").pid for _ in range(3)}
        assert len(visitors) == 1
        found += visitors
    assert set(found) == set(it.pids())


@pytest.mark.nightly
def test_doctor_tries_a_node_script():
    said = nclust("doctor -- node", js("plain.js"), PORT).out
    assert re.search(f"listening on tcp:.*:{PORT}, opened by", said)


def test_sticky_without_what_it_needs_is_refused():
    nclust("--balance share --sticky client-address -- node x.js").fails(64, "needs 'balance = rr'")


def test_two_of_an_older_node_are_each_asked_whether_they_are_ready():
    """It accepts until nobody is left (libuv before 1.45), and would hang there for ever."""
    it = cluster("-n 2 -l 8000 --ready http:/", f"{MODULES}/node18/bin/node", server("loads.js"), 8000)
    assert [w.state for w in it.workers()] == ["ready", "ready"]
