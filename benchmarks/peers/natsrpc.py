"""natsrpc: this project."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial
from importlib.metadata import version

import natsrpc
from benchmarks.adapter import Call, Seen
from benchmarks.models import ITEMS, ORDER, Order, Receipt, receipt_of
from natsrpc import core


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
