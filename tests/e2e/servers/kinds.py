# SPDX-License-Identifier: MIT
"""Answers of each kind, by http.server (kinds.py PORT) or for gunicorn (kinds:app): /length,
/chunked, /until-close, /none (204), /early (413, before the body is read), /slow."""
import hashlib
import http.server
import sys
import time

LONG = b"0123456789abcdef" * 65536  # 1 MiB


def summary(method, body, asked):
    return f"{method} {len(body)} {hashlib.md5(body).hexdigest()} {asked}\n".encode()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        if self.path == "/early":
            self.send_error(413)
            self.close_connection = True
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        said = summary(self.command, body, self.headers.get("X-Id"))
        if self.path == "/slow":
            time.sleep(.3)
        self.send_response(204 if self.path == "/none" else 200)
        if self.path == "/chunked":
            self.send_header("Transfer-Encoding", "chunked")
            said = b"%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(said), said, len(LONG), LONG)
        elif self.path not in ("/none", "/until-close"):
            self.send_header("Content-Length", str(len(said)))
        # as it does of itself after "Connection: close", and does not say
        self.close_connection |= self.path == "/until-close"
        self.end_headers()
        if self.command != "HEAD" and self.path != "/none":
            self.wfile.write(said)

    do_GET = do_POST = do_HEAD = answer

    def log_message(self, *_):
        pass


def app(environ, start_response):
    """Of WSGI."""
    body = environ["wsgi.input"].read() if environ["PATH_INFO"] != "/early" else b""
    said = summary(environ["REQUEST_METHOD"], body, environ.get("HTTP_X_ID"))
    kind = environ["PATH_INFO"]
    if kind == "/slow":
        time.sleep(.3)
    status = {"/none": "204 No Content", "/early": "413 Too Large"}.get(kind, "200 OK")
    length = [("Content-Length", str(len(said)))] if kind not in ("/none", "/chunked") else []
    start_response(status, length)
    return [] if kind == "/none" else [said] + [LONG] * (kind == "/chunked")


if __name__ == "__main__":
    http.server.ThreadingHTTPServer.request_queue_size = 100
    http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
