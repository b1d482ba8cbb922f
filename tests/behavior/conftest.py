"""Two back ends for one suite: the broker in memory, and a real nats-server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

import natsrpc
from natsrpc.core import Connection, Opening, connect
from natsrpc.testing import Broker, NatsServer


@dataclass
class BackEnd:
    """Where clients connect to, and how."""

    url: str
    how: dict[str, Any]

    def connect(self, **options: Any) -> Opening[Connection]:
        """A connection of the core."""
        return connect(self.url, **self.how, **options)

    def client(self, **options: Any) -> Opening[natsrpc.Client]:
        """A typed client."""
        return natsrpc.connect(self.url, **self.how, **options)


MAX_PAYLOAD = 1024 * 1024


@pytest.fixture(params=["broker", pytest.param("nats-server", marks=pytest.mark.live)])
def back_end(request: pytest.FixtureRequest) -> BackEnd:
    """Each test runs on both."""
    if request.param == "broker":
        return BackEnd("nats://memory:4222", {**Broker(max_payload=MAX_PAYLOAD).options()})
    server: NatsServer = request.getfixturevalue("nats_server")
    return BackEnd(server.url, {})


@pytest.fixture
async def nc(back_end: BackEnd) -> AsyncIterator[Connection]:
    """A connection."""
    async with back_end.connect() as connection:
        yield connection


@pytest.fixture
async def other(back_end: BackEnd) -> AsyncIterator[Connection]:
    """Another connection to the same back end."""
    async with back_end.connect() as connection:
        yield connection


@pytest.fixture
async def client(back_end: BackEnd) -> AsyncIterator[natsrpc.Client]:
    """A typed client."""
    async with back_end.client() as found:
        yield found


@pytest.fixture
def subject() -> str:
    """A subject of the test's own: the real server is shared."""
    return natsrpc.core.new_inbox("behavior")
