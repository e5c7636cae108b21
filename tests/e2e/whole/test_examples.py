# SPDX-License-Identifier: MIT
"""The examples of etc/examples run as they are, and do what they say."""
import glob
import json
import shutil

from harness import *


def test_all_files_are_without_mistakes():
    """tests/e2e/wild/test_stacks.py starts those that are whole stacks."""
    need_root()  # they name users
    shutil.copytree(f"{SRC}/etc/examples", "examples")
    found = [f for f in glob.glob("examples/**/*.ini", recursive=True) if "[cluster:" in read(f)]
    assert len(found) > 10
    for file in found:
        nclust("config --check -c", file).ok()


def test_compute_a_web_server_hands_what_takes_long_to_a_cluster_of_its_own():
    need("node")
    shutil.copytree(f"{SRC}/etc/examples/compute", "compute")
    os.rename("compute/compute.ini", "compute/it.ini")
    nclust("config --check -c compute/it.ini").ok()
    edit("compute/it.ini", "workers = auto", "workers = 2")
    it = cluster("-c compute/it.ini")

    def ask(target="/primes?below=1000"):
        return Request(target, 8080)

    assert get(port=8080).body.strip() == "ask for /primes?below=N"
    assert json.loads(ask("/primes?below=1000000").answer().body)["primes"] == 78498
    assert "wanted /primes?below=N" in get("/nothing", 8080).body
    # who answers does not compute, and all who compute are asked
    computed = [json.loads(ask().answer().body) for _ in range(10)]
    assert {c["primes"] for c in computed} == {168}
    assert {c["pid"] for c in computed} == set(it.pids("compute"))
    # they are busy: the web is not, and who asks has to wait; if they die of it, the
    # questions do not
    old = it.pids("compute")
    freeze(*old)
    asked = [ask() for _ in range(4)]
    assert get(port=8080).status == 200
    for pid in old:
        kill(pid)
    assert {json.loads(a.answer().body)["primes"] for a in asked} == {168}


def test_logs_each_workers_output_is_in_a_file_beside_the_example():
    shutil.copytree(f"{SRC}/etc/examples/logs", "logs")
    cluster("--name it -c logs/logs.ini")
    wait(lambda: read("logs/logs-1.log").startswith("hello from slot 1"))


# What needrestart has when it reads its conf.d: $nrconf, and this function.
NEEDRESTART = r"""
use strict; use warnings;
our %nrconf;
sub restart_cmd($) { ('systemctl', 'restart', $_[0]) }
eval do { local (@ARGV, $/) = shift; <> };
die $@ if $@;
print "@{[restart_cmd('ssh.service')]}\n";
exit system(restart_cmd('nclust@it.service')) >> 8;
"""


def test_needrestart_rolls_an_instance_and_restarts_all_others_as_before():
    it = cluster("-n 2 -l 8000 --ready notify", SERVE, "--notify")
    os.symlink(inside(PROGRAM), "nclust")
    os.environ["PATH"] = f"{path()}:{os.environ['PATH']}"
    assert "systemctl restart ssh.service\n" in run(
        need("perl"), "-e", NEEDRESTART, f"{SRC}/etc/needrestart.conf").ok()
    assert it.reconnect().status().upgrades == 1
    assert get().part("gen") == "2"
