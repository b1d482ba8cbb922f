"""Objects written, found, linked, changed and removed."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import itertools
import json
import os
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from natsrpc.core import Connection, Msg, connect
from natsrpc.errors import (
    BucketNotFoundError,
    ConfigError,
    ConfigTypeError,
    JetStreamError,
    NoStreamResponseError,
    ObjectDeletedError,
    ObjectNotFoundError,
)
from natsrpc.jetstream import (
    JetStream,
    ObjectInfo,
    ObjectLink,
    ObjectStore,
    ObjectStoreConfig,
    PubAck,
    Stream,
)
from natsrpc.testing import NatsServer
from tests.core.harness import eventually

KIB = 1024


async def stored(js: JetStream, store: ObjectStore) -> dict[str, int]:
    """How many messages the store has: chunks by their nuid, information by its name."""
    stream = await js.stream(f"OBJ_{store.bucket}")
    subjects = (await stream.info(subjects_filter=">")).state.subjects
    cut = len(f"$O.{store.bucket}.")
    return {subject[cut:]: count for subject, count in subjects.items()}


def meta(name: str) -> str:
    return "M." + base64.urlsafe_b64encode(name.encode()).decode()


@pytest.mark.parametrize("size", [0, 1, 999, 1000, 1001, 5000])
async def test_what_is_put_is_got(js: JetStream, store: ObjectStore, size: int) -> None:
    data = os.urandom(size)
    info = await store.put("a.bin", data, chunk_size=1000)
    assert (info.name, info.bucket, info.size) == ("a.bin", store.bucket, size)
    assert info.chunks == -(-size // 1000)
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode()
    assert info.digest == f"SHA-256={digest}"
    assert await store.get_bytes("a.bin") == data
    chunks = {f"C.{info.nuid}": info.chunks} if size else {}
    assert await stored(js, store) == {**chunks, meta("a.bin"): 1}


async def test_what_it_says_of_itself(store: ObjectStore) -> None:
    put = await store.put(
        "a",
        b"x",
        description="a letter",
        headers={"A": ["1", "2"], "B": "3"},
        metadata={"team": "billing"},
    )
    info = await store.info("a")
    assert (info.description, info.metadata) == ("a letter", {"team": "billing"})
    assert info.headers == {"A": ["1", "2"], "B": "3"}
    assert (info.nuid, info.revision, info.deleted) == (put.nuid, put.revision, False)
    assert info.max_chunk_size == 128 * KIB
    assert info.mtime is not None
    assert put.mtime is not None
    assert abs((info.mtime - put.mtime).total_seconds()) < 60


async def pieces(*sizes: int) -> AsyncIterator[bytes]:
    for size in sizes:
        yield bytes([size % 256]) * size


@pytest.mark.parametrize("sizes", [(), (0,), (1, 2, 3), (5000,), (999, 1, 1000, 7), (1, 9999)])
async def test_pieces_of_any_size_are_cut_anew(store: ObjectStore, sizes: tuple[int, ...]) -> None:
    info = await store.put("p", pieces(*sizes), chunk_size=1000)
    assert (info.size, info.chunks) == (sum(sizes), -(-sum(sizes) // 1000))
    whole = b"".join([piece async for piece in pieces(*sizes)])
    assert await store.get_bytes("p") == whole


async def test_files_and_other_bytes(store: ObjectStore, tmp_path: Path) -> None:
    data = os.urandom(3 * KIB * KIB)
    path = tmp_path / "file"
    path.write_bytes(data)
    with path.open("rb") as file:
        await store.put("file", file)
    await store.put("memory", io.BytesIO(data[:5000]), chunk_size=4096)
    await store.put("view", memoryview(data)[10:5000])
    await store.put("array", bytearray(b"xyz"))
    assert await store.get_bytes("file") == data
    assert await store.get_bytes("memory") == data[:5000]
    assert await store.get_bytes("view") == data[10:5000]
    assert await store.get_bytes("array") == b"xyz"


async def test_sixteen_megabytes(store: ObjectStore) -> None:
    data = os.urandom(KIB * KIB) * 16
    info = await store.put("large", data)
    assert info.chunks == 128
    async with store.get("large") as reader:
        digest, count = hashlib.sha256(), 0
        async for chunk in reader:
            digest.update(chunk)
            count += 1
    assert (digest.digest(), count) == (hashlib.sha256(data).digest(), 128)


async def test_all_of_an_object_is_not_held_twice(store: ObjectStore) -> None:
    data = os.urandom(KIB * KIB) * 16
    await store.put("large", data)
    tracemalloc.start()
    try:
        got = await store.get_bytes("large")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert got == data
    assert peak < 1.6 * len(data)  # 4 MiB of chunks may be on their way


@pytest.mark.parametrize("title", ["ä/ö.txt", "a b*>", ".", "x" * 500, "\n"])
async def test_names_are_any_text(store: ObjectStore, title: str) -> None:
    await store.put(title, b"1")
    assert (await store.info(title)).name == title
    assert [info.name async for info in store.list()] == [title]


async def test_a_second_put_replaces_the_first(js: JetStream, store: ObjectStore) -> None:
    first = await store.put("a", b"x" * 3000, chunk_size=1000)
    second = await store.put("a", b"y", chunk_size=1000)
    assert await store.get_bytes("a") == b"y"
    assert await stored(js, store) == {f"C.{second.nuid}": 1, meta("a"): 1}
    assert first.nuid != second.nuid


async def test_of_puts_at_once_one_stays_and_none_leaves_chunks(
    js: JetStream, store: ObjectStore
) -> None:
    contents = [os.urandom(3000) for _ in range(6)]
    await asyncio.gather(*(store.put("a", content, chunk_size=1000) for content in contents))
    assert await store.get_bytes("a") in contents
    info = await store.info("a")
    assert await stored(js, store) == {f"C.{info.nuid}": 3, meta("a"): 1}


async def test_chunks_of_puts_at_once_stay_in_their_order(store: ObjectStore) -> None:
    contents = {f"n{n}": os.urandom(20_000) for n in range(5)}
    await asyncio.gather(*(store.put(n, data, chunk_size=500) for n, data in contents.items()))
    for name, data in contents.items():
        assert await store.get_bytes(name) == data


class BrokenError(Exception):
    pass


async def broken() -> AsyncIterator[bytes]:
    for _ in range(50):
        yield b"x" * 1000
    raise BrokenError


async def test_a_put_that_fails_leaves_nothing(js: JetStream, store: ObjectStore) -> None:
    await store.put("a", b"before")
    before = await stored(js, store)
    with pytest.raises(BrokenError):
        await store.put("a", broken(), chunk_size=1000)
    assert await stored(js, store) == before
    assert await store.get_bytes("a") == b"before"
    with pytest.raises(ConfigTypeError, match="made of bytes"):
        await store.put("a", texts(), chunk_size=1000)  # type: ignore[arg-type]
    assert await stored(js, store) == before


async def texts() -> AsyncIterator[str]:
    yield "text"


async def test_a_put_that_is_cancelled_leaves_nothing(js: JetStream, store: ObjectStore) -> None:
    begun = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        for count in range(10_000):
            if count == 40:
                begun.set()
                await asyncio.Event().wait()
            yield b"x" * 1000

    putting = asyncio.create_task(store.put("a", endless(), chunk_size=1000))
    await begun.wait()
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    assert await stored(js, store) == {}
    with pytest.raises(ObjectNotFoundError):
        await store.info("a")


async def stored_at_last(msg: Msg) -> None:
    await msg.respond(b'{"stream": "OBJ_once", "seq": 1}')


@pytest.mark.server_only("the test plays the server")
async def test_a_chunk_is_sent_once_whatever_comes_back(nc: Connection, store: ObjectStore) -> None:
    """A second copy, or one behind later chunks, would spoil the object for ever."""
    js = JetStream(nc, api_prefix="once", timeout=0.8)
    chunks: list[Msg] = []

    async def answer(msg: Msg) -> None:
        if "STREAM.INFO" in msg.subject:
            await msg.respond(b'{"config": {"name": "OBJ_once"}}')
        elif "STREAM.MSG.GET" in msg.subject:
            await msg.respond(b'{"error": {"code": 404, "err_code": 10037}}')
        else:
            await msg.respond(b'{"total": 1, "streams": ["OBJ_once"], "purged": 0}')

    await nc.subscribe("once.>", cb=answer)
    scripted = await js.object_store("once")
    putting = asyncio.create_task(scripted.put("a", b"x" * 10))
    await asyncio.sleep(0.1)  # why: nobody took the chunk, and now somebody would
    taker = await nc.subscribe("$O.once.>", cb=stored_at_last)
    with pytest.raises(NoStreamResponseError):
        await putting
    await taker.unsubscribe()
    await nc.subscribe("$O.once.C.>", cb=chunks.append)
    with pytest.raises(TimeoutError):
        await scripted.put("a", b"x" * 10)
    await nc.flush()
    assert len(chunks) == 1


@pytest.mark.parametrize(
    ("data", "options"),
    [
        ("text", {}),
        (7, {}),
        (None, {}),
        (b"", {"chunk_size": 0}),
        (b"", {"chunk_size": True}),
        (b"", {"chunk_size": 10**9}),
        (b"", {"name": ""}),
        (b"", {"name": 7}),
    ],
)
async def test_what_cannot_be_put_is_refused(
    js: JetStream, store: ObjectStore, data: Any, options: dict[str, Any]
) -> None:
    others = {option: value for option, value in options.items() if option != "name"}
    with pytest.raises(ConfigError):
        await store.put(options.get("name", "a"), data, **others)
    assert await stored(js, store) == {}


# found and removed


async def test_an_object_that_is_not_there(store: ObjectStore) -> None:
    for call in (store.info("a"), store.get_bytes("a"), store.delete("a"), store.update_meta("a")):
        with pytest.raises(ObjectNotFoundError) as caught:
            await call
        assert not isinstance(caught.value, ObjectDeletedError)
        assert caught.value.name == "a"


async def test_deleting(js: JetStream, store: ObjectStore) -> None:
    await store.put("a", b"x" * 3000, chunk_size=1000)
    await store.delete("a")
    assert await stored(js, store) == {meta("a"): 1}
    for call in (store.info("a"), store.get_bytes("a")):
        with pytest.raises(ObjectDeletedError):
            await call
    info = await store.info("a", show_deleted=True)
    assert (info.deleted, info.size, info.chunks, info.digest) == (True, 0, 0, "")
    await store.delete("a")  # again
    assert await stored(js, store) == {meta("a"): 1}
    await store.put("a", b"new")
    assert await store.get_bytes("a") == b"new"


async def test_listing(store: ObjectStore) -> None:
    assert [info async for info in store.list()] == []
    for name in ("a", "b", "c"):
        await store.put(name, name.encode())
    await store.delete("b")
    assert [info.name async for info in store.list()] == ["a", "c"]
    assert [info.name async for info in store.list(include_deleted=True)] == ["a", "c", "b"]
    await store.delete("a")
    await store.delete("c")
    assert [info async for info in store.list()] == []


async def test_changing_what_is_said_of_it(js: JetStream, store: ObjectStore) -> None:
    await store.put("a", b"1", description="old", metadata={"x": "y"})
    changed = await store.update_meta("a", description="new", headers={"A": "b"})
    info = await store.info("a")
    assert (info.description, info.metadata) == ("new", {"x": "y"})
    assert info.headers == {"A": "b"}
    assert changed.revision == info.revision
    renamed = await store.update_meta("a", name="b")
    assert renamed.name == "b"
    assert await store.get_bytes("b") == b"1"
    with pytest.raises(ObjectNotFoundError):
        await store.info("a")
    assert await stored(js, store) == {f"C.{info.nuid}": 1, meta("b"): 1}
    await store.put("c", b"2")
    with pytest.raises(JetStreamError, match="has an object 'c' already"):
        await store.update_meta("b", name="c")
    await store.delete("c")
    await store.update_meta("b", name="c")  # a deleted one may be replaced
    assert await store.get_bytes("c") == b"1"
    with pytest.raises(ConfigError):
        await store.update_meta("c", name="")
    await store.delete("c")
    with pytest.raises(ObjectDeletedError):
        await store.update_meta("c", description="")


def beside(
    js: JetStream,
    monkeypatch: pytest.MonkeyPatch,
    moment: int,
    act: Callable[[], Awaitable[object]],
) -> None:
    """Let another client do something just before the publish with this number."""
    publish, count = js.publisher.publish, itertools.count()

    async def hooked(*args: Any, **options: Any) -> PubAck:
        if next(count) == moment:
            await act()
        return await publish(*args, **options)

    monkeypatch.setattr(js.publisher, "publish", hooked)


@pytest.mark.parametrize("moment", [0, 1])
async def test_a_rename_beside_a_put_takes_what_was_put(
    js: JetStream,
    other: Connection,
    store: ObjectStore,
    monkeypatch: pytest.MonkeyPatch,
    moment: int,
) -> None:
    """The put comes before the new name is told, or before the old one is taken away."""
    there = await JetStream(other).object_store(store.bucket)
    await store.put("a", b"old")
    beside(js, monkeypatch, moment, lambda: there.put("a", b"new"))
    async with there.watch(updates_only=True) as watcher:
        renamed = await store.update_meta("a", name="b")
        seen: dict[str, bool] = {}
        async with asyncio.timeout(5):
            while seen != {"a": True, "b": False}:
                info = await anext(watcher)
                assert info is not None
                seen[info.name] = info.deleted
    assert await store.get_bytes("b") == b"new"
    assert await stored(js, store) == {f"C.{renamed.nuid}": 1, meta("b"): 1}


async def test_an_object_put_where_one_was_renamed_stays(
    js: JetStream, other: Connection, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The put comes behind the mark on the old name, and before the mark is swept away."""
    there = await JetStream(other).object_store(store.bucket)
    await store.put("a", b"old")
    publish = js.publisher.publish

    async def hooked(*args: Any, **options: Any) -> PubAck:
        ack = await publish(*args, **options)
        if args[0].decode().endswith(meta("a")):
            await there.put("a", b"new")
        return ack

    monkeypatch.setattr(js.publisher, "publish", hooked)
    await store.update_meta("a", name="b")
    assert (await store.get_bytes("a"), await store.get_bytes("b")) == (b"new", b"old")


@pytest.mark.parametrize("change", ["delete", "describe"])
async def test_a_change_beside_a_put_is_one_of_what_was_put(
    js: JetStream,
    other: Connection,
    store: ObjectStore,
    monkeypatch: pytest.MonkeyPatch,
    change: str,
) -> None:
    there = await JetStream(other).object_store(store.bucket)
    await store.put("a", b"old")
    beside(js, monkeypatch, 0, lambda: there.put("a", b"new"))
    if change == "delete":
        await store.delete("a")
        assert await stored(js, store) == {meta("a"): 1}
    else:
        await store.update_meta("a", description="said")
        assert (await store.info("a")).description == "said"
        assert await store.get_bytes("a") == b"new"


async def test_a_name_that_is_written_all_the_time_is_given_up(
    js: JetStream, other: Connection, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = await JetStream(other).object_store(store.bucket)
    await store.put("a", b"0")
    publish = js.publisher.publish

    async def hooked(*args: Any, **options: Any) -> PubAck:
        await there.put("a", b"1")
        return await publish(*args, **options)

    monkeypatch.setattr(js.publisher, "publish", hooked)
    with pytest.raises(JetStreamError, match="'a' is written by too many at once"):
        await store.delete("a")
    assert await store.get_bytes("a") == b"1"


# links


async def test_links(js: JetStream, store: ObjectStore, name: Callable[[], str]) -> None:
    info = await store.put("a", b"1")
    other = await js.create_object_store(ObjectStoreConfig(bucket=name(), storage="memory"))
    link = await other.add_link("l", info)
    assert link.link == ObjectLink(store.bucket, "a")
    assert (await other.info("l")).link == link.link
    assert await other.get_bytes("l") == b"1"
    async with other.get("l") as reader:
        assert (reader.info.name, reader.info.bucket) == ("a", store.bucket)
    await store.add_link("same", info)
    assert await store.get_bytes("same") == b"1"
    whole = await store.add_bucket_link("w", other)
    assert whole.link == ObjectLink(other.bucket)
    with pytest.raises(JetStreamError, match="whole store"):
        await store.get_bytes("w")
    with pytest.raises(JetStreamError, match="a link itself"):
        await store.add_link("x", link)
    await store.put("o", b"")
    for call in (store.add_link("o", info), store.add_bucket_link("o", other)):
        with pytest.raises(JetStreamError, match="has an object 'o' already"):
            await call
    await store.add_link("w", info)  # a link may be replaced
    assert await store.get_bytes("w") == b"1"
    await store.delete("a")
    with pytest.raises(ObjectDeletedError):
        await other.get_bytes("l")
    with pytest.raises(JetStreamError, match="deleted"):
        await store.add_link("x", await store.info("a", show_deleted=True))
    with pytest.raises(ConfigTypeError):
        await store.add_link("x", "a")  # type: ignore[arg-type]
    with pytest.raises(ConfigTypeError):
        await store.add_bucket_link("x", "a")  # type: ignore[arg-type]
    await js.delete_object_store(other.bucket)


async def test_a_link_to_a_link_is_not_followed(js: JetStream, store: ObjectStore) -> None:
    for name, target in (("one", "two"), ("two", "three")):
        raw = {
            "name": name,
            "bucket": store.bucket,
            "options": {"link": {"bucket": store.bucket, "name": target}},
        }
        await js.publish(f"$O.{store.bucket}.{meta(name)}", json.dumps(raw).encode())
    with pytest.raises(JetStreamError, match="a link itself"):
        await store.get_bytes("one")


# the store


async def test_sealing(store: ObjectStore) -> None:
    await store.put("a", b"1")
    await store.seal()
    assert (await store.status()).sealed
    assert await store.get_bytes("a") == b"1"
    with pytest.raises(JetStreamError) as caught:
        await store.put("b", b"1")
    assert caught.value.err_code == 10109


async def test_its_status(store: ObjectStore) -> None:
    await store.put("a", b"x" * 1000)
    status = await store.status()
    assert (status.bucket, status.storage, status.replicas) == (store.bucket, "memory", 1)
    assert (status.ttl, status.sealed, status.is_compressed) == (0.0, False, False)
    assert status.size > 1000
    assert status.stream_info.config.name == f"OBJ_{store.bucket}"


async def test_a_store_that_is_gone(js: JetStream) -> None:
    store = await js.create_object_store(ObjectStoreConfig(bucket="gone"))
    await js.delete_object_store("gone")
    for call in (store.status(), store.seal()):
        with pytest.raises(BucketNotFoundError):
            await call
    with pytest.raises(JetStreamError):
        await store.put("a", b"")


# watching


async def test_watching(store: ObjectStore) -> None:
    await store.put("a", b"1")
    await store.put("b", b"2")
    await store.delete("b")
    async with store.watch() as watcher:
        found = [await anext(watcher) for _ in range(3)]
        assert [info and (info.name, info.deleted) for info in found] == [
            ("a", False),
            ("b", True),
            None,
        ]
        await store.put("c", b"3")
        info = await anext(watcher)
        assert isinstance(info, ObjectInfo)
        assert (info.name, info.size) == ("c", 1)
        assert info.revision == (await store.info("c")).revision
    async with store.watch(ignore_deletes=True) as watcher:
        names = [info and info.name for info in [await anext(watcher) for _ in range(3)]]
        assert names == ["a", "c", None]
    async with store.watch(updates_only=True) as watcher:
        await store.put("d", b"4")
        info = await anext(watcher)
        assert info is not None
        assert info.name == "d"
    with pytest.raises(ConfigError):
        store.watch(include_history=True, updates_only=True)
    unentered = store.watch()
    with pytest.raises(ConfigError, match="async with"):
        await anext(unentered)
    async with unentered, store.watch(include_history=True) as watcher:
        assert await anext(watcher) is not None
        with pytest.raises(ConfigError, match="entered before"):
            await unentered.__aenter__()


async def test_nothing_stays_behind(js: JetStream, store: ObjectStore) -> None:
    await store.put("a", b"x" * 5000, chunk_size=100)
    async with store.get("a") as reader:
        await anext(reader)
    async with store.watch() as watcher:
        await anext(watcher)
    stream: Stream = await js.stream(f"OBJ_{store.bucket}")
    assert [name async for name in stream.consumer_names()] == []


async def test_a_put_over_a_closed_connection_fails(
    jetstream_server: NatsServer, store: ObjectStore
) -> None:
    async with connect(jetstream_server.url) as nc:
        there = await JetStream(nc).object_store(store.bucket)
        begun = asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield b"x" * 1000
            begun.set()
            await asyncio.Event().wait()

        putting = asyncio.create_task(there.put("a", slow(), chunk_size=1000))
        await begun.wait()
        await nc.close()
        putting.cancel()
        await asyncio.wait({putting})
    await eventually(lambda: putting.done())
