# SPDX-License-Identifier: MIT
"""Servers of other worlds that open their port themselves, with compilers and runtimes that are
too large for every check: scripts/run wild builds them."""
from harness import *
from harness.life import Life

pytestmark = pytest.mark.nightly
HERE = f"{SRC}/tests/e2e/wild"
BUILT = f"{SRC}/build/wild"
# a small heap and no second compiler: it starts faster
JAVA = ("java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx64m", "-cp", BUILT)
SERVERS = {
    "Go, net/http": ((f"{BUILT}/server", PORT), {}),
    "Java, ServerSocket": ((*JAVA, "PlainSocket", PORT), {"at_once": 1}),
    "Java, HttpServer": ((*JAVA, "PlainHttp", PORT), {}),
    "Ruby, webrick": (("ruby", f"{HERE}/plain-webrick.rb", PORT),
                      {"addresses": 2, "shuts": True}),
    "Ruby, puma": (("puma", "--environment", "production", "--threads", "1:2", "--bind",
                    f"tcp://127.0.0.1:{PORT}", f"{HERE}/config.ru"), {"drains": True}),
}


@pytest.mark.parametrize("name", SERVERS)
def test_two_workers_share_a_port_that_each_opens(name):
    command, habits = SERVERS[name]
    need(command[0])
    Life(cluster("-n 2 --ready listen", *command), **{"at_once": 3, **habits}).lead()
