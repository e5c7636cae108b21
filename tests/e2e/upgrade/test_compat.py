# SPDX-License-Identifier: MIT
"""What nclust(1) promises under COMPATIBILITY: whoever has written a file or a program for an
earlier version need not touch it.  tests/compat has what each version took and answered."""
import fcntl
import glob
import json
import shutil

from harness import *
from replaced import *

VERSIONS = sorted(map(os.path.basename, glob.glob(f"{CHECKOUT}/tests/compat/*.*.*")))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_file_of_an_earlier_version_is_accepted_and_means_the_same(version):
    shutil.copy(f"{SRC}/tests/compat/{version}/all.ini", "all.ini")
    nclust("config --check -c all.ini").ok()
    beside = os.path.realpath(path()) + "/"
    now = json.loads(nclust("config --json -c all.ini").ok().replace(beside, ""))["settings"]
    for where, then in json.loads(read(f"{SRC}/tests/compat/{version}/all.json")).items():
        for key, value in then.items():
            assert now[where][key]["value"] == value, f"{where} {key}"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_of_an_earlier_version_finds_all_that_it_looks_for(version):
    """RECORD=1: write down what is answered now."""
    for name in (f"{SRC}/tests/compat/{version}/it.ini", SERVE, fixture("talk")):
        shutil.copy(name, ".")
    it = cluster(ini=read("it.ini"))
    run(f"{SRC}/tests/compat/client", f"{it.directory}/control",
        f"{SRC}/tests/compat/{version}/answers",
        *(["--record"] if os.environ.get("RECORD") else ())).ok()
    assert it.exit() == 0


# In the place of a new nclust: it keeps the state that it is asked about, and refuses.
KEEPS = r"""
#include <fcntl.h>
#include <sys/sendfile.h>
int main(void)
{
	int to = open("state", O_WRONLY | O_CREAT | O_TRUNC, 0644);
	off_t from = 0;

	return sendfile(to, 3, &from, 1 << 20) > 0 ? 1 : 2;
}
"""


def record(version):
    """A world in which something has happened: an upgrade's state, and the file of
    `orphans = keep`."""
    for name in (f"{SRC}/tests/compat/{version}/it.ini", SERVE, fixture("talk")):
        shutil.copy(name, ".")
    it = begin(ini=read("it.ini").replace("workers", "orphans = keep\nworkers")).wait_ready()
    kill(it.pids("web")[0])
    it.event("exited", slot=0)
    it.verb("scale", 2, target="talk").ok()
    it.verb("restart", target="web").ok()
    it.wait_ready()
    shutil.copyfile(f"{it.directory}/estate", f"{SRC}/tests/compat/{version}/estate")
    write("keeps.c", KEEPS)
    run("cc", "-o", "keeps", "keeps.c").ok()
    put("keeps")
    it.verb("upgrade").fails(1, "(exit 1)")
    shutil.copy("state", f"{SRC}/tests/compat/{version}/state")
    it.verb("stop").ok()


@pytest.mark.parametrize("version", VERSIONS)
def test_an_nclust_of_an_earlier_version_is_taken_over(version):
    """It asks the binary that is to follow in this way.  RECORD=1: write down what there is now
    (tests/unit/upgrade and orphans look at what it says)."""
    if os.environ.get("RECORD"):
        record(version)
    state = os.memfd_create("state", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with open(f"{SRC}/tests/compat/{version}/state", "rb") as of_then:
        os.write(state, of_then.read())
    fcntl.fcntl(state, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW |
                fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL)
    assert "nclust-state-ok" in run(PROGRAM, "--check-state", 0, stdin=state).ok()
