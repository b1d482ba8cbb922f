"""A client on a real server, and a service name nobody else uses."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator

import pytest

from natsrpc.rpc import Client, connect
from natsrpc.testing import NatsServer

_numbers = itertools.count()


@pytest.fixture
async def client(nats_server: NatsServer) -> AsyncIterator[Client]:
    """A connected client."""
    async with connect(nats_server.url) as client:
        yield client


@pytest.fixture
async def other(nats_server: NatsServer) -> AsyncIterator[Client]:
    """A second client, on a connection of its own."""
    async with connect(nats_server.url) as client:
        yield client


@pytest.fixture
def unique() -> str:
    """A subject token of this test's own."""
    return f"t{next(_numbers)}"
