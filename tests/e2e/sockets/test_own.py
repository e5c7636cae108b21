# SPDX-License-Identifier: MIT
""""{slot}" in `listen`: each slot has an address of its own, which only its workers get, and
which is there as long as the slot."""
from harness import *

OWN = "127.0.0.1:{slot+8000}"


def own(options="-n 2", **more):
    return cluster(f"{options} --ready notify --bake 0s -l {OWN}", SERVE, "--notify", **more)


def ini(workers=2, offset=8000, more=""):
    text = f"""[cluster:it]
command = {SERVE} --notify
workers = {workers}
ready = notify
bake = 0s
listen = 127.0.0.1:{{slot+{offset}}}, name=http
{more}"""
    write("it.ini", text)
    return text


def serves(count, first=8000):
    """Have so many slots their ports, and nobody else?"""
    assert [get(port=first + slot).slot for slot in range(count)] == list(range(count))
    wait(lambda: not listens(first + count))


def other(port):
    """Somebody else has that port."""
    process = begin_program(fixture("bind-itself"), port)
    wait_listened(port)
    return process


def in_use(it, port, method, **params):
    """It is refused for that port, and nclust finds out, in the end, who has it."""
    def why():
        with pytest.raises(Refused) as refused:
            it.call(method, **params)
        assert (f"cannot listen on 'tcp:127.0.0.1:{port}': Address already in use"
                in refused.value.message)
        return "in use by bind-itself" in refused.value.message
    wait(why)


def test_each_slot_has_its_own_port_and_path_beside_one_for_all():
    it = leak(f"-n 2 -l {OWN} -l '127.0.0.1:9000, name=all' "
              f"-l 'unix:{path()}/{{cluster}}-{{slot}}.sock, name=u{{slot}}'")
    assert [(x.get("slot"), x.name) for x in it.cluster().listeners] == [
        (0, "8000"), (None, "all"), (0, "u0"), (1, "8001"), (1, "u1")]
    assert born(0).env.LISTEN_FDNAMES == "8000:all:u0"
    assert born(1).env.LISTEN_FDNAMES == "8001:all:u1"
    assert (born(1).env.SERVER_STARTER_PORT ==
            f"127.0.0.1:8001=3;127.0.0.1:9000=4;{path('it-1.sock')}=5")


def test_a_restart_and_a_death_leave_no_client_of_a_slots_port_without_an_answer():
    it = own("-n 3")
    serves(3)
    load = Clients(8001)
    it.call("restart")
    load.loses_nothing()
    serves(3)
    load = Clients(8001)
    it.reborn(1)
    assert load.end().refused == 0
    serves(3)


def test_the_last_of_many_slots_is_emptied_as_the_first():
    gate = Gate()
    it = cluster(f"-n 34 -l {OWN}", RUDE, "--until", gate, "--slow", 1, "--mark", path("read"))
    asked = Request("/slow?1", 8033)
    wait(lambda: read("read"))
    it.call("restart", target="it.33", no_wait=True)
    it.event("draining", slot=33)
    gate.open()
    assert asked.answer().slot == 33
    it.event("exited", slot=33)


def test_ports_come_and_go_with_the_slots_through_an_upgrade_too():
    it = own()
    for count in (4, 2, 3, 0, 2):
        it.call("scale", count=count)
        if count > 0:  # slot 0 keeps its port for the next worker
            serves(count)
    it.call("upgrade")
    serves(2)
    it.call("scale", count=3)
    it.call("restart")
    serves(3)
    it.call("scale", count=1)
    serves(1)


def test_no_scale_is_done_onto_a_port_that_somebody_else_has():
    it = own()
    other(8003)
    in_use(it, 8003, "scale", count=4)
    assert it.cluster().wanted == 2
    it.call("scale", count=3)
    it.call("restart")
    assert get(port=8002).slot == 2


def test_a_range_of_workers_stays_below_a_port_that_is_in_use_and_says_so_once():
    process = other(8001)
    it = own("-n 1..3")
    Clients(8000, "--clients", 4, "--path", "/sleep/100")
    it.logged("cannot listen on 'tcp:127.0.0.1:8001'")
    process.kill()
    it.event("scaled")
    assert it.log().count("cannot listen on") == 1


# ---- a server that binds by itself ----

@pytest.mark.parametrize("where", ("--loopback", "all addresses"))
def test_a_server_that_binds_by_itself_gets_the_one_of_its_slot_and_no_other(where):
    it = cluster(f"-n 2 --bake 0s -l {OWN}", PLAIN, "{slot+8000}",
                 *([where] if where == "--loopback" else []))
    wait(lambda: [(x.bound, x.learned) for x in it.cluster().listeners] == [(True, False)] * 2)
    load = Clients(8001)
    it.call("restart")
    assert load.end().refused == 0
    assert [get(port=8000 + slot).pid for slot in (0, 1)] == it.pids()
    gets = "it gets tcp:127.0.0.1:8001, as 'listen' says"
    assert it.says(gets) == (where != "--loopback")


def test_a_worker_never_gets_the_port_of_another_slot():
    it = start(f"-n 2 -l {OWN} --backoff-min 1h --backoff-max 1h --intercept on", PLAIN, 8000)
    it.logged("another slot has tcp:127.0.0.1:8000 already")
    wait(lambda: it.worker(0).state == "ready")
    assert get().pid == it.worker(0).pid


def test_what_is_in_the_way_of_a_servers_bind_is_its_own_slots_and_called_so():
    it = start("-n 1 -l {slot+8000}", fixture("bind-itself"), 8000)
    it.logged("cannot bind tcp:127.0.0.1:8000")
    assert not it.says("another slot has")
    assert it.says("'listen' should name the one that the server binds")


def test_nodes_workers_get_the_ones_of_their_slots_and_no_other():
    write("s.js", """require('http').createServer((q, r) =>
        r.end(`pid=${process.pid} slot=${process.env.NCLUST_SLOT}`))
      .on('error', e => { console.log('error', e.code); setInterval(() => {}, 1e6) })
      .listen({port: +process.argv[2], host: '127.0.0.1'})""")
    it = cluster(f"-n 2 --bake 0s --ready listen -l {OWN}", "node", path("s.js"), "{slot+8000}")
    load = Clients(8001)
    it.call("restart")
    assert load.end().refused == 0
    assert [get(port=8000 + slot).slot for slot in (0, 1)] == [0, 1]
    it.stop()
    it = cluster(f"-n 2 --ready alive:1ms -l {OWN}", "node", path("s.js"), 8001)
    it.logged("error")
    it.call("restart", target="it.0")  # now that slot 1 has a server there
    it.logged("error", 2)
    wait_listened(8001)
    assert slots(8, port=8001) == {1}


# ---- the death of nclust, checks ----

def test_the_next_nclust_takes_them_over_with_as_many_slots_as_there_were():
    it = own("-n 2 --orphans keep")
    it.call("scale", count=3)
    load = Clients(8002)
    old = it.pids()
    it.kill()
    it = own("-n 2 --orphans keep")
    assert load.end().refused == 0
    assert it.pids() == old
    serves(3)
    it.call("restart")
    it.call("scale", count=1)
    serves(1)


def test_each_worker_is_checked_at_its_own_port():
    it = cluster(f"-n 2 --ready alive:1ms -l {OWN} --check tcp --check-interval 50ms "
                 "--check-timeout 500ms --check-failures 2", UNWELL)
    serves(2)  # they hear signals
    kill(it.worker(1).pid, SIGHUP)  # it takes no connection any more
    well = it.worker(0).checks.ok
    wait(lambda: it.worker(0).checks.ok >= well + 2)
    assert it.event("exited", slot=1).why == "unhealthy"
    it.event("ready", slot=1, n=2)
    serves(2)


def test_readiness_is_asked_at_the_slots_port_also_beside_the_old_worker():
    it = cluster(f"-n 2 --ready http:/ --bake 0s -l {OWN}", SERVE)
    serves(2)
    it.call("restart")
    serves(2)


# ---- what cannot be ----

def test_what_cannot_be_is_an_error_with_its_line_and_nothing_starts():
    text = """[cluster:a]
command = x
workers = 3
listen = {slot+65534}
[cluster:b]
command = x
workers = 1..3
listen = {slot+8000}
[cluster:c]
command = x
listen = 8002
[cluster:d]
command = x
listen = 127.0.0.1:{slot+x}
"""
    write("bad.ini", text)
    nclust("-c bad.ini").fails(
        78, "bad.ini:14: cluster:d.listen: wanted '{slot}', a sum such as '{slot+9229}' or a rest such as '{slot%2}', found "
        "'{slot+x}'")
    write("bad.ini", text.replace("{slot+x}", "9"))
    nclust("-c bad.ini").fails(
        78, "bad.ini:4: cluster:a.listen: slot 2: wanted a port from 0 to 65535, found '65536'",
        "bad.ini:11: cluster:c.listen: 'tcp:*:8002' is already used by cluster 'b'")
    nclust("-n 2 -l {slot+8000} --spare 1 -- x").fails(
        64, "--spare: cannot be used with '{slot}' in 'listen'")


# ---- reloads ----

def test_a_reload_that_changes_the_offset_moves_them_and_refuses_nobody_meanwhile():
    it = cluster(ini=ini(2, 8000))
    serves(2)
    load = Clients(8001)  # slot 1's, and then slot 0's
    ini(4, 8001)
    it.call("reload")
    load.loses_nothing()
    wait(lambda: not listens(8000))
    serves(4, 8001)
    it.call("restart")
    serves(4, 8001)


def test_a_reload_that_would_give_a_port_to_two_clusters_changes_nothing():
    it = cluster(ini=ini())
    it.call("scale", count=3)
    ini(more=f"[cluster:b]\ncommand = {SERVE}\nlisten = 127.0.0.1:8002\nworkers = 1\n")
    is_refused("another cluster has tcp:127.0.0.1:8002 already", it.call, "reload")
    serves(3)
    it.call("scale", count=2)
    it.call("reload")
    is_refused("8002", it.call, "scale", target="it", count=3)
    assert it.cluster("it").wanted == 2


def test_no_reload_adds_slots_where_somebody_else_has_a_port_that_they_need():
    it = cluster(ini=ini())
    pids = it.pids()
    process = other(8003)
    # also where all that the file says is free: they begin as the others are
    for offset in (8000, 9000):
        ini(4, offset)
        in_use(it, 8003, "reload")
        assert (it.cluster().wanted, it.pids()) == (2, pids)
    assert not listens(9000)
    serves(2)
    process.kill()
    process.wait()
    it.call("reload")
    serves(4, 9000)
    wait(lambda: not listens(8002))
