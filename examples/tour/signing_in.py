"""Authentication: by user and password, by token, by both, and by the URL.

Run it against a server that knows user `derek`, password `s3cr3t`:
`python examples/tour/signing_in.py nats://127.0.0.1:4222`.
"""

from __future__ import annotations

import asyncio
import sys

from natsrpc import AuthorizationError
from natsrpc.core import DEFAULT_URL, connect


async def main(server: str) -> None:
    host = server.removeprefix("nats://")

    async with connect(server, user="derek", password="s3cr3t"):
        print("by options")

    async with connect(f"nats://derek:s3cr3t@{host}"):
        print("by URL")

    # A token instead; both may be given, the server picks what it knows.
    async with connect(server, user="derek", password="s3cr3t", token="unused here"):
        print("by user, beside a token")

    # User and password in a URL override the options, for that server.
    async with connect(f"nats://derek:s3cr3t@{host}", user="somebody", password="else"):
        print("by URL, before the options")

    try:
        await connect(server, token="wrong")
    except AuthorizationError as error:
        print(f"refused: {error}")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:] or [DEFAULT_URL]))
