"""A client on a real server, and a service name nobody else uses."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator

import pytest

from natsrpc import core
from natsrpc.rpc import Client, connect
from natsrpc.testing import NatsServer
from tests.rpc.paths import InPlaceClient, pass_on

_numbers = itertools.count()


@pytest.fixture
def path() -> str:
    """The path that the client's calls take: as in production, where a module says nothing else."""
    return ""


@pytest.fixture
async def client(nats_server: NatsServer, path: str) -> AsyncIterator[Client]:
    """A connected client."""
    kind = InPlaceClient if path == "in place" else Client
    async with kind(await core.connect(nats_server.url)) as client:
        if path == "general":
            client.middleware(pass_on)
        yield client


@pytest.fixture
async def other(nats_server: NatsServer) -> AsyncIterator[Client]:
    """A second client, on a connection of its own."""
    async with connect(nats_server.url) as client:
        yield client


@pytest.fixture
def patient_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Callers that wait for a worker's word that the time is over, however busy the machine is:
    these tests are about that word."""
    for module in ("calling.bound", "calling.outgoing", "calling.gather", "streams.conversations"):
        monkeypatch.setattr(f"natsrpc.rpc.{module}.GRACE", 10.0)


@pytest.fixture
def unique() -> str:
    """A subject token of this test's own."""
    return f"t{next(_numbers)}"
