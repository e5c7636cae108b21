# SPDX-License-Identifier: MIT
"""Lines "line SLOT N xxx", as wide as argument 1, so many at once (argument 2), until the file
"enough" is there; then "said.SLOT" has their number."""
import os
import sys
import time

slot, width, at_once, n = os.environ["NCLUST_SLOT"], int(sys.argv[1]), int(sys.argv[2]), 0
while not os.path.exists("enough"):
    data = "".join(f"line {slot} {k} {'x' * width}\n" for k in range(n, n + at_once)).encode()
    n += at_once
    while data:
        data = data[os.write(1, data):]
    time.sleep(0.002)
with open("new." + slot, "w") as f:
    f.write(str(n))
os.rename("new." + slot, "said." + slot)
time.sleep(1000)
