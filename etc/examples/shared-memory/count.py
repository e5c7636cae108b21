# SPDX-License-Identifier: MIT
"""Counts in the shared memory of its cluster, as count.c does.

Python has no atomic addition: it counts under the lock alone, at byte 64.  The
lock is a record lock of the descriptor; the kernel gives it back when its holder
dies, whatever of.

    nclust -n 4 --shared-memory 64k -- python3 count.py
"""
import fcntl
import mmap
import os
import struct
import sys
import time

LOCKED_AT = 64
TALLY_AT = 128 + 64 * int(os.environ["NCLUST_SLOT"]) + 8
LOCKED_ROUND = 100

fd = int(os.environ["NCLUST_SHM_FD"])
memory = mmap.mmap(fd, int(os.environ["NCLUST_SHM_SIZE"]))
to = open(sys.argv[1], "a", buffering=1) if len(sys.argv) > 1 else sys.stdout



def add(at):
    """In one piece: who is killed here has counted, or has not."""
    (count,) = struct.unpack_from("=Q", memory, at)
    memory[at : at + 8] = struct.pack("=Q", count + 1)


while True:
    for _ in range(LOCKED_ROUND):
        fcntl.lockf(fd, fcntl.LOCK_EX, 8, LOCKED_AT)
        add(LOCKED_AT)
        add(TALLY_AT)
        fcntl.lockf(fd, fcntl.LOCK_UN, 8, LOCKED_AT)
    print("python", file=to, flush=True)
    time.sleep(0.01)
