"""Whatever frames a stranger sends into a stream, the service ends it and goes on."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from natsrpc.core import Msg
from natsrpc.rpc import Client, Service
from natsrpc.rpc.streams.large import large_subject
from tests.core.harness import eventually

pytestmark = pytest.mark.live

WORDS = ["open", "credit", "alive", "end", "stop", "part", "large", "", "nonsense"]
NUMBERS = ["0", "1", "2", "128", "999999999999999999", "1" * 30, "-1", "x", "", "\u0661"]


def frame(dice: random.Random) -> bytes:
    word, number = dice.choice(WORDS), dice.choice(NUMBERS)
    return f"NATS/1.0\r\nNatsrpc-Frame: {word} {number}\r\n\r\n".encode()


def service_of(subject: str) -> Service:
    service = Service("hostile-streams", version="1.0.0")

    @service.handler(f"{subject}.count")
    async def count(to: int) -> AsyncIterator[int]:
        for number in range(to):
            yield number

    @service.handler(f"{subject}.sum")
    async def total(numbers: AsyncIterator[int]) -> int:
        return sum([number async for number in numbers])

    @service.handler(f"{subject}.size")
    async def size(data: bytes) -> int:
        return len(data)

    @service.handler(f"{subject}.echo")
    async def echo(numbers: AsyncIterator[int]) -> AsyncIterator[int]:
        async for number in numbers:
            yield number

    return service


async def test_streams_of_strangers_end_and_leave_nothing(
    client: Client, other: Client, unique: str, caplog: pytest.LogCaptureFixture
) -> None:
    dice = random.Random(29)
    seen: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: seen.append(context))
    stranger = other.connection

    def answer(msg: Msg) -> None:
        """Send frames of all kinds to whatever address comes along."""
        if msg.raw_reply and dice.random() < 0.5:
            for _ in range(dice.randrange(3)):
                headers = frame(dice) if dice.random() < 0.7 else b""
                reply = dice.choice([b"", b"odd", msg.raw_subject, msg.raw_subject + b"1"])
                data = dice.choice([b"", b"1", b"{broken"])
                stranger.link.send(msg.raw_reply, data, reply, headers)

    async with client.serve(service_of(unique)) as server:
        (running,) = server.services
        with caplog.at_level(logging.CRITICAL, "natsrpc"):
            for number in range(150):
                inbox = stranger.new_inbox()
                sub = await stranger.subscribe(f"{inbox}.>", cb=answer)
                name = dice.choice(["count", "sum", "echo", "size"])
                body = dice.choice([b"5", b'{"to":500}', b"", b"null", b"{broken"])
                reply = f"{inbox}.{number}".encode()
                subject = f"{unique}.{name}"
                if dice.random() < 0.2:
                    subject = large_subject(subject)
                stranger.link.send(subject.encode(), body, reply, frame(dice))
                await stranger.flush()
                await asyncio.sleep(0.005 * dice.random())  # why: it leaves at any point
                await sub.unsubscribe()
            await eventually(lambda: running.inflight == 0, timeout=20)
        assert [n async for n in other.stream(f"{unique}.count", 3, returns=int)] == [0, 1, 2]
        assert not client.connection.link.requests.streams
    loop.set_exception_handler(None)
    assert seen == []
