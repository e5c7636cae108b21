# SPDX-License-Identifier: MIT
# Slot 1 listens on a second port, which no other slot opens.  /hold is answered
# once FILE is there.
#
# usage: two-ports.py PORT SECOND FILE
import asyncio
import os
import sys


async def answer(reader, writer):
    head = await reader.readuntil(b"\r\n\r\n")
    while head.startswith(b"GET /hold ") and not os.path.exists(sys.argv[3]):
        await asyncio.sleep(0.02)
    slot = os.environ["NCLUST_SLOT"]
    writer.write(b"HTTP/1.0 200 OK\r\n\r\nslot=%s\n" % slot.encode())
    writer.close()


async def main():
    first = await asyncio.start_server(answer, "127.0.0.1", int(sys.argv[1]))
    if os.environ["NCLUST_SLOT"] == "1":
        await asyncio.start_server(answer, "127.0.0.1", int(sys.argv[2]))
    await first.serve_forever()


asyncio.run(main())
