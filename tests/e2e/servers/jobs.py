# SPDX-License-Identifier: MIT
"""A parent with job control: jobs.py FILE COMMAND... tells FILE of each time at
which it sees that its child was stopped."""

import os
import sys

pid = os.fork()
if pid == 0:
    os.setpgid(0, 0)
    os.execvp(sys.argv[2], sys.argv[2:])
while True:
    _, status = os.waitpid(pid, os.WUNTRACED)
    if not os.WIFSTOPPED(status):
        sys.exit(os.waitstatus_to_exitcode(status))
    with open(sys.argv[1], "a") as file:
        file.write("stopped\n")
