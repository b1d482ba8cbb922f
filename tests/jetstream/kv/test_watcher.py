"""Watches of keys: what was there, the mark behind it, and what comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from natsrpc.core import Connection, connect
from natsrpc.errors import ConfigError, ConnectionClosedError, StreamNotFoundError
from natsrpc.jetstream import Entry, JetStream, KeyValue, KeyValueConfig, KeyWatcher
from natsrpc.testing import NatsServer
from tests.core.harness import eventually, no_leaks, turns
from tests.core.harness.proxy import Proxy
from tests.jetstream.pulls import cancel_amid_opening, until_asked


async def until_mark(watcher: KeyWatcher) -> list[Entry]:
    """What comes up to the mark."""
    found: list[Entry] = []
    while (entry := await asyncio.wait_for(anext(watcher), 30.0)) is not None:
        found.append(entry)
    return found


async def take(watcher: KeyWatcher, count: int) -> list[Entry]:
    found = []
    for _ in range(count):
        entry = await asyncio.wait_for(anext(watcher), 30.0)
        assert entry is not None
        found.append(entry)
    return found


def shown(entries: list[Entry]) -> list[tuple[str, bytes, str]]:
    return [(entry.key, entry.value, entry.operation) for entry in entries]


@pytest.fixture
async def filled(kv: KeyValue) -> KeyValue:
    """a.1 twice, a.2, b, and c deleted."""
    for key, value in (("a.1", b"old"), ("a.2", b"2"), ("b", b"3"), ("a.1", b"1"), ("c", b"4")):
        await kv.put(key, value)
    await kv.delete("c")
    return kv


async def test_the_latest_values_then_the_mark_then_changes(filled: KeyValue) -> None:
    async with no_leaks(), filled.watch() as watcher:
        assert shown(await until_mark(watcher)) == [
            ("a.2", b"2", "PUT"),
            ("b", b"3", "PUT"),
            ("a.1", b"1", "PUT"),
            ("c", b"", "DEL"),
        ]
        await filled.put("b", b"new")
        await filled.purge("a.1")
        assert shown(await take(watcher, 2)) == [("b", b"new", "PUT"), ("a.1", b"", "PURGE")]
    with pytest.raises(StopAsyncIteration):
        await anext(watcher)


@pytest.mark.parametrize(
    ("keys", "options", "expected"),
    [
        ("a.*", {}, ["a.2", "a.1"]),
        (["b", "c"], {}, ["b", "c"]),
        ("a.1", {"include_history": True}, ["a.1", "a.1"]),
        (">", {"include_history": True}, ["a.1", "a.2", "b", "a.1", "c", "c"]),
        (">", {"ignore_deletes": True}, ["a.2", "b", "a.1"]),
        (">", {"resume_from_revision": 4}, ["a.1", "c", "c"]),
        ("a.>", {"resume_from_revision": 2}, ["a.2", "a.1"]),
        ("none.*", {}, []),
        (">", {"resume_from_revision": 100}, []),
    ],
)
async def test_what_is_watched(
    filled: KeyValue, keys: Any, options: dict[str, Any], expected: list[str]
) -> None:
    async with filled.watch(keys, **options) as watcher:
        assert [entry.key for entry in await until_mark(watcher)] == expected


async def test_updates_only(filled: KeyValue) -> None:
    async with filled.watch(updates_only=True) as watcher:
        await filled.put("b", b"new")
        assert shown(await take(watcher, 1)) == [("b", b"new", "PUT")]  # and no mark


async def test_without_values(filled: KeyValue) -> None:
    async with filled.watch(meta_only=True, ignore_deletes=True) as watcher:
        assert {entry.value for entry in await until_mark(watcher)} == {b""}


async def test_an_empty_bucket_is_marked_at_once(kv: KeyValue) -> None:
    async with kv.watch(include_history=True) as watcher:
        assert await until_mark(watcher) == []
        await kv.put("a", b"1")
        assert shown(await take(watcher, 1)) == [("a", b"1", "PUT")]


async def test_a_cancelled_wait_loses_nothing(kv: KeyValue) -> None:
    async with kv.watch() as watcher:
        assert await until_mark(watcher) == []
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(watcher), 0.02)
        await kv.put("a", b"1")
        assert shown(await take(watcher, 1)) == [("a", b"1", "PUT")]


async def test_what_cannot_be_watched_is_refused(kv: KeyValue) -> None:
    with pytest.raises(ConfigError, match="either include_history or updates_only"):
        kv.watch(include_history=True, updates_only=True)
    with pytest.raises(ConfigError):
        kv.watch("a.>.b")
    with pytest.raises(ConfigError):
        kv.watch(resume_from_revision=-1)
    watcher = kv.watch()
    with pytest.raises(ConfigError, match="async with"):
        await anext(watcher)
    async with watcher:
        with pytest.raises(ConfigError, match="entered before"):
            await watcher.__aenter__()


async def test_leaving_deletes_its_consumer(js: JetStream, kv: KeyValue) -> None:
    stream = await js.stream(f"KV_{kv.bucket}")
    async with kv.watch():
        assert len([name async for name in stream.consumer_names()]) == 1
    assert [name async for name in stream.consumer_names()] == []


@pytest.mark.server_only("a race of processes")
async def test_the_mark_comes_under_writes_and_no_key_is_missing(
    js: JetStream, name: Callable[[], str]
) -> None:
    bucket = name()
    kv = await js.create_key_value(KeyValueConfig(bucket=bucket, storage="memory"))
    keys = {f"k.{n}" for n in range(300)}
    for key in keys:
        await js.publish_async(f"$KV.{bucket}.{key}", b"")
    await js.publish_async_complete()
    done = asyncio.Event()

    async def write() -> None:
        number = 0
        while not done.is_set():
            number += 1
            await js.publish_async(f"$KV.{bucket}.k.{number % 300}", b"%d" % number)
            await asyncio.sleep(0)

    writing = asyncio.create_task(write())
    try:
        for _ in range(5):
            async with kv.watch() as watcher:
                entries = await until_mark(watcher)
                assert {entry.key for entry in entries} == keys
                revisions = [entry.revision for entry in entries]
                assert revisions == sorted(set(revisions))
    finally:
        done.set()
        await writing
    await js.publish_async_complete()
    await js.delete_key_value(bucket)


async def test_a_reader_slower_than_the_writers_is_marked_too(js: JetStream) -> None:
    """The end runs away from it: after a while a goal is set."""
    kv = await js.create_key_value(KeyValueConfig(bucket="chase", storage="memory", history=64))
    await kv.put("a", b"")
    async with kv.watch(include_history=True) as watcher:
        count = 0
        while await asyncio.wait_for(anext(watcher), 30.0) is not None:
            count += 1
            assert count < 20_000
            for _ in range(2):  # two come for each that is read
                await js.publish_async(f"$KV.chase.k.{count % 500}", b"")
            await js.publish_async_complete()
    await js.delete_key_value("chase")


async def test_a_deleted_bucket_ends_it(js: JetStream) -> None:
    kv = await js.create_key_value(KeyValueConfig(bucket="ending"))
    async with kv.watch() as watcher:
        assert await until_mark(watcher) == []
        waiting = asyncio.ensure_future(anext(watcher))
        await until_asked(js, "KV_ending")
        await js.delete_key_value("ending")
        with pytest.raises(StreamNotFoundError):
            await waiting


async def test_closing_ends_it(jetstream_server: NatsServer, kv: KeyValue) -> None:
    async with connect(jetstream_server.url) as nc:
        there = await JetStream(nc).key_value(kv.bucket)
        async with there.watch() as watcher:
            assert await until_mark(watcher) == []
            waiting = asyncio.ensure_future(anext(watcher))
            await turns()
            await nc.close()
            with pytest.raises(ConnectionClosedError):
                await waiting


async def test_cut_connections_make_neither_gap_nor_repeat(
    jetstream_server: NatsServer, js: JetStream, kv: KeyValue
) -> None:
    async with (
        Proxy(jetstream_server.port) as proxy,
        connect(proxy.url, reconnect_wait=0.01) as nc,
    ):
        there = await JetStream(nc).key_value(kv.bucket)
        async with there.watch() as watcher:
            assert await until_mark(watcher) == []
            seen: list[int] = []
            for round_ in range(4):
                for number in range(50):
                    await js.publish_async(f"$KV.{kv.bucket}.k{number}", b"%d" % round_)
                await js.publish_async_complete()
                links = len(proxy.links)
                proxy.cut()
                await eventually(lambda links=links: len(proxy.links) > links)  # type: ignore[misc]
                seen += [entry.revision for entry in await take(watcher, 50)]
            assert seen == list(range(1, 201))


async def test_a_cut_in_the_initial_part_keeps_the_mark_behind_it(
    jetstream_server: NatsServer, js: JetStream, name: Callable[[], str]
) -> None:
    bucket = name()
    kv = await js.create_key_value(KeyValueConfig(bucket=bucket, storage="memory"))
    for number in range(1500):
        await js.publish_async(f"$KV.{bucket}.k{number}", b"")
    await js.publish_async_complete()
    async with (
        Proxy(jetstream_server.port) as proxy,
        connect(proxy.url, reconnect_wait=0.01) as nc,
    ):
        there = await JetStream(nc).key_value(bucket)
        async with there.watch() as watcher:
            first = await take(watcher, 300)
            proxy.cut()
            rest = await until_mark(watcher)
        assert [entry.revision for entry in first + rest] == list(range(1, 1501))
    assert sorted(await kv.keys()) == sorted(f"k{number}" for number in range(1500))
    await js.delete_key_value(bucket)


@pytest.mark.parametrize("way", ["watch", "keys", "history"])
async def test_a_read_that_is_cancelled_while_it_opens_leaves_no_consumer(
    nc: Connection, js: JetStream, filled: KeyValue, way: str
) -> None:
    async def watch() -> None:
        async with filled.watch() as watcher:
            await until_mark(watcher)

    reads = {"watch": watch(), "keys": filled.keys(), "history": filled.history("a.1")}
    read = reads.pop(way)
    for other in reads.values():
        other.close()
    await cancel_amid_opening(nc, js, f"KV_{filled.bucket}", read)
