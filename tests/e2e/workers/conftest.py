# SPDX-License-Identifier: MIT
"""Control groups of a test: of cgroup v2 where that has the controllers, else of v1."""
from harness import *

ROOT = "/sys/fs/cgroup"
# What each limit is called in v1 and in v2.
FILES = {
    "memory-max": ("memory", "memory.limit_in_bytes", "memory.max"),
    "cpu-max": ("cpu", "cpu.cfs_quota_us", "cpu.max"),
    "cpu-weight": ("cpu", "cpu.shares", "cpu.weight"),
    "pids-max": ("pids", "pids.max", "pids.max"),
}


def find_v2(controllers):
    """The mount of cgroup v2, if these may be used below it."""
    for root in (ROOT, f"{ROOT}/unified"):
        if set(controllers) <= set(read(f"{root}/cgroup.controllers").split()):
            try:
                for name in controllers:
                    write(f"{root}/cgroup.subtree_control", f"+{name}")
                return root
            except OSError:  # in a container whose processes are in that group
                pass
    return None


class Group:
    """In which nclust starts: one directory, or with v1 one for each controller."""

    def __init__(self, *controllers):
        need_root()
        self.name = os.path.basename(path())
        root = find_v2(controllers)
        self.version = 2 if root else 1
        self.at = {c: f"{root or f'{ROOT}/{c}'}/{self.name}" for c in controllers}
        self.places = sorted(set(self.at.values()))
        for place in self.places:
            if not os.path.isdir(os.path.dirname(place)):
                pytest.skip(f"needs cgroups with {controllers}")
            os.mkdir(place)

    @property
    def under(self):
        """What to start nclust under.  One that comes after another may, with v2, only be where
        that one was (DelegateSubgroup of systemd)."""
        own = [f"{place}/nclust@it" for place in self.places]
        files = [f"{o if os.path.isdir(o) else place}/cgroup.procs"
                 for o, place in zip(own, self.places)]
        return "sh", "-c", f'echo $$ | tee {" ".join(files)} >/dev/null; exec "$@"', "-"

    def of(self, pid, controller=None):
        """The directory of that process's group."""
        controller = controller or next(iter(self.at))
        wanted = controller if self.version == 1 else ""
        at = next(place for _, names, place in (
            line.split(":", 2) for line in lines(f"/proc/{pid}/cgroup")) if wanted in names.split(","))
        return os.path.dirname(self.at[controller]) + at

    def limit(self, key, pid, up=0):
        """A limit of the group of that process, or of one above it: text."""
        controller, *names = FILES[key]
        return read(f"{self.of(pid, controller)}/{'../' * up}{names[self.version - 1]}").strip()

    def set(self, key, value):
        """A limit of the whole group; cpu-max in per cent."""
        controller, *names = FILES[key]
        if key == "cpu-max":
            value = f"{value * 1000}" if self.version == 1 else f"{value * 1000} 100000"
        write(f"{self.at[controller]}/{names[self.version - 1]}", str(value))

    def left(self):
        """All groups of workers, and those in them."""
        return [os.path.join(at, d) for place in self.places for at, below, _ in os.walk(place)
                for d in below if at != place]

    def is_empty(self):
        found = [pid for place in self.places for at, _, _ in os.walk(place)
                 for pid in read(f"{at}/cgroup.procs").split()]
        for pid in found:
            try:
                kill(int(pid))
            except ProcessLookupError:
                pass
        return not found

    def remove(self):
        wait(self.is_empty)
        for place in self.places:
            for at, _, _ in os.walk(place, topdown=False):
                os.rmdir(at)


@pytest.fixture
def make_group():
    """A function that makes one, which goes with the test."""
    made = []

    def make(*controllers):
        made.append(Group(*controllers))
        return made[-1]

    yield make
    for group in made:
        group.remove()
