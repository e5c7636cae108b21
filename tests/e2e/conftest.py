# SPDX-License-Identifier: MIT
"""The end-to-end tests: nclust with real programs.  tests/harness is what they share."""
import pathlib
import sys

# Where compiled tests are kept, also for a caller who wants none beside the sources: each process
# that runs tests reads all of them.
sys.dont_write_bytecode = False
sys.pycache_prefix = str(pathlib.Path(__file__).resolve().parents[2] / "build/pycache")

from harness.sandbox import (  # noqa: E402, F401: hooks of pytest
    pytest_collection_modifyitems, pytest_configure, pytest_runtest_makereport,
    pytest_runtest_protocol)
