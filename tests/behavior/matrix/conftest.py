"""Each topology is started once, with its servers, for all its cells."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from natsrpc.testing import NatsServer

from .topologies import ALL, Topology


@pytest.fixture(scope="session", params=ALL)
def topology(request: pytest.FixtureRequest, nats_server: NatsServer) -> Iterator[Topology]:
    """Each topology; `nats_server` is asked for since it says what is done without any server."""
    with ALL[request.param]() as found:
        yield found
