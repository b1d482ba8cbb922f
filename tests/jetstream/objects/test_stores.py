"""Stores made, changed, found and deleted."""

from __future__ import annotations

from typing import Any

import pytest

from natsrpc.errors import (
    BucketNotFoundError,
    ConfigError,
    ConfigTypeError,
    StreamNameInUseError,
)
from natsrpc.jetstream import JetStream, ObjectStoreConfig, StreamConfig


async def test_the_stream_of_a_store(js: JetStream) -> None:
    config = ObjectStoreConfig(
        bucket="whole",
        description="all of it",
        ttl=60.0,
        max_bytes=1_000_000,
        storage="memory",
        replicas=1,
        metadata={"team": "billing"},
    )
    store = await js.create_object_store(config)
    stream = (await js.stream("OBJ_whole")).cached_info.config
    assert list(stream.subjects or ()) == ["$O.whole.C.>", "$O.whole.M.>"]
    assert (stream.discard, stream.allow_rollup_hdrs, stream.allow_direct) == ("new", True, True)
    assert (stream.max_age, stream.max_bytes, stream.storage) == (60.0, 1_000_000, "memory")
    status = await store.status()
    assert (status.description, status.ttl) == ("all of it", 60.0)
    assert status.metadata["team"] == "billing"
    await js.delete_object_store("whole")


async def test_the_same_again_is_taken_and_another_is_named(js: JetStream) -> None:
    config = ObjectStoreConfig(bucket="again", max_bytes=1000)
    await js.create_object_store(config)
    await js.create_object_store(config)
    with pytest.raises(StreamNameInUseError, match="max_bytes=1000, not 2000"):
        await js.create_object_store(ObjectStoreConfig(bucket="again", max_bytes=2000))
    await js.delete_object_store("again")


async def test_a_store_of_an_older_client_is_taken_as_it_is(js: JetStream) -> None:
    subjects = ["$O.older.C.>", "$O.older.M.>"]
    await js.create_stream(StreamConfig(name="OBJ_older", subjects=subjects, discard="new"))
    await js.update_stream(StreamConfig(name="OBJ_older", allow_rollup_hdrs=True))
    store = await js.create_object_store(ObjectStoreConfig(bucket="older"))
    await store.put("a", b"1")
    assert await store.get_bytes("a") == b"1"
    await js.delete_object_store("older")


async def test_an_update_changes_what_is_set(js: JetStream) -> None:
    await js.create_object_store(ObjectStoreConfig(bucket="upd", description="old"))
    store = await js.update_object_store(ObjectStoreConfig(bucket="upd", ttl=60.0))
    status = await store.status()
    assert (status.ttl, status.description) == (60.0, "old")
    with pytest.raises(BucketNotFoundError):
        await js.update_object_store(ObjectStoreConfig(bucket="none"))
    await js.delete_object_store("upd")


async def test_stores_are_found_and_deleted(js: JetStream) -> None:
    for name in ("one", "two"):
        await js.create_object_store(ObjectStoreConfig(bucket=name))
    assert {"one", "two"} <= {name async for name in js.object_store_names()}
    assert (await js.object_store("one")).bucket == "one"
    for name in ("one", "two"):
        await js.delete_object_store(name)
    for call in (js.object_store("one"), js.delete_object_store("one")):
        with pytest.raises(BucketNotFoundError) as caught:
            await call
        assert caught.value.err_code == 10059


@pytest.mark.parametrize("bucket", ["", "a.b", "a b", "*", 7])
async def test_what_a_name_cannot_be_is_refused(js: JetStream, bucket: Any) -> None:
    with pytest.raises(ConfigError):
        ObjectStoreConfig(bucket=bucket)
    with pytest.raises(ConfigError):
        await js.object_store(bucket)


async def test_only_a_configuration_is_one(js: JetStream) -> None:
    for call in (js.create_object_store, js.update_object_store):
        with pytest.raises(ConfigTypeError):
            await call("files")  # type: ignore[arg-type]
