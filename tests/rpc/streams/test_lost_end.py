"""The last frame of an upload is lost with a connection, and nothing else is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import natsrpc
from natsrpc.testing import NatsServer
from tests.core.harness import Proxy, eventually

from .adversity import QUICK


async def test_an_upload_whose_end_is_lost_goes_on_after_the_reconnect(
    nats_server: NatsServer,
) -> None:
    """Each side says that it is there; without the end the worker would wait for more items."""
    received: list[int] = []
    service = natsrpc.Service("lostend", version="1.0.0")

    @service.handler("lostend.sum")
    async def total(items: AsyncIterator[int]) -> int:
        total = 0
        async for item in items:
            received.append(item)
            total += item
        return total

    async with (
        Proxy(nats_server.port) as proxy,
        natsrpc.connect(nats_server.url) as worker,
        natsrpc.connect(proxy.url, **QUICK) as caller,
        worker.serve(service),
    ):
        more = asyncio.Event()

        async def items() -> AsyncIterator[int]:
            for number in (1, 2, 3):
                yield number
            await more.wait()

        upload = asyncio.ensure_future(
            caller.upload("lostend.sum", items(), returns=int, timeout=10.0)
        )
        await eventually(lambda: received == [1, 2, 3])
        proxy.stall(down=False)
        before = caller.connection.stats().wire_bytes_out
        more.set()
        await eventually(lambda: caller.connection.stats().wire_bytes_out > before)
        proxy.cut()
        proxy.resume()
        assert await upload == 6
