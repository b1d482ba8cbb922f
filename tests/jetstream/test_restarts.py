"""Servers that end and come back, under all that waits: nothing lost, nothing twice, told or
survived."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

import pytest

from natsrpc.core import Connection, connect
from natsrpc.errors import JetStreamError, NatsTimeoutError
from natsrpc.jetstream import (
    ConsumerConfig,
    JetStream,
    KeyValueConfig,
    ObjectStoreConfig,
    PubAck,
    StreamConfig,
)
from natsrpc.testing import NatsServer
from tests.core.harness import eventually

WAYS: dict[str, Callable[[NatsServer], None]] = {
    "killed": NatsServer.kill,
    "stopped": lambda server: server.signal(15),
}


async def bounce(server: NatsServer, way: str, nc: Connection) -> None:
    """End the server and start it again; returns when the connection stands."""
    WAYS[way](server)
    if way == "stopped":
        await eventually(lambda: not server.is_running)
        server.kill()  # it is gone: only noted here
    await eventually(lambda: not nc.is_connected)
    await asyncio.to_thread(server.start)
    await eventually(lambda: nc.is_connected, 20.0)


@pytest.mark.parametrize("way", WAYS)
async def test_messages_and_publishes_go_on(fresh_jetstream: NatsServer, way: str) -> None:
    server, count = fresh_jetstream, 1500
    seen: dict[int, int] = {}
    async with connect(server.url, reconnect_wait=0.02, reconnect_jitter=0.0) as nc:
        js = JetStream(nc)
        stream = await js.create_stream(StreamConfig(name="S", subjects=["s"], storage="file"))
        consumer = await stream.create_consumer(
            ConsumerConfig(durable_name="c", ack_wait=1.0, max_ack_pending=5000)
        )

        async def publish() -> None:
            for number in range(count):
                future = await js.publish_async(
                    "s", b"%d" % number, msg_id=f"{number}", timeout=60.0
                )
                futures.append(future)
                if number % 50 == 0:
                    await asyncio.sleep(0.01)  # why: the server ends amid this
            await asyncio.gather(*futures)

        async def read() -> None:
            async with consumer.messages(max_messages=100) as messages:
                async for msg in messages:
                    number = int(msg.data)
                    seen[number] = seen.get(number, 0) + 1
                    await msg.ack()
                    if len(seen) == count:
                        return

        futures: list[asyncio.Future[PubAck]] = []
        tasks = [asyncio.create_task(publish()), asyncio.create_task(read())]
        for _ in range(2):
            enough = len(seen) + 200
            await eventually(lambda enough=enough: len(seen) >= enough, 30.0)  # type: ignore[misc]
            await bounce(server, way, nc)
        await asyncio.wait_for(asyncio.gather(*tasks), 60.0)
        assert sorted(seen) == list(range(count))
        assert (await stream.info()).state.messages == count
        assert js.pending_acks == 0


@pytest.mark.parametrize("way", WAYS)
async def test_an_ordered_reader_has_neither_gap_nor_repeat(
    fresh_jetstream: NatsServer, way: str
) -> None:
    """Its consumer is in memory: a restart loses it."""
    server = fresh_jetstream
    got: list[int] = []
    async with connect(server.url, reconnect_wait=0.02, reconnect_jitter=0.0) as nc:
        js = JetStream(nc)
        stream = await js.create_stream(StreamConfig(name="S", subjects=["s"], storage="file"))
        ordered = await stream.ordered_consumer()
        async with ordered.messages(expires=2.0, heartbeat=0.2) as messages:
            for round_ in range(3):
                for _ in range(100):
                    await js.publish("s", b"", timeout=30.0)
                for _ in range(60):
                    msg = await asyncio.wait_for(anext(messages), 30.0)
                    got.append(msg.metadata.stream_seq)
                if round_ < 2:
                    await bounce(server, way, nc)
            while len(got) < 300:
                msg = await asyncio.wait_for(anext(messages), 30.0)
                got.append(msg.metadata.stream_seq)
        assert got == list(range(1, 301))
        await bounce(server, way, nc)
        again = await ordered.fetch(1, timeout=1.0)
        await js.publish("s", b"", timeout=30.0)
        again += await ordered.fetch(1, timeout=20.0)
        assert [msg.metadata.stream_seq for msg in again] == [301]


async def test_a_watch_goes_on(fresh_jetstream: NatsServer) -> None:
    server = fresh_jetstream
    async with connect(server.url, reconnect_wait=0.02, reconnect_jitter=0.0) as nc:
        kv = await JetStream(nc, timeout=20.0).create_key_value(KeyValueConfig(bucket="b"))
        await kv.put("a", b"1")
        async with kv.watch() as watcher:
            first = [await anext(watcher), await anext(watcher)]
            assert [entry and entry.value for entry in first] == [b"1", None]
            await bounce(server, "killed", nc)
            await kv.put("b", b"2")
            entry = await asyncio.wait_for(anext(watcher), 30.0)
            assert entry is not None
            assert (entry.key, entry.value) == ("b", b"2")


@pytest.mark.parametrize("way", WAYS)
async def test_a_fetch_goes_on(fresh_jetstream: NatsServer, way: str) -> None:
    """A server that is killed may forget that it delivered, and deliver again; it loses nothing."""
    server = fresh_jetstream
    async with connect(server.url, reconnect_wait=0.02, reconnect_jitter=0.0) as nc:
        js = JetStream(nc)
        stream = await js.create_stream(StreamConfig(name="S", subjects=["s"], storage="file"))
        consumer = await stream.create_consumer(ConsumerConfig(durable_name="c"))
        fetching = asyncio.create_task(consumer.fetch(2, timeout=60.0))
        before = nc.stats().in_msgs
        await js.publish("s", b"1")
        await eventually(lambda: nc.stats().in_msgs >= before + 2)  # its ack, and the message
        await bounce(server, way, nc)
        await js.publish("s", b"2", timeout=30.0)
        got = [msg.data for msg in await fetching]
        if way == "killed" and got == [b"1", b"1"]:
            got = [b"1", *(msg.data for msg in await consumer.fetch(1, timeout=30.0))]
        assert got == [b"1", b"2"]


async def test_an_object_is_read_on_and_a_broken_put_leaves_nothing(
    fresh_jetstream: NatsServer,
) -> None:
    server = fresh_jetstream
    async with connect(server.url, reconnect_wait=0.02, reconnect_jitter=0.0) as nc:
        js = JetStream(nc, timeout=2.0)
        store = await js.create_object_store(ObjectStoreConfig(bucket="o"))
        data = os.urandom(300_000)
        info = await store.put("a", data, chunk_size=1000)
        async with store.get("a") as reader:
            parts = [await anext(reader) for _ in range(100)]
            await bounce(server, "stopped", nc)
            parts.append(await asyncio.wait_for(reader.read(), 30.0))
        assert b"".join(parts) == data

        begun, go_on = asyncio.Event(), asyncio.Event()

        async def slow() -> object:
            for number in range(100):
                if number == 50:
                    begun.set()
                    await go_on.wait()
                yield b"x" * 1000

        putting = asyncio.create_task(store.put("b", slow(), chunk_size=1000))  # type: ignore[arg-type]
        await begun.wait()
        await bounce(server, "killed", nc)
        go_on.set()
        try:
            await putting
        except (JetStreamError, NatsTimeoutError):
            pass
        else:
            assert await store.get_bytes("b") == b"x" * 100_000
            await store.delete("b")
        stream = await js.stream("OBJ_o")

        async def only_the_first() -> bool:
            subjects = (await stream.info(subjects_filter="$O.o.C.>")).state.subjects
            return subjects == {f"$O.o.C.{info.nuid}": 300}

        await eventually(only_the_first)
