#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
#
# Run a command for which socket(AF_INET6) fails with EAFNOSUPPORT, as on a
# kernel without IPv6:  without-ipv6.py COMMAND [ARG]...
import ctypes
import os
import socket
import struct
import sys

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
EAFNOSUPPORT = 97
SOCKET = {"x86_64": 41, "aarch64": 198, "riscv64": 198}[os.uname().machine]


def step(code, true, false, k):
    return struct.pack("HBBI", code, true, false, k)


program = b"".join([
    step(LOAD, 0, 0, 0),  # the number of the call
    step(EQUAL, 0, 3, SOCKET),
    step(LOAD, 0, 0, 16),  # its first argument
    step(EQUAL, 0, 1, socket.AF_INET6),
    step(RETURN, 0, 0, ERRNO | EAFNOSUPPORT),
    step(RETURN, 0, 0, ALLOW),
])
keep = ctypes.create_string_buffer(program)
head = struct.pack("HP", len(program) // 8, ctypes.addressof(keep))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or \
        libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, head, 0, 0):
    sys.exit("cannot set a filter: " + os.strerror(ctypes.get_errno()))
os.execvp(sys.argv[1], sys.argv[1:])
