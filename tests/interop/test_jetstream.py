"""JetStream clients of others: what they write we read, and they what we write."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.js import JetStreamContext
from nats.js.errors import KeyNotFoundError as TheirKeyNotFoundError

from natsrpc.core import Connection, connect
from natsrpc.errors import KeyDeletedError, ObjectDeletedError
from natsrpc.jetstream import (
    ConsumerConfig,
    JetStream,
    KeyValueConfig,
    ObjectStoreConfig,
    StreamConfig,
)
from natsrpc.testing import NatsServer

pytestmark = [pytest.mark.live, pytest.mark.interop]

FOLDER = Path(__file__).parent / "js"


@pytest.fixture
def server() -> Iterator[NatsServer]:
    with NatsServer(jetstream=True) as running:
        yield running


@pytest.fixture
async def nc(server: NatsServer) -> AsyncIterator[Connection]:
    async with connect(server.url) as connection:
        yield connection


@pytest.fixture
async def theirs(server: NatsServer) -> AsyncIterator[JetStreamContext]:
    """nats-py."""
    client = await nats.connect(server.url)
    yield client.jetstream()
    await client.close()


@pytest.fixture(scope="module")
def node() -> str:
    """The program, with the packages at hand."""
    found = shutil.which("node")
    if found is None or not (FOLDER / "node_modules" / "@nats-io" / "kv").is_dir():
        missing = "node, or its packages are missing: scripts/js installs them"
        if os.environ.get("CI"):
            pytest.fail(missing, pytrace=False)
        pytest.skip(missing)
    return found


async def ran(node: str, *arguments: str) -> Any:
    process = await asyncio.create_subprocess_exec(
        node,
        *arguments,
        cwd=FOLDER,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), 60.0)
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, err.decode()
    return json.loads(out)


async def test_javascript_reads_what_we_write_and_we_what_it_writes(
    node: str, server: NatsServer, nc: Connection
) -> None:
    js = JetStream(nc)
    kv = await js.create_key_value(KeyValueConfig(bucket="py", history=5))
    for value in (b"1", b"2"):
        await kv.put("a.b", value)
    for key in ("counted", "gone"):
        await kv.create(key, b"1")
    await kv.delete("gone")
    store = await js.create_object_store(ObjectStoreConfig(bucket="py"))
    data = os.urandom(500_001)
    headers = {"A": ["1", "2"]}
    info = await store.put(
        "large", data, description="from py", metadata={"k": "v"}, headers=headers, chunk_size=65536
    )
    await store.put("empty", b"")
    await store.put("gone", b"x")
    await store.delete("gone")
    await store.add_link("link", info)

    got = await ran(node, "stores.mjs", server.url)
    bucket, objects = got["bucket"], got["store"]
    assert bucket["keys"] == ["a.b", "counted"]
    assert bucket["history"] == [["1", "PUT", 1], ["2", "PUT", 2]]
    assert bucket["removed"] == "DEL"
    assert bucket["conflict"]
    assert (await kv.get("counted")).revision == bucket["next"]
    assert (objects["size"], objects["digest"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert objects["linked"] == objects["digest"]
    assert (objects["empty"], objects["chunk"]) == (0, 65536)
    assert (objects["description"], objects["metadata"]) == ("from py", {"k": "v"})
    assert objects["header"] == ["1", "2"]
    assert objects["names"] == ["empty", "large", "link"]
    assert objects["deleted"] is True

    kv = await js.key_value("js")
    assert sorted(await kv.keys()) == ["a.b"]
    assert [(e.value, e.operation) for e in await kv.history("a.b")] == [
        (b"1", "PUT"),
        (b"2", "PUT"),
    ]
    for key, operation in (("gone", "DEL"), ("purged", "PURGE")):
        with pytest.raises(KeyDeletedError) as caught:
            await kv.get(key)
        assert caught.value.operation == operation
    store = await js.object_store("js")
    written = await store.get_bytes("large")
    assert hashlib.sha256(written).hexdigest() == got["written"]
    assert await store.get_bytes("link") == written
    there = await store.info("large")
    assert (there.description, there.metadata) == ("from js", {"k": "v"})
    assert there.headers == {"A": ["1", "2"]}
    assert (there.max_chunk_size, there.chunks) == (65536, 5)
    with pytest.raises(ObjectDeletedError):
        await store.info("gone")
    assert sorted([each.name async for each in store.list()]) == ["large", "link"]


async def test_nats_py_and_we_share_buckets(nc: Connection, theirs: JetStreamContext) -> None:
    js = JetStream(nc)
    ours = await js.create_key_value(KeyValueConfig(bucket="b", history=5))
    their = await theirs.key_value("b")
    revision = await ours.put("a.b", b"1")
    entry = await their.get("a.b")
    assert (entry.value, entry.revision) == (b"1", revision)
    revision = await their.put("a.b", b"2")
    assert (await ours.get("a.b")).value == b"2"
    assert await ours.update("a.b", b"3", last=revision) == revision + 1
    await their.delete("a.b")
    with pytest.raises(KeyDeletedError):
        await ours.get("a.b")
    await ours.put("c", b"")
    await ours.purge("c")
    with pytest.raises(TheirKeyNotFoundError):
        await their.get("c")
    created = await theirs.create_key_value(bucket="theirs")
    await created.put("k", b"v")
    opened = await js.key_value("theirs")
    assert await opened.keys() == ["k"]


async def test_nats_py_and_we_share_stores(nc: Connection, theirs: JetStreamContext) -> None:
    js = JetStream(nc)
    ours = await js.create_object_store(ObjectStoreConfig(bucket="o"))
    their = await theirs.object_store("o")
    data = os.urandom(300_001)
    await ours.put("ours", data, description="x")
    got = await their.get("ours")
    assert (got.data, got.info.description) == (data, "x")
    await their.put("theirs", data)
    assert await ours.get_bytes("theirs") == data
    await their.delete("theirs")
    with pytest.raises(ObjectDeletedError):
        await ours.get_bytes("theirs")


async def test_nats_py_and_we_share_streams_and_consumers(
    nc: Connection, theirs: JetStreamContext
) -> None:
    js = JetStream(nc)
    stream = await js.create_stream(StreamConfig(name="S", subjects=["s.*"]))
    ack = await theirs.publish("s.a", b"1", headers={"A": "b"})
    assert (ack.stream, ack.seq) == ("S", 1)
    await js.publish("s.b", b"2", headers={"C": "d"})
    consumer = await stream.create_consumer(ConsumerConfig(durable_name="c"))
    (msg,) = await consumer.fetch(1)
    assert msg.data == b"1"
    assert msg.headers == {"A": "b"}
    await msg.double_ack()
    sub = await theirs.pull_subscribe_bind("c", "S")
    (theirs_msg,) = await sub.fetch(1)
    assert (theirs_msg.data, theirs_msg.headers) == (b"2", {"C": "d"})
    await theirs_msg.ack_sync()
    info = await theirs.stream_info("S")
    assert info.state.messages == 2
    assert (await consumer.info()).ack_floor.stream_seq == 2
