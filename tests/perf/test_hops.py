"""The hot path is as short as it was designed to be: calls and loop callbacks, counted."""

from __future__ import annotations

import pytest

from natsrpc.core import Msg, connect
from natsrpc.testing import NatsServer
from tests.perf.counting import count_hops

pytestmark = pytest.mark.live

ONE_TURN_EACH = 5
"""Write out, read at the server's end, write out, read at the caller's end, resume the caller."""


async def test_a_raw_request_takes_few_calls_and_loop_callbacks(nats_server: NatsServer) -> None:
    async with connect(nats_server.url) as nc:

        def answer(msg: Msg) -> None:
            nc.send(msg.raw_reply, b"pong")

        await nc.subscribe("perf.raw", cb=answer)
        await nc.flush()
        hops = await count_hops(lambda: nc.mux.request(b"perf.raw", b"ping"))
    assert hops.calls <= 90, hops.table()  # 82 on 3.11; a client with a reader task takes about 300
    assert hops.own_calls <= 26, hops.table()
    assert hops.callbacks <= ONE_TURN_EACH, hops.table()


async def test_a_burst_of_publishes_is_written_in_one_turn(nats_server: NatsServer) -> None:
    async with connect(nats_server.url) as nc:

        async def burst() -> None:
            for _ in range(100):
                await nc.publish("perf.burst", b"data")
            await nc.flush()

        hops = await count_hops(burst, times=20)
    assert hops.own_calls <= 7 * 100, hops.table()
    assert hops.callbacks <= 4, hops.table()
