# SPDX-License-Identifier: MIT
"""surge = all: two releases at once serve pages whose assets the other lacks, so nobody who has
seen the new one gets the old one again."""
from harness import *

RELEASE = """
import http.server, os, time
release, slot = open("release").read(), os.environ["NCLUST_SLOT"]
while not os.path.exists(f"go.{release}.{slot}"):
    time.sleep(0.01)
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        page = self.path in ("/", "/asset-" + release)
        self.send_response(200 if page else 404)
        self.end_headers()
        self.wfile.write(release.encode())
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", 8000), Page).serve_forever()"""

NODE = """
const fs = require("fs"), release = fs.readFileSync("release", "utf8");
const server = require("http").createServer((request, response) => {
  response.statusCode = ["/", "/asset-" + release].includes(request.url) ? 200 : 404;
  response.end(release);
});
(function listen() {
  if (fs.existsSync(`go.${release}.${process.env.NCLUST_SLOT}`)) server.listen(8000, "127.0.0.1");
  else setTimeout(listen, 10);
})();"""


def goes_to(release):
    write("release", release)
    write(f"go.{release}.0", "")


def releases(count=30):
    """Which has answered; the assets of the new one's pages are there."""
    seen = []
    for _ in range(count):
        seen.append(get("/").body)
        if seen[-1] == "new":
            assert get("/asset-new").status == 200
    return seen


@pytest.mark.parametrize("options", ("--drain auto", "--balance rr", "--drain off",
                                     "--sticky client-address"))
def test_all_clients_go_over_to_the_new_release_once_all_of_it_is_ready(options):
    goes_over(options, "python3", "-c", RELEASE)


@pytest.mark.parametrize("options", ("--drain auto", "--balance random"))
def test_so_they_do_with_workers_of_nodes_cluster(options):
    goes_over(options, "node", write("server.js", NODE))


def new_answers():
    try:
        return releases(1) == ["new"]
    except ConnectionError:  # drain = off cuts what an old worker has in hand
        return False


def goes_over(options, *command):
    goes_to("old")
    write("go.old.1", "")
    it = cluster(f"-n 2 --surge all --ready listen {options}", *command)
    old = it.pids()
    goes_to("new")
    restart = it.begin("restart")
    it.event("ready", slot=0, n=2)
    assert set(releases()) == {"old"}
    it.event("baked")
    it.event("started", slot=1, n=2)
    assert set(releases()) == {"old"} and set(old) < set(it.pids())
    write("go.new.1", "")
    wait(new_answers)
    assert set(releases()) == {"new"}
    restart()
    assert set(releases()) == {"new"}
    it.call("upgrade")
    assert set(releases()) == {"new"}
    assert it.stop() == 0
