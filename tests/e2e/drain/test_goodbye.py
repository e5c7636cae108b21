# SPDX-License-Identifier: MIT
"""A server that catches SIGTERM can say goodbye to those of its clients that stay."""
from drains import *


@pytest.mark.parametrize("workers", (1, 4))
def test_each_websocket_is_told_goodbye_and_only_once(workers):
    # with one worker silence never comes, as others ask over HTTP/1 as well
    it = cluster(f"-n {workers} --ready listen --bake 0 --drain-timeout 10m", "python3", server("goodbye.py"), PORT)
    begin_program("python3", f"{SRC}/tests/e2e/drain/talkers.py", PORT, 20, 1, stdout="cut")
    wait(lambda: "ready" in read("cut"))
    loads = without_a_pause() if workers == 1 else None
    it.call("restart")
    wait(lambda: len(lines("cut")) > 20)
    assert sorted(lines("cut")[1:]) == sorted(f"{who}" for who in range(20))
    all_quiet(it, workers)
    if loads:
        loads.end()
