# SPDX-License-Identifier: MIT
"""Three hosts behind the real HAProxy, under load: rolled host by host, one killed, one cut off."""
from hosts import *

AGENT = "check inter 500 fall 2 agent-check agent-port 9101 agent-inter 300"
PROXIED = """
import socket
s = socket.socket(fileno=3)
while True:
    c, _ = s.accept()
    try:
        got = c.recv(200)
        while got.startswith(b"PROXY") and b"hello" not in got:
            got += c.recv(200) or b"hello"
        c.sendall(got.split(b"\\r\\n")[0] + b"\\n")
    except OSError:  # the end of a health check
        pass
    c.close()
"""


def fleet(*lines, command=(), options="", server="", **more):
    three = [host.start(*command, options=options) for host in hosts("a", "b", "c")]
    return *three, HAProxy(three, f"{AGENT} {server}", *lines, **more)


def unfailed(lb, *hosts):
    assert [lb.count(host, "eresp", "econ") for host in hosts] == [0] * len(hosts)


@pytest.mark.parametrize("server", ((SERVE, "--notify"), (RUDE,)), ids=("polite", "rude"))
def test_the_hosts_are_rolled_one_after_the_other_and_nobody_notices(server):
    a, b, c, lb = fleet(command=server)
    loads = [Steady(WEB, "--rate", 200, "--mode", mode) for mode in ("short", "keep")]
    if RUDE in server:  # HAProxy keeps connections to workers that die with them
        wait(lambda: lb.count(a, "reuse") > 0)
    for host in (a, b, c):
        host.drain()
        lb.wait_status(host, "DRAIN")
        before = lb.count(host, "stot")
        host.it.call("restart")
        lb.more(100)
        assert lb.count(host, "stot") == before  # nothing new came
        host.undrain()
        lb.wait_up(host)
        lb.more(100)
    for load in loads:
        unharmed(load)
    unfailed(lb, a, b, c)


def test_a_host_that_is_killed_costs_what_it_had_accepted_and_no_more():
    a, b, c, lb = fleet()
    load = Steady(WEB, "--rate", 300, "--path", "/sleep/5")
    lb.more(200)
    b.kill()
    lb.wait_status(b, "DOWN")
    lb.more(200)
    got = load.end()
    assert got.late == 0
    assert got.lost <= lb.count(b, "eresp")
    assert lb.count(a, "eresp") == lb.count(c, "eresp") == 0
    b.start()
    lb.wait_up(b)  # by itself


def test_a_host_that_is_cut_off_costs_nothing_where_requests_are_sent_again():
    a, b, c, lb = fleet("timeout server 5s",
                        "retry-on conn-failure empty-response response-timeout")
    load = Steady(WEB, "--rate", 300, "--path", "/sleep/5")
    lb.more(200)
    b.cut_off()
    lb.wait_status(b, "DOWN")
    lb.more(200)
    b.join_again()
    lb.wait_up(b)
    unharmed(load)


def test_a_host_without_workers_is_in_maintenance_and_a_new_start_ends_a_drain():
    a, b, c, lb = fleet()
    a.it.call("scale", count=0)
    lb.wait_status(a, "MAINT")
    a.it.call("scale", count=2)
    lb.wait_up(a)
    a.drain()
    lb.wait_status(a, "DRAIN")
    a.it.stop()
    a.start()
    lb.wait_up(a)


def test_the_proxy_protocol_reaches_a_worker_as_it_was_sent():
    fleet(command=("python3", write("proxied.py", PROXIED)), server="send-proxy", mode="tcp",
          options="--intercept off --ready alive:1ms")
    with dial(host=HERE) as s, s.makefile("rw") as f:
        print("hello", file=f, flush=True)
        port = s.getsockname()[1]
        assert f.readline() == f"PROXY TCP4 {HERE} {HERE} {port} {PORT}\n"
