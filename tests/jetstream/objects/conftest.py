"""A store for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from natsrpc.jetstream import JetStream, ObjectStore, ObjectStoreConfig


@pytest.fixture
async def store(js: JetStream, name: Callable[[], str]) -> AsyncIterator[ObjectStore]:
    """An empty store in memory."""
    bucket = name()
    yield await js.create_object_store(ObjectStoreConfig(bucket=bucket, storage="memory"))
    await js.delete_object_store(bucket)
