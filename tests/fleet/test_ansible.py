# SPDX-License-Identifier: MIT
"""etc/examples/ansible: a fleet of three hosts is rolled by the real ansible, over the real ssh,
while clients come through HAProxy."""
import re
import shutil

from harness.control import Control
from hosts import *

# Processes, /run and /srv of its own, and a sshd that knows one key.
BOOT = """
mount -t tmpfs none /run
mount -t tmpfs none /srv
mkdir -p /run/sshd /srv/shop/releases
until [ -e "$0.go" ]; do sleep 0.05; done
exec /usr/sbin/sshd -D -e -f "$0.sshd"
"""
RELEASES = {
    1: 'exec "${0%/*}/plain" 8000',
    2: 'exec "${0%/*}/plain" 8000',
    # it comes up, and then fails
    3: '"${0%/*}/plain" 8000 &\nsleep 1\nkill $!\nexit 1',
}


class Machine(Host):
    def __init__(self, number):
        base = path(f"host{number}")
        with open(f"{base}.log", "wb") as log:
            outer = begin_program("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child",
                                  "--mount-proc", "sh", "-ec", BOOT, base, stdout=log, stderr=log)
        self.init = int(wait(lambda: read(f"/proc/{outer.pid}/task/{outer.pid}/children")))
        super().__init__(f"h{number}", number, f"/proc/{self.init}/ns/net")
        self.under = ("nsenter", f"--target={self.init}", "--net", "--mount", "--pid", "--", "env",
                      "NCLUST_RUNTIME_DIR=/run/nclust")
        write(f"{base}.sshd", f"""
            ListenAddress {self.address}
            HostKey {path("hostkey")}
            AuthorizedKeysFile {path("key.pub")}
            StrictModes no
            PidFile none
            UsePAM no
            PasswordAuthentication no
            Subsystem sftp internal-sftp
            SetEnv PATH={os.path.dirname(PROGRAM)}:/usr/sbin:/usr/bin NCLUST_RUNTIME_DIR=/run/nclust
            """)
        write(f"{base}.go", "")
        wait(lambda: "Server listening" in read(f"{base}.log"))
        for words in (f"cp -R {path('play/releases/1')} /srv/shop/releases/1",
                      f"cp {path('play/shop.ini')} /srv/shop/",
                      "ln -s releases/1 /srv/shop/current", "ln -s releases/1 /srv/shop/live",
                      f"{PROGRAM} -d -c /srv/shop/shop.ini -n 2"):
            self.run(*words.split()).ok()
        self.control = Control(f"/proc/{self.init}/root/run/nclust/shop/control")

    def releases(self):
        """Which ones run there."""
        pids = [w.pid for w in self.control.call("status").clusters[0].workers]
        return {int(re.search(r"/releases/(\d+)/", self.run(
            "readlink", f"/proc/{pid}/exe").ok()).group(1)) for pid in pids}

    def is_drained(self):
        return self.control.call("status").drained is not None


def make_fleet():
    """Three machines, and a load on them."""
    for program in ("ansible-playbook", "ssh-keygen", "sshd"):
        need(program)
    shutil.copytree(f"{SRC}/etc/examples/ansible", "play")
    for number, text in RELEASES.items():
        write(f"play/releases/{number}/server", f"#!/bin/sh\n{text}\n", 0o755)
        shutil.copy(PLAIN, f"play/releases/{number}/plain")
    for key in ("key", "hostkey"):
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key).ok()
    write("known", f"{NET}.* {read('hostkey.pub')}")
    make_network()
    fleet = [Machine(number) for number in (11, 12, 13)]
    write("hosts.ini", "\n".join(("[web]", *(host.address for host in fleet), f"""
[web:vars]
ansible_user=root
ansible_ssh_private_key_file={path("key")}
ansible_ssh_common_args=-F /dev/null -o UserKnownHostsFile={path("known")} -o IdentitiesOnly=yes \
-o ControlMaster=auto -o ControlPersist=30s
ansible_ssh_pipelining=true
ansible_control_path={path("%%C")}
ansible_remote_tmp=/srv/tmp
ansible_python_interpreter=/usr/bin/python3
""")))
    HAProxy(fleet, "check port 9100 inter 200ms fall 2 rise 1", "option httpchk GET /readyz")
    return fleet, Steady(WEB, "--rate", 200)


def roll(release, bake="1s"):
    """Its exit status, what it says, and what it counts for each host."""
    done = run("env", "-i", f"PATH={os.environ['PATH']}", f"HOME={path()}", "LC_ALL=C.UTF-8",
               "ANSIBLE_NOCOLOR=1", "ANSIBLE_LOCALHOST_WARNING=0", "ansible-playbook", "-i",
               path("hosts.ini"), "roll.yml", "-e", f"release={release}", "-e", f"bake={bake}",
               cwd="play", bound=5 * BOUND)
    print(done)
    counts = {address: dict(re.findall(r"(\w+)=(\d+)", rest)) for address, rest in re.findall(
        r"^(\S+) +: (ok=.*)", done.out.partition("PLAY RECAP")[2], re.M)}
    return done, lambda host, word: int(counts.get(host.address, {}).get(word, 0))


@pytest.mark.timeout(600)
def test_a_good_release_reaches_every_host_and_once_more_it_changes_nothing():
    fleet, load = make_fleet()
    done, count = roll(2)
    done.ok()
    for host in fleet:
        assert host.releases() == {2} and not host.is_drained()
        assert count(host, "changed") >= 4
        host.control.call("events")
        happened = [e.event for e in host.control.events]
        assert happened.index("host-drained") < happened.index("host-undrained")
    # what an earlier run has left drained is brought back, and that is a change
    fleet[1].run(PROGRAM, "drain", "shop").ok()
    done, count = roll(2)
    done.ok()
    assert [count(host, "changed") for host in fleet] == [0, 1, 0]
    assert min(count(host, "ok") for host in fleet) >= 4
    assert not fleet[1].is_drained()
    unharmed(load)


@pytest.mark.timeout(600)
def test_a_bad_release_stops_at_the_first_host_which_serves_the_old_one():
    fleet, load = make_fleet()
    done, count = roll(3, bake="1h")
    assert done.status != 0
    assert re.search("Replace the workers: .*restart failed", done.out)
    assert [count(host, "failed") for host in fleet] == [1, 0, 0]
    for host in fleet:
        assert host.releases() == {1} and not host.is_drained()
        assert host.run("readlink", "/srv/shop/current").ok() == "releases/1\n"
    for host in fleet[1:]:
        assert count(host, "ok") == 0
        assert host.run("ls", "/srv/shop/releases").ok() == "1\n"
    roll(2)[0].ok()  # the way forward is open
    assert [host.releases() for host in fleet] == [{2}] * 3
    unharmed(load)
