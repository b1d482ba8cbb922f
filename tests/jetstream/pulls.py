"""What a test waits for before it takes a stream, or the reader itself, away under a reader."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from natsrpc.core import Connection
from natsrpc.jetstream import JetStream
from tests.core.harness import eventually, turns


async def until_asked(js: JetStream, name: str) -> None:
    """Wait until a pull stands at a consumer of the stream.

    A server does not keep the order of a pull and of what ends its consumer, also where both came
    by one connection: a pull that is still in the consumer's queue then is dropped without a word
    (nats-server 2.15, one of forty). The reader is told by the heartbeats that do not come.
    """
    stream = await js.stream(name)

    async def is_asked() -> bool:
        return sum([consumer.num_waiting async for consumer in stream.consumers()]) > 0

    await eventually(is_asked)


async def cancel_amid_opening(
    nc: Connection, js: JetStream, name: str, read: Coroutine[Any, Any, object], sent: int = 1
) -> None:
    """Cancel a reader when it has sent so many requests, of which the last is for its consumer; and
    wait until the stream has no consumer."""
    stream = await js.stream(name)
    goal = nc.stats().out_msgs + sent
    reading = asyncio.create_task(read)
    while nc.stats().out_msgs < goal:
        await turns(1)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading

    async def none_is_left() -> bool:
        return [name async for name in stream.consumer_names()] == []

    await eventually(none_is_left)
