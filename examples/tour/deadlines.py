"""Deadlines: asyncio's own `timeout` around one call or several.

Run it: `python examples/tour/deadlines.py [server URL]`.
"""

from __future__ import annotations

import asyncio
import sys

from natsrpc import Encoded
from natsrpc.core import DEFAULT_URL, Msg, connect


async def main(servers: str) -> None:
    async with connect(servers) as nc:

        async def echo(msg: Msg) -> None:
            await msg.respond(msg.data)

        await nc.subscribe("echo", cb=echo)
        inbox = await nc.subscribe("news")

        # One deadline over several calls: `timeout=None` leaves it to the block around them.
        async with asyncio.timeout(2.0):
            answer = await nc.request("echo", b"in time", timeout=None)
            print(f"request: {answer.data.decode()}")

            await nc.publish("news", b"good")
            msg = await inbox.next_msg(timeout=None)
            print(f"next message: {msg.data.decode()}")

            enc = Encoded(nc, "json")
            text = await enc.request("echo", "typed", str, timeout=None)
            print(f"typed request: {text}")

        # A deadline that passes raises TimeoutError, whichever way it was set.
        try:
            async with asyncio.timeout(0.05):
                await inbox.next_msg(timeout=None)
        except TimeoutError:
            print("nothing came in time")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:] or [DEFAULT_URL]))
