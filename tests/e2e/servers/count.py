# SPDX-License-Identifier: MIT
"""It says what it reads from a FIFO (argument 1), line by line; at "go" before that 8000 lines of
100 bytes."""
import os
import sys

said = open(sys.argv[1], "r+b", 0)
while True:
    line = said.readline()
    for n in range(8000 if line == b"go\n" else 0):
        os.write(1, b"line %d %s\n" % (n, b"x" * 90))
    os.write(1, line)
