"""Streams and large values behave alike on the broker in memory and on a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

import natsrpc
from natsrpc.rpc.streams.window import WINDOW
from tests.core.harness import steady

from .conftest import MAX_PAYLOAD


class Streams:
    """A service, and how far its generator came."""

    def __init__(self, subject: str) -> None:
        self.sent = 0
        self.closed = asyncio.Event()
        self.service = natsrpc.Service("streams", version="1.0.0")
        group = self.service.group(subject)
        for function in (self.forever, self.total, self.echo, self.back):
            group.handler(function.__name__)(function)

    async def forever(self) -> AsyncIterator[int]:
        try:
            while True:
                self.sent += 1
                yield self.sent
        finally:
            self.closed.set()

    async def total(self, items: AsyncIterator[int]) -> int:
        return sum([item async for item in items])

    async def echo(self, items: AsyncIterator[str]) -> AsyncIterator[str]:
        async for item in items:
            yield item

    async def back(self, text: str) -> str:
        return text


@pytest.fixture
def streams(subject: str) -> Streams:
    return Streams(subject)


async def numbers(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


async def texts(*sizes: int) -> AsyncIterator[str]:
    for size in sizes:
        yield "x" * size


async def test_a_stream_is_held_by_its_reader_and_closed_when_it_is_left(
    client: natsrpc.Client, streams: Streams
) -> None:
    async with client.serve(streams.service) as server:
        stream = client.stream(streams.forever)
        assert [await anext(stream) for _ in range(300)] == list(range(1, 301))
        await client.connection.flush()
        assert await steady(lambda: streams.sent) <= 300 + WINDOW + 1
        await stream.aclose()
        await asyncio.wait_for(streams.closed.wait(), 1)
        assert server.inflight == 0


async def test_streams_go_up_and_both_ways(client: natsrpc.Client, streams: Streams) -> None:
    async with client.serve(streams.service):
        assert await client.upload(streams.total, numbers(1000)) == 499_500
        sizes = [0, 3 * MAX_PAYLOAD, 1, MAX_PAYLOAD]
        got = [len(text) async for text in client.stream(streams.echo, texts(*sizes))]
        assert got == sizes


async def test_what_is_larger_than_a_message_goes_in_frames(
    client: natsrpc.Client, streams: Streams
) -> None:
    text = "x" * 3 * MAX_PAYLOAD
    async with client.serve(streams.service) as server:
        assert await client.call(streams.back, text) == text
        assert server.inflight == 0
        assert not client.connection.link.requests.streams
