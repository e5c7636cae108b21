# SPDX-License-Identifier: MIT
"""The real systemd, as process 1 of namespaces of its own: it has its own mounts (what it
writes is in memory), processes, network and cgroups, and ends when the sandbox does."""
import glob
import os
import subprocess

import pytest

from . import lab

# What it finds, then it.  A /dev of its own: it writes there, and the machine's is the same in
# all namespaces.
ENTER = r"""
set -e
place=$1 root=$1/root
mount --make-rprivate /
mount -t tmpfs tmpfs "$place"
mkdir "$place/upper" "$place/work" "$root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$place/upper,workdir=$place/work" "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
dev=$root/dev
mount -t tmpfs -o mode=755 tmpfs "$dev"
mkdir "$dev/pts" "$dev/shm"
mount -t devpts -o newinstance,ptmxmode=666,mode=620 devpts "$dev/pts"
mount -t tmpfs tmpfs "$dev/shm"
ln -s pts/ptmx "$dev/ptmx"
ln -s /proc/self/fd "$dev/fd"
for name in null zero full random urandom tty; do
	: >"$dev/$name" && mount --bind "/dev/$name" "$dev/$name"
done
for name in run tmp sys/fs/cgroup; do mount -t tmpfs tmpfs "$root/$name"; done
cgroup=$root/sys/fs/cgroup
for kind in cpu cpuacct cpuset memory devices freezer blkio pids; do
	mkdir "$cgroup/$kind"
	mount -t cgroup -o "$kind" cgroup "$cgroup/$kind"
done
mkdir "$cgroup/systemd" "$cgroup/unified"
mount -t cgroup -o none,name=systemd cgroup "$cgroup/systemd"
mount -t cgroup2 cgroup2 "$cgroup/unified"
rm -f "$root"/etc/systemd/system/*.wants/*
cd "$root"
exec env -i "PATH=$PATH" container=lxc chroot "$root" \
	/lib/systemd/systemd --unit=basic.target --show-status=no
"""
GROUPS = "nclust-systemd."


def groups(test="*"):
    return glob.glob(f"/sys/fs/cgroup/*/{GROUPS}{test}")


def sweep(tops):
    """Remove these cgroups, as far as no process is in them."""
    for top in tops:
        for at, _, _ in os.walk(top, topdown=False):
            try:
                os.rmdir(at)
            except OSError:
                pass


def move(name):
    """This process to cgroups of that name, so that none of systemd's are among the machine's."""
    for top in glob.glob("/sys/fs/cgroup/*/cgroup.procs"):
        group = os.path.join(os.path.dirname(top), GROUPS + name)
        os.makedirs(group, exist_ok=True)
        for each in ("cpuset.cpus", "cpuset.mems"):
            if os.path.exists(f"{group}/{each}"):
                lab.write(f"{group}/{each}", lab.read(f"{os.path.dirname(top)}/{each}"))
        try:
            lab.write(f"{group}/cgroup.procs", str(os.getpid()))
        except OSError:
            os.rmdir(group)


class Systemd:
    name = "systemd"

    def __init__(self):
        lab.need_root()
        self.test = os.path.basename(lab.path())
        # of tests that have ended: one that is alive may have made a cgroup for what it will start
        sweep(top for top in groups() if not os.path.exists(
            lab.path(f"../{top.rpartition(GROUPS)[2]}")))
        place = lab.path("systemd")
        os.mkdir(place)
        with open(lab.path("systemd.log"), "wb") as log:
            self.outer = self.process = lab.begin_program(
                "setsid", "unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--cgroup",
                "--uts", "--net", "--ipc", "bash", "-c", ENTER, "-", place, stdout=log,
                stderr=subprocess.STDOUT, preexec_fn=lambda: move(self.test))
        lab.instances.append(self)  # so that it is ended, and shown
        children = f"/proc/{self.outer.pid}/task/{self.outer.pid}/children"
        self.pid = int(lab.wait(lambda: lab.read(children) or self.has_ended()).split()[0])
        lab.wait(lambda: self.has_ended() or self.run("systemctl", "is-system-running").out.strip()
                 in ("running", "degraded"), "systemd is running")

    def end(self):
        self.outer.kill()
        self.outer.wait()
        lab.wait(lambda: sweep(groups(self.test)) or not groups(self.test))

    def show(self):
        yield "journal", self.run("journalctl", "--no-pager", "-n", 60).out

    def has_ended(self):
        if self.outer.poll() is not None:
            pytest.skip(f"no systemd could be started here: {lab.read('systemd.log')[-300:]}")

    def run(self, *command, **options):
        """Among its processes, in its root."""
        return lab.run("nsenter", "-t", self.pid, "-a", "-r", "-w", "--", "env", "-i",
                       f"PATH={os.environ['PATH']}", "LC_ALL=C.UTF-8", "COLUMNS=500", *command,
                       **options)

    def path(self, name):
        """How that file of its root is called here."""
        return f"/proc/{self.pid}/root{name}"

    def write(self, name, text):
        lab.write(self.path(name), text)
