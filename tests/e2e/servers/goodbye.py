# SPDX-License-Identifier: MIT
"""Echoes what comes by WebSocket, answers other requests, and says goodbye to its WebSockets when
it gets SIGTERM (RFC 6455, 7.4: 1012; of a later generation: 1001); /hang lasts until somebody
writes to the FIFO "hang", the second half of /pieces comes when somebody writes a byte to the FIFO
"pieces", and so does the echo of "later"; with "patient" it then waits until all clients leave:
goodbye.py PORT [patient]"""
import asyncio
import os
import signal
import sys

clients = set()
talks = set()
patient = sys.argv[2:] != []
leaving = False


async def serve(reader, writer):
    clients.add(writer)
    try:
        while b"Upgrade:" not in (head := await reader.readuntil(b"\r\n\r\n")):
            if b"/hang" in head:
                hang()
            # as long as those of most servers: a shorter one may be "100 Continue"
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nServer: goodbye\r\n"
                         b"Content-Length: 6\r\n\r\nhel")
            if b"/pieces" in head:
                await asyncio.to_thread(lambda: os.read(os.open("pieces", os.O_RDONLY), 1))
            writer.write(b"lo\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n")
        talks.add(writer)
        while True:
            size = (await reader.readexactly(2))[1] & 127
            mask = await reader.readexactly(4) * 32
            text = bytes(a ^ b for a, b in zip(await reader.readexactly(size), mask))
            if text == b"later":
                await piece()
            writer.write(bytes((0x81, size)) + text)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()
    clients.remove(writer)
    if leaving and not clients:
        asyncio.get_running_loop().stop()


async def piece():
    """Without a thread that sleeps, which nclust would see."""
    comes = asyncio.Event()
    loop.add_reader(fifo := os.open("pieces", os.O_RDONLY | os.O_NONBLOCK), comes.set)
    await comes.wait()
    loop.remove_reader(fifo)


def hang():
    open("hangs", "w").close()
    open("hang").close()


def leave(loop):
    global leaving
    leaving = True
    code = 1012 if os.environ["NCLUST_GENERATION"] == "1" else 1001
    for writer in () if patient else talks:
        writer.write(b"\x88\x02" + code.to_bytes(2, "big"))
    if not patient:
        loop.call_later(0.05, loop.stop)


async def main():
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, leave, loop)
    await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]))
    await asyncio.Event().wait()


loop = asyncio.new_event_loop()
loop.create_task(main())
loop.run_forever()
