# SPDX-License-Identifier: MIT
"""Messages to, from and between workers (nclust-messages(7))."""
import json
import re

from harness import *
from harness import lab

# keys given twice, large numbers, lone surrogates: a message is the bytes that it is
ODD = r'{"lone":"\ud800","nul":"\u0000","a":1,"a":2.50,"ü":[1e400]}'


def talk(options="", n=3, **more):
    """Workers that write down what they get, and do what they are told (tests/fixtures/talk.c)."""
    os.makedirs("got", exist_ok=True)
    return cluster(f"-n {n} --ipc on --ready alive:1ms {options}", fixture("talk"), path("got"),
                   **more)


def send(it, text, slot=None, cluster="it", **more):
    """How many have it in their queue."""
    target = cluster if slot is None else f"{cluster}.{slot}"
    return it.call("send", target=target, message=text, **more).reached


def got(slot):
    return lines(f"got/{slot}")


def wait_got(slot, line, count=1):
    """So often at least, and whole."""
    wait(lambda: got(slot).count(line) >= count, f"for {slot}: {line[:100]}")


def follower(it, **params):
    """A connection that hears of all that happens from now on."""
    control = it.connect()
    control.socket.settimeout(BOUND)
    control.send("events", follow=True, **params)
    it.turns(2)
    return control


def half(it, slot, text):
    """It has written the begin of a message, and nclust has read that."""
    send(it, f'["half","{text}"]', slot)
    send(it, '["written"]', slot)
    wait_got(slot, '["written"]')
    it.turns(2)


def from_worker(slot, message, cluster="it"):
    """As it is passed on to others."""
    return f'{{"from":{{"cluster":"{cluster}","slot":{slot}}},"message":{message}}}'


def counts(it, slot):
    return it.worker(slot).messages


def numbered(n):
    """A message of 50 KB."""
    return json.dumps(f"{n:050000d}")


# ---- the channel ----

def test_a_worker_finds_its_channel_behind_its_sockets_and_nobody_elses():
    outer = {"NODE_CHANNEL_FD": "7", "NODE_UNIQUE_ID": "8", "NCLUST_CHANNEL_FD": "9",
             "NODE_CHANNEL_SERIALIZATION_MODE": "advanced"}
    leak("-l 8000 --ipc on", env=outer)
    assert {k: v for k, v in born().env.items() if k in outer} == {"NCLUST_CHANNEL_FD": "4"}
    assert [fd.fd for fd in born().fds] == [0, 1, 2, 3, 4]


def test_without_ipc_there_is_none_and_send_says_so():
    it = leak("", env={"NODE_CHANNEL_FD": "7", "NCLUST_CHANNEL_FD": "9"})
    assert not [k for k in born().env if "CHANNEL" in k]
    it.verb("send", "1").fails(1, "none of its workers has a message channel")
    assert "messages" not in it.worker()


# ---- to workers ----

def test_a_message_goes_to_the_next_worker_to_one_slot_or_to_all():
    it = talk()
    for n in range(4):
        assert it.verb("send", f"'{{\"n\":{n}}}'").ok() == "sent to 1 worker\n"
    for slot, n in ((0, 0), (1, 1), (2, 2), (0, 3)):
        wait_got(slot, f'{{"n":{n}}}')
    assert [len(got(slot)) for slot in range(3)] == [2, 1, 1]
    assert it.verb("send", "--all", "--", "-1.5e3").ok() == "sent to 3 workers\n"
    assert json.loads(it.verb("send", "--json", "[null]", target="it.1").ok())["reached"] == 1
    for slot in range(3):
        wait_got(slot, "-1.5e3")
    wait_got(1, "[null]")
    assert counts(it, 1).sent == 3


def test_all_are_also_those_that_a_rollout_has_started():
    it = talk("--surge 1", n=1)
    _answer = it.begin("restart", bake=600)  # a client that goes may take its request along
    wait(lambda: len(it.status().clusters[0].workers) == 2)
    assert send(it, '"forget"', all=True) == 2
    wait_got(0, '"forget"', 2)
    assert send(it, '"one"', 0) == 1


def test_what_is_no_message_for_anybody_is_refused_with_a_sentence():
    it = talk()
    it.verb("send", "'{\"a\":'").fails(64, "wanted one value of JSON on one line")
    it.verb("send", "'[1,\n2]'").fails(64)
    it.verb("send").fails(64)
    it.verb("send", 1, target="nobody").fails(69)
    it.verb("send", 1, target="it.7").fails(69)
    it.verb("send", f"'{json.dumps(70000 * 'x')}'", target="it.1").fails(64, "64 KiB")
    # who does not use our client is told the same
    is_refused("message: wanted one value of JSON on one line", it.call, "send", message="{")
    assert not any(map(got, range(3)))


# ---- from workers and between them ----

def test_relay_others_all_but_the_sender_get_it_as_the_bytes_that_it_is():
    it = talk("--relay others")
    one = follower(it)
    seen = one.text
    send(it, f'["say",{ODD}]', 1)
    wait_got(1, f'["say",{ODD}]')
    for slot in (0, 2):
        wait_got(slot, from_worker(1, ODD))
    while f',"message":{ODD}}}}}\n'.encode() not in seen:
        seen += one.socket.recv(65536)
    it.call("restart")  # then it is for whoever has the slot
    send(it, '["say",2]', 1)
    wait_got(0, from_worker(1, 2))
    assert len(got(1)) == 2


def test_what_workers_send_is_an_event_for_who_follows():
    it = talk("--relay others").follow()
    one = follower(it, target="it.1")
    begin_program(PROGRAM, "events", "-f", "it", stdout="people")
    begin_program(PROGRAM, "events", "-f", "--json", "it", stdout="bytes")
    wait(lambda: send(it, f'["say",{ODD}]', 0) and f',"message":{ODD}}}\n' in read("bytes"))
    wait(lambda: send(it, '["say","here"]', 0) and "here" in read("people"))
    send(it, '["say",{"a":[1,"ü"]}]', 2)
    event = it.event("message", message={"a": [1, "ü"]})
    assert (event.cluster, event.slot, event.worker, event.size) == ("it", 2, it.worker(2).id, 14)
    send(it, '["say",[7]]', 1)
    wait(lambda: "it.1: message of 3 bytes: [7]" in read("people"))
    while (message := one.read().params).event != "message":
        pass
    assert (message.slot, message.message) == (1, [7])
    # what is no JSON is shown as a string, and relayed to nobody
    send(it, '["end","[1][2]"]', 1)
    event = it.event("message", message="[1][2]")
    assert event.json is False
    send(it, '["say",3]', 1)
    wait_got(2, from_worker(1, 3))
    assert not any("[1][2]" in line for line in got(2))
    assert counts(it, 1).invalid == 1
    assert it.says("is not relayed")
    assert "message" not in it.verb("events").ok()  # it is not remembered


TWO = """
    [cluster:web]
    command = {talk} {got}/web
    workers = 2
    ready = alive:1ms
    ipc = {ipc}
    relay = {relay}
    [cluster:jobs]
    command = {talk} {got}/jobs
    workers = 2
    ready = alive:1ms
    ipc = on
    """


def two(ipc, relay):
    for name in ("web", "jobs"):
        os.makedirs(f"got/{name}", exist_ok=True)
    return TWO.format(talk=fixture("talk"), got=path("got"), ipc=ipc, relay=relay)


def test_relay_names_a_cluster_and_a_reload_switches_it_at_once_ipc_with_new_workers():
    it = cluster(ini=two("off", "off"))
    is_refused("none of its workers has a message channel", send, it, "1", cluster="web")

    def reload(ipc, relay):
        before = it.pids("web")
        it.reload(two(ipc, relay).replace("\n    ", "\n"))
        return before == it.pids("web")

    assert not reload("on", "jobs")
    it.verb("send", 1).fails(64, "name one")
    send(it, '["say","job"]', 1, cluster="web")
    for slot in (0, 1):
        wait_got(f"jobs/{slot}", from_worker(1, '"job"', "web"))
    send(it, '["say","answer"]', 0, cluster="jobs")
    wait_got("jobs/0", '["say","answer"]')
    assert reload("on", "others")
    send(it, '["say",2]', 0, cluster="web")
    wait_got("web/1", from_worker(0, 2, "web"))
    assert (len(got("web/0")), len(got("web/1"))) == (1, 2)
    assert (len(got("jobs/0")), len(got("jobs/1"))) == (2, 1)
    is_refused("wanted 'off', 'others', a cluster of this file or", reload, "on", "nobody")


# ---- bounds ----

def test_who_does_not_read_loses_its_own_messages_and_nobody_else_any():
    it = talk("--relay others", clock=True).follow()
    send(it, '["deaf"]', 1)
    wait_got(1, '["deaf"]')
    for n in range(40):
        send(it, f'["say",{numbered(n)}]', 0)
        wait_got(2, from_worker(0, numbered(n)))
    assert "it.1: does not read its messages" in it.event("messages-stuck").text
    dropped = counts(it, 1).dropped
    assert 0 < dropped < 40
    assert counts(it, 2).dropped == 0
    is_refused("", send, it, numbered(0), 1)
    assert send(it, '"next"') == 1  # somebody else then
    kill(it.worker(1).pid, SIGUSR1)
    assert f"{dropped + 1} were dropped" in it.event("messages-dropped").text
    send(it, '"last"', 1)
    wait_got(1, '"last"')
    # whole lines, in order, none twice
    assert got(1)[1:-1] == [from_worker(0, numbered(n)) for n in range(40 - dropped)]
    assert counts(it, 1).queued == 0


def test_an_endless_line_costs_its_sender_that_line_and_nclust_no_memory():
    it = talk("--relay others")
    before = it.status().process.rss_bytes
    send(it, '["endless",40]', 1)
    it.logged("a message of more than 1 MiB")
    send(it, '["say","others go on"]', 0)
    wait_got(2, from_worker(0, '"others go on"'))
    send(it, '["end","it ends"]', 1)
    send(it, '["say","well again"]', 1)
    wait_got(0, from_worker(1, '"well again"'))
    assert counts(it, 1).invalid == 1
    if not lab.SANITIZED:  # which keeps what has been freed
        assert it.status().process.rss_bytes < before + 4 * 1024 * 1024


def test_a_message_of_1_mib_goes_through_one_byte_more_does_not():
    it = talk("--relay others")
    for size in (1024 * 1024 + 1, 1024 * 1024):
        send(it, f'["big",{size}]', 1)
    for slot in (0, 2):
        wait(lambda: got(slot) and got(slot)[0].endswith("}"))
        assert [len(json.loads(line)["message"]) for line in got(slot)] == [1024 * 1024 - 2]
    assert counts(it, 0).dropped == 0


def test_a_flood_of_messages_hides_no_other_event_from_who_follows():
    it = talk("--relay others", clock=True)
    slow = follower(it)
    for n in range(40):  # it does not read while they come: for less than 10 s
        send(it, f'["say",{numbered(n)}]', 1)
        wait_got(2, from_worker(1, numbered(n)))
    it.call("scale", count=4)
    events = []
    while not {"scaled", "messages-missed"} <= {e.event for e in events}:
        events.append(slow.read().params)
    shown = [e.message for e in events if e.event == "message"]
    missed = sum(e.get("count", 0) for e in events if e.event == "messages-missed")
    assert len(shown) + missed == 40
    assert shown == [f"{n:050000d}" for n in range(len(shown))]


# ---- the ends of workers and of nclust ----

def test_what_a_worker_said_last_is_heard_and_its_successor_begins_anew():
    it = talk("--relay others")
    send(it, '["deaf"]', 1)
    wait_got(1, '["deaf"]')
    for n in range(9):
        send(it, numbered(n), 1)
    assert counts(it, 1).queued > 0
    it.reborn(1)
    assert counts(it, 1).queued == 0
    send(it, '"new"', 1)
    wait_got(1, '"new"')
    assert len(got(1)) == 2
    # all at once in its socket: to speak, and to die
    freeze(it.worker(2).pid)
    send(it, '["flood",1000]', 2)
    send(it, '["die"]', 2)
    thaw(it.worker(2).pid)
    wait_got(0, from_worker(2, 999))
    assert got(0) == [from_worker(2, n) for n in range(1000)]


def test_a_worker_that_closes_its_channel_is_none_to_send_to():
    it = talk()
    send(it, '["close"]', 1)
    wait(lambda: not counts(it, 1).open)
    is_refused("", send, it, '"lost"', 1)
    for n in range(4):
        assert send(it, str(n)) == 1
    wait(lambda: len(got(0)) + len(got(2)) == 4)
    assert len(got(1)) == 1
    assert it.worker(1).state == "ready"


def test_an_upgrade_cuts_no_message_neither_half_read_nor_half_sent():
    it = talk("--relay others")
    half(it, 2, "[1,")
    send(it, '["deaf"]', 1)
    wait_got(1, '["deaf"]')
    for n in range(9):
        send(it, numbered(n), 1)
    before = it.pids(), counts(it, 1)
    assert before[1].queued > 0 and before[1].sent == 10
    it.call("upgrade")
    assert (it.pids(), counts(it, 1)) == before
    kill(it.worker(1).pid, SIGUSR1)
    wait_got(1, numbered(8))
    assert got(1)[1:] == list(map(numbered, range(9)))
    send(it, '["end","2]"]', 2)
    wait_got(0, from_worker(2, "[1,2]"))
    assert (counts(it, 2).received, counts(it, 2).invalid) == (1, 0)


def test_with_orphans_keep_channels_outlive_nclust():
    it = talk("--orphans keep --relay others")
    send(it, '["say","before"]', 1)
    wait_got(2, from_worker(1, '"before"'))
    # half a message is read, and lost with who read it
    half(it, 0, "1")
    pids = it.pids()
    it.kill()
    it = talk("--orphans keep --relay others")
    assert it.pids() == pids
    send(it, '["end","2"]', 0)
    send(it, '["say","whole"]', 0)
    wait_got(1, from_worker(0, '"whole"'))
    assert sum('"slot":0' in line for line in got(1)) == 1
    send(it, '["say","after"]', 1)
    wait_got(2, from_worker(1, '"after"'))
    assert send(it, "7", all=True) == 3
    for slot in range(3):
        wait_got(slot, "7")


# ---- the example ----

def test_the_example_workers_that_forget_together():
    for name in ("cache.ini", "cache.py"):
        write(name, read(f"{CHECKOUT}/etc/examples/{name}"))
    it = cluster("-c cache.ini --ready listen")

    def cached():
        """What each of them has."""
        found = []
        for pid in it.pids():
            others = [p for p in it.pids() if p != pid]
            freeze(*others)
            found.append(get("/a").body)
            thaw(*others)
        return found

    old = cached()
    assert cached() == old
    assert get("/a", method="DELETE").body == "forgotten\n"
    wait(lambda: not set(cached()) & set(old))
    old = cached()
    assert it.verb("send", "--all", "'{\"forget\":\"/a\"}'", target="cache").ok()
    wait(lambda: not set(cached()) & set(old))


@pytest.mark.unsanitized
def test_why_the_library_for_a_broker_cannot_be_had():
    need_root()
    library = re.search(r"=> (.*/libnats\.so\.([0-9.]+))", run("ldconfig", "-p").out)
    if library is None:
        pytest.skip("no libnats")
    words = ("--restart never --relay nats://127.0.0.1:4222", "true")
    without = launch(*words, under=("unshare", "-m", "sh", "-c", 'mount --bind /dev/null "$0";'
                                    ' exec "$@"', library[1]))
    assert without.exit() == 64
    package = package_of(library[1])
    # Ubuntu's is called otherwise, and goes by that name as well
    names = [package, *re.findall(r"[^ ,]+", run("dpkg-query", "-Wf${Provides}", package).ok())]
    assert any(without.says(f"install the package {name}\n") for name in names)
    said = ""
    for megabytes in range(6, 20):
        it = launch(*words, name=f"of{megabytes}",
                    under=("prlimit", f"--as={megabytes * 1024 * 1024}"))
        it.exit()
        said += it.log()
    assert f"libnats.so.{library[2]} cannot be loaded: Cannot allocate memory" in said
    assert "install" not in said
