"""Several servers: the order in which they are tried, and the callbacks.

Run it: `python examples/tour/cluster.py [server URL, server URL, ...]`.
"""

from __future__ import annotations

import asyncio
import sys

from natsrpc.core import DEFAULT_URL, Connection, connect


def disconnected(_: Connection, error: Exception | None) -> None:
    print(f"disconnected: {error or 'we closed it'}")


def closed(nc: Connection) -> None:
    print(f"closed: {nc.last_error or 'as asked'}")


async def main(servers: str) -> None:
    back = asyncio.Event()

    def reconnected(nc: Connection) -> None:
        print(f"reconnected to {nc.connected_url}")
        back.set()

    # The list is tried in random order, unless told otherwise; after a loss each server is
    # tried five times, two seconds apart, before it is given up.
    async with connect(
        servers,
        max_reconnect_attempts=5,
        reconnect_wait=2.0,
        randomize_servers=False,
        on_disconnect=disconnected,
        on_reconnect=reconnected,
        on_close=closed,
    ) as nc:
        print(f"connected to {nc.connected_url}, known: {len(nc.servers)}")

        # Drop the connection and come back: the callbacks tell.
        await nc.force_reconnect()
        await back.wait()


if __name__ == "__main__":
    asyncio.run(main(",".join(sys.argv[1:]) or DEFAULT_URL))
