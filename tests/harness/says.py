# SPDX-License-Identifier: MIT
"""Workers that say what a test does, and one that says much."""
import os
import re

from . import lab
from .instance import cluster, server

# Each reads a FIFO of its own.
SAYER = ("sh", "-c", 'exec cat <>"$0"')
# It says much when it is told to.
COUNTER = ("python3", server("count.py"))


def here(text):
    """With the places of a log in the test's directory: file:web."""
    return re.sub(r"\b(file|journal|syslog):(?=[^/])", rf"\1:{lab.path()}/", text)


def ini(log, *options, command=SAYER, name="it", slot="{slot}"):
    """The text of a file with one cluster of these."""
    words = " ".join(f"'{word}'" for word in (*command, lab.path(f"say.{slot}")))
    return "\n".join((f"[cluster:{name}]", f"command = {words}", "workers = 1",
                      "ready = alive:0s", f"log = {here(log)}", *options, ""))


def says(options="", command=SAYER, **more):
    """A cluster of these; its logger runs.  With ini (a text) the command is in that."""
    for slot in (0, 1, 2):
        os.mkfifo(f"say.{slot}")
        os.chmod(f"say.{slot}", 0o666)
    if "ini" in more:
        it = cluster(options, **more)
    else:
        it = cluster(f"-n 1 --ready alive:0s {here(options)}", *command, lab.path("say.{slot}"),
                     **more)
    it.role("logger")
    return it


def say(text, slot=0):
    with open(lab.path(f"say.{slot}"), "w") as f:
        f.write(text + "\n")


def held(pid, logger):
    """Does that worker wait to write, and the logger for something else than to read that?"""
    def look():
        return lab.read(f"/proc/{pid}/wchan"), lab.read(f"/proc/{pid}/io")

    before = look()
    threads = [f"{logger}/task/{t}" for t in os.listdir(f"/proc/{logger}/task")]
    return ("pipe_write" in before[0] and all(lab.state(t) in "SD" for t in threads)
            and any("poll" in lab.read(f"/proc/{t}/wchan") for t in threads)
            and look() == before)
