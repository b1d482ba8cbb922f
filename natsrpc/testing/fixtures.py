"""The pytest fixtures: `pytest_plugins = ["natsrpc.testing.fixtures"]` in a conftest loads them.

Without a nats-server the tests that need one are skipped, with the reason; where `CI` is set in the
environment they fail.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from natsrpc.errors import ServerNotFoundError
from natsrpc.server import Cluster, NatsServer, find_server

from .broker import Broker

__all__ = ["broker", "fresh_server", "nats_cluster", "nats_server"]


def _need_server() -> None:
    try:
        find_server()
    except ServerNotFoundError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def nats_server() -> Iterator[NatsServer]:
    """One nats-server for the whole session, shared by its tests. A test uses subjects of its own,
    and neither stops nor reloads the server."""
    _need_server()
    with NatsServer() as server:
        yield server


@pytest.fixture
def fresh_server() -> Iterator[NatsServer]:
    """A nats-server for one test, which may stop, kill and restart it."""
    _need_server()
    with NatsServer() as server:
        yield server


@pytest.fixture
def nats_cluster() -> Iterator[Cluster]:
    """A cluster of three nats-servers for one test."""
    _need_server()
    with Cluster(3) as cluster:
        yield cluster


@pytest.fixture
def broker() -> Broker:
    """A NATS server in memory for one test."""
    return Broker()
