# SPDX-License-Identifier: MIT
"""Messages between machines, by the real broker of NATS: each machine is an nclust with a
host's name of its own."""
import contextlib
import json
import re
import socketserver
import struct
import threading
import time

from harness import *
from harness import lab

AT = 4222
URL = "nats://u:${BROKER_PASSWORD}@127.0.0.1"
SECRET = "sesame"
DOWN = "messages do not reach other machines"
UP = "messages reach other machines again; {} were dropped"
TALK = (f"{fixture('talk')} {{got}}", "alive:0s", "ipc = on")


class Broker:
    """The real one, which answers when this returns."""

    def __init__(self, *lines, at=AT):
        write("broker.conf", "\n".join((
            f"port: {at}", 'host: "127.0.0.1"',
            f"authorization: {{user: u, password: {SECRET}}}", *lines, "")))
        with open("broker.log", "ab") as log:
            self.process = begin_program(need("nats-server"), "-c", path("broker.conf"), stdout=log,
                                         stderr=log)
        wait_listened(at)

    def kill(self, *clients):
        """It has ended, and these have noticed."""
        self.process.kill()
        self.process.wait()
        for it in clients:
            wait(lambda: not relay(it).connected, f"{it.name} is cut off")


# ---- machines ----

def ini(name, *lines, workers=2, run=TALK):
    os.makedirs(f"got/{name}", exist_ok=True)
    program, ready, *more = run
    return section("web", program.format(got=path(f"got/{name}")), *more, *lines,
                   workers=workers, ready=ready)


def machine(name, url=URL, start=cluster, password=SECRET, clock=False, **more):
    return start(ini=ini(name, f"relay = {url}", **more), name=name, clock=clock,
                 env={"BROKER_PASSWORD": password},
                 under=("unshare", "--uts", "sh", "-ec", 'hostname "$0"; exec "$@"', name))


def machines(*names, **more):
    """Connected, all of them."""
    return connected(*[machine(name, **more) for name in names])


def connected(*its):
    for it in its:
        wait(lambda: relay(it).connected, f"{it.name} is connected")
    return its


def relay(it):
    """What the status says of it; None: there is none."""
    return it.cluster().get("relay")


def reload(it, *lines):
    write(f"{it.name}.ini", ini(it.name, *lines))
    it.call("reload")


def logged_once(it, text):
    it.logged(text)
    assert it.log().count(text) == 1


# ---- workers: pairs of a machine and a slot ----

def send(it, slot, text):
    it.call("send", target=f"web.{slot}", message=text)


def say(it, slot, text):
    """That worker sends it: the line that others get."""
    send(it, slot, f'["say",{text}]')
    return line(it.name, slot, text)


def line(host, slot, text):
    return f'{{"from":{{"cluster":"web","slot":{slot},"host":"{host}"}},"message":{text}}}'


def got(it, slot):
    """From other workers, whole."""
    whole = read(f"got/{it.name}/{slot}").rpartition("\n")[0]
    return [text for text in whole.splitlines() if text.startswith('{"from"')]


def wait_got(text, *workers):
    for it, slot in workers:
        wait(lambda: text in got(it, slot), f"{it.name}.{slot} gets {text}")


def wait_count(it, slot, count):
    wait(lambda: len(got(it, slot)) >= count, f"{it.name}.{slot} gets {count}")


def flood(it, count):
    """Its worker 0 sends so many numbers; its worker 1 has got them."""
    had = len(got(it, 1))
    send(it, 0, f'["flood",{count}]')
    wait_count(it, 1, had + count)


def halt(pid):
    kill(pid, SIGSTOP)
    wait(lambda: is_stopped(pid))


@contextlib.contextmanager
def held(it):
    """It connects again only after others have, as these miss what comes before."""
    pid = it.role("nats")
    halt(pid)
    yield
    kill(pid, SIGCONT)


# ---- talking ----

def test_workers_of_three_machines_talk_as_siblings_do_each_gets_it_once_and_not_its_own():
    Broker()
    a, b, c = machines("a", "b", "c")
    everybody = [(it, slot) for it in (a, b, c) for slot in (0, 1)]
    first = say(a, 1, r'{"x":"\ud800"}')
    wait_got(first, *(w for w in everybody if w != (a, 1)))
    second = say(b, 0, '"back"')
    wait_got(second, *(w for w in everybody if w != (b, 0)))
    for worker in everybody:
        assert got(*worker) == ([first] if worker != (a, 1) else []) + (
            [second] if worker != (b, 0) else [])
    assert (relay(a).sent, relay(a).received, relay(c).received) == (1, 1, 2)


def test_workers_of_node_talk_by_process_send_with_others_and_among_themselves():
    Broker()
    a, b = [machine(name, run=(f"{need('node')} {SRC}/tests/fleet/talk.js {{got}} {port}", "auto"))
            for name, port in (("a", 8000), ("b", 8001))]
    c = machine("c")
    connected(a, b, c)
    say(a, 0, r'{"key":["\u00e4",1.5,null]}')
    wait_got(line("a", 0, '{"key":["ä",1.5,null]}'), (a, 1), (b, 0), (b, 1))
    wait_count(c, 0, 1)
    wait_got(say(c, 1, '"of another language"'), (a, 0), (a, 1), (b, 0), (b, 1))
    b.call("restart")
    wait_got(say(b, 1, '"after a restart"'), (a, 0), (a, 1))
    assert (len(got(a, 0)), len(got(a, 1))) == (2, 3)


def test_a_worker_that_is_alone_on_its_machine_talks_too():
    Broker()
    a, b = machines("a", "b", workers=1)
    wait_got(say(a, 0, 1), (b, 0))
    assert relay(a).queued == 0


def test_machines_with_another_prefix_are_others():
    Broker()
    a, b = machines("a", "b", url=f"{URL}/shop.eu")
    c, = machines("c")
    first = say(a, 0, 1)
    wait_got(first, (b, 1))
    other = say(c, 0, 2)
    wait_got(other, (c, 1))
    last = say(a, 0, 3)
    wait_got(last, (b, 0), (b, 1))
    assert (got(b, 0), got(c, 0), got(c, 1)) == ([first, last], [], [other])


def test_the_password_is_nowhere_to_be_seen_and_the_process_has_no_rights():
    Broker()
    a, = machines("a")
    pid = a.role("nats")
    assert SECRET not in command(pid) + str(environment(pid)) + command(a.pid) + a.log()
    status = dict(text.split(":\t", 1) for text in lines(f"/proc/{pid}/status"))
    assert int(status["Uid"].split()[0]) >= 65520
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
    assert f"u:{SECRET}@" in a.verb("config").ok()


# ---- a broker that is away ----

def test_without_a_broker_workers_start_and_are_connected_when_it_comes():
    a = machine("a")
    a.logged(DOWN)
    a.logged("(broker 127.0.0.1); up to 1 MiB of them waits")
    wait_got(say(a, 0, '"early"'), (a, 1))
    Broker()
    connected(a)
    a.logged(UP.format(0))


def test_what_is_sent_while_the_broker_is_away_arrives_at_those_who_are_back_before():
    broker = Broker()
    a, b = machines("a", "b", clock=True)
    broker.kill(a, b)
    flood(a, 1000)
    with held(a):
        Broker()
        wait(lambda: relay(b).connected)
    for slot in (0, 1):
        wait_count(b, slot, 1000)
        assert [json.loads(text)["message"] for text in got(b, slot)] == list(range(1000))
    assert relay(a).dropped == 0
    logged_once(a, DOWN)
    logged_once(a, UP.format(0))


def test_what_is_sent_at_the_moment_it_goes_away_arrives():
    broker = Broker()
    a, b = machines("a", "b")
    pid = a.role("nats")
    halt(pid)  # it sees the broker's end, and the messages, at the same time
    broker.kill(b)
    sent = [say(a, 0, n) for n in range(3)]
    kill(pid, SIGCONT)
    a.logged(DOWN)
    with held(a):  # who comes back later misses them
        Broker()
        wait(lambda: relay(b).connected)
    connected(a, b)
    wait_got(sent[-1], (b, 0))
    assert got(b, 0) == sent


def test_what_finds_no_room_while_it_is_away_is_dropped_counted_and_reported():
    broker = Broker()
    a, b = machines("a", "b")
    broker.kill(a, b)
    for _ in range(4):
        flood(a, 10000)
    counts = relay(a)
    assert counts.dropped > 0 and counts.queued <= 1 << 20
    rest = 40000 - counts.dropped
    assert counts.sent == rest
    with held(a):
        Broker()
        connected(b)
    wait_count(b, 0, rest)
    wait_got(say(a, 0, '"last"'), (b, 0))
    assert len(got(b, 0)) == rest + 1
    logged_once(a, UP.format(counts.dropped))


def test_a_broker_that_stands_still_holds_up_nobody():
    broker = Broker()
    a, b = machines("a", "b")
    halt(broker.process.pid)
    for it in (a, b):
        wait_got(say(it, 0, '"to nowhere"'), (it, 1))
    for it in (a, b):
        it.logged(DOWN)
    flood(a, 2000)
    with held(a):
        kill(broker.process.pid, SIGCONT)
        connected(b)
    wait_got(line("a", 0, 1999), (b, 0))
    assert len(got(b, 0)) >= 2000
    wait_got(say(a, 0, '"again"'), (b, 0))
    assert a.stop() == 0


def test_a_wrong_password_is_one_line_and_a_reload_corrects_it():
    Broker()
    a = machine("a", password="wrong-one")
    b, = machines("b")
    a.logged(f"{DOWN}: Authorization Violation")
    reload(a, "relay = " + URL.replace("${BROKER_PASSWORD}", SECRET))
    connected(a)
    wait_got(say(b, 0, 1), (a, 1))
    logged_once(a, DOWN)
    assert not a.says("wrong-one") and not a.says(SECRET)


def test_a_reload_with_another_url_takes_along_what_waits():
    broker = Broker()
    a, = machines("a")
    other = f"{URL}:{AT + 1}"
    b = machine("b", url=other)
    broker.kill(a)
    flood(a, 20000)
    Broker(at=AT + 1)
    connected(b)
    waits = relay(a).queued
    assert waits > 1 << 19
    reload(a, f"relay = {other}")
    wait_got(say(a, 0, '"last"'), (b, 0))
    assert len(got(b, 0)) > waits / 120  # none takes as many bytes


# ---- what comes from it ----

NONSENSE = """\
x
{"a":1}
{"nclust":2,ID,"from":"the future"}
{"nclust":0}
{"nclust":1,ID,"from":{"cluster":"job","slot":0,"host":"c"},"message":1}
{"nclust":1,ID,"from":{"cluster":"web","slot":0,"host":"c"},"message":{}
{"nclust":1,ID,"from":{"cluster":"web","slot":0,"host":"c"},"message":1,"cmd":"NODE_CLUSTER"}
{"nclust":1,ID,"from":{"cluster":"web","slot":0,"host":"c"},"message":"true"}
"""


def test_nonsense_that_others_publish_there_reaches_no_worker():
    Broker()
    a, = machines("a")
    with dial(AT) as s, s.makefile("rw") as f:
        print(f'CONNECT {{"verbose":false,"user":"u","pass":"{SECRET}"}}', file=f)
        for text in NONSENSE.replace("ID", '"id":"fedcba9876543210"').splitlines():
            print(f"PUB nclust.web {len(text)}\r\n{text}\r", file=f)
        f.flush()
        wait_got(line("c", 0, '"true"'), (a, 0))
    assert len(lines("got/a/0")) == 1
    assert (relay(a).invalid, relay(a).received) == (7, 1)
    logged_once(a, "has format 2, and this nclust knows 1 alone")
    logged_once(a, "the broker sends what no nclust has sent")


class Liar(socketserver.StreamRequestHandler):
    """A broker that does what no broker should: `mute` says nothing, `garbage` something else,
    `lines` sends a message with a newline in it, `echo` what it gets, both an empty message after
    that, and `huge` begins one of 2 GB."""
    kind = None

    def handle(self):
        if self.kind == "garbage":
            self.wfile.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        elif self.kind != "mute":
            self.wfile.write(b'INFO {"server_id":"X","version":"2.9.10","proto":1,'
                             b'"max_payload":1048576}\r\n')
        for text in self.rfile:
            word, *rest = text.split() or [b""]
            if word == b"PING" and self.kind not in ("mute", "garbage"):
                self.wfile.write(b"PONG\r\n")
            elif word == b"SUB" and self.kind == "lines" and rest[0].endswith(b".web"):
                self.say(rest[0], b'{"a":1}\n{"b":2}', b"")
            elif word == b"PUB":
                data = self.rfile.read(int(rest[-1]) + 2)[:-2]
                if not rest[0].endswith(b".web"):
                    continue  # who calls others
                if self.kind == "echo":
                    self.say(rest[0], data, b"")
                elif self.kind == "huge":
                    self.wfile.write(b"MSG %s 1 2000000000\r\n" % rest[0])
                    while True:
                        self.wfile.write(b"x" * (1 << 20))

    def say(self, subject, *messages):
        for data in messages:
            self.wfile.write(b"MSG %s 1 %d\r\n%s\r\n" % (subject, len(data), data))

    @classmethod
    def begin(cls, kind):
        cls.kind = kind
        server = socketserver.ThreadingTCPServer(("", AT), cls)
        server.daemon_threads = True
        server.handle_error = lambda *_: None  # it has been left
        threading.Thread(target=server.serve_forever, daemon=True).start()


@pytest.mark.parametrize("kind", ("mute", "garbage", "lines", "echo", "huge"))
def test_a_broker_that_lies_is_survived(kind):
    Liar.begin(kind)
    a = machine("a")
    if kind in ("mute", "garbage"):
        a.logged(f"{DOWN}: {'Timeout' if kind == 'mute' else ''}")
    else:
        connected(a)
    if kind == "lines":
        wait(lambda: relay(a).invalid == 2)
    elif kind == "echo":
        said = [say(a, 0, n) for n in (1, 2)]
        wait(lambda: relay(a).invalid == 2 and got(a, 1) == said)
        assert (relay(a).sent, relay(a).received, got(a, 0)) == (2, 0, [])
    elif kind == "huge":
        say(a, 0, 1)
        a.logged(DOWN)
        assert int(re.search(r"VmRSS:\s+(\d+)", read(f"/proc/{a.pid}/status")).group(1)) < 20000
    wait_got(say(a, 0, '"alive"'), (a, 1))
    assert a.stop() == 0


def test_a_message_of_1_mib_goes_through_if_the_broker_takes_it():
    Broker("max_payload: 1100000")
    a, b = machines("a", "b")
    send(a, 0, '["big",1048576]')
    wait_count(b, 1, 1)
    assert len(json.loads(got(b, 1)[0])["message"]) == 1048574
    assert relay(a).dropped == 0


def test_what_the_broker_does_not_take_is_dropped_counted_and_reported_once():
    Broker()
    a, b = machines("a", "b")
    for n, size in enumerate((1048576, 1048575), 1):
        send(a, 0, f'["big",{size}]')
        wait_count(a, 1, n)  # its siblings have it
    wait(lambda: relay(a).dropped == 2)
    logged_once(a, "larger than the 1048576 bytes that the broker takes")
    send(a, 0, '["big",1048256]')
    wait_count(b, 1, 1)
    assert relay(a).dropped == 2


# ---- the process that talks with it ----

def test_upgrades_restarts_and_reloads_lose_no_message_that_flows():
    Broker()
    a, b = machines("a", "b")
    process = b.role("nats")
    write("got/b/1", "")
    for it, verb in ((b, "upgrade"), (a, "upgrade"), (b, "upgrade"), (b, "restart"),
                     (a, "upgrade"), (b, "upgrade"), (b, "restart"), (a, "reload")):
        os.truncate("got/b/1", 0)
        since = b.mark()
        if verb == "restart":  # what an old worker has not read, its successor has got, too
            over = it.begin(verb)
            b.event("started", since=since, slot=1)
        # as many as have room for a worker that gets no CPU for a while
        send(a, 0, '["flood",8000]')
        if verb != "restart":
            wait(lambda: os.path.getsize("got/b/1") > 0)
            over = it.begin(verb)
        over()
        wait_got(say(a, 0, '"last"'), (b, 1))
        assert len(set(got(b, 1))) == 8001, f"{verb} {it.name}"
    counts = relay(b)
    assert (relay(a).dropped, counts.missed, counts.invalid) == (0, 0, 0)
    assert counts.received == relay(a).sent == 8 * 8001
    assert (a.status().upgrades, b.status().upgrades) == (2, 3)
    assert b.roles("nats") == [process]


def test_it_is_started_again_when_it_dies_and_goes_with_the_setting():
    Broker()
    a, b = machines("a", "b")
    pid = a.role("nats")
    kill(pid)
    pid = a.role("nats", but=pid)
    logged_once(a, "the process that talks with the broker ended (signal 9)")
    connected(a)
    wait_got(say(a, 0, 1), (b, 0))
    halt(pid)
    text = say(a, 0, 2)
    wait_got(text, (a, 1))
    kill(pid, SIGCONT)
    wait_got(text, (b, 0))
    reload(a, "relay = others")
    wait(lambda: a.roles("nats") == [])
    say(a, 0, 3)
    wait_got('{"from":{"cluster":"web","slot":0},"message":3}', (a, 1))
    assert relay(a) is None
    reload(a, f"relay = {URL}")
    connected(a)
    assert a.stop() == 0


def test_it_does_not_go_on_connecting_once_nobody_needs_it():
    Liar.begin("mute")
    # 5 s for each of them: longer than a test waits
    a = machine("a", url="nats://u:x@" + ",".join(f"127.0.0.{n}" for n in range(1, 17)))
    pid = a.role("nats")
    reload(a, "relay = others")
    wait_gone(pid)
    assert a.stop() == 0


def test_without_the_library_that_is_an_error_of_the_file():
    library = re.search(r"libnats\.so\.[\d.]+ .*=> (\S+)", run("ldconfig", "-p").ok()).group(1)
    run("mount", "--bind", "/dev/null", os.path.realpath(library)).ok()
    nclust("-c", write("a.ini", ini("a", "relay = nats://127.0.0.1"))).fails(
        78, "a.ini:6: cluster:web.relay: the library libnats.so.", "install the package libnats")


def waits(thread):
    """Is it not going to wake up by itself soon?  (libnats' thread for timers does each hour.)"""
    call = read(f"{thread}/syscall").split()
    if call[0] != str(lab.FUTEX) or int(call[4], 16) == 0:
        return lab.waits(thread.removeprefix("/proc/"), 110)
    with open(f"{thread}/mem", "rb") as f:
        f.seek(int(call[4], 16))
        return struct.unpack("q", f.read(8))[0] > time.time() + 110


def test_nobody_wakes_up_while_nobody_talks_but_each_2_minutes_to_ask_the_broker():
    Broker()
    a, b = machines("a", "b")
    wait_got(say(a, 0, 1), (b, 0))
    threads = f"/proc/{a.role('nats')}/task"
    wait(lambda: rests(a.pid) and all(waits(f"{threads}/{t}") for t in os.listdir(threads)))
