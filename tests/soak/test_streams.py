"""Streams over a real server: whole and in order, in bounded memory, closed when they are left."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from natsrpc.core import new_inbox
from natsrpc.rpc import Client, Server, connect
from natsrpc.rpc.streams.window import WINDOW
from natsrpc.testing import Cluster, NatsServer
from tests.core.harness import eventually

from .streams import (
    Source,
    Tally,
    cancel_at_random,
    leave,
    leftovers,
    read_long,
    read_slowly,
    ready,
)

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and resource usage"),
]


@asynccontextmanager
async def serving(worker_url: str, reader_url: str) -> AsyncIterator[tuple[Client, Source, Server]]:
    """A reader, and a source on a connection of its own; nothing is left of the streams after."""
    source = Source(new_inbox("soak"))
    async with (
        connect(worker_url) as worker,
        worker.serve(source.service) as server,
        connect(reader_url) as client,
    ):
        await ready(client, source)
        tasks = len(asyncio.all_tasks())
        yield client, source, server
        await eventually(lambda: leftovers(server, client, worker) == {})
        await eventually(lambda: len(asyncio.all_tasks()) <= tasks)


@pytest.mark.parametrize(
    "items",
    [
        20_000,
        pytest.param(1_000_000, marks=[pytest.mark.soak, pytest.mark.timeout(300)]),
    ],
)
async def test_a_long_stream_is_whole_and_in_order(nats_server: NatsServer, items: int) -> None:
    async with serving(nats_server.url, nats_server.url) as (client, source, _):
        long = await read_long(client, source, items)
        print(long)
    assert (long.items, long.in_order) == (items, True)
    assert long.growth_mib < 8
    assert long.furthest_ahead <= WINDOW + 1


@pytest.mark.parametrize("items", [300, pytest.param(10_000, marks=pytest.mark.soak)])
async def test_a_slow_reader_holds_the_producer(nats_server: NatsServer, items: int) -> None:
    async with serving(nats_server.url, nats_server.url) as (client, source, _):
        slow = await read_slowly(client, source, items)
        print(slow)
    assert slow.reader < slow.producer / 100
    assert slow.furthest_ahead <= WINDOW + 1


ROUNDS = [1, pytest.param(10, marks=[pytest.mark.soak, pytest.mark.timeout(300)])]


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize("way", ["break", "cancel", "kill"])
async def test_a_stream_that_is_left_is_closed_within_a_second(
    nats_server: NatsServer, way: str, rounds: int
) -> None:
    async with serving(nats_server.url, nats_server.url) as (client, source, _):
        for stream in ["silent", "forever"] * rounds:
            seconds = await leave(way, client, source, stream, nats_server.url)
            print(f"{way} {stream}: {seconds:.3f} s")
            assert seconds < 1


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize("way", ["break", "cancel", "kill"])
async def test_across_a_cluster_too(nats_cluster: Cluster, way: str, rounds: int) -> None:
    near, far, _ = (server.url for server in nats_cluster.servers)
    async with serving(far, near) as (client, source, _):
        for stream in ["silent", "forever"] * rounds:
            seconds = await leave(way, client, source, stream, near)
            print(f"cluster, {way} {stream}: {seconds:.3f} s")
            assert seconds < 1


@pytest.mark.parametrize(
    "seconds", [0.5, pytest.param(60, marks=[pytest.mark.soak, pytest.mark.timeout(180)])]
)
async def test_64_streams_both_ways_cancelled_at_random_leave_nothing(
    nats_server: NatsServer, seconds: float
) -> None:
    dice, tally = random.Random(64), Tally()
    async with serving(nats_server.url, nats_server.url) as (client, source, server):
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            await cancel_at_random(client, source, dice, tally)
        print(tally)
        (running,) = server.services
        await eventually(lambda: running.inflight == 0)
        (echo,) = [each for each in running.endpoints if each.contract.name.endswith("echo")]
        ended = tally.whole + tally.left + tally.cancelled
        assert echo.answers.num_requests <= ended  # those cancelled at once were never sent
    assert min(tally.whole, tally.left, tally.cancelled) > 0
