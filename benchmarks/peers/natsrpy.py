"""natsrpy, a binding of the Rust client. It has no service framework: typed calls are requests with
pydantic by hand."""

from __future__ import annotations

import asyncio
from functools import partial
from importlib.metadata import version

from natsrpy import Message, Nats

from benchmarks.adapter import Call, Seen
from benchmarks.models import ORDER, Order, Receipt, receipt_of


class Peer:
    version = version("natsrpy")

    async def connect(self, url: str) -> None:
        self.nats = Nats([url])
        await self.nats.startup()

    async def close(self) -> None:
        await self.nats.shutdown()

    async def serve_echo(self, subject: str) -> None:
        async def echo(msg: Message) -> None:
            await self.nats.publish(msg.reply, msg.payload)

        self.sub = await self.nats.subscribe(subject, echo).detatch()
        await self.nats.flush()

    async def serve_silence(self, subject: str) -> None:
        async def ignore(msg: Message) -> None:
            pass

        self.sub = await self.nats.subscribe(subject, ignore).detatch()
        await self.nats.flush()

    async def serve_typed(self, subject: str) -> None:
        async def handle(msg: Message) -> None:
            order = Order.model_validate_json(msg.payload)
            await self.nats.publish(msg.reply, receipt_of(order).model_dump_json())

        self.sub = await self.nats.subscribe(subject, handle).detatch()
        await self.nats.flush()

    def echo(self, subject: str, data: bytes) -> Call:
        return partial(self.nats.request, subject, data, timeout=60.0)

    def typed(self, subject: str) -> Call:
        async def call() -> Receipt:
            msg = await self.nats.request(subject, ORDER.model_dump_json(), timeout=60.0)
            return Receipt.model_validate_json(msg.payload)

        return call

    def publish(self, subject: str, data: bytes) -> Call:
        return partial(self.nats.publish, subject, data)

    async def flush(self) -> None:
        await self.nats.flush()

    async def subscribe_callback(self, subject: str, seen: Seen) -> None:
        async def handle(msg: Message) -> None:
            seen(msg.payload)

        self.subs = [
            *getattr(self, "subs", ()),
            await self.nats.subscribe(subject, handle).detatch(),
        ]
        await self.nats.flush()

    subscribe_async_callback = subscribe_callback

    async def subscribe_iterator(self, subject: str, seen: Seen) -> None:
        sub = await self.nats.subscribe(subject).detatch()

        async def read() -> None:
            async for msg in sub:
                seen(msg.payload)

        self.task = asyncio.create_task(read())
        await self.nats.flush()
