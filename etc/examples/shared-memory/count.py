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
LOCKED_ROUND = 100

fd = int(os.environ["NCLUST_SHM_FD"])
memory = mmap.mmap(fd, int(os.environ["NCLUST_SHM_SIZE"]))
to = open(sys.argv[1], "a", buffering=1) if len(sys.argv) > 1 else sys.stdout

while True:
    for _ in range(LOCKED_ROUND):
        fcntl.lockf(fd, fcntl.LOCK_EX, 8, LOCKED_AT)
        (count,) = struct.unpack_from("=Q", memory, LOCKED_AT)
        # eight bytes in one piece: who is killed here has counted, or has not
        memory[LOCKED_AT : LOCKED_AT + 8] = struct.pack("=Q", count + 1)
        fcntl.lockf(fd, fcntl.LOCK_UN, 8, LOCKED_AT)
    print("python", 0, LOCKED_ROUND, file=to, flush=True)
    time.sleep(0.01)
