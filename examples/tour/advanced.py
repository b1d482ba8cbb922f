"""Flushing, auto-unsubscribe, several connections.

Run it: `python examples/tour/advanced.py [server URL]`.
"""

from __future__ import annotations

import asyncio
import sys

from natsrpc import NatsTimeoutError
from natsrpc.core import DEFAULT_URL, connect


async def main(servers: str) -> None:
    async with connect(servers) as nc:
        # A flush returns when the server has processed everything sent before it.
        await nc.publish("foo", b"hello world")
        await nc.flush()
        print("all clear")

        try:
            await nc.flush(timeout=1.0)
            print("all clear within a second")
        except NatsTimeoutError:
            print("the server is slow today")

        # End by itself after so many messages.
        limited = await nc.subscribe("limited", max_msgs=3)
        for number in range(5):
            await nc.publish("limited", str(number).encode())
        print("limited:", [msg.data.decode() async for msg in limited])

        # Any number of connections.
        async with connect(servers, name="second") as other:
            sub = await nc.subscribe("between")
            await nc.flush()
            await other.publish("between", b"from the other connection")
            print((await sub.next_msg(1.0)).data.decode())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:] or [DEFAULT_URL]))
