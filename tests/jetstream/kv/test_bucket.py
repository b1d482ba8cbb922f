"""Values of keys: read, written, compared and removed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from natsrpc.core import Connection
from natsrpc.errors import (
    BucketNotFoundError,
    ConfigError,
    JetStreamError,
    KeyDeletedError,
    KeyExistsError,
    KeyNotFoundError,
    NoStreamResponseError,
    WrongLastRevisionError,
)
from natsrpc.jetstream import Entry, JetStream, KeyValue, KeyValueConfig, StreamConfig
from tests.core.harness import eventually


def shown(entry: Entry) -> tuple[str, bytes, int, str]:
    return entry.key, entry.value, entry.revision, entry.operation


async def test_a_value_is_read_as_it_was_put(kv: KeyValue) -> None:
    assert await kv.put("a.b", b"1") == 1
    assert await kv.put("a.b", bytearray(b"2")) == 2
    entry = await kv.get("a.b")
    assert shown(entry) == ("a.b", b"2", 2, "PUT")
    assert (entry.bucket, entry.delta) == (kv.bucket, 0)
    assert abs(datetime.now(UTC) - entry.created) < timedelta(minutes=5)
    assert shown(await kv.get("a.b", revision=1)) == ("a.b", b"1", 1, "PUT")
    await kv.put("empty", b"")
    assert (await kv.get("empty")).value == b""


async def test_a_key_that_is_not_there(kv: KeyValue) -> None:
    await kv.put("a", b"")
    for call in (kv.get("b"), kv.get("a", revision=2), kv.get("b", revision=1), kv.history("b")):
        with pytest.raises(KeyNotFoundError) as caught:
            await call
        assert not isinstance(caught.value, KeyDeletedError)
        assert caught.value.key in ("a", "b")


@pytest.mark.parametrize("way", ["delete", "purge"])
async def test_a_removed_key_is_told_with_its_marker(kv: KeyValue, way: str) -> None:
    for value in (b"1", b"2"):
        await kv.put("a", value)
    await (kv.delete("a") if way == "delete" else kv.purge("a"))
    with pytest.raises(KeyDeletedError) as caught:
        await kv.get("a")
    operation = "DEL" if way == "delete" else "PURGE"
    assert (caught.value.key, caught.value.revision) == ("a", 3)
    assert caught.value.operation == operation
    history = [shown(entry) for entry in await kv.history("a")]
    marker = ("a", b"", 3, operation)
    before = [("a", b"1", 1, "PUT"), ("a", b"2", 2, "PUT")] if way == "delete" else []
    assert history == [*before, marker]
    assert await kv.keys() == []


async def test_creating(kv: KeyValue) -> None:
    assert await kv.create("a", b"1") == 1
    with pytest.raises(KeyExistsError) as caught:
        await kv.create("a", b"2")
    assert (caught.value.key, caught.value.revision) == ("a", 1)
    await kv.delete("a")
    assert await kv.create("a", b"3") == 3
    await kv.purge("a")
    assert await kv.create("a", b"4") == 5
    assert (await kv.get("a")).value == b"4"


async def test_of_many_who_create_at_once_one_does(kv: KeyValue) -> None:
    for _ in range(3):
        results = await asyncio.gather(
            *(kv.create("a", b"%d" % n) for n in range(20)), return_exceptions=True
        )
        won = [result for result in results if isinstance(result, int)]
        assert len(won) == 1
        assert {type(result) for result in results if result != won[0]} == {KeyExistsError}
        assert (await kv.get("a")).revision == won[0]
        await kv.delete("a")


async def test_updating(kv: KeyValue) -> None:
    assert await kv.update("a", b"1", last=0) == 1
    assert await kv.update("a", b"2", last=1) == 2
    for last in (0, 1, 7):
        with pytest.raises(WrongLastRevisionError) as caught:
            await kv.update("a", b"", last=last)
        assert (caught.value.key, caught.value.last, caught.value.err_code) == ("a", 2, 10071)
    with pytest.raises(WrongLastRevisionError):
        await kv.delete("a", last=1)
    with pytest.raises(WrongLastRevisionError):
        await kv.purge("a", last=1)
    await kv.delete("a", last=2)
    await kv.purge("a", last=3)
    assert [shown(entry)[2:] for entry in await kv.history("a")] == [(4, "PURGE")]


@pytest.mark.parametrize("number", [10071, 10164])
async def test_both_numbers_of_a_wrong_revision_are_known(nc: Connection, number: int) -> None:
    async def answer(msg: Any) -> None:
        if msg.subject.endswith("STREAM.INFO.KV_odd"):
            await msg.respond(b'{"config": {"name": "KV_odd", "max_msgs_per_subject": 1}}')
        elif "STREAM.MSG.GET" in msg.subject:
            await msg.respond(
                b'{"message": {"subject": "$KV.odd.k", "seq": 4, "time": "2026-01-01T00:00:00Z"}}'
            )
        else:
            await msg.respond(b'{"error": {"code": 400, "err_code": %d}, "seq": 0}' % number)

    await nc.subscribe("odd.>", cb=answer)
    kv = await JetStream(nc, api_prefix="odd").key_value("odd")
    with pytest.raises(WrongLastRevisionError) as caught:
        await kv.update("k", b"", last=3)
    assert caught.value.err_code == number
    with pytest.raises(KeyExistsError) as exists:
        await kv.create("k", b"")
    assert exists.value.revision == 4


async def test_history_is_in_order_and_counts_down(kv: KeyValue) -> None:
    for number in range(7):
        await kv.put("a", b"%d" % number)
    history = await kv.history("a")
    assert [entry.value for entry in history] == [b"2", b"3", b"4", b"5", b"6"]
    assert [entry.delta for entry in history] == [4, 3, 2, 1, 0]
    assert history[0].created <= history[-1].created
    assert history[0].age() < 300


async def test_keys_of_a_bucket(kv: KeyValue) -> None:
    assert await kv.keys() == []
    for key in ("a.1", "a.2", "b", "c.d.e"):
        await kv.put(key, b"x" * 100)
    await kv.delete("a.2")
    await kv.put("a.1", b"again")
    assert sorted(await kv.keys()) == ["a.1", "b", "c.d.e"]
    assert await kv.keys("a.*") == ["a.1"]
    assert sorted(await kv.keys(["b", "c.>"])) == ["b", "c.d.e"]
    assert await kv.keys("nothing") == []
    with pytest.raises(ConfigError):
        await kv.keys("a.>.b")
    with pytest.raises(ConfigError):
        await kv.keys([])


async def test_keys_are_whole_while_others_write_and_purge(
    js: JetStream, name: Callable[[], str]
) -> None:
    """A count of messages, or of pending ones, would end too early, or never."""
    bucket = name()
    kv = await js.create_key_value(KeyValueConfig(bucket=bucket, storage="memory"))
    stable = [f"stable.{n}" for n in range(500)]
    for key in stable:
        await js.publish_async(f"$KV.{bucket}.{key}", b"x")
    await js.publish_async_complete()
    done = asyncio.Event()

    async def write() -> None:
        number = 0
        while not done.is_set():
            number += 1
            await js.publish_async(f"$KV.{bucket}.stable.{number % 500}", b"%d" % number)
            if number % 7 == 0:
                await kv.put(f"brief.{number}", b"")
                await kv.purge(f"brief.{number}")
            await asyncio.sleep(0)

    writing = asyncio.create_task(write())
    try:
        for _ in range(15):
            keys = await asyncio.wait_for(kv.keys("stable.*"), 30.0)
            assert sorted(keys) == sorted(stable)
    finally:
        done.set()
        await writing
    await js.publish_async_complete()
    stream = await js.stream(f"KV_{bucket}")
    await eventually(lambda: _no_consumers(stream))
    await js.delete_key_value(bucket)


async def _no_consumers(stream: Any) -> bool:
    return not [name async for name in stream.consumer_names()]


async def test_purging_what_was_deleted(js: JetStream, kv: KeyValue) -> None:
    for key in ("a", "b", "stays"):
        await kv.put(key, b"1")
        await kv.put(key, b"2")
    await kv.delete("a")
    await kv.purge("b")
    await kv.purge_deletes()  # the markers are young: they stay
    stream = await js.stream(f"KV_{kv.bucket}")
    prefix = f"$KV.{kv.bucket}"
    subjects = (await stream.info(subjects_filter=">")).state.subjects
    assert subjects == {f"{prefix}.a": 1, f"{prefix}.b": 1, f"{prefix}.stays": 2}
    await kv.purge_deletes(older_than=-1)
    subjects = (await stream.info(subjects_filter=">")).state.subjects
    assert subjects == {f"{prefix}.stays": 2}


async def test_purging_takes_no_value_that_came_meanwhile(nc: Connection, kv: KeyValue) -> None:
    """It removes up to the marker, by its sequence."""
    await kv.put("a", b"1")
    await kv.delete("a")
    asked: list[bytes] = []
    await nc.subscribe("$JS.API.STREAM.PURGE.>", cb=lambda msg: asked.append(msg.data))
    await kv.purge_deletes()
    await kv.purge_deletes(older_than=-1)
    await nc.flush()
    subject = f'"filter": "$KV.{kv.bucket}.a"'.encode()
    assert asked == [b'{%b, "seq": 2}' % subject, b'{%b, "seq": 3}' % subject]


async def test_its_status(kv: KeyValue) -> None:
    await kv.put("a", b"1")
    await kv.put("a", b"2")
    status = await kv.status()
    assert (status.bucket, status.values, status.history) == (kv.bucket, 2, 5)
    assert (status.ttl, status.limit_marker_ttl, status.is_compressed) == (0.0, 0.0, False)
    assert status.bytes > 0
    assert status.stream_info.config.name == f"KV_{kv.bucket}"


@pytest.mark.parametrize("key", ["", "a.", "a b", "*", 7])
async def test_each_call_checks_the_key(kv: KeyValue, key: Any) -> None:
    for call in (
        kv.get(key),
        kv.put(key, b""),
        kv.create(key, b""),
        kv.update(key, b"", last=0),
        kv.delete(key),
        kv.purge(key),
        kv.history(key),
    ):
        with pytest.raises(ConfigError):
            await call


async def test_revisions_are_whole_numbers(kv: KeyValue) -> None:
    for revision in (0, -1):
        with pytest.raises(ConfigError, match="at least 1"):
            await kv.get("a", revision=revision)
        with pytest.raises(ConfigError, match="at least 1"):
            kv.watch("a", resume_from_revision=revision)
    for bad in (-1, "1", True):
        with pytest.raises(ConfigError):
            await kv.get("a", revision=bad)  # type: ignore[arg-type]
        with pytest.raises(ConfigError):
            await kv.update("a", b"", last=bad)  # type: ignore[arg-type]
        with pytest.raises(ConfigError):
            await kv.delete("a", last=bad)  # type: ignore[arg-type]


async def test_a_bucket_that_is_gone(nc: Connection) -> None:
    js = JetStream(nc, timeout=1.0)  # an old server says nothing to a direct get
    kv = await js.create_key_value(KeyValueConfig(bucket="gone"))
    await js.delete_key_value("gone")
    with pytest.raises(NoStreamResponseError):
        await kv.put("a", b"")
    with pytest.raises(BucketNotFoundError):
        await kv.status()
    for call in (kv.get("a"), kv.keys()):
        with pytest.raises(JetStreamError):
            await call


# times to live


async def test_a_key_with_a_time_to_live(js: JetStream, level: int) -> None:
    if not level:
        with pytest.raises(JetStreamError, match=r"needs nats-server 2\.11"):
            await js.create_key_value(KeyValueConfig(bucket="mortal", limit_marker_ttl=60.0))
        kv = await js.create_key_value(KeyValueConfig(bucket="mortal", storage="memory"))
        for call in (kv.create("a", b"", ttl=1.0), kv.purge("a", ttl=1.0)):
            with pytest.raises(JetStreamError, match=r"needs nats-server 2\.11"):
                await call
        assert (await kv.status()).values == 0
        await js.delete_key_value("mortal")
        return
    config = KeyValueConfig(bucket="mortal", storage="memory", limit_marker_ttl=60.0)
    kv = await js.create_key_value(config)
    assert (await kv.status()).limit_marker_ttl == 60.0
    async with kv.watch(updates_only=True) as watcher:
        await kv.create("a", b"1", ttl=1.0)
        entries = [await asyncio.wait_for(anext(watcher), 20.0) for _ in range(2)]
    operations = [entry.operation for entry in entries if entry is not None]
    assert operations == ["PUT", "PURGE"]  # the server's own marker
    with pytest.raises(KeyDeletedError):
        await kv.get("a")
    assert await kv.keys() == []
    assert await kv.create("a", b"2") == 3
    await kv.purge("a", ttl=1.0)

    async def marker_is_gone() -> bool:
        return (await kv.status()).values == 0

    await eventually(marker_is_gone, 20.0)
    for bad in (0.5, 0, -1, True):
        with pytest.raises(ConfigError):
            await kv.create("a", b"", ttl=bad)
    await js.delete_key_value("mortal")


async def test_without_markers_a_bucket_allows_no_times_to_live(kv: KeyValue, level: int) -> None:
    if level:
        with pytest.raises(JetStreamError) as caught:
            await kv.create("a", b"", ttl=1.0)
        assert caught.value.err_code == 10166


@pytest.mark.parametrize(
    ("headers", "operation"),
    [
        ({}, "PUT"),
        ({"Other": "x"}, "PUT"),
        ({"KV-Operation": "DEL"}, "DEL"),
        ({"KV-Operation": "PURGE"}, "PURGE"),
        ({"Nats-Marker-Reason": "MaxAge"}, "PURGE"),
        ({"Nats-Marker-Reason": "Purge"}, "PURGE"),
        ({"Nats-Marker-Reason": "Remove"}, "DEL"),
    ],
)
async def test_what_headers_say_of_a_key(
    js: JetStream, kv: KeyValue, headers: dict[str, str], operation: str
) -> None:
    await js.publish(f"$KV.{kv.bucket}.a", b"", headers=headers)
    (entry,) = await kv.history("a")
    assert entry.operation == operation
    if operation == "PUT":
        assert shown(await kv.get("a")) == ("a", b"", 1, "PUT")
    else:
        with pytest.raises(KeyDeletedError) as caught:
            await kv.get("a")
        assert caught.value.operation == operation


async def test_a_bucket_without_direct_get_is_read_as_well(js: JetStream, kv: KeyValue) -> None:
    await js.update_stream(StreamConfig(name=f"KV_{kv.bucket}", allow_direct=False))
    there = await js.key_value(kv.bucket)
    await there.put("a", b"1")
    assert (await there.get("a")).value == b"1"
    assert (await there.get("a", revision=1)).value == b"1"
    with pytest.raises(KeyNotFoundError):
        await there.get("b")
