"""nats-core, the future successor of the official client. It has no service framework: typed calls
are requests with pydantic by hand."""

from __future__ import annotations

import asyncio
from functools import partial
from importlib.metadata import version

from nats.client import connect
from nats.client.message import Message

from benchmarks.adapter import Call, Seen
from benchmarks.models import ORDER, Order, Receipt, receipt_of


class Peer:
    version = version("nats-core")

    async def connect(self, url: str) -> None:
        self.nc = await connect(url)
        self.tasks: list[asyncio.Task[None]] = []

    async def close(self) -> None:
        await self.nc.close()

    async def serve_echo(self, subject: str) -> None:
        sub = await self.nc.subscribe(subject)

        async def serve() -> None:
            async for msg in sub:
                await self.nc.publish(msg.reply, msg.data)

        self.tasks.append(asyncio.create_task(serve()))
        await self.nc.flush()

    async def serve_silence(self, subject: str) -> None:
        await self.subscribe_iterator(subject, lambda data: None)

    async def serve_typed(self, subject: str) -> None:
        sub = await self.nc.subscribe(subject)

        async def serve() -> None:
            async for msg in sub:
                order = Order.model_validate_json(msg.data)
                await self.nc.publish(msg.reply, receipt_of(order).model_dump_json().encode())

        self.tasks.append(asyncio.create_task(serve()))
        await self.nc.flush()

    def echo(self, subject: str, data: bytes) -> Call:
        return partial(self.nc.request, subject, data, timeout=20.0)

    def typed(self, subject: str) -> Call:
        async def call() -> Receipt:
            data = ORDER.model_dump_json().encode()
            msg = await self.nc.request(subject, data, timeout=20.0)
            return Receipt.model_validate_json(msg.data)

        return call

    def publish(self, subject: str, data: bytes) -> Call:
        return partial(self.nc.publish, subject, data)

    async def flush(self) -> None:
        await self.nc.flush(60.0)

    async def subscribe_callback(self, subject: str, seen: Seen) -> None:
        def handle(msg: Message) -> None:
            seen(msg.data)

        sub = await self.nc.subscribe(subject, max_pending_messages=None)
        sub.add_callback(handle)
        # A callback sees a message before it is queued; the queue must still be emptied.

        async def read() -> None:
            async for _ in sub:
                pass

        self.tasks.append(asyncio.create_task(read()))
        await self.nc.flush()

    async def subscribe_iterator(self, subject: str, seen: Seen) -> None:
        sub = await self.nc.subscribe(subject)

        async def read() -> None:
            async for msg in sub:
                seen(msg.data)

        self.tasks.append(asyncio.create_task(read()))
        await self.nc.flush()
