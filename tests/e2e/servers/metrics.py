# SPDX-License-Identifier: MIT
"""One worker of a server that tells metrics, one client at a time.

With LISTEN_FDS it has its socket, else it binds PORT itself (argument 2).  Before each
answer it reads how to misbehave: the file DIRECTORY/SLOT (argument 1), if it exists.  When it has
been asked for its metrics there is DIRECTORY/asked.SLOT.  --notify: it says when it serves.
"""
import os
import socket
import sys

directory, slot = sys.argv[1], os.environ["NCLUST_SLOT"]
if "LISTEN_FDS" in os.environ:
    listener = socket.socket(fileno=3)
else:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if "--reuseport" in sys.argv:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("127.0.0.1", int(sys.argv[2])))
    listener.listen(64)

if "--notify" in sys.argv:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.connect(os.environ["NOTIFY_SOCKET"])
        notify.send(b"READY=1")

served = 0
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n"


def mode():
    try:
        with open(os.path.join(directory, slot)) as file:
            return file.read().strip()
    except OSError:
        return ""


def head_of(client):
    text = b""
    while b"\r\n\r\n" not in text:
        got = client.recv(4096)
        if not got:
            return None
        text += got
    return text


def answer(client, request):
    text = (
        "# HELP app_requests_total Requests.\n# TYPE app_requests_total counter\n"
        'app_requests_total{path="/"} %d\n'
        "# HELP app_seconds Times.\n# TYPE app_seconds histogram\n"
        'app_seconds_bucket{le="1"} 1\napp_seconds_bucket{le="+Inf"} 1\n'
        "app_seconds_sum 0.5\napp_seconds_count 1\n"
        "# HELP app_pid The pid.\n# TYPE app_pid gauge\napp_pid %d\n"
        % (served, os.getpid())
    ).encode()
    if not request.startswith(b"GET /metrics "):
        status = b"404 Not Found" if b"/missing" in request else b"200 OK"
        text = b"pid=%d slot=%s\n" % (os.getpid(), slot.encode()) + request
        client.sendall(
            b"HTTP/1.1 %s\r\nX-Odd: a\x1bb\r\nConnection: close\r\n\r\n" % status
            + text
            + (b"\x1b]0;evil\x07" if b"/odd" in request else b"")
        )
        return
    how = mode()
    open(os.path.join(directory, f"asked.{slot}"), "w").close()
    if how == "endless":
        client.sendall(HEAD + b"\r\n")
        while True:
            client.sendall(b"a 1\n" * 10000)
    elif how == "never":
        client.settimeout(60)
        client.recv(1)
    elif how == "long":  # it promises more than comes
        client.sendall(HEAD + b"Content-Length: 100000\r\n\r\n" + text)
    elif how == "big":
        client.sendall(HEAD + b"Content-Length: 10000000\r\n\r\n")
        client.sendall(b"a 1\n" * 2500000)
    elif how == "invalid":
        client.sendall(HEAD + b"\r\n<html>\xff\n" + text)
    elif how == "forged":
        text = (
            b'nclust_worker_scrape_error 0\nnclust_workers_ready{cluster="x"} 9\n'
            b'app_pid{slot="x"} 1\n# TYPE app_seconds gauge\napp_seconds 1\n'
        )
        client.sendall(HEAD + b"\r\n" + text)
    elif how == "lines":  # few bytes, but nearly all lines that there may be
        client.sendall(HEAD + b"\r\n" + b"a 1\n" * 99980)
    elif how == "large":  # what one may say, and not ten
        line = b'b{c="%s"} 1\n' % (b"d" * 200)
        client.sendall(HEAD + b"\r\n" + line * 2400)
    elif how == "shut":
        client.shutdown(socket.SHUT_RDWR)
    elif how == "error":
        client.sendall(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n")
    else:
        client.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(text) + text)


while True:
    connection, _ = listener.accept()
    with connection:
        try:
            connection.settimeout(60)
            head = head_of(connection)
            if head:
                served += 1
                answer(connection, head)
        except OSError:
            pass
