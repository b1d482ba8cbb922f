"""Fixtures of all tests that need JetStream: servers, and a stream of the test's own.

Each conftest that takes them has its own `js`, the JetStream that `level` and `stream` ask.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from natsrpc.jetstream import JetStream, Stream, StreamConfig
from natsrpc.testing import Cluster, NatsServer

_numbers = itertools.count()


@pytest.fixture(scope="session")
def jetstream_server() -> Iterator[NatsServer]:
    """One server for all tests, which neither stop nor reload it."""
    with NatsServer(jetstream=True) as server:
        yield server


@pytest.fixture
def fresh_jetstream() -> Iterator[NatsServer]:
    """A server for one test, which may kill and restart it."""
    with NatsServer(jetstream=True) as server:
        yield server


@pytest.fixture
def jetstream_cluster() -> Iterator[Cluster]:
    """Three servers for one test."""
    with Cluster(3, jetstream=True) as cluster:
        yield cluster


@pytest.fixture
async def level(js: JetStream) -> int:
    """What the server can: 0 before 2.11, 1 before 2.12, 2 before 2.14."""
    return (await js.account_info()).api.level


@pytest.fixture
def name() -> Callable[[], str]:
    """Names that no other test has."""
    return lambda: f"T{next(_numbers)}"


@pytest.fixture
async def stream(js: JetStream, name: Callable[[], str]) -> AsyncIterator[Stream]:
    """An empty stream in memory. Its name, in lower case, is the first token of its subjects."""
    unique = name()
    config = StreamConfig(
        name=unique, subjects=[f"{unique.lower()}.>"], storage="memory", allow_direct=True
    )
    yield await js.create_stream(config)
    await js.delete_stream(unique)
