"""Servers with JetStream, and a connection to one. Each test has streams of its own name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from natsrpc.core import Connection, Opening, connect
from natsrpc.jetstream import JetStream
from natsrpc.testing import Broker, NatsServer
from tests.jetstream.consuming.scripted import ScriptedConsumer
from tests.jetstream.fixtures import fresh_jetstream as fresh_jetstream
from tests.jetstream.fixtures import jetstream_cluster as jetstream_cluster
from tests.jetstream.fixtures import jetstream_server as jetstream_server
from tests.jetstream.fixtures import level as level
from tests.jetstream.fixtures import name as name
from tests.jetstream.fixtures import stream as stream


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that needs no more than a connection over a server, and over the one in memory:
    so the latter is held to what the former does."""
    if "nc" in metafunc.fixturenames:
        over = [pytest.param("server", marks=pytest.mark.live)]
        is_told = metafunc.definition.get_closest_marker("server_only") is not None
        if not is_told and "jetstream_server" not in metafunc.fixturenames:
            over.append(pytest.param("memory"))
        metafunc.parametrize("nc", over, indirect=True)


@pytest.fixture
def memory() -> Broker:
    """The server in memory, of the tests that run over it."""
    return Broker()


@pytest.fixture
def dialing(request: pytest.FixtureRequest) -> Callable[[], Opening[Connection]]:
    """Connects to the JetStream that the test runs over."""
    if request.node.callspec.params.get("nc") == "memory":
        broker: Broker = request.getfixturevalue("memory")
        return broker.connect
    server: NatsServer = request.getfixturevalue("jetstream_server")
    return lambda: connect(server.url)


@pytest.fixture
async def nc(dialing: Callable[[], Opening[Connection]]) -> AsyncIterator[Connection]:
    async with dialing() as connection:
        yield connection


@pytest.fixture
def js(nc: Connection) -> JetStream:
    return JetStream(nc)


@pytest.fixture
async def other(dialing: Callable[[], Opening[Connection]]) -> AsyncIterator[Connection]:
    """A second connection to the same server."""
    async with dialing() as connection:
        yield connection


@pytest.fixture
async def played(broker: Broker) -> AsyncIterator[Connection]:
    """A connection to a server in memory: nats-server takes no ack subjects of clients."""
    async with connect("nats://memory:4222", **broker.options()) as connection:
        yield connection


@pytest.fixture
async def scripted(broker: Broker, name: Callable[[], str]) -> AsyncIterator[ScriptedConsumer]:
    """A consumer that the test plays itself, to be seen through `played`."""
    async with connect("nats://memory:4222", **broker.options()) as connection:
        yield await ScriptedConsumer(connection, f"played.{name()}").open()
