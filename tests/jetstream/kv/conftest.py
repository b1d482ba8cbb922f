"""A bucket for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from natsrpc.jetstream import JetStream, KeyValue, KeyValueConfig


@pytest.fixture
async def kv(js: JetStream, name: Callable[[], str]) -> AsyncIterator[KeyValue]:
    """An empty bucket in memory that keeps five revisions."""
    bucket = name()
    yield await js.create_key_value(KeyValueConfig(bucket=bucket, history=5, storage="memory"))
    await js.delete_key_value(bucket)
