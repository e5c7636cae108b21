# SPDX-License-Identifier: MIT
"""Two clusters, for verbs that mean one of them or both."""
from harness import HEAR

TWO = f"""
    [defaults]
    command = {HEAR} --notify
    ready = notify
    [cluster:web]
    workers = 2
    [cluster:api]
    workers = 1
    """
