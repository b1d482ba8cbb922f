"""Services on both back ends: a handler tested in memory behaves as in production."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from pydantic import BaseModel

import natsrpc
from natsrpc import discovery
from natsrpc.errors import (
    DeadlineExceededError,
    InternalError,
    InvalidRequestError,
    NoRespondersError,
    OverloadedError,
)

from .conftest import BackEnd


class Question(BaseModel):
    topic: str


class Answer(BaseModel):
    text: str


class OutOfStockError(natsrpc.RpcError, code=409):
    sku: str


def make_service(prefix: str) -> natsrpc.Service:
    """A service with every kind of ending."""
    service = natsrpc.Service("behavior", version="1.0.0")

    @service.handler(f"{prefix}.help")
    async def answer(question: Question) -> Answer:
        return Answer(text=f"I can help with {question.topic}")

    @service.handler(f"{prefix}.add")
    async def add(a: int, b: int) -> int:
        return a + b

    @service.handler(f"{prefix}.broken")
    async def broken(sku: str) -> str:
        raise ValueError("a secret of the service's")

    @service.handler(f"{prefix}.buy", errors=(OutOfStockError,))
    async def buy(sku: str) -> str:
        raise OutOfStockError("out of stock", sku=sku)

    @service.handler(f"{prefix}.sleep", max_concurrency=1, max_waiting=0)
    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds)  # why: a handler as slow as its caller says

    @service.handler(f"{prefix}.count")
    async def count(to: int) -> AsyncIterator[int]:
        for number in range(to):
            yield number

    return service


@pytest.fixture
async def prefix(back_end: BackEnd, subject: str) -> AsyncIterator[str]:
    """The prefix of a served service's subjects."""
    async with back_end.client() as server, server.serve(make_service(subject)):
        yield subject


async def test_a_typed_call(client: natsrpc.Client, prefix: str) -> None:
    answer = await client.call(f"{prefix}.help", Question(topic="nats"), Answer)
    assert answer == Answer(text="I can help with nats")
    assert await client.call(f"{prefix}.add", {"a": 1, "b": 2}, int) == 3


async def test_plain_json_is_answered_in_plain_json(client: natsrpc.Client, prefix: str) -> None:
    reply = await client.connection.request(f"{prefix}.help", b'{"topic":"x"}')
    assert (reply.data, reply.raw_headers) == (b'{"text":"I can help with x"}', b"")


async def test_a_bad_request_names_the_field(client: natsrpc.Client, prefix: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        await client.call(f"{prefix}.help", {"topic": ["not text"]})
    assert "topic" in str(caught.value.details)
    assert "not text" not in str(caught.value.details)


async def test_an_unknown_subject_fails_at_once(client: natsrpc.Client, prefix: str) -> None:
    with pytest.raises(NoRespondersError):
        await client.call(f"{prefix}.none", 1, timeout=60)


async def test_what_a_handler_raises_by_accident_stays_there(
    client: natsrpc.Client, prefix: str
) -> None:
    with pytest.raises(InternalError) as caught:
        await client.call(f"{prefix}.broken", "sku")
    assert "secret" not in str(caught.value)


async def test_what_a_handler_raises_on_purpose_is_caught(
    client: natsrpc.Client, prefix: str
) -> None:
    with pytest.raises(OutOfStockError) as caught:
        await client.call(f"{prefix}.buy", "sku-1")
    assert (caught.value.code, caught.value.sku) == (409, "sku-1")


async def test_a_deadline_is_told_by_the_service(client: natsrpc.Client, prefix: str) -> None:
    with pytest.raises(DeadlineExceededError):
        await client.call(f"{prefix}.sleep", 60.0, timeout=0.05)


async def test_what_does_not_fit_is_refused_at_once(client: natsrpc.Client, prefix: str) -> None:
    running = asyncio.create_task(client.call(f"{prefix}.sleep", 0.05, None))
    await asyncio.sleep(0)  # let it be written
    await client.connection.flush()
    with pytest.raises(OverloadedError):
        await client.call(f"{prefix}.sleep", 0.0, None)
    await running


async def test_a_stream_of_answers(client: natsrpc.Client, prefix: str) -> None:
    numbers = client.stream(f"{prefix}.count", 1000, int)
    assert [number async for number in numbers] == list(range(1000))


async def test_a_drain_answers_what_was_sent(
    back_end: BackEnd, client: natsrpc.Client, subject: str
) -> None:
    async with back_end.client() as server:
        running = await server.serve(make_service(subject))
        calls = [
            asyncio.create_task(client.call(f"{subject}.add", {"a": n, "b": 1}, int))
            for n in range(50)
        ]
        await asyncio.sleep(0)  # let it be written
        await client.connection.flush()
        await running.drain()
        assert await asyncio.gather(*calls) == [n + 1 for n in range(50)]


async def test_discovery_finds_it(client: natsrpc.Client, prefix: str) -> None:
    found = [
        info
        for info in await discovery.info(client.connection, "behavior", timeout=0.3)
        if any(endpoint.subject == f"{prefix}.help" for endpoint in info.endpoints)
    ]
    assert len(found) == 1
    assert len(found[0].endpoints) == 6
