"""Figures of real requests, as a scrape shows them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

import natsrpc
from natsrpc.observe.prometheus import Metrics


class Shop:
    """A service that is counted."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.started = asyncio.Event()
        self.ended = asyncio.Event()
        self.service = natsrpc.Service("shop", version="1.0.0")
        for method in (self.echo, self.sell, self.fail, self.wait, self.count):
            self.service.handler(method.__name__)(method)
        Metrics(registry=self.registry).instrument(self.service)

    async def echo(self, text: str) -> str:
        return text

    async def sell(self) -> None:
        raise natsrpc.ConflictError("gone")

    async def fail(self) -> None:
        raise ValueError("secret")

    async def wait(self) -> None:
        self.started.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.set()

    async def count(self, to: int) -> AsyncIterator[int]:
        for number in range(to):
            yield number

    def requests(self, endpoint: str, code: str) -> float | None:
        return self.value("requests_total", endpoint, code=code)

    def value(self, name: str, endpoint: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(
            f"natsrpc_server_{name}", {"service": "shop", "endpoint": endpoint, **labels}
        )


async def test_requests_are_counted_by_code() -> None:
    shop = Shop()
    async with shop.service.test() as client:
        for _ in range(3):
            await client.call("echo", "hello", str)
        with pytest.raises(natsrpc.ConflictError):
            await client.call("sell")
        with pytest.raises(natsrpc.InternalError):
            await client.call("fail")
        assert [n async for n in client.stream("count", 2, returns=int)] == [0, 1]
    assert shop.requests("echo", "200") == 3
    assert shop.requests("sell", "409") == 1
    assert shop.requests("fail", "500") == 1
    assert shop.requests("count", "200") == 1
    assert shop.value("seconds_count", "echo") == 3
    assert shop.value("running", "echo") == 0


async def test_errors_of_nested_calls_are_counted_by_what_is_answered() -> None:
    shop = Shop()

    async def place(subject: str) -> None:
        await client.call(subject)

    shop.service.handler("place")(place)
    async with shop.service.test() as client:
        for subject in ("fail", "nobody", "sell"):
            with pytest.raises(natsrpc.RpcError):
                await client.call("place", subject)
    assert shop.requests("place", "502") == 2
    assert shop.requests("place", "409") == 1


async def test_what_runs_and_what_is_given_up_is_seen() -> None:
    shop = Shop()
    async with shop.service.test() as client:
        call = asyncio.ensure_future(client.call("wait"))
        await shop.started.wait()
        assert shop.value("running", "wait") == 1
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await shop.ended.wait()
    assert shop.requests("wait", "499") == 1
    assert shop.value("running", "wait") == 0


async def test_a_deadline_that_passed_is_seen() -> None:
    shop = Shop()
    async with shop.service.test() as client:
        with pytest.raises(natsrpc.DeadlineExceededError):
            await client.call("wait", timeout=0.05)
    assert shop.requests("wait", "504") == 1


async def test_events_are_counted_as_requests_are_and_dropped_ones_besides() -> None:
    shop = Shop()

    @shop.service.subscriber("placed", max_concurrency=1, max_waiting=1)
    async def placed(order: int) -> None:
        if order:
            raise natsrpc.ConflictError("no")

    async with shop.service.test() as client:
        await client.publish("placed", 0)
        assert await client.settled() == []
        await client.publish("placed", 1)
        assert len(await client.settled()) == 1
    assert (shop.requests("placed", "200"), shop.requests("placed", "409")) == (1, 1)


async def test_a_dropped_event_is_seen() -> None:
    shop, go = Shop(), asyncio.Event()

    @shop.service.subscriber("placed", max_concurrency=1, max_waiting=1)
    async def placed(order: int) -> None:
        await go.wait()

    async with shop.service.test() as client:
        for order in range(5):
            await client.publish("placed", order)
        await client.connection.flush()
        go.set()
        assert len(await client.settled()) == 3
    assert shop.value("dropped_total", "placed") == 3
    assert shop.requests("placed", "200") == 2


def test_other_targets_are_refused() -> None:
    other: Any = "shop"
    with pytest.raises(natsrpc.ConfigError, match="takes services, not 'shop'"):
        Metrics(registry=CollectorRegistry()).instrument(other)
