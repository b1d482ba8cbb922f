"""A connection with a codec: it publishes and receives typed values.

Run it: `python examples/tour/encoded.py [server URL]`.
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
    address: str
    age: int


async def main(servers: str) -> None:
    async with connect(servers) as nc:
        enc = Encoded(nc, "json")
        done: asyncio.Queue[None] = asyncio.Queue()

        # Text, both ways.
        def show_text(text: str) -> None:
            print(f"text: {text}")
            done.put_nowait(None)

        await enc.subscribe("foo", show_text)
        await enc.publish("foo", "hello world")
        await done.get()

        # A person, both ways.
        def show_person(person: Person) -> None:
            print(f"person: {person.name}, {person.age}, {person.address}")
            done.put_nowait(None)

        await enc.subscribe("hello", show_person)
        await enc.publish("hello", Person("Ada", "12 St James's Square, London", 36))
        await done.get()

        # A handler that wants the subject and the reply subject too.
        async def help_out(subject: str, reply: str, text: str) -> None:
            await enc.publish(reply, f"I can help with {text!r} on {subject}")

        await enc.subscribe("help", help_out)

        # A request whose response is read as text.
        response = await enc.request("help", "nats", str, timeout=1.0)
        print(f"response: {response}")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:] or [DEFAULT_URL]))
