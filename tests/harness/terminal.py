# SPDX-License-Identifier: MIT
"""A terminal, and what programs draw on it."""
import codecs
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time

import pytest

from . import lab

# It can do no more than this: what curses draws by that is easy to follow.
KIND = r"""tiny|the terminal of the tests,
	cols#80, lines#24, colors#8, pairs#64,
	clear=\E[H\E[2J, cup=\E[%i%p1%d;%p2%dH, bold=\E[1m, rev=\E[7m, sgr0=\E[m,
	setaf=\E[3%p1%dm, setab=\E[4%p1%dm, op=\E[39;49m, civis=\E[?25l, cnorm=\E[?25h,
	smcup=\E[?1049h, rmcup=\E[?1049l, kcuu1=\E[A, kcud1=\E[B, khome=\E[H, kend=\E[F,
	kpp=\E[5~, knp=\E[6~,
"""
HOME, END, PAGE_UP, ENTER, ESCAPE = "\033[H", "\033[F", "\033[5~", "\r", "\033"
PIECE = re.compile(r"\033\[([?0-9;]*)([A-Za-z])|\033\][^\a]*\a|\033[^\[\]]|([^\033])", re.S)


class Terminal:
    """A command on a terminal of its own; `text` is what it shows, `said` all that came.  Without
    a command it is for an instance: cluster(..., **Terminal().streams)."""

    def __init__(self, *command, columns=80, rows=24, env=None, **options):
        os.makedirs(lab.path("terminfo"), exist_ok=True)
        subprocess.run(["tic", "-x", "-o", lab.path("terminfo"), "-"], input=KIND, text=True,
                       check=True)
        self.said, self.rest = "", ""
        self.decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self.cells = {}  # (row, column): character and how it is drawn
        self.at = [0, 0]
        self.drawn = set()  # 1 bold, 7 in reverse video, 31 red ...
        self.modes = {"?25"}  # the cursor is seen; ?1049: the other screen is
        self.master, slave = pty.openpty()
        self.resize(columns, rows)
        self.before = termios.tcgetattr(self.master)
        environment = {**os.environ, "TERM": "tiny", "TERMINFO": lab.path("terminfo"),
                       **(env or {})}
        for name in ("COLUMNS", "LINES", "NO_COLOR"):
            if name not in (env or {}):
                environment.pop(name, None)
        self.streams = {"stdin": slave, "stdout": slave, "stderr": slave,
                        "start_new_session": True,
                        "preexec_fn": lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0)}
        if command:
            self.process = lab.begin_program(*command, env=environment, **self.streams, **options)
            os.close(slave)

    def resize(self, columns, rows):
        self.columns, self.rows = columns, rows
        self.cells = {at: c for at, c in self.cells.items() if at[0] < rows and at[1] < columns}
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def type(self, keys):
        os.write(self.master, keys.encode())

    def hang_up(self):
        os.close(self.master)

    # ---- what it shows ----

    def take(self, text):
        self.said += text
        self.rest += text
        while (piece := PIECE.match(self.rest)) is not None:
            self.rest = self.rest[piece.end():]
            if piece.group(3):
                self.put(piece.group(3))
            elif piece.group(2):
                self.obey(piece.group(1), piece.group(2))

    def put(self, character):
        if character == "\r":
            self.at[1] = 0
        elif character == "\n":
            self.at[0] += 1
            if self.at[0] >= self.rows:
                self.at[0] = self.rows - 1
                self.cells = {(r - 1, c): cell for (r, c), cell in self.cells.items() if r > 0}
        elif character == "\b":
            self.at[1] = max(self.at[1] - 1, 0)
        elif character >= " ":
            if self.at[0] < self.rows and self.at[1] < self.columns:
                self.cells[tuple(self.at)] = (character, frozenset(self.drawn))
            self.at[1] += 1

    def obey(self, arguments, what):
        if what == "H":
            row, column = arguments.split(";") if arguments else (1, 1)
            self.at = [int(row) - 1, int(column) - 1]
        elif what in "JK":  # what is behind, or all of it
            first = (0, 0) if arguments == "2" else tuple(self.at)
            self.cells = {at: cell for at, cell in self.cells.items()
                          if at < first or (what == "K" and at[0] > first[0])}
        elif what == "m":
            for number in (arguments or "0").split(";"):
                self.drawn = set() if number in "0" else self.drawn | {int(number)}
                if number == "39":
                    self.drawn -= set(range(30, 40))
        elif what == "h":
            self.modes.add(arguments)
        elif what == "l":
            self.modes.discard(arguments)

    def lines(self, drawn=None):
        """What stands on it; only what is drawn so."""
        found = []
        for row in range(self.rows):
            columns = [c for r, c in self.cells if r == row]
            line = ""
            for column in range(max(columns, default=-1) + 1):
                character, how = self.cells.get((row, column), (" ", ()))
                line += character if drawn is None or drawn in how else " "
            found.append(line.rstrip())
        return found

    @property
    def text(self):
        return "\n".join(self.lines())

    # ---- waiting ----

    def look(self, seconds=0):
        """Take what has come, or comes until then; False at the end."""
        if not select.select([self.master], [], [], seconds)[0]:
            return True
        try:
            piece = os.read(self.master, 65536)
        except OSError:  # all have closed it
            return False
        self.take(self.decode(piece))
        return piece != b""

    def wait(self, holds, what=""):
        """Until `holds` is true of what it shows."""
        end = time.monotonic() + lab.BOUND
        self.look()
        while not (got := holds()):
            if time.monotonic() > end or not self.look(0.2) and not holds():
                pytest.fail(f"never seen: {what or lab.source(holds)}\n{self.text}")
        return got

    def sees(self, *patterns, lacks=()):
        """Until all of these are on it at the same time, and none of those."""
        self.wait(lambda: all(map(self.has, patterns)) and not any(map(self.has, lacks)),
                  f"{patterns} without {lacks}" if lacks else patterns)

    def has(self, pattern):
        return re.search(pattern, self.text, re.M) is not None

    def exit(self):
        """Wait for the end of the command: its exit status."""
        lab.wait(lambda: not self.look(0.1), "the end of all on the terminal")
        lab.wait(lambda: self.process.poll() is not None, "its exit status")
        return self.process.returncode

    def is_as_before(self):
        """The cursor, the screen and the modes of the terminal."""
        return (self.modes & {"?25", "?1049"} == {"?25"}
                and termios.tcgetattr(self.master) == self.before)
