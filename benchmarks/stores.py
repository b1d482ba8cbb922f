"""Makes what the JetStream scenarios work on: a stream, its consumer, a bucket, an object store.

All of it is in memory, and made anew for each window.
"""

from __future__ import annotations

import asyncio
import contextlib

from benchmarks.models import BUCKET, CONSUMER, OBJECT, STREAM, SUBJECT, key
from benchmarks.scenarios import Stored
from natsrpc.core import connect
from natsrpc.errors import StreamNotFoundError
from natsrpc.jetstream import (
    ConsumerConfig,
    JetStream,
    KeyValueConfig,
    ObjectStoreConfig,
    StreamConfig,
)


def prepare(url: str, scenario: Stored, count: int) -> None:
    """Make what one window of a scenario needs, which does its job so many times."""
    asyncio.run(_prepare(url, scenario, count))


async def _prepare(url: str, scenario: Stored, count: int) -> None:
    async with connect(url) as nc:
        js = JetStream(nc)
        kind = scenario.job.split("_", 1)[0]
        data = b"x" * scenario.size
        if kind == "key":
            await _bucket(js, data)
        elif kind == "object":
            await _objects(js, data)
        else:
            await _stream(js, data, 0 if kind == "publish" else count)


async def _delete(js: JetStream, stream: str) -> None:
    with contextlib.suppress(StreamNotFoundError):
        await js.delete_stream(stream)


async def _stream(js: JetStream, data: bytes, count: int) -> None:
    await _delete(js, STREAM)
    config = StreamConfig(name=STREAM, subjects=[SUBJECT], storage="memory")
    stream = await js.create_stream(config)
    for _ in range(count):
        await js.publish_async(SUBJECT, data)
    await js.publish_async_complete()
    await stream.create_consumer(ConsumerConfig(durable_name=CONSUMER, max_ack_pending=count or 1))


async def _bucket(js: JetStream, data: bytes) -> None:
    await _delete(js, f"KV_{BUCKET}")
    bucket = await js.create_key_value(KeyValueConfig(bucket=BUCKET, storage="memory"))
    for number in range(100):
        await bucket.put(key(number), data)


async def _objects(js: JetStream, data: bytes) -> None:
    await _delete(js, f"OBJ_{BUCKET}")
    store = await js.create_object_store(ObjectStoreConfig(bucket=BUCKET, storage="memory"))
    await store.put(OBJECT, data)
