# SPDX-License-Identifier: MIT
"""Whether a worker is ready, and whether it is well: by probes, by its watchdog, and by looking
at what it does."""
import re
import socket

from healthy import *


def script(name, text):
    return write(name, f"#!/bin/sh\n{text}\n", 0o755)


# ---- readiness ----

@pytest.mark.parametrize("mode, listen", (("tcp", "8000"), ("http:/health", "8000"),
                                          ("http:/health", "8000,interface=lo"),
                                          ("http:/health", "8000,defer-accept=60s"), ("exec", "8000")))
def test_it_is_not_ready_before_it_answers(mode, listen):
    gate = Gate("go")
    if mode == "exec":
        mode += ":" + script("probe", 'env >"${0%/*}/facts"; [ -e "${0%/*}/go" ]')
    it = start(f"-n 1 -l {listen} --ready {mode}", UNWELL, "--start", gate)
    wait(lambda: read("facts") if "exec" in mode else queued())  # it has been asked
    assert (it.worker().state, it.cluster().ready) == ("starting", 0)
    gate.open()
    it.wait_ready()
    assert it.worker().restarts == 0
    if "exec" in mode:
        facts = lines("facts")
        assert f"NCLUST_CHECK_PID={it.worker().pid}" in facts
        assert "NCLUST_SLOT=0" in facts and "NCLUST_CLUSTER=it" in facts
        assert any(fact.startswith("NCLUST_WORKER=") for fact in facts)


NEVER = {
    "it takes no connection": ("tcp", NAP, None),
    "it answers 503": ("http:/health", (UNWELL, "--status", 503),
                       "answered 503 (Host: localhost:8000)"),
    "it wants another Host": ("http://shop.example:443/health", (UNWELL, "--status", 400),
                              "answered 400 (Host: shop.example:443)"),
    "it answers nothing": ("http:/health", (UNWELL, "--silent"), "no answer within 1s (check-timeout)"),
    "it speaks something else": ("http:/health", (UNWELL, "--answer", "220 welcome"),
                                "its answer is not HTTP/1"),
    "it closes the connection": ("http:/health", (UNWELL, "--answer", ""),
                                 "closed the connection without an answer: the port may speak TLS "
                                 "or want the PROXY protocol"),
    "the command hangs": ("'exec:sleep 1000'", (UNWELL,),
                          "no answer within 1s (check-timeout)"),
}


@pytest.mark.parametrize("why", NEVER)
def test_it_is_never_ready_and_the_log_has_the_reason(why):
    mode, words, says = NEVER[why]
    it = start(f"-n 1 -l 8000 --ready {mode} --start-timeout 10s --check-timeout 1s "
               "--backoff-min 1h --backoff-max 1h --log-level info", *words, clock=True)
    if "exec" in mode:
        until(it, lambda: any(command(p).startswith("sleep") for p in living()))
    if says:
        until(it, lambda: checks(it).last == says)
    until(it, lambda: it.says("was not ready after"))
    assert it.cluster().ready == 0
    if says:
        it.logged(f"its last answer to 'ready': {says}")
    if "exec" in mode:
        wait(lambda: not any(command(p).startswith("sleep") for p in living()))


def test_beside_others_that_answer_each_new_worker_answers_for_itself():
    it = start("-n 3 -l 8000 --ready http:/health --start-timeout 5s --bake 0 --drain off "
               "--log-level info", script(
                   "server", f"[ ! -e broken ] || exec {UNWELL} --status 500\nexec {UNWELL}"),
               clock=True)
    until(it, lambda: ready(it, 3))
    before = it.pids()
    it.call("restart", no_wait=True)
    until(it, lambda: it.cluster().rollout is None and ready(it, 3))
    assert not set(it.pids()) & set(before)
    before = it.pids()
    write("broken", "")
    it.call("restart", no_wait=True)
    until(it, lambda: it.cluster().rollout is None and it.pids() == before)
    assert "not ready" in it.event("rollout-failed").text
    it.logged("answered 500")


@pytest.mark.parametrize("options, how", (
    ("-l unix:{}/s", f"{UNWELL} --fork"), ("--intercept on", f"{UNWELL} --port 8000"),
    ("", f"python3 {server('own-path.py')} s")),
    ids=("a process below it, at a unix socket", "at a port of its own", "at a path of its own"))
def test_it_is_asked_where_it_listens(options, how):
    it = cluster(f"-n 2 --ready http:/health --bake 0 {options.format(path())}", *how.split())
    before = it.pids()
    it.call("restart")
    assert not set(it.pids()) & set(before)


# ---- checks ----

def checked_on(it, *slots):
    """Each of them passes one more."""
    for slot in slots:
        before = checks(it, slot).ok
        wait(lambda: checks(it, slot).ok > before)


@pytest.mark.parametrize("options, words", (
    ("-l 8000 --ready tcp --check http:/health", [UNWELL]),
    ("--ready alive:0 --check exec:true", NAP)), ids=("http", "exec"))
def test_all_are_checked_on_after_a_restart_and_an_upgrade(options, words):
    it = cluster(f"-n 3 --bake 0 {options} --check-interval 50ms --check-timeout 1h "
                 "--check-failures 1000", *words)
    checked_on(it, 0, 1, 2)
    it.call("restart", target="it.0")
    checked_on(it, 0, 1, 2)
    it.call("upgrade")
    it.call("restart", target="it.1")
    checked_on(it, 0, 1, 2)
    assert [checks(it, slot).failed for slot in range(3)] == [0] * 3
    assert checks(it).last is None


PICKY = "python3", server("picky.py"), PORT, "shop.example"
PICKED = "--check-header 'X-Forwarded-Proto: https' --check http://shop.example"


@pytest.mark.parametrize("path", ("/", "/big/1", "/big/4"))
def test_a_check_has_the_host_and_head_that_a_server_wants_and_cuts_no_answer(path):
    it = cluster(f"-n 1 --ready http://shop.example{path} {PICKED}{path} --check-interval 50ms "
                 "--check-timeout 1h --check-failures 1000", *PICKY)
    for _ in range(3):
        checked_on(it, 0)
    assert checks(it).last is None
    assert not it.says("Error")


def test_an_answer_without_an_end_is_closed_in_order():
    it = begin(f"{PICKED}/stream --check-interval 1h --check-timeout 1m", *PICKY)
    until(it, lambda: checks(it).ok)
    go_by(it, 61)
    wait(lambda: not sockets("established", PORT))
    assert not it.says("Error")


CHECKED = ("-l 8000 --check http:/health --check-interval 200ms --check-timeout 400ms "
           "--check-failures 2")


def test_with_a_socket_for_each_a_check_goes_to_its_own_and_is_not_searched():
    it = begin(f"{CHECKED} --balance random", UNWELL, count=4)
    until(it, lambda: min(checks(it, slot).ok for slot in range(4)) >= 6)
    ok = sum(checks(it, slot).ok for slot in range(4))
    names, numbers = (line.split() for line in lines("/proc/net/snmp") if line.startswith("Tcp:"))
    came = int(numbers[names.index("PassiveOpens")])
    assert ok <= came <= ok + 4  # one of each may be under way

    # one that takes none fails, and only that one
    before = it.pids()
    kill(before[2], SIGHUP)
    until(it, lambda: replaced(it, before[2], 4))
    it.logged(f"worker {before[2]} took no connection for ")
    assert it.pids()[:2] + it.pids()[3:] == before[:2] + before[3:]
    assert [checks(it, slot).failed for slot in (0, 1, 3)] == [0] * 3


def test_of_three_one_that_fails_is_replaced_alone_and_no_request_is_lost():
    it = start("-n 3 -l 8000 --ready tcp --check http:/health --check-interval 10m "
               "--check-timeout 1h --check-failures 2 --start-timeout 1h --drain-timeout 1h "
               "--log-level info", UNWELL, clock=True)
    lab.clock.flow()
    before = it.wait_ready().pids()
    load = Clients()
    kill(before[1], SIGUSR1)
    # from round to round; a worker has not failed for want of a CPU
    wait(lambda: it.happened("unwell") or it.advance(660))
    it.event("exited", worker=2)
    load.loses_nothing()
    assert it.pids()[::2] == before[::2]
    it.logged(f"worker {before[1]} failed 2 checks in a row, GET /health: answered 500")
    it.logged("(its checks failed)")
    # its successor was there before it went
    assert [e.event for e in it.events if e.get("slot") == 1 and e.event in ("ready", "exited")] \
        == ["ready", "ready", "exited"]


def test_one_that_takes_connections_and_answers_none_is_replaced():
    it = begin(CHECKED, UNWELL, count=3)
    pid = it.pids()[0]
    kill(pid, SIGUSR2)
    until(it, lambda: replaced(it, pid, 3))
    it.logged(f"worker {pid} failed 2 checks in a row, GET /health: no answer within 400ms")
    assert it.happened("exited", slot=1) == it.happened("exited", slot=2) == []


def test_a_check_that_no_worker_has_ever_passed_replaces_one_and_no_other():
    ini = section("it", f"{UNWELL} --status 400", "listen = 8000", "check-interval = 200ms",
                  "check-failures = 2", "bake = 0", "drain = off", workers=3, ready="tcp")
    it = start("--log-level info", ini=f"{ini}check = http:/health\n", clock=True)
    until(it, lambda: ready(it, 3))
    says = ("no worker of generation 1 has ever passed its check (GET /health: answered 400 "
            "(Host: localhost:8000)), so no other is replaced for it: is 'check' right? "
            "'check = http://HOST/path' sets the Host")
    until(it, lambda: it.says(says))
    for again in (False, True):
        if again:
            it.call("upgrade")
        go_by(it, 5)
        assert sum(it.cluster().counters.exits.values()) == 1
        assert says in it.verb("status").out and it.log().count(says) == 1
    lab.clock.flow()
    it.reload(f"{ini}check = http:/\n")
    it.wait(lambda: it.cluster().trouble is None)


def test_where_each_new_worker_fails_the_last_one_serves_on_for_a_while():
    it = begin(f"{CHECKED} --check-failures 1 --stable-after 10m --backoff-min 1h "
               "--backoff-max 1h --backoff-jitter 0%",
               script("server", f"[ ! -e ill ] || exec {UNWELL} --status 404\nexec {UNWELL}"))
    until(it, lambda: checks(it).ok)
    write("ill", "")
    kill(it.worker().pid, SIGUSR1)
    until(it, lambda: it.says("fails its checks: replacing it in 60 min") and ready(it, 1))
    assert it.log().count("fails its checks: replacing it\n") == 1
    second = it.worker()
    assert 3000 < second.replaced_in <= 3600
    assert "replaced in " in it.verb("status").out
    it.call("upgrade")
    now = it.worker()
    assert now.pid == second.pid and now.replaced_in > 3000 and now.checks.failed >= 1
    lab.clock.flow()
    assert get().pid == second.pid


def test_when_nobody_takes_a_connection_all_have_failed():
    it = begin(f"{CHECKED} --check tcp", UNWELL)
    pid = it.worker().pid
    kill(pid, SIGHUP)
    until(it, lambda: replaced(it, pid, 1))
    it.logged("no worker has taken a check's connection")
    it.logged(f"worker {pid} took no connection for ")
    assert it.event("exited").exit == "exit 0"
    until(it, lambda: checks(it).ok >= 3)
    # those that it never took are not its successor's fault
    assert it.log().count("fails its checks") == 1


def test_one_that_is_only_busy_has_not_failed():
    it = begin(f"{CHECKED} --check tcp --check-failures 100", UNWELL)
    until(it, lambda: checks(it).ok)
    clients = Queue(1)
    wait_asked()
    until(it, lambda: it.says("all are busy, or hung"))
    clients.serve(it)
    before = checks(it).ok
    until(it, lambda: checks(it).ok > before)
    assert checks(it).failed == 0


@pytest.mark.parametrize("balance", ("share", "rr"))
def test_workers_that_have_more_clients_than_they_can_serve_have_not_failed(balance):
    it = begin(f"{CHECKED} --balance {balance}", UNWELL, count=2)
    before = it.pids()
    clients = Queue(24, workers=2 if balance == "share" else 1)
    while clients.waiting:
        go_by(it, 0.1)
        clients.serve(it)
    assert it.pids() == before
    for slot in (0, 1):  # they are checked on
        ok = checks(it, slot).ok
        until(it, lambda: checks(it, slot).ok > ok)
        assert checks(it, slot).failed == 0


def test_one_of_two_that_takes_nothing_fails_though_the_queue_is_full_of_clients():
    it = begin(f"{CHECKED} --balance share", UNWELL, count=2)
    deaf, other = it.pids()
    kill(deaf, SIGHUP)
    clients = Queue(40)
    for _ in range(40):
        go_by(it, 0.06)
        clients.serve(it)
        clients.come()
    while clients.waiting:
        clients.serve(it)
    until(it, lambda: replaced(it, deaf, 2))
    assert it.worker(1).pid == other


def test_a_command_that_fails_for_a_worker_has_it_replaced():
    probe = script("probe", '[ ! -e "${0%/*}/ill.$NCLUST_CHECK_PID" ]')
    it = cluster(f"-n 2 --ready alive:0 --check exec:{probe} --check-interval 50ms "
                 "--check-timeout 1h --check-failures 2", HEAR)
    checked_on(it, 0, 1)
    pid = it.worker(1).pid
    write(f"ill.{pid}", "")
    it.event("exited", slot=1)
    it.logged(f"worker {pid} failed 2 checks in a row, '{probe}': exit 1")
    assert it.worker(0).restarts == 0


def test_a_command_that_hangs_is_killed_with_all_that_it_has_started():
    it = begin("--ready alive:0 --check \"exec:sh -c 'sleep 1000 & sleep 1000'\" --check-interval 1s "
               "--check-timeout 2s --check-failures 1000", HEAR)

    def naps():
        return [p for p in living() if command(p) == "sleep 1000"]

    for n in (1, 2):
        until(it, lambda: len(naps()) == 2)
        until(it, lambda: checks(it).failed >= n)
    assert checks(it).last == "no answer within 2s (check-timeout)"
    it.stop()
    wait(lambda: living() == [])


def test_checks_can_be_switched_on_and_off_by_a_reload():
    ini = f"[cluster:web]\ncommand = {UNWELL}\nworkers = 1\nlisten = 8000\nready = tcp\n"
    it = cluster(ini=ini)
    it.reload(ini + "check = http:/health\ncheck-interval = 50ms\n")
    checked_on(it, 0)
    it.reload(ini)
    it.call("restart")
    assert checks(it).ok == 0


def test_one_that_cannot_be_asked_is_said_to_be_once():
    it = cluster("-n 2 -l udp:8000 --ready alive:1ms --check tcp", "sleep", "999", clock=True)
    for _ in range(60):
        it.advance(1)
    assert it.log().count("it: cannot be checked: it has no listener that could be") == 1


def test_a_command_that_cannot_be_run_is_said_to_be_once_by_each_worker():
    it = cluster("-n 2 --ready alive:1ms --check exec:/missing", "sleep", "999", clock=True)
    for _ in range(60):
        it.advance(1)
    assert len(it.happened("check-denied")) == 2
    assert it.log().count("cannot be checked: cannot execute '/missing'") == 2


# ---- checks where workers of two generations listen at different places ----

def generation(it, n):
    return [w for w in it.workers() if w.generation == n]


def well(it, n, times):
    """Each worker of that generation passes so many checks more."""
    def oks():
        return [(w.get("checks") or {}).get("ok", 0) for w in generation(it, n)]

    before = max(oks())
    wait(lambda: min(oks()) >= before + times)


# a worker may lack a CPU for nearly a minute
OF_CHECKS = ("bake = 0", "check = http:/", "check-interval = 50ms", "check-timeout = 1h",
             "check-failures = 1000")
MOVES = {
    "": ("8000", "8001", "ready = notify", "--notify"),
    "each has a socket of its own": ("8000", "8001", "balance = random\nready = notify",
                                     "--notify"),
    "each slot has an address": ("unix:{}/old.{{slot}}", "unix:{}/new.{{slot}}", "ready = notify",
                                 "--notify"),
    "from one for all to one for each, ready by http": ("8000", "unix:{}/new.{{slot}}",
                                                        "ready = http:/", ""),
}


@pytest.mark.parametrize("how", MOVES)
def test_old_workers_are_checked_where_they_listen_while_a_reload_moves_the_others(how):
    old, new, settings, notify = MOVES[how]
    gate = Gate("go")
    gate.open()
    ini = section("it", f"{SERVE} {notify} --delay {gate}", *OF_CHECKS, settings, "listen = ",
                  workers=3, ready=None).rstrip("\n")
    it = cluster(ini=ini + old.format(path()))
    well(it, 1, 2)
    pids = it.pids()
    os.unlink(gate.path)
    write("it.ini", ini + new.format(path()))
    it.call("reload", no_wait=True)
    it.event("started", generation=2)
    well(it, 1, 6)
    assert [w.pid for w in generation(it, 1)] == pids
    gate.open()
    it.event("rollout-done")
    well(it, 2, 2)
    assert not it.says("failed") and not it.says("has taken")


@pytest.mark.parametrize("how", ("http:/", "listen"))
def test_a_release_that_gives_its_port_up_is_asked_at_the_one_that_it_binds_instead(how):
    def ini(port):
        return section("it", f"{UNWELL} --port {port}", "intercept = on", *OF_CHECKS, workers=3,
                       ready=how)

    it = cluster(ini=ini(8000))
    well(it, 1, 2)
    write("it.ini", ini(8001))
    it.call("reload", drop_ports=True)
    well(it, 2, 6)
    assert len(generation(it, 2)) == 3
    assert not it.says("failed") and not it.says("has taken")


def test_a_check_follows_no_path_that_is_not_its_listeners_own_file_any_more():
    os.mkdir("there")
    it = cluster(f"-n 1 -l unix:{path('there/s')} --ready alive:0 --check http:/ "
                 "--check-interval 50ms --check-failures 2", UNWELL)
    checked_on(it, 0)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind("other")
        other.listen()
        other.setblocking(False)
        os.symlink(path("other"), "link")
        os.rename("link", "there/s")
        it.logged(f"'{path('there/s')}' is not the file of its listener any more")
        it.event("exited")
        with pytest.raises(BlockingIOError):
            other.accept()


# ---- nclust itself stands still ----

@pytest.mark.parametrize("check, count, leap", (
    ("http", 1, True), ("http", 1, False), ("http", 2, True), ("exec", 1, True),
    ("exec", 1, False)))
def test_time_for_which_nclust_stood_still_is_nobodys_failure(check, count, leap):
    gate = Gate("go")
    gate.open()
    probe = script("probe", f'echo $$ >>"${{0%/*}}/probing"\nwhile [ ! -e {gate} ]; '
                            'do sleep 0.01; done')
    ask = f"http:/until{gate}" if check == "http" else f"exec:{probe}"
    it = begin(f"-l 8000 --check {ask} --check-interval 1s --check-timeout 8s "
               "--check-failures 1000", UNWELL, count=count)

    def all_pass():
        return min(checks(it, slot).ok for slot in range(count)) > passed

    def all_asked():
        return (len(lines("probing")) >= begun + count if check == "exec" else
                len(sockets("established", PORT)) >= count and not queued())

    passed = 0
    until(it, all_pass)
    begun = len(lines("probing"))
    os.unlink(gate.path)
    until(it, all_asked)
    before = [checks(it, slot).failed for slot in range(count)]
    if leap:
        it.advance(25)
        assert [checks(it, slot).failed for slot in range(count)] == before
    else:
        go_by(it, 12)
        wait(lambda: checks(it).failed > before[0])
    gate.open()
    passed = max(checks(it, slot).ok for slot in range(count))
    until(it, all_pass)


# ---- the watchdog ----

WATCHED = "--ready notify --watchdog 10s --backoff-min 1h --backoff-max 1h --log-level info"


def says(it, slot, text):
    wait(lambda: it.worker(slot).get("status") == text)


def test_watchdog_one_that_falls_silent_gets_sigabrt_and_is_replaced():
    first, second = Gate("first.{slot}"), Gate("second.{slot}")
    it = cluster(f"-n 2 {WATCHED}", NOTIFY, "READY=1", "--sleep", first, "WATCHDOG=1\\nSTATUS=one",
                 "--sleep", second, "WATCHDOG_USEC=3600000000\\nSTATUS=two", clock=True)
    told = environment(it.worker().pid)
    assert (told["WATCHDOG_USEC"], told["WATCHDOG_PID"]) == ("10000000", str(it.worker().pid))
    go_by(it, 9)
    first.open(1)
    says(it, 1, "one")
    go_by(it, 3)
    assert it.event("exited", slot=0).why == "watchdog"
    assert it.worker(0).last_exit.text.startswith("killed by SIGABRT")
    it.logged("(sent no WATCHDOG=1)")
    second.open(1)
    says(it, 1, "two")
    go_by(it, 40)
    assert it.happened("exited", slot=1) == []


def test_watchdog_trigger_is_taken_for_silence():
    gate = Gate("go")
    it = cluster(f"-n 1 {WATCHED}", NOTIFY, "READY=1", "--sleep", gate, "WATCHDOG=trigger")
    gate.open()
    assert it.event("exited").exit.startswith("killed by SIGABRT")


def test_watchdog_having_stood_still_with_nclust_is_not_silence():
    gate = Gate("go")
    it = cluster(f"-n 1 {WATCHED}", NOTIFY, "READY=1", "--sleep", gate, "WATCHDOG=1\\nSTATUS=one",
                 clock=True)
    it.advance(30)
    gate.open()
    says(it, 0, "one")
    go_by(it, 9)
    assert it.happened("exited") == []


# ---- stall ----

STALL = "-l 8000 --balance share --stall 4s"


def test_stall_one_that_has_a_request_and_does_nothing_is_replaced():
    it = begin(STALL, UNWELL, count=2)
    pid, other = it.pids()
    kill(pid, SIGUSR2)
    freeze(other)
    request = Request()
    wait_asked()
    thaw(other)
    until(it, lambda: replaced(it, pid, 2))
    it.logged(f"worker {pid} has requests waiting and has made no progress")
    it.logged("(made no progress)")
    assert it.worker(1).pid == other and request


def test_stall_one_that_takes_nothing_from_a_socket_of_its_own_is_replaced():
    it = begin(f"{STALL} --balance rr", UNWELL, count=2)
    pid, other = it.pids()
    kill(pid, SIGHUP)
    requests = [Request() for _ in range(4)]
    until(it, lambda: replaced(it, pid, 2))
    assert [request.answer().status for request in requests] == [200] * 4
    it.logged("(made no progress)")
    assert it.worker(1).pid == other


def test_stall_idle_streaming_and_waiting_workers_are_left_alone():
    it = begin(STALL, UNWELL, count=2)
    before = it.pids()
    clients = Queue(1)
    drip = Request("/drip/100")
    go_by(it, 3)
    clients.serve(it)
    idle = dial()
    for _ in range(20):
        assert drip.socket.recv(1)
        go_by(it, 0.5)
    assert it.pids() == before and idle
    assert not it.says("no progress")


@pytest.mark.parametrize("listen, way", (("-l 127.0.0.1:8000", "accept"), ("", "bind")))
def test_status_tells_of_clients_that_hold_all_workers_and_say_nothing(listen, way):
    it = cluster(f"-n 2 {listen}", "python3", server("takes.py"), way)
    assert "held" not in it.cluster()
    clients = [dial() for _ in range(2)]
    seconds = wait(lambda: it.cluster().get("held", {}).get("seconds"))
    said = re.search("for up to .*: '" + ("" if listen else "listen = ") +
                     "(tcp:[^ ]*,defer-accept=10s)'" + (" in 'listen' " if listen else " keeps"),
                     " ".join(nclust("status it").out.split()))
    assert seconds >= 1 and said
    clients.pop().close()
    assert wait(lambda: "held" not in it.cluster())
    it.stop()
    it = cluster(f"-n 2 -l {said[1]}", "python3", server("takes.py"), way)
    clients += [dial() for _ in range(2)]
    assert get().status == 200
    # the kernel counts each acknowledgement that it defers as dropped
    assert it.cluster().listeners[0].dropped is None


@pytest.mark.parametrize("words", (
    *(("-n 1", "python3", server("takes.py"), way) for way in ("greet", "two", "threads")),
    ("-n 1 --limit-nofile 5000", "bash", "-c",
     f"exec 4096<&0; exec python3 {server('takes.py')} accept"),
    ("-n 2 --accept", "cat")), ids=("greet", "two", "threads", "descriptors", "accept"))
def test_status_names_no_remedy_where_it_would_be_none(words):
    """defer-accept keeps from clients what a server says first; a large server is not looked at."""
    it = start(f"{words[0]} -l 127.0.0.1:8000", *words[1:])
    wait_listened()
    client = dial()
    wait(lambda: it.cluster().ready > 0)
    client.settimeout(1.2)
    with pytest.raises(TimeoutError):
        while client.recv(100):
            pass
    assert "held" not in it.cluster()


def test_stall_nclust_and_its_workers_having_stood_still_is_none():
    it = begin(STALL, UNWELL)
    clients = Queue(1)
    wait_asked()
    go_by(it, 2)  # it has been looked at
    it.advance(30)
    go_by(it, 2)
    clients.serve(it)
    assert not it.says("no progress")
