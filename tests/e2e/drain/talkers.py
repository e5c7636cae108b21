# SPDX-License-Identifier: MIT
"""WebSockets that say something each PAUSE seconds, one after the other: talkers.py PORT COUNT
PAUSE. "ready" when all were answered; then a line for each that is cut: who, and the code where it
is not 1012."""
import asyncio
import sys

PORT, COUNT, PAUSE = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
TEXT = b"a message that is longer than a request of HTTP/1 need be"
begun = set()


async def talk(who):
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
    writer.write(b"GET /talk HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket"
                 b"\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")

    async def say():
        await asyncio.sleep(PAUSE * who / COUNT)
        while True:
            writer.write(bytes((0x81, 0x80 | len(TEXT), 0, 0, 0, 0)) + TEXT)
            await asyncio.sleep(PAUSE)

    says = asyncio.create_task(say())
    try:
        while True:
            kind, size = await reader.readexactly(2)
            text = await reader.readexactly(size)
            if kind == 0x88:
                return int.from_bytes(text[:2], "big")
            begun.add(who)
            if len(begun) == COUNT:
                print("ready", flush=True)
                begun.add("all")
    except (asyncio.IncompleteReadError, ConnectionError):
        return 1006
    finally:
        says.cancel()
        writer.close()


async def stay(who):
    while True:
        code = await talk(who)
        print(who if code == 1012 else f"{who} {code}", flush=True)


async def main():
    await asyncio.gather(*(stay(who) for who in range(COUNT)))


asyncio.run(main())
