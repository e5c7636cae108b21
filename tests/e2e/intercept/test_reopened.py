# SPDX-License-Identifier: MIT
"""Servers whose own reload opens their port anew beside the former socket, by SO_REUSEPORT:
the one that they close then gets no client any more."""
from harness import *

CADDY = """
{
	admin 127.0.0.1:2019
	auto_https off
}
http://:8000 {
	respond "version=%d"
}
"""

NGINX = """
daemon off;
worker_processes %d;
error_log stderr;
user root;
pid nginx.pid;
events {}
http {
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {
        listen 8000 reuseport;
        return 200 "version=%d\\n";
    }
}
"""
# It has two sockets at one port, closes the n-th when there is a file close.PID.n, the last first,
# and ends by end.PID.
TWINS = """
import os, select, socket, sys

def opened():
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    s.bind(("127.0.0.1", 8000))
    s.listen()
    return s

both = [opened(), opened()]
while not os.path.exists(f"end.{os.getpid()}"):
    for s in select.select(both, [], [], 0.01)[0]:
        client, _ = s.accept()
        client.recv(1000)
        client.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\nversion=%d" % os.getpid())
        client.close()
    if os.path.exists(f"close.{os.getpid()}.{len(both)}"):
        both.pop().close()
sys.exit(1)
"""
CLIENTS = 40


def answers():
    """The versions that so many clients get, each by a connection of its own."""
    asked = [Request() for _ in range(CLIENTS)]
    return {int(r.answer().part("version")) for r in asked}


def test_caddy_reloads_its_configuration():
    write("Caddyfile", CADDY % 1)
    it = cluster("-n 1 --ready notify", "caddy", "run", "--config", "Caddyfile",
                 env={"HOME": path(), "XDG_DATA_HOME": path(), "XDG_CONFIG_HOME": path()})
    assert answers() == {1}
    for version in (2, 3):
        edit("Caddyfile", f"version={version - 1}", f"version={version}")
        run("caddy", "reload", "--config", "Caddyfile", env={
            "HOME": path(), "PATH": os.environ["PATH"]}).ok()
        assert answers() == {version}
    assert len(sockets("listen", PORT)) == 1
    assert it.stop() == 0


def test_nginx_goes_from_four_processes_to_two():
    need_root()
    write("nginx.conf", NGINX % (4, 1))
    it = cluster("-n 1 --ready listen", "nginx", "-p", path(), "-c", "nginx.conf")
    assert answers() == {1}
    write("nginx.conf", NGINX % (2, 2))
    it.verb("signal", "HUP")
    wait(lambda: answers() == {2})
    wait(lambda: len(sockets("listen", PORT)) == 2)
    assert answers() == {2}


def twins():
    """A cluster of that, its worker, and the sockets that this has."""
    it = cluster("-n 1", "python3", "-c", TWINS, clock=True)
    wait(lambda: len(sockets("listen", PORT)) == 2)
    assert answers() == set(it.pids())
    return it, *it.pids(), {s.inode for s in sockets("listen", PORT)}


def test_after_minutes_too_clients_of_a_socket_that_is_closed_wait_no_longer_than_a_second():
    need_root()
    it, pid, both = twins()
    it.advance(200, step=10)
    write(f"close.{pid}.2", "")
    wait(lambda: len(both & inodes(pid)) == 1)
    asked = [Request() for _ in range(CLIENTS)]
    it.advance(1)
    assert {int(r.answer().part("version")) for r in asked} == {pid}
    left, = sockets("listen", PORT)
    assert left.inode in both


def test_of_one_that_closes_all_and_takes_its_time_to_end_clients_wait_for_the_next_one():
    it, pid, both = twins()
    it.advance(5, step=0.5)
    for n in 1, 2:
        write(f"close.{pid}.{n}", "")
    wait(lambda: not both & inodes(pid))
    asked = [Request() for _ in range(CLIENTS)]
    it.advance(5, step=0.5)
    assert {s.inode for s in sockets("listen", PORT)} == both
    write(f"end.{pid}", "")
    lab.clock.flow()
    after = it.event("ready", 2).pid
    assert {int(r.answer().part("version")) for r in asked} == {after}
