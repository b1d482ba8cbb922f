"""nats-py, the official client; typed calls are its `micro` with pydantic by hand."""

from __future__ import annotations

import asyncio
from functools import partial
from importlib.metadata import version

import nats
import nats.micro
from nats.aio.msg import Msg

from benchmarks.adapter import Call, Seen
from benchmarks.models import ORDER, Order, Receipt, receipt_of


class Peer:
    version = version("nats-py")

    async def connect(self, url: str) -> None:
        self.nc = await nats.connect(url)

    async def close(self) -> None:
        await self.nc.close()

    async def serve_echo(self, subject: str) -> None:
        async def echo(msg: Msg) -> None:
            await msg.respond(msg.data)

        await self.nc.subscribe(subject, cb=echo)
        await self.nc.flush()

    async def serve_silence(self, subject: str) -> None:
        async def ignore(msg: Msg) -> None:
            pass

        await self.nc.subscribe(subject, cb=ignore)
        await self.nc.flush()

    async def serve_typed(self, subject: str) -> None:
        async def handle(request: nats.micro.request.Request) -> None:
            order = Order.model_validate_json(request.data)
            await request.respond(receipt_of(order).model_dump_json().encode())

        self.service = await nats.micro.add_service(self.nc, name="bench", version="1.0.0")
        await self.service.add_endpoint(name="order", subject=subject, handler=handle)
        await self.nc.flush()

    def echo(self, subject: str, data: bytes) -> Call:
        return partial(self.nc.request, subject, data, timeout=60.0)

    def typed(self, subject: str) -> Call:
        async def call() -> Receipt:
            data = ORDER.model_dump_json().encode()
            msg = await self.nc.request(subject, data, timeout=60.0)
            return Receipt.model_validate_json(msg.data)

        return call

    def publish(self, subject: str, data: bytes) -> Call:
        return partial(self.nc.publish, subject, data)

    async def flush(self) -> None:
        await self.nc.flush(60)

    async def subscribe_callback(self, subject: str, seen: Seen) -> None:
        async def handle(msg: Msg) -> None:
            seen(msg.data)

        await self.nc.subscribe(subject, cb=handle)
        await self.nc.flush()

    subscribe_async_callback = subscribe_callback

    async def subscribe_typed(self, subject: str, seen: Seen) -> None:
        async def handle(msg: Msg) -> None:
            Order.model_validate_json(msg.data)
            seen(b"")

        await self.nc.subscribe(subject, "bench.take", cb=handle)
        await self.nc.flush()

    async def subscribe_iterator(self, subject: str, seen: Seen) -> None:
        sub = await self.nc.subscribe(subject)
        await self.nc.flush()

        async def read() -> None:
            async for msg in sub.messages:
                seen(msg.data)

        self.task = asyncio.create_task(read())
