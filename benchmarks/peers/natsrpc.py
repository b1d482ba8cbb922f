"""natsrpc: this project."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial
from importlib.metadata import version

import natsrpc
from benchmarks.adapter import Call, Seen
from benchmarks.models import (
    BUCKET,
    CONSUMER,
    ITEMS,
    OBJECT,
    ORDER,
    STREAM,
    SUBJECT,
    Order,
    Receipt,
    key,
    receipt_of,
)
from natsrpc import core
from natsrpc.jetstream import JetStream


class Peer:
    """`natsrpc.core` for the raw scenarios, `natsrpc.Client` for the typed one."""

    version = version("natsrpc")

    async def connect(self, url: str) -> None:
        self.nc = await core.connect(url)
        self.client = natsrpc.Client(self.nc)

    async def close(self) -> None:
        await self.nc.close()

    async def serve_echo(self, subject: str) -> None:
        def echo(msg: core.Msg) -> None:  # not async: it is called in place, without a task
            msg.respond_nowait(msg.data)

        await self.nc.subscribe(subject, cb=echo)
        await self.nc.flush()

    async def serve_silence(self, subject: str) -> None:
        await self.nc.subscribe(subject, cb=lambda msg: None)
        await self.nc.flush()

    async def serve_typed(self, subject: str) -> None:
        service = natsrpc.Service("bench", version="1.0.0")

        @service.handler(subject)
        async def order(order: Order) -> Receipt:
            return receipt_of(order)

        self.server = await self.client.serve(service)

    def echo(self, subject: str, data: bytes) -> Call:
        return partial(self.nc.request, subject, data, timeout=60.0)

    def typed(self, subject: str) -> Call:
        return partial(self.client.call, subject, ORDER, Receipt, timeout=60.0)

    async def serve_stream(self, subject: str) -> None:
        service = natsrpc.Service("bench", version="1.0.0")

        @service.handler(subject)
        async def receipts(order: Order) -> AsyncIterator[Receipt]:
            for _ in range(ITEMS):
                yield receipt_of(order)

        self.server = await self.client.serve(service)

    def stream(self, subject: str) -> Call:
        async def read() -> int:
            count = 0
            async for _ in self.client.stream(subject, ORDER, Receipt):
                count += 1
            assert count == ITEMS
            return count

        return read

    def publish(self, subject: str, data: bytes) -> Call:
        return partial(self.nc.publish, subject, data)

    async def flush(self) -> None:
        await self.nc.flush(60.0)

    async def subscribe_callback(self, subject: str, seen: Seen) -> None:
        await self.nc.subscribe(subject, cb=lambda msg: seen(msg.data))
        await self.nc.flush()

    async def subscribe_async_callback(self, subject: str, seen: Seen) -> None:
        async def handle(msg: core.Msg) -> None:
            seen(msg.data)

        await self.nc.subscribe(subject, cb=handle)
        await self.nc.flush()

    async def subscribe_typed(self, subject: str, seen: Seen) -> None:
        service = natsrpc.Service("bench", version="1.0.0")

        @service.subscriber(subject)
        async def take(order: Order) -> None:
            seen(b"")

        self.server = await self.client.serve(service)

    async def subscribe_iterator(self, subject: str, seen: Seen) -> None:
        sub = await self.nc.subscribe(subject)
        await self.nc.flush()

        async def read() -> None:
            with contextlib.suppress(natsrpc.ConnectionClosedError):
                async for msg in sub:
                    seen(msg.data)

        self.task = asyncio.create_task(read())

    # JetStream

    async def publish_acked(self, count: int, data: bytes) -> None:
        js = JetStream(self.nc)
        for _ in range(count):
            await js.publish(SUBJECT, data, timeout=60.0)

    async def publish_pipelined(self, count: int, data: bytes) -> None:
        js = JetStream(self.nc)
        await asyncio.gather(*[await js.publish_async(SUBJECT, data) for _ in range(count)])

    async def fetch_acked(self, count: int, data: bytes) -> None:
        consumer = await (await JetStream(self.nc).stream(STREAM)).consumer(CONSUMER)
        while count:
            for msg in await consumer.fetch(min(100, count)):
                await msg.ack()
                count -= 1
        await self.flush()

    async def consume_acked(self, count: int, data: bytes) -> None:
        consumer = await (await JetStream(self.nc).stream(STREAM)).consumer(CONSUMER)
        async with consumer.messages(max_messages=500) as messages:
            async for msg in messages:
                await msg.ack()
                count -= 1
                if not count:
                    break
        await self.flush()

    async def key_put(self, count: int, data: bytes) -> None:
        bucket = await JetStream(self.nc).key_value(BUCKET)
        for number in range(count):
            await bucket.put(key(number), data)

    async def key_get(self, count: int, data: bytes) -> None:
        bucket = await JetStream(self.nc).key_value(BUCKET)
        for number in range(count):
            assert (await bucket.get(key(number))).value == data

    async def object_put(self, count: int, data: bytes) -> None:
        store = await JetStream(self.nc).object_store(BUCKET)
        for number in range(count):
            await store.put(f"new{number}", data)

    async def object_get(self, count: int, data: bytes) -> None:
        store = await JetStream(self.nc).object_store(BUCKET)
        for _ in range(count):
            assert await store.get_bytes(OBJECT) == data
