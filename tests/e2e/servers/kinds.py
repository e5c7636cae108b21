# SPDX-License-Identifier: MIT
"""Answers of each kind, by http.server (kinds.py PORT, or /PATH, which has to be descriptor 3) or for
gunicorn (kinds:app): /length, /empty, /long and /chunked (1 MiB), /until-close, /none (204), /early
(413, before the body is read), /slow, /wait/MS.  In the header `X-Asked` stand the request's X-Id, the
bytes of its body, its cookie and its word for Connection.  Each X-Id is written to the file ASKED as
soon as the request is read."""
import hashlib
import http.server
import os
import socket
import socketserver
import sys
import time

LONG = b"0123456789abcdef" * 65536  # 1 MiB
ASKED = os.open(os.environ.get("ASKED", os.devnull), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)


def hear(path, size, asked, cookie, connection):
    """Note the request, wait as long as it says, and return the header."""
    if asked:
        os.write(ASKED, f"{asked}\n".encode())
    if path == "/slow":
        time.sleep(.3)
    elif path.startswith("/wait/"):
        time.sleep(int(path[6:]) / 1000)
    return f"{asked or '-'} {size} {cookie or '-'} {connection or '-'}"


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
        heard = hear(self.path, len(body), *map(self.headers.get, ("X-Id", "Cookie", "Connection")))
        self.send_response(204 if self.path == "/none" else 200)
        self.send_header("X-Asked", heard)
        said = b"" if self.path == "/empty" else said + LONG * (self.path == "/long")
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
    heard = hear(kind, len(body), *(environ.get(f"HTTP_{name}")
                                    for name in ("X_ID", "COOKIE", "CONNECTION")))
    if kind in ("/empty", "/long"):
        said = b"" if kind == "/empty" else said + LONG
    status = {"/none": "204 No Content", "/early": "413 Too Large"}.get(kind, "200 OK")
    length = [("Content-Length", str(len(said)))] if kind not in ("/none", "/chunked") else []
    start_response(status, [("X-Asked", heard), *length])
    return [] if kind == "/none" else [said] + [LONG] * (kind == "/chunked")


class Unix(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def get_request(self):
        return self.socket.accept()[0], ("", 0)


if __name__ == "__main__":
    at = sys.argv[1]
    if at[0] == "/":
        server = Unix(at, Handler, bind_and_activate=False)
        server.socket = socket.socket(fileno=3)
        server.serve_forever()
    http.server.ThreadingHTTPServer.request_queue_size = 400
    http.server.ThreadingHTTPServer(("127.0.0.1", int(at)), Handler).serve_forever()
