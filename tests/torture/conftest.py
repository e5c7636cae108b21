# SPDX-License-Identifier: MIT
from harness.sandbox import (  # noqa: F401: hooks of pytest
    pytest_collection_modifyitems, pytest_configure, pytest_runtest_makereport,
    pytest_runtest_protocol)
