"""Buckets made, changed, found and deleted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from natsrpc.errors import (
    BadBucketError,
    BucketNotFoundError,
    ConfigError,
    ConfigTypeError,
    JetStreamError,
    StreamNameInUseError,
)
from natsrpc.jetstream import JetStream, KeyValueConfig, Republish, StreamConfig, StreamSource
from tests.core.harness import eventually


async def test_the_stream_of_a_bucket(js: JetStream) -> None:
    config = KeyValueConfig(
        bucket="whole",
        description="all of it",
        max_value_size=1000,
        history=7,
        ttl=60.0,
        max_bytes=1_000_000,
        storage="memory",
        replicas=1,
        republish=Republish(src=">", dest="seen.>"),
        compression=False,
        metadata={"team": "billing"},
    )
    await js.create_key_value(config)
    stream = (await js.stream("KV_whole")).cached_info.config
    assert list(stream.subjects or ()) == ["$KV.whole.>"]
    assert (stream.description, stream.max_msg_size) == ("all of it", 1000)
    assert (stream.max_msgs_per_subject, stream.max_age, stream.duplicate_window) == (7, 60.0, 60.0)
    assert (stream.max_bytes, stream.storage, stream.num_replicas) == (1_000_000, "memory", 1)
    assert (stream.discard, stream.allow_rollup_hdrs, stream.deny_delete) == ("new", True, True)
    assert stream.allow_direct
    assert stream.republish == Republish(src=">", dest="seen.>")
    assert stream.metadata is not None
    assert stream.metadata["team"] == "billing"
    status = await (await js.key_value("whole")).status()
    assert (status.history, status.ttl) == (7, 60.0)
    await js.delete_key_value("whole")


async def test_the_same_again_is_taken_and_another_is_named(js: JetStream) -> None:
    config = KeyValueConfig(bucket="again", history=3)
    await js.create_key_value(config)
    await js.create_key_value(config)
    with pytest.raises(StreamNameInUseError, match="max_msgs_per_subject=3, not 4"):
        await js.create_key_value(KeyValueConfig(bucket="again", history=4))
    await js.delete_key_value("again")


async def test_a_bucket_of_an_older_client_is_taken_as_it_is(js: JetStream) -> None:
    """Older clients made their streams otherwise: only what is asked for is compared."""
    old = StreamConfig(
        name="KV_older",
        subjects=["$KV.older.>"],
        max_msgs_per_subject=2,
        discard="old",
        allow_rollup_hdrs=True,
    )
    await js.create_stream(old)
    kv = await js.create_key_value(KeyValueConfig(bucket="older", history=2))
    await kv.put("a", b"1")
    assert (await kv.get("a")).value == b"1"
    await js.delete_key_value("older")


async def test_an_update_changes_what_is_set(js: JetStream) -> None:
    await js.create_key_value(KeyValueConfig(bucket="upd", history=3, description="old"))
    kv = await js.update_key_value(KeyValueConfig(bucket="upd", history=5))
    stream = (await kv.status()).stream_info.config
    assert (stream.max_msgs_per_subject, stream.description) == (5, "old")
    assert stream.deny_delete
    with pytest.raises(BucketNotFoundError):
        await js.update_key_value(KeyValueConfig(bucket="none"))
    kv = await js.create_or_update_key_value(KeyValueConfig(bucket="upd", description="new"))
    stream = (await kv.status()).stream_info.config
    assert (stream.max_msgs_per_subject, stream.description) == (5, "new")
    await js.create_or_update_key_value(KeyValueConfig(bucket="upd2"))
    for bucket in ("upd", "upd2"):
        await js.delete_key_value(bucket)


async def test_a_bucket_that_is_not_there(js: JetStream) -> None:
    for call in (js.key_value("none"), js.delete_key_value("none")):
        with pytest.raises(BucketNotFoundError) as caught:
            await call
        assert caught.value.err_code == 10059


async def test_a_stream_that_is_no_bucket(js: JetStream) -> None:
    await js.create_stream(StreamConfig(name="KV_plain", subjects=["plain"]))
    with pytest.raises(BadBucketError):
        await js.key_value("plain")
    await js.delete_stream("KV_plain")


@pytest.mark.parametrize(
    "options",
    [
        {"bucket": ""},
        {"bucket": "a.b"},
        {"bucket": "a b"},
        {"bucket": 7},
        {"bucket": "b", "history": 0},
        {"bucket": "b", "history": 65},
        {"bucket": "b", "history": True},
        {"bucket": "b", "limit_marker_ttl": 0.5},
    ],
)
def test_what_a_bucket_cannot_be_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        KeyValueConfig(**options)


async def test_only_a_configuration_is_one(js: JetStream) -> None:
    for call in (js.create_key_value, js.update_key_value, js.create_or_update_key_value):
        with pytest.raises(ConfigTypeError):
            await call("cfg")  # type: ignore[arg-type]
    for bad in ("a.b", ""):
        with pytest.raises(ConfigError):
            await js.key_value(bad)


@pytest.mark.server_only("mirrors and sources")
async def test_mirrors_and_sources_of_buckets(js: JetStream) -> None:
    origin = await js.create_key_value(KeyValueConfig(bucket="origin", storage="memory"))
    await origin.put("a", b"1")
    mirror = await js.create_key_value(
        KeyValueConfig(bucket="mirror", storage="memory", mirror=StreamSource(name="origin"))
    )
    joined = await js.create_key_value(
        KeyValueConfig(bucket="joined", storage="memory", sources=[StreamSource(name="KV_origin")])
    )
    assert {"origin", "mirror", "joined"} <= {name async for name in js.key_value_names()}
    await mirror.put("b", b"2")  # it goes to the origin
    assert (await origin.get("b")).value == b"2"
    for bucket in (mirror, joined):
        there = await js.key_value(bucket.bucket)

        async def has_all(kv: Any = there) -> bool:
            return sorted(await kv.keys()) == ["a", "b"]

        await eventually(has_all)
        assert (await there.get("a")).value == b"1"
        assert [entry.value for entry in await there.history("b")] == [b"2"]
    for name in ("mirror", "joined", "origin"):
        await js.delete_key_value(name)


@pytest.mark.server_only("mirrors and sources")
async def test_another_mirror_and_other_sources_are_named_or_made(
    js: JetStream, name: Callable[[], str]
) -> None:
    one, two, mirror, joined = name(), name(), name(), name()
    for bucket in (one, two):
        await js.create_key_value(KeyValueConfig(bucket=bucket, storage="memory"))
    first, second = StreamSource(name=one), StreamSource(name=two)
    for _ in range(2):  # the same again is taken
        await js.create_key_value(KeyValueConfig(bucket=mirror, mirror=first))
        await js.create_key_value(KeyValueConfig(bucket=joined, sources=[first]))
    for field, other in (
        ("mirror", KeyValueConfig(bucket=mirror, mirror=second)),
        ("mirror", KeyValueConfig(bucket=mirror)),
        ("sources", KeyValueConfig(bucket=joined, sources=[first, second])),
    ):
        with pytest.raises(StreamNameInUseError, match=field):
            await js.create_key_value(other)
    both = KeyValueConfig(bucket=joined, sources=[first, second])
    there = await js.update_key_value(both)
    assert len((await there.status()).stream_info.config.sources or ()) == 2
    await js.create_key_value(both)
    await js.update_key_value(KeyValueConfig(bucket=joined, description="and no word of sources"))
    assert len((await there.status()).stream_info.config.sources or ()) == 2
    with pytest.raises(JetStreamError, match="mirror"):
        await js.update_key_value(KeyValueConfig(bucket=mirror, mirror=second))
    for bucket in (mirror, joined, one, two):
        await js.delete_key_value(bucket)
