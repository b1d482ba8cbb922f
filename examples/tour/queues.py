"""Queues bound to subjects: values put into one queue come out of another, typed.

Run it: `python examples/tour/queues.py [server URL]`.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass

from natsrpc import Encoded
from natsrpc.core import DEFAULT_URL, connect


@dataclass
class Person:
    name: str
    age: int


async def main(servers: str) -> None:
    async with connect(servers) as nc:
        enc = Encoded(nc, "json")

        received: asyncio.Queue[Person] = asyncio.Queue(16)
        await enc.bind_recv_queue("hello", received, Person)

        outgoing: asyncio.Queue[Person] = asyncio.Queue(16)
        sending = enc.bind_send_queue("hello", outgoing)

        await outgoing.put(Person("Grace", 85))
        person = await received.get()
        print(f"received: {person.name}, {person.age}")

        sending.cancel()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:] or [DEFAULT_URL]))
