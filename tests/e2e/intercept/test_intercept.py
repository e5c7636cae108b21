# SPDX-License-Identifier: MIT
"""Taking over the port of servers that bind by themselves: what becomes of each kind of
bind and listen, whom nclust binds for and whom not, and what a worker that is killed, slow
or hostile in the midst of it can do."""
import signal
import socket

from harness import *

BINDER = fixture("binder")
BIND = f"bind=127.0.0.1:{PORT}"
ANY = f"bind=0.0.0.0:{PORT}"
ANY6 = f"bind=:::{PORT}"
SERVES = ("tcp4", BIND, "listen=5", "serve")
FAILS = ("tcp4", BIND, "fail=EADDRINUSE", "say=taken", "pause")
NOBODY = "--user '#65534' --group '#65534'"


def learned(it):
    return sorted(x.address for x in it.cluster().listeners if x.learned)


def both_answer(it, **about):
    Life(it, **about).both_answer()


def wait_both_listen(it, count):
    """At so many addresses: who has listened once is ready, and the second may come later."""
    def limits():
        return [x.queue_limit for x in it.cluster().listeners]
    wait(lambda: len(limits()) == count and all(limits()))


def can_bind(port):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", port))


# ---- each kind of bind ----

def test_both_get_one_socket_with_the_options_flags_and_name_of_their_own():
    it = cluster("-n 2 --bake 0s", BINDER, *"tcp4 keepalive nodelay rcvbuf=40000 nonblock".split(),
                 "inherit", ANY, "tell", "listen=7", "epoll", "events")
    told = (f"0.0.0.0:{PORT} protocol=6 keepalive=1 nodelay=1 rcvbuf=80000 nonblock=1 cloexec=0 "
            "reuseport=0 v6only=0")
    it.logged(told, 2)
    both_answer(it)
    assert it.says(f"it: listening on tcp:0.0.0.0:{PORT}, opened by it.")
    it.call("restart")
    it.logged(told, 4)
    both_answer(it)
    assert it.log().count("protocol=") == 4
    assert learned(it) == [f"tcp:0.0.0.0:{PORT}"]
    assert it.cluster().listeners[0].queue_limit == 14  # 7 for each


WAYS = {
    "a duplicate from before the bind": (
        f"tcp4 dup {BIND} listen=5 first serve", ["127.0.0.1"]),
    "an epoll from before the bind": (
        f"tcp4 nonblock epoll dup epoll first {BIND} listen=5 events", ["127.0.0.1"]),
    "another thread": (f"tcp4 thread={BIND} thread=listen=5 serve", ["127.0.0.1"]),
    "a child, and a child of it": (f"fork tcp4 {BIND} listen=5 fork serve", ["127.0.0.1"]),
    "IPv6 and IPv4 by one": (f"tcp6 {ANY6} listen=5 serve", ["*"]),
    "IPv6 and IPv4 by two": (
        f"tcp6 v6only {ANY6} listen=5 tcp4 {ANY} listen=5 serve", ["0.0.0.0", "[::]"]),
    "multipath TCP": (f"mptcp4 {BIND} tell listen=5 serve", ["127.0.0.1"]),
    "trials before it": (
        f"tcp4 {BIND} close tcp4 {BIND} close tcp4 {BIND} listen=5 serve", ["127.0.0.1"]),
    "a second bind": (f"tcp4 {BIND} listen=5 tcp4 {BIND} fail=EADDRINUSE first serve",
                      ["127.0.0.1"]),
    "a second bind with SO_REUSEPORT": (
        f"tcp4 reuseport {BIND} listen=5 tcp4 reuseport {BIND} listen=5 serve", ["127.0.0.1"] * 2),
    "binds that the kernel refuses": (
        f"tcp4 badbind fail=EFAULT bind=192.0.2.1:{PORT} fail=EADDRNOTAVAIL {BIND} {BIND} "
        "fail=EINVAL listen=5 serve", ["127.0.0.1"]),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_bind_leads_to_one_socket_for_both(way):
    words, addresses = WAYS[way]
    if "mptcp4" in words:
        need_multipath_tcp()
    if kernel() < (5, 19):  # nclust takes it for the same call, which comes again after a signal
        words = words.replace("fail=EINVAL", "")
    it = cluster("-n 2", BINDER, *words.split())
    wait_both_listen(it, len(addresses))
    assert learned(it) == [f"tcp:{address}:{PORT}" for address in addresses]
    if len(set(addresses)) == len(addresses):
        both_answer(it)
    if way == "multipath TCP":
        it.logged("protocol=262", 2)
    it.stop()
    assert living() == []


def test_a_port_that_was_only_tried_is_free_again_for_others():
    it = cluster("-n 1", BINDER, *"tcp4 bind=127.0.0.1:8001 close".split(), *SERVES)
    assert learned(it) == [f"tcp:127.0.0.1:{PORT}"]
    can_bind(8001)


def test_a_port_that_was_tried_at_its_other_addresses_is_free_for_the_worker():
    """As vite, http-server and others look for a free one."""
    tries = [f"{kind} {bind} listen=5 close" for kind, bind in (
        ("tcp4", ANY), ("tcp6", ANY6), ("tcp4", BIND), ("tcp6", f"bind=::1:{PORT}"))]
    it = cluster("-n 1", BINDER, *" ".join(tries).split(), *SERVES[:3], "say=serves", "serve")
    for times in 1, 2:
        it.logged("\nserves\n", times)
        assert learned(it) == [f"tcp:127.0.0.1:{PORT}"]
        kill(it.worker().pid)


PROBES = """
import os, socket, sys, time
kept = [socket.create_server(("127.0.0.1", 8000))]
port = int(sys.argv[1].rpartition("=")[2])
for port in range(port, port + 10):
    try:
        kept.append(socket.create_server(("127.0.0.1", port)))
        break
    except OSError as e:
        assert e.errno == 98, e
os.write(1, b"at %d\\n" % port)
time.sleep(1000)"""
EACH = "is shared: each request reaches any worker; "


@pytest.mark.parametrize("options, word, taken, said", (
    ("", "--inspect=9229", 9229, f"tcp:127.0.0.1:9229 {EACH}--inspect={{slot+9229}} gives each"),
    ("", "9103", 9103, f"tcp:127.0.0.1:9103 {EACH}the port {{slot+9103}} gives each its own"),
    ("--share-ports 8000,8001", "9104", 9104, None)))
def test_a_port_beside_the_first_that_should_not_be_shared(options, word, taken, said):
    write("probes.py", PROBES)
    it = cluster(f"-n 2 --bake 0 --stable-after 1h {options}", "python3", "probes.py", word)
    it.logged(f"at {taken}\n", 1 if "share" in options else 2)
    if said:
        it.logged(f"it: {said}", 1)
        return
    it.logged("at 9105\n", 1)
    it.call("restart")
    assert not it.says("is shared")
    assert learned(it) == ["tcp:127.0.0.1:8000"]


@pytest.mark.parametrize("together", (False, True))
@pytest.mark.parametrize("first, second, seen", (
    ("0.0.0.0:8000", "127.0.0.1:9293", "127.0.0.1:9293"),
    ("127.0.0.1:8000", "127.0.0.1:9293", "127.0.0.1:9293"),
    ("127.0.0.1:9293", "0.0.0.0:8000", "127.0.0.1:9293"),
    ("127.0.0.1:8000", "127.0.0.2:8000", None)))
def test_a_second_port_on_loopback_that_copies_share_is_told_of(first, second, seen, together):
    """Also if both copies have the first before either has the second."""
    it = cluster("-n 2", "python3", "-c", """
import glob, os, socket, sys, time
places = [a.split(":") for a in sys.argv[2:]]
servers = []
for host, port in places:
    servers.append(socket.create_server((host, int(port))))
    open("has.%s.%d" % (port, os.getpid()), "w")
    while sys.argv[1] == "True" and len(glob.glob("has.%s.*" % port)) < 2:
        time.sleep(0.01)
time.sleep(1000)""", str(together), first, second)
    if seen:
        it.logged(f"it: tcp:{seen} is shared: each request reaches any worker; the port "
                  f"{{slot+{seen[-4:]}}} gives each its own")
    assert it.log().count("is shared") == (1 if seen else 0)


@pytest.mark.parametrize("word", ("--inspect=9229", "--inspect={slot+9229}"))
def test_who_listens_for_a_debugger_is_not_ready_by_that(word):
    os.mkfifo("go")
    it = start("-n 1", "python3", "-c", """
import socket, time
debugger = socket.create_server(("127.0.0.1", 9229))
open("go").read()
server = socket.create_server(("127.0.0.1", 8000))
time.sleep(1000)""", word)
    it.event("listening")
    assert it.worker().state == "starting"
    write("go", "")
    it.event("ready")
    assert len(learned(it)) == 2


@pytest.mark.parametrize("options, under, words", (
    ("", AS_NOBODY, "can have: setcap cap_net_bind_service=+ep {}, for '-l 80'"),
    ("--user nobody", (), "has, for '-l 80'")), ids=("setcap", "user"))
def test_who_may_not_bind_a_low_port_hears_what_nclust_may(options, under, words):
    need_root()
    if under:
        os.chown("run", 65534, 65534)
    it = start(f"-n 1 {options}", "python3", "-c", """
import socket
socket.create_server(("127.0.0.1", 80))""", under=under)
    it.logged("cannot bind tcp:127.0.0.1:80: Permission denied; a port below 1024 requires root or "
              "CAP_NET_BIND_SERVICE, which nclust " + words.format(it.program))


def test_who_finds_a_port_in_use_hears_that_share_ports_does_not_name_it():
    it = start("-n 2 --share-ports 8000", "python3", "-c", """
import socket, sys, time
first = socket.create_server(("127.0.0.1", 8000))
try:
    second = socket.create_server(("127.0.0.1", 8001))
except OSError:
    sys.exit("bind :8001: Address already in use")
time.sleep(1000)""")
    it.logged("its address is in use")
    assert it.says("'share-ports' does not name it")


def test_what_one_process_has_bound_is_not_taken_for_a_trial_of_another():
    first, then = Gate("first"), Gate("then")
    it = start("-n 2", "sh", "-c", f"""
        "$0" tcp4 {BIND} say=bound wait={first} listen=5 serve &
        exec "$0" wait={then} tcp4 bind=127.0.0.1:8001 listen=5 serve""", BINDER)
    it.logged("bound", 2)
    then.open()
    it.logged("listening on tcp:127.0.0.1:8001")
    first.open()
    it.wait_ready()
    wait_both_listen(it, 2)
    assert learned(it) == [f"tcp:127.0.0.1:{PORT}", "tcp:127.0.0.1:8001"]
    assert get().pid in living()


def test_port_0_udp_and_unix_paths_are_the_workers_own():
    it = cluster("-n 2 --ready alive:1ms", BINDER,
                 *f"tcp4 bind=127.0.0.1:0 listen=5 tell udp4 {BIND} tell unix".split(),
                 *f"bind={path()}/s{{slot}} listen=5 say=all pause".split())
    it.logged("all\n", 2)
    assert learned(it) == []
    told = [line for line in it.log().splitlines() if "protocol=" in line]
    assert len({line for line in told if "protocol=6" in line}) == 2
    assert [f"127.0.0.1:{PORT} protocol=17" in line for line in told
            if "reuseport=1" in line] == [True, True]
    assert os.path.exists("s0") and os.path.exists("s1")


def test_with_intercept_off_nobody_looks():
    it = start("-n 2 --intercept off --ready alive:1ms --backoff-min 1h --backoff-max 1h",
               BINDER, *SERVES)
    it.logged("Address already in use")
    assert it.cluster().listeners == []
    nclust("-n 1 --ready listen --intercept off -- true").fails(
        64, "which nclust cannot see with 'intercept' off")


# ---- what the user has named ----

@pytest.mark.parametrize("listen, words, about, says", (
    (f"127.0.0.1:{PORT}", f"tcp4 {BIND}", {}, ""),
    (f"127.0.0.1:{PORT}", f"tcp4 {ANY}", {},
     f"binds tcp:0.0.0.0:{PORT}; it gets tcp:127.0.0.1:{PORT}, as 'listen' says"),
    (f"127.0.0.1:{PORT}", f"tcp4 {ANY} tell", {}, f"127.0.0.1:{PORT} protocol"),
    (f"127.0.0.1:{PORT}", f"mptcp4 {BIND}", {}, ""),
    (f"127.0.0.1:{PORT}", f"tcp6 bind=::ffff:127.0.0.1:{PORT}", {}, ""),
    (f"0.0.0.0:{PORT}", f"mptcp4 {ANY}", {}, ""),
    (f"[::1]:{PORT}", f"tcp6 bind=::1:{PORT}", {"six": True}, ""),
    (f"[::]:{PORT}", f"tcp6 v6only {ANY6}", {"six": True}, ""),
    # a bare port stands aside for who knows one family, or each by itself
    (f"{PORT}", f"tcp4 {ANY} tell", {}, f"0.0.0.0:{PORT} protocol"),
    (f"{PORT}", f"tcp6 v6only {ANY6} listen=5 tcp4 {ANY}", {}, ""),
))
def test_a_named_address_is_given_to_who_binds_it_in_whatever_clothes(listen, words, about, says):
    if "mptcp4" in words:
        need_multipath_tcp()
    it = cluster(f"-n 2 -l {listen}", BINDER, *words.split(), "listen=5", "serve")
    wait_both_listen(it, 1 + words.count("listen"))
    both_answer(it, **about)
    it.logged(says, 2 if "tell" in words else 1)
    assert not it.says("does not name")


@pytest.mark.parametrize("address, count", (("127.0.0.1:", 1), ("0.0.0.0:", 1), ("", 2)))
def test_a_server_that_binds_a_named_address_gets_its_options_too(address, count):
    need_root()  # before Linux 5.7
    words = {"127.0.0.1:": f"tcp4 {BIND}", "0.0.0.0:": f"tcp4 {ANY}",
             "": f"tcp6 v6only {ANY6} listen=5 tcp4 {ANY}"}[address]
    it = cluster(f"-n 2 -l {address}{PORT},interface=lo", BINDER, *words.split(), "listen=5",
                 "serve")
    wait_both_listen(it, count)
    both_answer(it)
    shown = run("ss", "-Hltn", f"sport = :{PORT}").ok().split()
    assert sum("%lo:" in word for word in shown) == count == shown.count("LISTEN")
    assert not it.says("as 'listen' says")


def test_a_named_udp_address_is_one_socket_for_all_who_bind_it():
    it = cluster(f"-n 2 -l udp:127.0.0.1:{PORT} --ready alive:1ms", BINDER, "udp4", "keepalive",
                 BIND, "tell", "pause")
    it.logged(f"127.0.0.1:{PORT} protocol=17 keepalive=1", 2)
    assert not it.says("reuseport=1")
    assert len(sockets(port=PORT, kind="udp")) == 1


def test_what_was_not_named_is_told_in_one_line_and_goes_on():
    it = cluster("-n 2 -l 127.0.0.1:8001", BINDER, *SERVES)
    both_answer(it)
    assert learned(it) == [f"tcp:127.0.0.1:{PORT}"]
    assert it.log().count(f"binds tcp:127.0.0.1:{PORT}, which 'listen' does not name") == 1


@pytest.mark.parametrize("kind, words", (("tcp", FAILS), ("udp", ("udp4", ANY, *FAILS[2:]))))
def test_one_address_of_a_port_that_was_named_as_a_whole_is_told_apart(kind, words):
    it = start(f"-n 1 -l {kind}:{PORT}", BINDER, *words)
    it.logged("taken")
    it.logged(f"cannot bind {kind}:{words[1][5:]}: this cluster has {kind}:[::]:{PORT}")
    assert it.says("'listen' should name")


def test_a_release_that_binds_a_bare_port_leaves_it_to_the_old_one_that_was_passed_it():
    write("go", f"exec {fixture('serve')} --notify")
    it = cluster(f"-n 2 -l {PORT}", "sh", "-c", ". ./go")
    write("go", f"exec {BINDER} tcp4 {ANY} listen=5 serve")
    assert is_refused("'listen' should name the one", it.call, "restart")
    assert get().pid in it.pids() and it.worker().restarts == 0


def test_a_bare_port_listens_on_for_the_old_release_when_a_new_one_has_bound_it_and_failed():
    write("go", f"exec {fixture('serve')} --notify")
    it = cluster(f"-n 1 -l {PORT} --surge 0 --max-unavailable 1", "sh", "-c", ". ./go")
    write("go", f"{BINDER} tcp4 {ANY}; mv old go; exit 7")
    write("old", f"exec {fixture('serve')} --notify")
    assert is_refused("exit 7", it.call, "restart")
    assert get().pid == it.worker().pid


def test_a_reload_may_name_what_was_learned_and_it_stays_the_same_socket():
    it = cluster(ini=section("web", f"{BINDER} {' '.join(SERVES)}", "drain = off", "bake = 0s",
                             ready=None))
    was = it.cluster().listeners[0]
    assert was.learned
    it.reload(f"{read('it.ini')}\nlisten = 127.0.0.1:{PORT}, backlog=77\n")
    both_answer(it)
    now, = it.cluster().listeners
    assert (now.learned, now.address, now.inode) == (False, was.address, was.inode)
    assert now.queue_limit == 77
    assert not it.says("in use")


def test_a_reload_may_name_no_more_what_workers_bind_and_it_is_learned():
    ini = section("web", f"{BINDER} {' '.join(SERVES)}", "bake = 0s", ready=None)
    it = cluster(ini=f"{ini}\nlisten = 127.0.0.1:{PORT}\n")
    was, = it.cluster().listeners
    it.reload(ini)
    it.reborn()
    both_answer(it)
    now, = it.cluster().listeners
    assert (now.learned, now.inode) == (True, was.inode)


def test_a_release_that_binds_by_multipath_tcp_gets_what_tcp_has_bound():
    need_multipath_tcp()
    write("way", "tcp4")
    it = cluster("-n 2 --bake 0s", "sh", "-c",
                 f'exec "$0" $(cat way) {BIND} listen=5 serve', BINDER)
    write("way", "mptcp4")
    it.call("restart")
    both_answer(it)
    assert learned(it) == [f"tcp:127.0.0.1:{PORT}"]


# ---- whom nclust binds for ----

@pytest.mark.parametrize("options, words", (
    (f"-n 1 {NOBODY}", "tcp4 bind=127.0.0.1:81 fail=EACCES"),
    ("-n 2", "tcp4 bind=127.0.0.1:81 listen=5"),
    (f"-n 2 {NOBODY} -l 127.0.0.1:81", "tcp4 bind=127.0.0.1:81 listen=5"),
    (f"-n 2 {NOBODY} -l 81", "tcp4 bind=0.0.0.0:81 listen=5 tcp6 v6only bind=:::81 listen=5"),
), ids=("refused", "root", "named", "named as a whole"))
def test_a_privileged_port_is_bound_only_for_who_may_or_where_it_was_named(options, words):
    need_root()
    start(options, BINDER, *words.split(), "say=well", "pause").logged("well", int(options[3]))


@pytest.mark.parametrize("reuseport, before", (
    ("", ""), ("reuseport ", ""), ("", f"tcp6 bind=::1:{PORT} listen=5 ")))
def test_a_foreign_holder_is_the_servers_own_error_and_one_clear_line(reuseport, before):
    begin_program(BINDER, *f"tcp4 {reuseport}{BIND} listen=5 pause".split())
    wait_listened()
    it = start("-n 1 --backoff-min 10ms --backoff-max 10ms", BINDER,
               *f"{before}tcp4 {reuseport}{BIND} fail=EADDRINUSE say=taken".split())
    # on a busy machine nclust may not find out at once who that is
    it.logged(f"it.0: cannot bind tcp:127.0.0.1:{PORT}: in use by binder")
    it.stop()
    assert it.log().count("cannot bind") - it.log().count("taken\n") in (0, 1)
    assert not it.says("listening on tcp:127")


def test_a_port_that_a_connection_out_has_is_looked_for_among_connections_too():
    with socket.create_server(("127.0.0.1", 0)) as peer, socket.socket() as out:
        out.bind(("127.0.0.1", PORT))
        out.connect(peer.getsockname())
        it = start("-n 1", BINDER, *FAILS)
        it.logged(f"{PORT}: in use by another process (see: ss -antup 'sport = :{PORT}')")
        run(inside(PROGRAM), "-l", f"127.0.0.1:{PORT}", "--", "touch", "ran").fails(
            1, f"Address already in use; see: ss -antup 'sport = :{PORT}'")


def test_a_bind_that_failed_long_ago_is_not_the_cause_of_an_end():
    begin_program(BINDER, *f"tcp4 {BIND} listen=5 pause".split())
    wait_listened()
    it = cluster("-n 1", BINDER, *"tcp4 bind=127.0.0.1:8001 listen=5 tcp4".split(), BIND,
                 "fail=EADDRINUSE", "say=Address already in use", "pause", clock=True)
    it.logged("Address already in use\n")
    it.advance(10)
    kill(it.worker().pid, signal.SIGABRT)
    ended = it.event("exited")
    assert ended.last_output == "Address already in use"
    assert "cause" not in ended


def test_of_two_nclust_on_one_port_the_second_is_refused():
    it = cluster("-n 2", BINDER, *SERVES)
    second = start("-n 2", BINDER, *FAILS, name="second")
    second.logged("taken", 2)
    second.stop()
    both_answer(it)


def test_of_two_clusters_on_one_port_the_second_is_told_whose_it_is():
    gate = Gate()
    it = start(ini=section("one", f"{BINDER} {' '.join(SERVES)}", workers=1, ready=None)
               + section("two", f"{BINDER} wait={gate} {' '.join(FAILS)}", workers=1, ready=None))
    it.event("ready", cluster="one")
    gate.open()
    it.logged(f"two.0: cannot bind tcp:127.0.0.1:{PORT}: in use by cluster 'one'")


def test_a_port_of_nclusts_own_is_called_so():
    it = launch(ini=f"[nclust]\nhttp = {PORT}\n[cluster]\nworkers = 1\ncommand = {PLAIN} {PORT}\n")
    it.logged(f":{PORT}: in use by nclust itself: 'http', 'agent' or LISTEN_FDS (inherit:NAME)")


# ---- while workers come and go ----

def test_a_worker_that_shuts_the_listener_down_does_not_take_it_from_the_others():
    gate = Gate()
    it = cluster("-n 2", "sh", "-c", f"""[ "$NCLUST_SLOT" -eq 0 ] &&
        exec "$0" tcp4 {BIND} listen=5 wait={gate} shutdown pause
        exec "$0" tcp4 {BIND} nonblock listen=5 epoll events""", BINDER)
    gate.open()
    it.logged("listening again")
    assert get().pid == it.worker(1).pid


def test_while_a_cluster_stops_nobody_hears_that_its_listener_was_shut_down():
    it = cluster("-n 4", PLAIN, PORT, "--shut")
    assert it.stop() == 0 and not it.says("shut it down")


def test_a_release_that_listens_elsewhere_the_old_port_is_closed_in_the_end():
    write("port", str(PORT))
    it = cluster("-n 2 --drain off --bake 0s", "sh", "-c",
                 'exec "$0" tcp4 "bind=127.0.0.1:$(cat port)" listen=5 serve', BINDER)
    write("port", "8001")
    it.call("restart", drop_ports=True)
    both_answer(it, port=8001)
    it.logged(f"it: tcp:127.0.0.1:{PORT} closed: no worker uses it")
    assert learned(it) == ["tcp:127.0.0.1:8001"]
    can_bind(PORT)


def test_a_port_that_one_slot_alone_opens_is_served_while_that_is_drained_and_then_refused():
    gate = Gate()
    it = cluster("-n 2 --ready alive:1ms --drain-timeout 10m", "python3", server("two-ports.py"),
                 PORT, 8001, gate)
    wait_listened(8001)
    held = Request("/hold", 8001)
    wait_asked(8001)
    it.call("scale", count=1, no_wait=True)
    it.event("draining", slot=1)
    assert [get(port=8001).slot for _ in range(3)] == [1, 1, 1]
    gate.open()
    assert held.answer().slot == 1
    it.logged("it: tcp:127.0.0.1:8001 closed")
    wait(lambda: not listens(8001))
    with pytest.raises(ConnectionRefusedError):
        dial(8001)
    it.call("scale", count=2)
    wait_listened(8001)
    assert get(port=8001).slot == 1


def test_a_port_that_nobody_uses_makes_way_for_another_bind_and_goes_with_the_last_slot():
    write("how", "")
    it = cluster("-n 1 --drain off", "sh", "-c", 'exec "$0" 8000 $(cat how)', PLAIN, clock=True)
    assert learned(it) == [f"tcp:0.0.0.0:{PORT}"]
    write("how", "--loopback")
    pid = it.reborn()
    assert get().pid == pid
    assert learned(it) == [f"tcp:127.0.0.1:{PORT}"]
    assert not it.says("cannot bind")
    it.call("scale", count=0)
    wait(lambda: learned(it) == [])  # at once: time stands
    can_bind(PORT)


def probes(other):
    """It connects to its port first, and takes the other one if somebody is there."""
    return ("bash", "-c", f"""at={PORT}; (: </dev/tcp/127.0.0.1/$at) && at={other}
        exec "$0" $at --loopback""", PLAIN)


LACKS = (f"listen on tcp:127.0.0.1:{PORT}, where clients wait; if it connects to its port first, "
         "to see if that is free: workers = 1, intercept = off, ipc = off, surge = 0, max-")


def test_who_finds_its_port_open_after_a_crash_and_moves_is_not_ready_and_the_next_one_has_it():
    it = cluster("-n 1 --drain off --start-timeout 9s", *probes(8001), clock=True)
    kill(it.worker().pid)
    wait_listened(8001)
    it.advance(5, step=0.5)
    assert LACKS in it.event("not-listening").text
    assert f"waits for tcp:127.0.0.1:{PORT}" in it.verb("status").fails(2).out
    it.advance(5, step=0.5)
    assert LACKS in it.event("exited", why="start-timeout").cause
    it.advance(1)
    assert it.event("ready", n=2).pid == get().pid


def test_the_same_by_a_port_that_the_kernel_chooses_is_said_when_its_time_is_over():
    it = cluster("-n 1 --drain off --start-timeout 5s", *probes(0), clock=True)
    kill(it.worker().pid)
    pid = it.event("started", n=2).pid
    wait(lambda: command(pid).startswith(PLAIN))
    it.advance(5.5, step=0.5)
    assert LACKS in it.event("exited", why="start-timeout").cause
    assert not it.happened("not-listening") and listens(PORT)


def test_one_that_lacks_a_port_after_a_crash_is_ready_if_it_has_another_or_if_nobody_waits():
    write("go", "")
    it = cluster("-n 1 --drain off", "python3", server("gate.py"), 8001, PORT, clock=True)
    wait(lambda: os.path.exists(f"listens.{it.worker().pid}"))
    os.unlink("go")
    old = it.worker().pid
    kill(it.pid, SIGSTOP)
    kill(old)
    with dial():  # waits in the queue before the next one is there
        kill(it.pid, SIGCONT)
        assert it.event("ready", n=2).pid == get(port=8001).pid
    it.call("stop", now=True)

    write("port", str(PORT))
    it = cluster("-n 1 --drain off", "sh", "-c", 'exec "$0" $(cat port) --loopback', PLAIN,
                 name="other", clock=True)
    write("port", "8001")
    assert it.reborn() == get(port=8001).pid


def test_listen_is_when_a_worker_is_ready_and_what_a_restart_waits_for():
    gate = Gate()
    gate.open()
    it = cluster("-n 1 --drain off --bake 0s", BINDER, f"wait={gate}", *SERVES, clock=True)
    old = it.worker().pid
    os.unlink(gate.path)
    it.call("restart", no_wait=True)
    it.event("started", generation=2)
    it.advance(5, step=0.5)  # seen to listen once: to be alive is not enough any more
    it.event("not-listening")
    assert not it.happened("ready", generation=2)
    assert get().pid == old
    gate.open()
    new = it.event("ready", generation=2).pid
    it.event("rollout-done")
    assert is_gone(old)
    assert get().pid == new


# ---- killed, stopped and hostile ----

def in_bind(pid):
    number = {"x86_64": 49}.get(os.uname().machine, 200)
    return read(f"/proc/{pid}/syscall").split()[:1] == [str(number)]


def test_workers_that_are_killed_in_the_midst_of_a_bind_harm_nobody():
    gate = Gate("go.{slot}")
    gate.open(0)
    gate.open(1)
    it = cluster("-n 2 --backoff-min 1ms --backoff-max 10ms", BINDER, f"wait={gate}", *SERVES)
    it.call("scale", count=4, no_wait=True)
    new = [it.event("started", slot=slot).pid for slot in (2, 3)]
    kill(it.pid, SIGSTOP)
    gate.open(2)
    gate.open(3)
    wait(lambda: all(map(in_bind, new)))
    for pid in new:
        kill(pid)
    kill(it.pid, SIGCONT)
    it.wait_ready()
    assert learned(it) == [f"tcp:127.0.0.1:{PORT}"]
    it.call("scale", count=2)
    both_answer(it)


def test_an_address_that_nobody_can_read_in_time_holds_up_its_owner_alone():
    need_root()
    it = start("-n 1", BINDER, "tcp4", "stuckbind", "pause")
    it.logged("cannot be looked at in time")
    it.call("stop", now=True)
    assert it.exit() == 0


def test_who_binds_without_end_delays_nobody_but_itself():
    it = start("-n 2", "sh", "-c", f"""[ "$NCLUST_SLOT" -eq 0 ] && exec "$0" flood
        exec "$0" {' '.join(SERVES)}""", BINDER)
    pid = it.event("ready", slot=1).pid
    assert {get().pid for _ in range(5)} == {pid}
    assert it.stop() == 0
