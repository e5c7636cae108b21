# SPDX-License-Identifier: MIT
"""How many tests have passed, by what they have said."""
import re


def count(said):
    """(passed, failed, skipped) of what libcheck, pytest, and our own scripts say last."""
    passed = failed = skipped = 0
    for total, failures, errors in re.findall(
            r"^\d+%: Checks: (\d+), Failures: (\d+), Errors: (\d+)$", said, re.M):
        failed += int(failures) + int(errors)
        passed += int(total) - int(failures) - int(errors)
    for line in said.splitlines()[-3:]:
        if re.match(r"=* ?\d+ (passed|failed|skipped|error).* in [\d.]+s", line):
            passed += sum(map(int, re.findall(r"(\d+) passed", line)))
            failed += sum(map(int, re.findall(r"(\d+) (?:failed|errors?)", line)))
            skipped += sum(map(int, re.findall(r"(\d+) skipped", line)))
    passed += len(re.findall(r"^ok      ", said, re.M))
    failed += len(re.findall(r"^FAILED  ", said, re.M))
    return passed, failed, skipped
