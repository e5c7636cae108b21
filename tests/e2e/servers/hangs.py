# SPDX-License-Identifier: MIT
"""A file system of FUSE at DIRECTORY (argument 1), with one empty file, "file".  close(2) of that
waits as long as there is a FIFO HANG (argument 2), until somebody writes to it."""
import ctypes
import os
import struct
import sys

LOOKUP, FORGET, GETATTR, OPEN, RELEASE, FLUSH, INIT, INTERRUPT, FORGETS = 1, 2, 3, 14, 18, 25, 26, \
    36, 42
ENOSYS = 38


def attributes(node):
    """struct fuse_attr: the root is 1."""
    mode = 0o40755 if node == 1 else 0o100644
    return struct.pack("6Q10I", node, 0, 0, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def answer(kind, node):
    if kind == INIT:
        return struct.pack("4I2H2I2HI7I", 7, 31, 0, 0, 1, 1, 4096, 1, 1, 0, 0, *[0] * 7)
    if kind == LOOKUP:
        return struct.pack("4Q2I", 2, 0, 0, 0, 0, 0) + attributes(2)
    if kind == GETATTR:
        return struct.pack("Q2I", 0, 0, 0) + attributes(node)
    if kind == OPEN:
        return struct.pack("Q2I", 0, 0, 0)
    if kind == FLUSH and os.path.exists(sys.argv[2]):
        with open(sys.argv[2]) as f:
            f.read()
    return b"" if kind in (FLUSH, RELEASE) else None


device = os.open("/dev/fuse", os.O_RDWR)
libc = ctypes.CDLL(None, use_errno=True)
if libc.mount(b"hangs", sys.argv[1].encode(), b"fuse", 0,
              f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other".encode()) != 0:
    sys.exit(os.strerror(ctypes.get_errno()))
while True:
    request = os.read(device, 1 << 17)
    _, kind, unique, node = struct.unpack_from("2I2Q", request)
    if kind in (FORGET, FORGETS, INTERRUPT):
        continue
    text = answer(kind, node)
    os.write(device, struct.pack("IiQ", 16 + len(text or b""), 0 if text is not None else -ENOSYS,
                                 unique) + (text or b""))
