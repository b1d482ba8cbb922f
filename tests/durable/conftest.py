"""A server with JetStream for the tests of durable work, and a client of it. Each test has streams
of its own name."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from natsrpc import Client, connect
from natsrpc.jetstream import JetStream, Stream
from natsrpc.testing import NatsServer
from tests.durable.desk import Desk
from tests.jetstream.fixtures import fresh_jetstream as fresh_jetstream
from tests.jetstream.fixtures import jetstream_cluster as jetstream_cluster
from tests.jetstream.fixtures import jetstream_server as jetstream_server
from tests.jetstream.fixtures import level as level
from tests.jetstream.fixtures import name as name
from tests.jetstream.fixtures import stream as stream


@pytest.fixture
async def client(jetstream_server: NatsServer) -> AsyncIterator[Client]:
    async with connect(jetstream_server.url) as connected:
        yield connected


@pytest.fixture
def js(client: Client) -> JetStream:
    return JetStream(client.connection)


@pytest.fixture
def desk(client: Client, stream: Stream) -> Desk:
    """Jobs of this test's own."""
    return Desk(client, stream)
