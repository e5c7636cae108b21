# SPDX-License-Identifier: MIT
"""shared.py PLACE DIRECTORY: a file system of FUSE at PLACE with the files of that directory; who
watches it hears nothing of their changes.  Inode numbers last as short as those of libfuse may.
While there is a FIFO "hang" in that directory, close(2) of a file waits until somebody writes to it."""
import ctypes
import os
import struct
import sys
import time

place, directory = sys.argv[1:]
device = os.open("/dev/fuse", os.O_RDWR)
assert ctypes.CDLL(None).mount(b"shared", place.encode(), b"fuse", 0, ctypes.c_char_p(
    b"fd=%d,rootmode=40000,user_id=0,group_id=0" % device)) == 0
nodes = [None, "."]  # names, by their numbers


def attributes(node):
    s = os.stat(os.path.join(directory, nodes[node]))
    times = [divmod(t, 10 ** 9) for t in (s.st_atime_ns, s.st_mtime_ns, s.st_ctime_ns)]
    return struct.pack("6Q10I", time.monotonic_ns(), s.st_size, 0, *(t[0] for t in times), *(t[1] for t in times),
                       s.st_mode, s.st_nlink, 0, 0, 0, 4096, 0)


def answer(call, node, data):
    if call == 1:  # LOOKUP
        name = data.rstrip(b"\0").decode()
        if name not in nodes:
            nodes.append(name)
        return struct.pack("4Q2I", nodes.index(name), 0, 0, 0, 0, 0) + attributes(nodes.index(name))
    if call == 3:  # GETATTR
        return struct.pack("Q2I", 0, 0, 0) + attributes(node)
    if call == 26:  # INIT
        return struct.pack("4I2H2I2H8I", 7, 31, 0, 0, 1, 1, 4096, 1, *[0] * 10)
    if call == 25:  # FLUSH
        hang = os.path.join(directory, "hang")
        if os.path.exists(hang):
            with open(hang, encoding="ascii") as until:
                until.read()
        return b""
    if call == 27:
        with open(os.path.join(directory, "looks"), "a", encoding="ascii") as looks:
            looks.write(".")
    if os.path.exists(os.path.join(directory, "away")):
        raise OSError(5, "the other machine is away")
    if call in (17, 27, 29):  # STATFS, OPENDIR, RELEASEDIR
        return bytes({17: 80, 27: 16, 29: 0}[call])
    if call != 28:  # READDIR
        raise OSError(38, "not implemented")
    entries = b""
    for n, name in list(enumerate(sorted(os.listdir(directory)), 1))[struct.unpack_from(
            "QQ", data)[1]:]:
        entry = struct.pack("2Q2I", n + 1000, n, len(name), 0) + name.encode()
        entries += entry + bytes(-len(entry) % 8)
    return entries


while True:
    request = os.read(device, 1 << 18)
    _, call, unique, node = struct.unpack_from("2I2Q", request)
    if call in (2, 36, 42):  # FORGET, INTERRUPT, BATCH_FORGET
        continue
    try:
        error, text = 0, answer(call, node, request[40:])
    except OSError as e:
        error, text = -e.errno, b""
    os.write(device, struct.pack("IiQ", 16 + len(text), error, unique) + text)
