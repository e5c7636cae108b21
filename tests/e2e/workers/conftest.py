# SPDX-License-Identifier: MIT
"""Control groups of a test, where cgroup v2 has the controllers."""
from harness import *

ROOT = "/sys/fs/cgroup"
FILES = {"memory-max": "memory.max", "cpu-max": "cpu.max", "cpu-weight": "cpu.weight",
         "pids-max": "pids.max"}


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
    """In which nclust starts."""

    def __init__(self, *controllers):
        need_root()
        self.name = os.path.basename(path())
        root = find_v2(controllers)
        if root is None:
            pytest.skip(f"needs cgroup v2 with {controllers}")
        self.at = f"{root}/{self.name}"
        os.mkdir(self.at)

    @property
    def under(self):
        """What to start nclust under.  One that comes after another may only be where that one
        was (DelegateSubgroup of systemd)."""
        own = f"{self.at}/nclust@it"
        to = own if os.path.isdir(own) else self.at
        return "sh", "-c", f'echo $$ >{to}/cgroup.procs; exec "$@"', "-"

    def of(self, pid):
        """The directory of that process's group."""
        at = next(place for _, names, place in (
            line.split(":", 2) for line in lines(f"/proc/{pid}/cgroup")) if names == "")
        return os.path.dirname(self.at) + at

    def limit(self, key, pid, up=0):
        """A limit of the group of that process, or of one above it: text."""
        return read(f"{self.of(pid)}/{'../' * up}{FILES[key]}").strip()

    def set(self, key, value):
        """A limit of the whole group; cpu-max in per cent."""
        write(f"{self.at}/{FILES[key]}", f"{value * 1000} 100000" if key == "cpu-max" else str(value))

    def left(self):
        """All groups of workers, and those in them."""
        return [os.path.join(at, d) for at, below, _ in os.walk(self.at)
                for d in below if at != self.at]

    def is_empty(self):
        found = [pid for at, _, _ in os.walk(self.at)
                 for pid in read(f"{at}/cgroup.procs").split()]
        for pid in found:
            try:
                kill(int(pid))
            except ProcessLookupError:
                pass
        return not found

    def remove(self):
        wait(self.is_empty)
        for at, _, _ in os.walk(self.at, topdown=False):
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
