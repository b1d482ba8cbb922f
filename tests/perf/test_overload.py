"""Ten times too many calls: what is accepted keeps its time, the rest is refused at once, and the
worker holds no more memory for it. `python -m benchmarks.overload` measures ten seconds of it."""

from __future__ import annotations

import sys

import pytest

from benchmarks.overload import CAPACITY, measure, quantile
from natsrpc.testing import NatsServer

pytestmark = [
    pytest.mark.alone,
    pytest.mark.live,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]

MACHINE = 0.15
"""Seconds that a machine with other things to do may add."""


async def test_overload_costs_neither_memory_nor_the_time_of_accepted_calls(
    nats_server: NatsServer,
) -> None:
    found = await measure(nats_server.url, seconds=2.0)
    assert found.failed == []
    assert found.offered > 5 * CAPACITY * found.seconds, found
    assert len(found.accepted) > 0.7 * CAPACITY * found.seconds, found
    assert len(found.accepted) < 1.3 * CAPACITY * found.seconds, found
    assert quantile(found.accepted, 0.5) < found.bound, found
    assert quantile(found.accepted, 0.99) < found.bound + MACHINE, found
    assert quantile(found.refused, 0.5) < 0.02, found
    assert found.growth < 2 * 2**20, found
