"""Reading objects: whole, in chunks, and what is not what was written."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
from typing import Any

import pytest

from natsrpc.core import Connection, connect
from natsrpc.errors import (
    ConfigError,
    ConnectionClosedError,
    DigestMismatchError,
    JetStreamError,
    ObjectNotFoundError,
)
from natsrpc.jetstream import JetStream, ObjectStore
from natsrpc.jetstream.objects.info import from_json
from natsrpc.testing import NatsServer
from tests.core.harness import eventually
from tests.core.harness.proxy import Proxy
from tests.jetstream.pulls import cancel_amid_opening


async def test_by_chunks_and_the_rest_at_once(store: ObjectStore) -> None:
    data = os.urandom(2500)
    await store.put("a", data, chunk_size=1000)
    async with store.get("a") as reader:
        assert reader.info.size == 2500
        first = await anext(reader)
        assert (len(first), first + await reader.read()) == (1000, data)
        assert await reader.read() == b""
        with pytest.raises(StopAsyncIteration):
            await anext(reader)


async def test_an_empty_one(store: ObjectStore) -> None:
    await store.put("a", b"")
    async with store.get("a") as reader:
        assert await reader.read() == b""


async def test_it_is_used_with_its_block(store: ObjectStore) -> None:
    reader = store.get("a")
    for attempt in (lambda: reader.info, lambda: asyncio.ensure_future(reader.read())):
        with pytest.raises(ConfigError, match="async with"):
            found: Any = attempt()
            await found
    with pytest.raises(ObjectNotFoundError):
        async with reader:
            raise AssertionError
    with pytest.raises(ConfigError):
        store.get("")


async def tampered(js: JetStream, store: ObjectStore, **changes: Any) -> None:
    """Change what is stored of the object `a`."""
    info = await store.info("a")
    raw = {
        "name": "a",
        "bucket": store.bucket,
        "nuid": info.nuid,
        "size": info.size,
        "chunks": info.chunks,
        "digest": info.digest,
        **changes,
    }
    token = base64.urlsafe_b64encode(b"a").decode()
    headers = {"Nats-Rollup": "sub"}
    await js.publish(f"$O.{store.bucket}.M.{token}", json.dumps(raw).encode(), headers=headers)


WRONG = "SHA-256=" + base64.urlsafe_b64encode(hashlib.sha256(b"other").digest()).decode()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"digest": WRONG}, WRONG),
        ({"digest": ""}, "expected "),
        ({"size": 2999}, "2999 bytes"),
        ({"chunks": 2}, "2000 bytes"),
        ({"chunks": 4}, "some are gone"),
    ],
)
async def test_what_is_not_what_was_written_is_told_at_the_end(
    js: JetStream, store: ObjectStore, changes: dict[str, Any], told: str
) -> None:
    await store.put("a", os.urandom(3000), chunk_size=1000)
    await tampered(js, store, **changes)
    with pytest.raises(DigestMismatchError, match=told) as caught:
        await asyncio.wait_for(store.get_bytes("a"), 30.0)
    assert caught.value.name == "a"


async def test_chunks_that_are_gone_are_not_waited_for(js: JetStream, store: ObjectStore) -> None:
    info = await store.put("a", os.urandom(30_000), chunk_size=1000)
    stream = await js.stream(f"OBJ_{store.bucket}")
    first = await stream.get_msg(1, subject=f"$O.{store.bucket}.C.{info.nuid}")
    await stream.delete_msg(first.seq + 7)
    with pytest.raises(DigestMismatchError, match="some are gone"):
        await asyncio.wait_for(store.get_bytes("a"), 30.0)
    await stream.purge(subject=f"$O.{store.bucket}.C.>")
    with pytest.raises(DigestMismatchError, match="some are gone"):
        await asyncio.wait_for(store.get_bytes("a"), 30.0)


async def test_a_digest_without_padding_and_missing_keys_are_read(
    js: JetStream, store: ObjectStore
) -> None:
    info = await store.put("a", b"1")
    token = base64.urlsafe_b64encode(b"a").decode()
    raw = {
        "name": "a",
        "bucket": store.bucket,
        "nuid": info.nuid,
        "size": 1,
        "chunks": 1,
        "digest": info.digest.rstrip("="),
    }
    headers = {"Nats-Rollup": "sub"}
    await js.publish(f"$O.{store.bucket}.M.{token}", json.dumps(raw).encode(), headers=headers)
    assert await store.get_bytes("a") == b"1"
    found = await store.info("a")
    assert (found.description, found.metadata, len(found.headers)) == ("", {}, 0)


@pytest.mark.parametrize(
    "data",
    [b"", b"x", b"[]", b"{}", b'{"name": "a", "size": "many"}', b'{"name": "a", "options": 7}'],
)
def test_what_is_no_information_is_an_error_of_ours(data: bytes) -> None:
    with pytest.raises(JetStreamError, match="no information on an object"):
        from_json(data, mtime=None, revision=1)


async def test_a_cut_connection_is_survived(
    jetstream_server: NatsServer, store: ObjectStore
) -> None:
    data = os.urandom(400_000)
    await store.put("a", data, chunk_size=1000)
    async with (
        Proxy(jetstream_server.port) as proxy,
        connect(proxy.url, reconnect_wait=0.01) as nc,
    ):
        there = await JetStream(nc).object_store(store.bucket)
        async with there.get("a") as reader:
            parts = [await anext(reader) for _ in range(50)]
            for _ in range(3):
                links = len(proxy.links)
                proxy.cut()
                await eventually(lambda links=links: len(proxy.links) > links)  # type: ignore[misc]
                parts += [await anext(reader) for _ in range(50)]
            parts.append(await reader.read())
    assert b"".join(parts) == data


async def test_closing_ends_it(jetstream_server: NatsServer, store: ObjectStore) -> None:
    await store.put("a", os.urandom(400_000), chunk_size=1000)
    async with connect(jetstream_server.url) as nc:
        there = await JetStream(nc).object_store(store.bucket)
        async with there.get("a") as reader:
            await anext(reader)
            await nc.close()
            with pytest.raises(ConnectionClosedError):
                await reader.read()


async def test_a_drain_ends_it(jetstream_server: NatsServer, store: ObjectStore) -> None:
    await store.put("a", os.urandom(400_000), chunk_size=1000)
    nc = await connect(jetstream_server.url)
    there = await JetStream(nc).object_store(store.bucket)
    async with there.get("a") as reader:
        await anext(reader)
        await nc.drain()
        with pytest.raises(JetStreamError, match="was ended"):
            await reader.read()


async def test_one_that_is_cancelled_while_it_opens_leaves_no_consumer(
    nc: Connection, js: JetStream, store: ObjectStore
) -> None:
    await store.put("a", b"x" * 3000, chunk_size=1000)
    await cancel_amid_opening(nc, js, f"OBJ_{store.bucket}", store.get_bytes("a"), sent=2)
