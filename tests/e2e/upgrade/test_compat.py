# SPDX-License-Identifier: MIT
"""What nclust(1) promises under COMPATIBILITY: whoever has written a file or a program for an
earlier version need not touch it.  tests/compat has what each version took and answered."""
import glob
import json
import shutil

from harness import *

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
