# SPDX-License-Identifier: MIT
"""What the end-to-end tests share: `from harness import *`."""
import os
import signal
from signal import SIGCONT, SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGSTOP, SIGTERM, SIGUSR1, SIGUSR2

import pytest

from .control import Closed, Control, Object, Refused
from .instance import (DIE, HEAR, NAP, NOTIFY, PLAIN, PROGRAM, RUDE, SERVE, UNWELL, Instance,
                       born, cluster, fixture, inside, is_refused, keepers, kill_keeper_and,
                       launch, leak, nclust, numbers, section,
                       server, start, variant)
from .lab import (AS_NOBODY, BOUND, CHECKOUT, PATIENCE, SRC, Gate, begin_program, command,
                  descriptors, environment, freeze, is_alive, is_gone, is_stopped, kernel, kill,
                  lines, living, make, need, need_moved_queues, need_multipath_tcp, need_root,
                  package_of, path, pids, read, rests, run, session, stat, state, thaw, wait,
                  wait_gone, write, edit)
from .life import Life
from .load import Clients, Steady, Visits
from .net import (PORT, Answer, Request, asked, dial, get, holders, inodes, listens, queued, slots,
                  sockets, wait_asked, wait_listened)
