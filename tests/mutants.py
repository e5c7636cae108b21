#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""How many small faults in src/supervisor, or elsewhere, do the tests notice?

  tests/mutants.py [--seed N] [--count N] [--room ROOM]... [--under DIRECTORY]
                   [--only unit|e2e] [--out FILE] [--list FILE]

Each mutant is one change of one line: a condition negated, a call or an assignment left out,
a failure that is a success, a limit off by one.  It is compiled, and then the unit tests of
its room are run, and after these its end-to-end tests, until one fails.  A mutant that does
not compile, or gives the same object, is none; another one is drawn.

FILE gets a line of JSON for each; at the end comes a table by room.  Works in a copy of this
checkout, which has to be built (make all unit-programs fixtures).
"""
import argparse
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parents[1]

# The end-to-end tests of a room, where these are not of its name alone.
E2E = {
    "common": ["core", "control"],
    "limits": ["workers"],
    "order": ["instance", "hooks"],
    "logs": ["logs", "logger"],
    ".": ["whole", "instance"],
}

# What is found in a line of code, and what it becomes.
WAYS = [
    ("negated", re.compile(r"^(\s*(?:\} else )?if \()(?!!\()(.+)(\)(?: \{)?)$"), r"\1!(\2)\3"),
    ("never", re.compile(r"^(\s*if \()(.+)(\)(?: \{)?)$"), r"\1false && (\2)\3"),
    ("no call", re.compile(r"^(\t+)(?!return|goto|break)(?:\(void\))?[a-z_]+\([^;]*\);$"), r"\1;"),
    ("no assignment", re.compile(r"^(\t+)[a-z_>.\-\[\]]+ [-+|&]?= [^;]+;$"), r"\1;"),
    ("success", re.compile(r"^(\t+return) -1;$"), r"\1 0;"),
    ("true", re.compile(r"\bfalse\b"), "true"),
    ("false", re.compile(r"\btrue\b"), "false"),
    ("or", re.compile(r" && "), " || "),
    ("and", re.compile(r" \|\| "), " && "),
    ("off by one", re.compile(r" (<|>) "), r" \1= "),
    ("off by one", re.compile(r" (<|>)= "), r" \1 "),
    ("more", re.compile(r" \+ 1\b"), ""),
    ("not counted", re.compile(r"^(\t+)[a-z_>.\-]+(\+\+|--);$"), r"\1;"),
]


def is_code(lines, at):
    """Inside of a function, and no comment, declaration or log line."""
    line = lines[at]
    if not line.startswith("\t") or re.match(r"\s*(/?\*|//|#|case |log_|const |static )", line):
        return False
    return not (line.rstrip().endswith("*/") and "/*" not in line)


def room_of(path):
    """The folder of src/supervisor, or of src."""
    parts = path.relative_to(TOP / "src").parts[:-1]
    if parts[:1] == ("supervisor",):
        parts = parts[1:] or (".",)
    return parts[0] if parts else "."


def all_mutants(rooms, under="src/supervisor"):
    found = []
    for path in sorted((TOP / under).rglob("*.c")):
        room = room_of(path)
        if rooms and room not in rooms:
            continue
        lines = path.read_text().split("\n")
        for at in range(len(lines)):
            if not is_code(lines, at):
                continue
            for way, pattern, to in WAYS:
                changed, n = pattern.subn(to, lines[at], count=1)
                if n and changed != lines[at]:
                    found.append((room, path.relative_to(TOP), at, way, changed))
    return found


class Copy:
    """Of the checkout, with its objects, to be broken."""

    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="mutants.", dir="/var/tmp"))
        self.dir.chmod(0o755)
        for name in os.listdir(TOP):
            if name in (".git",):
                continue
            subprocess.run(["cp", "-a", TOP / name, self.dir], check=True)
        (self.dir / "build/check").mkdir(exist_ok=True)

    def make(self, *targets):
        return subprocess.run(["make", "-s", "-j2", *targets], cwd=self.dir,
                              capture_output=True).returncode == 0

    def run(self, seconds, *command, **env):
        """Does it pass?"""
        process = subprocess.Popen(command, cwd=self.dir, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                   env={**os.environ, **env}, start_new_session=True)
        try:
            said, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            return False, "does not end"
        finally:
            end_session(process.pid)
        return process.returncode == 0, said

    def break_line(self, path, at, text):
        file = self.dir / path
        lines = file.read_text().split("\n")
        before, lines[at] = lines[at], text
        file.write_text("\n".join(lines))
        return before


def end_session(session):
    """libcheck's tests have process groups of their own."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.getsid(int(pid)) == session:
                os.kill(int(pid), signal.SIGKILL)
        except ProcessLookupError:
            pass


def unit_programs(copy, room):
    place = copy.dir / "build/plain/unit"
    if (place / room).is_file():  # one program for each folder
        return [str(place / room)]
    return [str(p) for p in sorted(place.glob(f"{room}/test_*")) if os.access(p, os.X_OK)
            and p.suffix == ""] if room != "." else []


def e2e_command(copy, rooms):
    """With pytest; with bats in a tree of before."""
    there = [r for r in rooms if (copy.dir / "tests/e2e" / r).is_dir()]
    if not there:
        return None
    if list((copy.dir / "tests/e2e").glob("*/test_*.py")):
        return ["/usr/bin/python3", "-m", "pytest", "-x", "-n", "3", "-m", "not nightly",
                "--dist", "loadgroup", *(f"tests/e2e/{r}" for r in there)]
    return ["scripts/run", "e2e", *(f"{r}/" for r in there)]


def object_of(path):
    return f"build/plain/{path.with_suffix('.o')}"


def first_failure(said):
    for line in said.splitlines():
        if re.match(r"\s*(not ok|FAILED|_+ test)|.*:[EF]:", line):
            return line.strip()[:150]
    return said.strip()[-150:]


def try_mutant(copy, mutant, only):
    room, path, at, way, text = mutant
    before = copy.break_line(path, at, text)
    result = {"room": room, "file": str(path), "line": at + 1, "way": way,
              "was": before.strip(), "is": text.strip(), "killed": None}
    begun = time.monotonic()
    try:
        object_file = copy.dir / object_of(path)
        old = object_file.read_bytes()
        if not copy.make(object_of(path)) or object_file.read_bytes() == old:
            return None
        if not copy.make("nclust"):
            return None
        if only != "e2e":
            programs = unit_programs(copy, room)
            copy.make(*(os.path.relpath(p, copy.dir) for p in programs))
            for program in programs:
                passes, said = copy.run(300, program)
                if not passes:
                    result["killed"] = "unit"
                    result["by"] = first_failure(said)
                    return result
        command = e2e_command(copy, E2E.get(room, [room]))
        if only != "unit" and command:
            passes, said = copy.run(1800, *command, TMPDIR="/tmp")
            if not passes:
                result["killed"] = "e2e"
                result["by"] = first_failure(said)
        return result
    finally:
        result["seconds"] = round(time.monotonic() - begun, 1)
        copy.break_line(path, at, before)
        os.utime(copy.dir / path)
        copy.make(object_of(path))


def table(results):
    rooms = {}
    for r in results:
        rooms.setdefault(r["room"], []).append(r["killed"])
    rooms["all"] = [r["killed"] for r in results]
    for room, killed in rooms.items():
        dead = sum(k is not None for k in killed)
        print(f"{room:12} {dead:4} of {len(killed):4}  {100 * dead / len(killed):4.0f} %   "
              f"unit {killed.count('unit')}, e2e {killed.count('e2e')}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--room", action="append")
    parser.add_argument("--under", default="src/supervisor", help="or another folder of src")
    parser.add_argument("--only", choices=("unit", "e2e"))
    parser.add_argument("--list", metavar="FILE", help="the mutants of an earlier --out")
    parser.add_argument("--out", default="build/mutants.json")
    args = parser.parse_args()

    if args.list:
        with open(args.list) as f:
            earlier = [json.loads(line) for line in f]
        mutants = [(e["room"], pathlib.Path(e["file"]), e["line"] - 1, e["way"], e["is"])
                   for e in earlier]
        for i, (m, e) in enumerate(zip(mutants, earlier)):  # with its indentation
            line = (TOP / m[1]).read_text().split("\n")[m[2]]
            mutants[i] = m[:4] + (line[:len(line) - len(line.lstrip())] + e["is"],)
            assert line.strip() == e["was"], f"{e['file']}:{e['line']} has changed"
    else:
        mutants = all_mutants(args.room, args.under)
        random.Random(args.seed).shuffle(mutants)
    copy = Copy()
    results = []
    try:
        if not copy.make("nclust", "unit-programs"):
            sys.exit("mutants: the copy does not build")
        for mutant in mutants:
            if len(results) == args.count:
                break
            result = try_mutant(copy, mutant, args.only)
            if result is None:
                continue
            results.append(result)
            print(f"{len(results):3} {result['killed'] or 'LIVES':5} {result['file']}:"
                  f"{result['line']} {result['way']} ({result['seconds']} s)", flush=True)
            with open(args.out, "a") as f:
                f.write(json.dumps(result) + "\n")
    finally:
        shutil.rmtree(copy.dir, ignore_errors=True)
    table(results)


if __name__ == "__main__":
    main()
