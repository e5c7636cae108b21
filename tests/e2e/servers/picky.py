# SPDX-License-Identifier: MIT
"""picky.py PORT HOST: a server behind a proxy that ends TLS.  It answers 400 to any other Host, and
403 where X-Forwarded-Proto is not https.  /big/MB is answered by so much, /stream until the client
has said that it asks no more.  What fails is on stderr."""
import http.server
import select
import sys


class Picky(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(
            400 if self.headers["Host"] != sys.argv[2] else
            403 if self.headers["X-Forwarded-Proto"] != "https" else 200)
        self.end_headers()
        if self.path.startswith("/big/"):
            for _ in range(int(self.path[5:]) * 16):
                self.wfile.write(bytes(1 << 16))
        while self.path == "/stream" and not select.select([self.connection], [], [], 0.02)[0]:
            self.wfile.write(b"more\n")

    def log_message(self, *args):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Picky).serve_forever()
