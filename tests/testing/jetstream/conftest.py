"""A server with JetStream, and a clock and a broker whose JetStream it moves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from natsrpc.core import Connection
from natsrpc.jetstream import JetStream
from natsrpc.testing import Broker, Clock, NatsServer


@pytest.fixture(scope="session")
def jetstream_server() -> Iterator[NatsServer]:
    """One server for all tests, which neither stop nor reload it."""
    with NatsServer(jetstream=True) as server:
        yield server


@pytest.fixture
async def clock() -> Clock:
    return Clock.install()


@pytest.fixture
async def nc(clock: Clock, broker: Broker) -> AsyncIterator[Connection]:
    async with broker.connect() as connection:
        yield connection


@pytest.fixture
def js(nc: Connection) -> JetStream:
    return JetStream(nc)
