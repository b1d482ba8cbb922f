"""Streams go on over a lame duck, whichever side has to move."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

import natsrpc
from natsrpc.core import Connection
from natsrpc.testing import Cluster

LAME = 'lame_duck_duration: "30s"\nlame_duck_grace_period: "10s"\n'
ITEMS = 3000


async def interest(nc: Connection, subject: str) -> None:
    """Wait until the routes have told the server of `nc` that somebody answers."""
    async with asyncio.timeout(5):
        while True:
            with contextlib.suppress(natsrpc.NoRespondersError):
                await nc.request(subject)
                return


@pytest.mark.parametrize("moving", ["reader", "worker"])
async def test_a_stream_goes_on_without_a_gap_while_one_side_moves(moving: str) -> None:
    service = natsrpc.Service("counter", version="1.0.0")

    @service.handler("soak.count")
    async def count(upto: int) -> AsyncIterator[int]:
        for number in range(upto):
            yield number
            if number % 5 == 0:
                await asyncio.sleep(0.001)

    async with Cluster(2, LAME) as cluster:
        leaving, staying = cluster.servers
        first = {"reader": (staying, leaving), "worker": (leaving, staying)}[moving]
        async with (
            natsrpc.connect(cluster.urls, first_server=first[0].url, reconnect_wait=0.01) as worker,
            natsrpc.connect(cluster.urls, first_server=first[1].url, reconnect_wait=0.01) as reader,
            worker.serve(service),
        ):
            mover = {"reader": reader, "worker": worker}[moving].connection
            await interest(reader.connection, "$SRV.PING.counter")
            got: list[int] = []
            async for number in reader.stream("soak.count", ITEMS, returns=int, timeout=60):
                got.append(number)
                if number == ITEMS // 3:
                    leaving.lame_duck()
            assert got == list(range(ITEMS))
            assert mover.stats().reconnects == 1
            assert mover.server_address == (staying.host, staying.port)
            leaving.kill()  # it would take its time over a polite signal
