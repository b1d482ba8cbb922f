"""nats-py, the official client; typed calls are its `micro` with pydantic by hand."""

from __future__ import annotations

import asyncio
from functools import partial
from importlib.metadata import version

import nats
import nats.micro
from nats.aio.msg import Msg

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

    # JetStream

    async def publish_acked(self, count: int, data: bytes) -> None:
        js = self.nc.jetstream(timeout=60.0)
        for _ in range(count):
            await js.publish(SUBJECT, data)

    async def publish_pipelined(self, count: int, data: bytes) -> None:
        js = self.nc.jetstream(publish_async_max_pending=4000)
        acks = [await js.publish_async(SUBJECT, data, wait_stall=60.0) for _ in range(count)]
        await asyncio.gather(*acks)

    async def fetch_acked(self, count: int, data: bytes) -> None:
        await self._fetch(count, 100)

    async def consume_acked(self, count: int, data: bytes) -> None:  # it has no continuous pull
        await self._fetch(count, 500)

    async def _fetch(self, count: int, batch: int) -> None:
        consumer = await self.nc.jetstream().pull_subscribe_bind(CONSUMER, STREAM)
        while count:
            for msg in await consumer.fetch(min(batch, count), timeout=5.0):
                await msg.ack()
                count -= 1
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
            assert (await store.get(OBJECT)).data == data
