"""natsio (Python 3.13 on); typed calls are its `micro` with pydantic by hand."""

from __future__ import annotations

import asyncio
from functools import partial
from importlib.metadata import version

import natsio
from natsio.micro import Request, add_service

from benchmarks.adapter import Call, Seen
from benchmarks.models import (
    BUCKET,
    CONSUMER,
    OBJECT,
    ORDER,
    STREAM,
    SUBJECT,
    Order,
    Receipt,
    key,
    receipt_of,
)


class Peer:
    version = version("natsio")

    async def connect(self, url: str) -> None:
        self.nc = await natsio.connect(url)

    async def close(self) -> None:
        await self.nc.close()

    async def serve_echo(self, subject: str) -> None:
        async def echo(msg: natsio.Msg) -> None:
            await msg.respond(msg.data)

        self.nc.subscribe(subject, cb=echo)
        await self.nc.flush()

    async def serve_silence(self, subject: str) -> None:
        async def ignore(msg: natsio.Msg) -> None:
            pass

        self.nc.subscribe(subject, cb=ignore)
        await self.nc.flush()

    async def serve_typed(self, subject: str) -> None:
        async def handle(request: Request) -> None:
            order = Order.model_validate_json(request.data)
            await request.respond(receipt_of(order).model_dump_json())

        self.service = add_service(self.nc, name="bench", version="1.0.0")
        self.service.add_endpoint("order", handle, subject=subject)
        await self.nc.flush()

    def echo(self, subject: str, data: bytes) -> Call:
        return partial(self.nc.request, subject, data, timeout=60.0)

    def typed(self, subject: str) -> Call:
        async def call() -> Receipt:
            msg = await self.nc.request(subject, ORDER.model_dump_json(), timeout=60.0)
            return Receipt.model_validate_json(msg.data)

        return call

    def publish(self, subject: str, data: bytes) -> Call:
        return partial(self.nc.publish, subject, data)

    async def flush(self) -> None:
        await self.nc.flush(60.0)

    async def subscribe_callback(self, subject: str, seen: Seen) -> None:
        async def handle(msg: natsio.Msg) -> None:
            seen(msg.data)

        self.nc.subscribe(subject, cb=handle)
        await self.nc.flush()

    subscribe_async_callback = subscribe_callback

    async def subscribe_iterator(self, subject: str, seen: Seen) -> None:
        sub = self.nc.subscribe(subject)
        await self.nc.flush()

        async def read() -> None:
            async for msg in sub:
                seen(msg.data)

        self.task = asyncio.create_task(read())

    # JetStream

    async def publish_acked(self, count: int, data: bytes) -> None:
        js = self.nc.jetstream()
        for _ in range(count):
            await js.publish(SUBJECT, data)

    async def publish_pipelined(self, count: int, data: bytes) -> None:
        js = self.nc.jetstream()
        await asyncio.gather(*[await js.publish_async(SUBJECT, data) for _ in range(count)])

    async def fetch_acked(self, count: int, data: bytes) -> None:
        consumer = await (await self.nc.jetstream().stream(STREAM)).consumer(CONSUMER)
        while count:
            for msg in await consumer.fetch(min(100, count), timeout=5.0):
                await msg.ack()
                count -= 1
        await self.flush()

    async def consume_acked(self, count: int, data: bytes) -> None:
        consumer = await (await self.nc.jetstream().stream(STREAM)).consumer(CONSUMER)
        async with consumer.consume(max_messages=500) as messages:
            async for msg in messages:
                await msg.ack()
                count -= 1
                if not count:
                    break
        await self.flush()

    async def key_put(self, count: int, data: bytes) -> None:
        bucket = await self.nc.jetstream().key_value(BUCKET)
        for number in range(count):
            await bucket.put(key(number), data)

    async def key_get(self, count: int, data: bytes) -> None:
        bucket = await self.nc.jetstream().key_value(BUCKET)
        for number in range(count):
            assert (await bucket.get(key(number))).value == data

    async def object_put(self, count: int, data: bytes) -> None:
        store = await self.nc.jetstream().object_store(BUCKET)
        for number in range(count):
            await store.put(f"new{number}", data)

    async def object_get(self, count: int, data: bytes) -> None:
        store = await self.nc.jetstream().object_store(BUCKET)
        for _ in range(count):
            assert await store.get_bytes(OBJECT) == data
