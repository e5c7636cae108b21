# SPDX-License-Identifier: MIT
"""Hosts beside each other, each with a network of its own.  The test itself is on the network
between them, and so is what stands before them: a load balancer, and clients."""
import csv

from harness import *

NET = "10.77.0"
HERE = f"{NET}.1"  # the test's own address
WEB = f"{HERE}:{PORT}"  # where a load balancer listens


def ip(*words):
    run("ip", *words).ok()


def make_network():
    ip("link", "add", "br0", "type", "bridge")
    ip("link", "set", "br0", "up")
    ip("address", "add", f"{HERE}/24", "dev", "br0")


class Host:
    """`network`: a file, of a network that is there already."""

    def __init__(self, name, number, network=None):
        self.name, self.address = name, f"{NET}.{number}"
        self.network = network or f"/run/netns/{name}"
        if network is None:
            ip("netns", "add", name)
        self.under = ("nsenter", f"--net={self.network}", "--")
        ip("link", "add", "name", name, "type", "veth", "peer", "name", "eth0", "netns",
           self.network)
        ip("link", "set", "dev", name, "master", "br0", "up")
        for words in ("link set lo up", "link set eth0 up",
                      f"address add {self.address}/24 dev eth0"):
            self.run("ip", *words.split()).ok()

    def run(self, *command):
        return run(*self.under, *command)

    def begin(self, *command, log):
        """In the background."""
        with open(path(log), "ab") as out:
            return begin_program(*self.under, *command, stdout=out, stderr=out)

    def start(self, *command, options=""):
        """An nclust, called as the host is."""
        self.it = cluster(f"-n 2 -l 0.0.0.0:{PORT} --ready notify --agent 9101 {options}",
                          *command or (SERVE, "--notify"), name=self.name, under=self.under)
        return self

    def drain(self):
        """Returns when those who ask have asked again, and nobody is served here any more."""
        self.it.verb("drain", "--timeout", f"{BOUND:.0f}s").ok()

    def undrain(self):
        self.it.verb("undrain", "--timeout", f"{BOUND:.0f}s").ok()

    def cut_off(self):
        ip("link", "set", "dev", self.name, "down")

    def join_again(self):
        ip("link", "set", "dev", self.name, "up")

    def kill(self):
        """As if the power fails."""
        for pid in run("ip", "netns", "pids", self.name).ok().split():
            try:
                kill(int(pid))
            except ProcessLookupError:  # it has ended with nclust
                pass
        self.it.exit()


def hosts(*names):
    make_network()
    return [Host(name, 11 + n) for n, name in enumerate(names)]


class HAProxy:
    """Before these hosts: `server` is said of each, `lines` of all.  One thread: what it had begun
    for a host has been counted when it says that nothing goes there."""

    def __init__(self, hosts, server, *lines, mode="http"):
        self.hosts, self.socket = hosts, path("haproxy.sock")
        # a percentage of the weight is a whole number: of the usual 1, half is 0
        servers = [f"server {h.name} {h.address}:{PORT} weight 100 {server}" for h in hosts]
        write("haproxy.cfg", "\n    ".join((
            f"global\n    nbthread 1\n    stats socket {self.socket} level admin",
            f"\ndefaults\n    mode {mode}", "retries 3", "option redispatch 1",
            "timeout connect 1s", "timeout client 600s", "timeout server 600s",
            "timeout check 10s",
            f"\nfrontend web\n    bind {WEB}", "default_backend hosts",
            "\nbackend hosts", *lines, *servers)) + "\n")
        begin_haproxy()
        wait(lambda: os.path.exists(self.socket))  # it is there after the port
        for host in hosts:
            self.wait_up(host)

    def stats(self):
        """Of each host, by the names of its fields."""
        with dial(unix=self.socket) as s, s.makefile("rw") as f:
            print("show stat", file=f, flush=True)
            table = f.read().removeprefix("# ").splitlines()
        return {row["svname"]: row for row in csv.DictReader(table) if row["pxname"] == "hosts"}

    def status(self, host):
        return self.stats()[host.name]["status"]

    def count(self, host, *names):
        stats = self.stats()[host.name]
        return sum(int(stats[name]) for name in names)

    def is_up(self, host):
        """Does it get its whole share?  (The agent, if one is asked, has said so.)"""
        stats = self.stats()[host.name]
        return ((stats["status"], stats["weight"]) == ("UP", "100")
                and stats["agent_status"] in ("", "L7OK"))

    def wait_up(self, host):
        wait(lambda: self.is_up(host), f"{host.name} is up")

    def wait_status(self, host, word):
        wait(lambda: self.status(host).startswith(word), f"{host.name} is {word}")

    def answered(self):
        return sum(self.count(host, "hrsp_2xx") for host in self.hosts)

    def more(self, count):
        """Wait until so many more have been answered."""
        enough = self.answered() + count
        wait(lambda: self.answered() >= enough, f"{count} more answers")


def begin_haproxy():
    with open(path("haproxy.log"), "ab") as log:
        begin_program(need("haproxy"), "-db", "-f", path("haproxy.cfg"), stdout=log, stderr=log)
    wait_listened(PORT)


def unharmed(load):
    """Its clients notice nothing."""
    got = load.end()
    assert got.answered > 0
    assert (got.lost, got.late) == (0, 0), got
