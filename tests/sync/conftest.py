"""A served desk and a blocking client, for all tests of the blocking client."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

import natsrpc.sync
from natsrpc.testing import NatsServer

from .desk import served


@pytest.fixture
def url(nats_server: NatsServer) -> Iterator[str]:
    with served(nats_server.url):
        yield nats_server.url


@pytest.fixture
def client(url: str) -> Iterator[natsrpc.sync.Client]:
    with natsrpc.sync.connect(url) as connected:
        yield connected


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    left = [
        thread
        for thread in set(threading.enumerate()) - before
        if thread.name.startswith("natsrpc-sync")
    ]
    for thread in left:
        thread.join(5)
    assert not [thread for thread in left if thread.is_alive()]
