# SPDX-License-Identifier: MIT
"""The configurations of nclust-guide(7) for load balancers, with the programs that they are for.
Only addresses differ, and the time between two checks."""
import re
import urllib.request

from harness import lab
from hosts import *


def block(file, *changes):
    """As the guide has it."""
    text = read(f"{SRC}/man/nclust-guide.7")
    found = re.search(rf"^\.Pa {re.escape(file)} :\n\.Bd -literal[^\n]*\n(.*?)^\.Ed", text,
                      re.M | re.S).group(1)
    for old, new in ((r"\-", "-"), (r"\e", "\\"), ("10.0.0.", f"{NET}."), *changes):
        found = found.replace(old, new)
    return write(file, found)


def two_hosts():
    return [host.start(options="--http 9100") for host in hosts("a", "b")]


def test_haproxy():
    a, b = two_hosts()
    block("haproxy.cfg", ("bind :80", "bind :8000"), ("inter 2s", "inter 300ms"))
    begin_haproxy()
    load = Steady(WEB, "--rate", 300)
    for host in (a, b):
        host.drain()
        host.it.call("restart")
        host.undrain()
    wait(lambda: "shop/a enters drain state" in read("haproxy.log"))
    wait(lambda: "shop/b is UP (leaving forced drain)" in read("haproxy.log"))
    unharmed(load)


def asked_at(address):
    """Who answers there."""
    try:
        with urllib.request.urlopen(f"http://{address}:{PORT}/", timeout=5) as answer:
            return int(re.search(rb"pid=(\d+)", answer.read()).group(1))
    except OSError:
        return None


def test_keepalived():
    address = f"{NET}.100"
    both = two_hosts()
    need("keepalived")
    block("keepalived.conf", ("interval 2", "interval 1"))

    def has(host):
        return f"{address}/" in host.run("ip", "address", "show", "eth0").ok()

    def wait_served_by(host):
        wait(lambda: has(host) and asked_at(address) in host.it.pids())

    for host in both:
        host.begin("keepalived", "-n", "-l", "-f", path("keepalived.conf"), *(
            word for option in "prc" for word in (f"-{option}", path(f"{host.name}.{option}"))),
            log=f"keepalived-{host.name}.log")
    wait(lambda: any(map(has, both)))
    first, second = both if has(both[0]) else reversed(both)
    first.it.verb("drain", "--no-wait").ok()
    wait_served_by(second)
    first.it.verb("undrain", "--no-wait").ok()
    second.it.verb("drain", "--no-wait").ok()
    wait_served_by(first)


def test_nginx():
    a, b = two_hosts()
    need("nginx")
    block("nginx.conf", ("listen 80;", "listen 8000;"), ("http {", "http { access_log off;"))
    with open("nginx.conf", "a") as f:
        print(f"pid {path('nginx.pid')};\nerror_log stderr;", file=f)
    nginx = ("nginx", "-e", "stderr", "-c", path("nginx.conf"))
    with open("nginx.log", "ab") as log:
        master = begin_program(*nginx, "-g", "daemon off;", stderr=log).pid
    wait_listened()

    def workers():
        return {p for p in living() if lab.stat(p)[1:2] == [str(master)]}

    def reload():
        """Until nobody goes by the file of before."""
        before = workers()
        run(*nginx, "-s", "reload").ok()
        wait(lambda: workers() and not workers() & before)

    load = Steady(WEB, "--rate", 300)
    for host in (a, b):
        edit("nginx.conf", f"{host.address}:{PORT}", f"{host.address}:{PORT} down")
        reload()
        host.drain()
        host.it.call("restart")
        host.undrain()
        edit("nginx.conf", " down", "")
        reload()
    unharmed(load)
