"""Ordered consumers: each message once, in order, whatever happens to their consumers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from natsrpc.core import Connection, connect
from natsrpc.errors import (
    BadTimeoutError,
    ConfigError,
    ConnectionClosedError,
    NatsTimeoutError,
    StreamNotFoundError,
)
from natsrpc.jetstream import JetStream, OrderedConsumer, Stream, StreamConfig
from natsrpc.testing import NatsServer
from tests.core.harness import eventually, no_leaks, turns
from tests.core.harness.proxy import Proxy
from tests.jetstream.pulls import cancel_amid_opening, until_asked


async def fill(js: JetStream, stream: Stream, count: int, last: str = "a") -> None:
    subject = f"{stream.name.lower()}.{last}"
    futures = [await js.publish_async(subject, b"%d" % n) for n in range(count)]
    await asyncio.gather(*futures)


async def names(stream: Stream) -> list[str]:
    return [name async for name in stream.consumer_names()]


async def take(ordered: Any, count: int) -> list[int]:
    return [(await anext(ordered)).metadata.stream_seq for _ in range(count)]


async def test_fetches_go_on_where_the_last_one_ended(js: JetStream, stream: Stream) -> None:
    await fill(js, stream, 100)
    ordered = await stream.ordered_consumer()
    got = []
    for batch in (10, 40, 50):
        got += [msg.metadata.stream_seq for msg in await ordered.fetch(batch)]
    assert got == list(range(1, 101))
    assert await ordered.fetch(5, timeout=0.05) == []
    assert await ordered.fetch(5, no_wait=True) == []
    with pytest.raises(NatsTimeoutError):
        await ordered.next(timeout=0.05)
    waiting = asyncio.create_task(ordered.next(timeout=30.0))
    await fill(js, stream, 1)
    assert (await waiting).metadata.stream_seq == 101
    assert len(await names(stream)) == 1
    await ordered.close()
    assert await names(stream) == []


async def test_its_consumer_is_in_memory_without_acks_and_goes(stream: Stream) -> None:
    await stream.ordered_consumer(filter_subjects=f"{stream.name.lower()}.a")
    (info,) = [info async for info in stream.consumers()]
    config = info.config
    assert (config.ack_policy, config.mem_storage, config.num_replicas) == ("none", True, 1)
    assert (config.inactive_threshold, config.durable_name) == (300.0, None)
    assert config.filters == (f"{stream.name.lower()}.a",)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [1, 2, 3, 4, 5]),
        ({"deliver_policy": "last"}, [5]),
        ({"deliver_policy": "last_per_subject"}, [4, 5]),
        ({"deliver_policy": "by_start_sequence", "opt_start_seq": 3}, [3, 4, 5]),
        ({"opt_start_seq": 4}, [4, 5]),
        ({"opt_start_time": datetime.now(UTC) - timedelta(days=1)}, [1, 2, 3, 4, 5]),
        ({"deliver_policy": "new"}, []),
    ],
)
async def test_where_it_begins(
    js: JetStream, stream: Stream, options: dict[str, Any], expected: list[int]
) -> None:
    await fill(js, stream, 3)
    await fill(js, stream, 1, last="b")
    await fill(js, stream, 1)
    ordered = await stream.ordered_consumer(**options)
    await fill(js, stream, 1)
    expected = [*expected, 6]
    got = await ordered.fetch(len(expected), timeout=10.0)
    assert [msg.metadata.stream_seq for msg in got] == expected


@pytest.mark.parametrize(
    "options",
    [
        {"deliver_policy": "by_start_sequence"},
        {"deliver_policy": "by_start_time"},
        {"deliver_policy": "somewhere"},
        {"filter_subjects": [7]},
        {"opt_start_time": datetime(2026, 1, 1)},  # noqa: DTZ001
    ],
)
async def test_what_cannot_be_asked_for_is_refused(stream: Stream, options: Any) -> None:
    with pytest.raises(ConfigError):
        await stream.ordered_consumer(**options)
    assert await names(stream) == []


async def test_filters_and_headers_only(js: JetStream, stream: Stream) -> None:
    prefix = stream.name.lower()
    for token in "abc":
        await fill(js, stream, 2, last=token)
    ordered = await stream.ordered_consumer(
        filter_subjects=[f"{prefix}.a", f"{prefix}.c"], headers_only=True
    )
    msgs = await ordered.fetch(4)
    assert [msg.metadata.stream_seq for msg in msgs] == [1, 2, 5, 6]
    assert {msg.data for msg in msgs} == {b""}
    assert msgs[0].headers["Nats-Msg-Size"] == "1"


@pytest.mark.parametrize("way", ["fetch", "messages"])
async def test_a_deleted_consumer_is_replaced_without_gap_or_repeat(
    js: JetStream, stream: Stream, way: str
) -> None:
    await fill(js, stream, 400)
    ordered = await stream.ordered_consumer()
    got: list[int] = []

    async def delete_all() -> None:
        for name in await names(stream):
            await stream.delete_consumer(name)

    if way == "fetch":
        while len(got) < 400:
            msgs = await ordered.fetch(50, timeout=5.0)
            got += [msg.metadata.stream_seq for msg in msgs]
            await delete_all()
    else:
        async with ordered.messages(max_messages=50, expires=2.0, heartbeat=0.2) as messages:
            while len(got) < 400:
                got += await take(messages, 50)
                await delete_all()
    assert got == list(range(1, 401))


async def test_one_that_was_new_misses_nothing_when_it_is_replaced(
    js: JetStream, stream: Stream
) -> None:
    await fill(js, stream, 3)
    ordered = await stream.ordered_consumer(deliver_policy="new")
    for name in await names(stream):
        await stream.delete_consumer(name)
    await fill(js, stream, 2)
    msgs = await ordered.fetch(2, timeout=10.0)
    assert [msg.metadata.stream_seq for msg in msgs] == [4, 5]


async def test_a_start_time_is_not_asked_for_again(js: JetStream, stream: Stream) -> None:
    """The server refuses a start time and a start sequence together."""
    await fill(js, stream, 4)
    start = datetime.now(UTC) - timedelta(hours=1)
    ordered = await stream.ordered_consumer(opt_start_time=start)
    got = [msg.metadata.stream_seq for msg in await ordered.fetch(2)]
    for name in await names(stream):
        await stream.delete_consumer(name)
    got += [msg.metadata.stream_seq for msg in await ordered.fetch(2, timeout=10.0)]
    assert got == [1, 2, 3, 4]


async def test_deleted_messages_are_no_gap(js: JetStream, stream: Stream) -> None:
    await fill(js, stream, 10)
    for seq in (1, 4, 5, 10):
        await stream.delete_msg(seq)
    ordered = await stream.ordered_consumer()
    async with ordered.messages() as messages:
        before = await names(stream)
        assert await take(messages, 6) == [2, 3, 6, 7, 8, 9]
        assert set(await names(stream)) <= set(before)  # none was replaced


async def test_leaving_the_block_deletes_its_consumer(js: JetStream, stream: Stream) -> None:
    await fill(js, stream, 10)
    ordered = await stream.ordered_consumer()
    async with no_leaks():
        async with ordered.messages() as messages:
            assert await take(messages, 3) == [1, 2, 3]
        with pytest.raises(StopAsyncIteration):
            await anext(messages)
    await eventually(lambda: _none(stream))
    async with ordered.messages() as messages:  # the cursor stays
        assert await take(messages, 2) == [4, 5]
    assert [msg.metadata.stream_seq for msg in await ordered.fetch(2)] == [6, 7]
    await ordered.close()
    await eventually(lambda: _none(stream))


async def _none(stream: Stream) -> bool:
    return await names(stream) == []


async def test_a_cancelled_wait_loses_nothing(js: JetStream, stream: Stream) -> None:
    ordered = await stream.ordered_consumer()
    async with ordered.messages() as messages:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(messages), 0.02)
        await fill(js, stream, 2)
        assert await take(messages, 2) == [1, 2]
    fetching = asyncio.create_task(ordered.fetch(5, timeout=30.0))
    await fill(js, stream, 2)
    await turns(20)
    fetching.cancel()
    await asyncio.wait({fetching})
    assert [msg.metadata.stream_seq for msg in await ordered.fetch(2)] == [3, 4]


async def test_it_is_used_with_its_block(stream: Stream) -> None:
    ordered = await stream.ordered_consumer()
    messages = ordered.messages()
    with pytest.raises(ConfigError, match="async with"):
        await anext(messages)
    async with messages:
        with pytest.raises(ConfigError, match="entered before"):
            await messages.__aenter__()
    for options in ({"max_messages": 0}, {"heartbeat": 20.0}, {"threshold": 501}):
        with pytest.raises((ConfigError, BadTimeoutError)):
            ordered.messages(**options)
    await ordered.close()


async def test_a_deleted_stream_is_told(js: JetStream) -> None:
    stream = await js.create_stream(StreamConfig(name="OGONE", subjects=["ogone.a"]))
    await fill(js, stream, 2)
    ordered = await stream.ordered_consumer()
    async with ordered.messages() as messages:
        assert await take(messages, 2) == [1, 2]
        waiting = asyncio.ensure_future(anext(messages))
        await until_asked(js, "OGONE")
        await js.delete_stream("OGONE")
        for attempt in (waiting, anext(messages)):
            with pytest.raises(StreamNotFoundError):
                await attempt
    with pytest.raises(StreamNotFoundError):
        await ordered.fetch(1, timeout=2.0)


async def test_a_stream_that_was_made_anew_is_told(js: JetStream) -> None:
    config = StreamConfig(name="OANEW", subjects=["oanew.a"], storage="memory")
    stream = await js.create_stream(config)
    await fill(js, stream, 9)
    ordered = await stream.ordered_consumer()
    async with ordered.messages(expires=2.0, heartbeat=0.2) as messages:
        assert await take(messages, 9) == list(range(1, 10))
        await js.delete_stream("OANEW")
        await js.create_stream(config)
        await fill(js, stream, 2)
        with pytest.raises(StreamNotFoundError, match=r"made anew|stream not found"):
            await anext(messages)
    await js.delete_stream("OANEW")


@pytest.mark.parametrize("way", ["fetch", "messages"])
async def test_a_stream_that_was_made_anew_between_two_reads_is_told(
    js: JetStream, name: Callable[[], str], way: str
) -> None:
    """And from then on, also when it has grown beyond what was read."""
    unique = name()
    config = StreamConfig(name=unique, subjects=[f"{unique.lower()}.a"], storage="memory")
    stream = await js.create_stream(config)
    await fill(js, stream, 5)
    ordered = await stream.ordered_consumer()
    assert len(await ordered.fetch(5)) == 5
    await js.delete_stream(unique)
    await js.create_stream(config)
    for count in (4, 4):
        await fill(js, stream, count)
        with pytest.raises(StreamNotFoundError, match="made anew: its last sequence is 4"):
            if way == "fetch":
                await ordered.fetch(5, timeout=10.0)
            else:
                async with ordered.messages() as messages:
                    await anext(messages)
    await js.delete_stream(unique)


async def test_a_cancelled_wait_leaves_no_consumer(js: JetStream, stream: Stream) -> None:
    ordered = await stream.ordered_consumer()
    reading = asyncio.create_task(ordered.next(timeout=60.0))
    await until_asked(js, stream.name)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await eventually(lambda: is_unread(stream))


async def is_unread(stream: Stream) -> bool:
    return await names(stream) == []


@pytest.mark.parametrize("way", ["next", "messages"])
async def test_one_that_is_cancelled_while_it_opens_leaves_no_consumer(
    nc: Connection, js: JetStream, stream: Stream, way: str
) -> None:
    ordered = await stream.ordered_consumer()
    await ordered.close()

    async def read() -> None:
        async with ordered.messages() as messages:
            await anext(messages)

    await cancel_amid_opening(nc, js, stream.name, ordered.next(60.0) if way == "next" else read())


# the connection


async def test_cut_connections_make_neither_gap_nor_repeat(
    jetstream_server: NatsServer, js: JetStream
) -> None:
    stream = await js.create_stream(StreamConfig(name="OCUT", subjects=["ocut.a"]))
    got: list[int] = []
    async with (
        Proxy(jetstream_server.port) as proxy,
        connect(proxy.url, reconnect_wait=0.01) as nc,
    ):
        ordered = await (await JetStream(nc).stream("OCUT")).ordered_consumer()

        async def read() -> None:
            async with ordered.messages(max_messages=50) as messages:
                async for msg in messages:
                    got.append(msg.metadata.stream_seq)
                    if len(got) == 2000:
                        return

        reading = asyncio.create_task(read())
        for _ in range(4):
            await fill(js, stream, 500)
            links = len(proxy.links)
            proxy.cut()
            await eventually(lambda links=links: len(proxy.links) > links)  # type: ignore[misc]
        await asyncio.wait_for(reading, 60.0)
    assert got == list(range(1, 2001))
    await js.delete_stream("OCUT")


async def test_fetches_over_a_cut_make_neither_gap_nor_repeat(
    jetstream_server: NatsServer, js: JetStream
) -> None:
    stream = await js.create_stream(StreamConfig(name="OFCUT", subjects=["ofcut.a"]))
    await fill(js, stream, 100)
    async with (
        Proxy(jetstream_server.port) as proxy,
        connect(proxy.url, reconnect_wait=0.01) as nc,
    ):
        ordered = await (await JetStream(nc).stream("OFCUT")).ordered_consumer()
        got = [msg.metadata.stream_seq for msg in await ordered.fetch(30)]
        proxy.cut()
        await eventually(lambda: len(proxy.links) == 2)
        fetching = asyncio.create_task(ordered.fetch(100, timeout=3.0))
        await turns(10)
        got += [msg.metadata.stream_seq for msg in await fetching]
        while len(got) < 100:
            got += [msg.metadata.stream_seq for msg in await ordered.fetch(100, timeout=1.0)]
    assert got == list(range(1, 101))
    await js.delete_stream("OFCUT")


async def test_closing_ends_it(jetstream_server: NatsServer, stream: Stream) -> None:
    async with no_leaks(), connect(jetstream_server.url) as nc:
        ordered: OrderedConsumer = await (
            await JetStream(nc).stream(stream.name)
        ).ordered_consumer()
        async with ordered.messages() as messages:
            waiting = asyncio.ensure_future(anext(messages))
            await turns()
            await nc.close()
            with pytest.raises(ConnectionClosedError):
                await waiting
        with pytest.raises(ConnectionClosedError):
            await ordered.fetch(1)


async def test_a_drain_ends_it_and_deletes_its_consumer(
    jetstream_server: NatsServer, js: JetStream, stream: Stream
) -> None:
    await fill(js, stream, 5)
    nc = await connect(jetstream_server.url)
    ordered = await (await JetStream(nc).stream(stream.name)).ordered_consumer()
    await ordered.close()
    async with ordered.messages() as messages:
        assert await take(messages, 1) == [1]
        await nc.drain()
        with pytest.raises(StopAsyncIteration):
            await anext(messages)
    assert await names(stream) == []
