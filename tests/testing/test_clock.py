"""The clock that a test moves."""

from __future__ import annotations

import asyncio

import pytest

from natsrpc.errors import NatsTimeoutError
from natsrpc.testing import Broker, Clock


async def test_the_clock_moves_only_when_told(broker: Broker) -> None:
    clock = Clock.install()
    async with broker.connect() as nc:
        await nc.subscribe("a")
        waiting = asyncio.create_task(nc.request("a", timeout=60.0))
        await clock.advance(59.0)
        assert not waiting.done()
        await clock.advance(1.0)
        with pytest.raises(NatsTimeoutError):
            await waiting
