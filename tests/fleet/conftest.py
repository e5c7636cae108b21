# SPDX-License-Identifier: MIT
"""The tests of several hosts with real programs: each in a sandbox, as those of tests/e2e."""
import pytest
from harness import need_root
from harness.sandbox import (  # noqa: F401: hooks of pytest
    pytest_collection_modifyitems, pytest_configure, pytest_runtest_makereport,
    pytest_runtest_protocol)


@pytest.fixture(autouse=True)
def root():
    need_root()
