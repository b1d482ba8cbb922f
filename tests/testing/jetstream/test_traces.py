"""The JetStream in memory answers and delivers as a server does: the same operations on both."""

from __future__ import annotations

import pytest

from natsrpc.core import connect
from natsrpc.testing import Broker, NatsServer
from tests.core.harness import eventually, turns

from .traces import Player, Step, steps_of


@pytest.mark.parametrize("seed", range(12))
async def test_both_do_the_same(jetstream_server: NatsServer, seed: int) -> None:
    async with connect(jetstream_server.url) as there, Broker().connect() as here:
        assert there.server_info is not None
        if there.server_info.version < "2.14":
            pytest.skip("the JetStream in memory does what newer servers do, in words and statuses")
        await there.request("$JS.API.STREAM.DELETE.S")
        server, memory = await Player(there).open(), await Player(here).open()
        done: list[Step] = []
        for step in steps_of(seed, 100):
            done.append(step)
            await memory.play(step)
            await turns(30)
            await server.play(step)
            await as_much(server, memory.count)
            assert server.seen == memory.seen, f"after {len(done)} steps: {done[-3:]}"


async def as_much(player: Player, count: int) -> None:
    """Wait for as many answers and deliveries; what is missing is told by comparison."""
    try:
        await eventually(lambda: player.count >= count, 2.0)
    except AssertionError:
        return
