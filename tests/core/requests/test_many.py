"""Many replies to one request: when it ends, and that it never looks complete when it is not."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from typing import Any

import pytest

from natsrpc.core import Connection, Msg, connect, new_inbox
from natsrpc.core.requests.many import MAX_BUFFERED
from natsrpc.errors import (
    BadSubjectError,
    BadTimeoutError,
    ConfigError,
    ConnectionClosedError,
    MaxPayloadError,
    NatsTimeoutError,
    NoRespondersError,
    ReconnectBufferExceededError,
    SlowConsumerError,
)
from natsrpc.testing import NatsServer
from tests.core.connected import connected
from tests.core.harness import elapse, eventually, no_leaks, turns, warped

pytestmark = [pytest.mark.live, pytest.mark.parity("L-request-many")]


@pytest.fixture
def subject() -> str:
    return new_inbox("many")


@pytest.fixture
async def five(nats_server: NatsServer, subject: str) -> AsyncIterator[Connection]:
    """Somebody who answers with 0 to 4, then nothing, then 5."""
    async with connect(nats_server.url) as nc:

        async def answer(msg: Msg) -> None:
            for data in (b"0", b"1", b"2", b"3", b"4", b"", b"5"):
                await msg.respond(data)

        await nc.subscribe(subject, cb=answer)
        await nc.flush()
        yield nc


async def collect(replies: AsyncIterator[Msg]) -> list[bytes]:
    return [msg.data async for msg in replies]


async def nothing_left(nc: Connection) -> None:
    await eventually(lambda: not nc.link.sinks)
    assert nc.subscriptions == []


ALL = [b"0", b"1", b"2", b"3", b"4", b"", b"5"]


async def test_the_total_time_ends_it(
    nats_server: NatsServer, subject: str, five: Connection
) -> None:
    async with connect(nats_server.url) as nc:
        assert await collect(nc.request_many(subject, timeout=0.1)) == ALL
        await nothing_left(nc)


async def test_a_gap_ends_it(nats_server: NatsServer, subject: str, five: Connection) -> None:
    async with asyncio.timeout(2), connect(nats_server.url) as nc:
        assert await collect(nc.request_many(subject, timeout=30, stall=0.05)) == ALL
        await nothing_left(nc)


async def test_a_number_of_replies_ends_it(
    nats_server: NatsServer, subject: str, five: Connection
) -> None:
    async with asyncio.timeout(2), connect(nats_server.url) as nc:
        assert await collect(nc.request_many(subject, timeout=30, max_msgs=3)) == ALL[:3]
        await nothing_left(nc)


async def test_a_sentinel_ends_it_and_is_not_yielded(
    nats_server: NatsServer, subject: str, five: Connection
) -> None:
    async with asyncio.timeout(2), connect(nats_server.url) as nc:
        replies = nc.request_many(subject, timeout=30, sentinel=lambda msg: not msg.data)
        assert await collect(replies) == ALL[:5]
        await nothing_left(nc)


async def test_nobody_there_is_an_error_at_once(nats_server: NatsServer, subject: str) -> None:
    async with asyncio.timeout(2), connect(nats_server.url) as nc:
        with pytest.raises(NoRespondersError) as caught:
            await collect(nc.request_many(subject, timeout=30))
        assert caught.value.subject == subject
        await nothing_left(nc)


async def test_leaving_the_loop_early_ends_the_subscription(
    nats_server: NatsServer, subject: str, five: Connection
) -> None:
    async with no_leaks(), connect(nats_server.url) as nc:
        async for msg in nc.request_many(subject, timeout=30):
            assert msg.data == b"0"
            break
        await nothing_left(nc)

        with pytest.raises(ZeroDivisionError):
            async for _ in nc.request_many(subject, timeout=30):
                raise ZeroDivisionError
        await nothing_left(nc)


async def test_a_cancelled_read_ends_the_subscription(
    nats_server: NatsServer, subject: str
) -> None:
    async with no_leaks(), connect(nats_server.url) as nc:
        await nc.subscribe(subject, cb=lambda _: None)
        task = asyncio.create_task(collect(nc.request_many(subject, timeout=30)))
        await nc.flush()
        assert len(nc.link.sinks) == 2
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await eventually(lambda: len(nc.link.sinks) == 1)


async def test_a_close_in_the_middle_never_looks_complete(
    nats_server: NatsServer, subject: str, five: Connection
) -> None:
    async with connect(nats_server.url) as nc:
        got = []
        with pytest.raises(ConnectionClosedError):
            async for msg in nc.request_many(subject, timeout=30):
                got.append(msg.data)
                if len(got) == 7:
                    await nc.close()
        assert got == ALL


async def test_the_inbox_stays_over_a_reconnect_with_the_rest_of_its_count() -> None:
    async with connected() as (nc, peer, server):
        task = asyncio.create_task(collect(nc.request_many("a", timeout=30, max_msgs=3)))
        sub = await peer.expect(b"SUB")
        assert (await peer.expect(b"UNSUB")).raw == b"UNSUB %b 3\r\n" % sub.sid
        asked = await peer.expect(b"PUB")
        peer.msg(asked.reply, sub.sid, b"1")
        await peer.synced()
        peer.reset()
        again = await server.accept()
        assert (await again.expect(b"SUB")).sid == sub.sid
        assert (await again.expect(b"UNSUB")).raw == b"UNSUB %b 2\r\n" % sub.sid
        again.msg(asked.reply, sub.sid, b"2")
        again.msg(asked.reply, sub.sid, b"3")
        assert await task == [b"1", b"2", b"3"]


async def test_nobody_left_after_some_replies_is_an_ordinary_end() -> None:
    async with asyncio.timeout(2), connected() as (nc, peer, _):
        task = asyncio.create_task(collect(nc.request_many("a", timeout=30)))
        sub = await peer.expect(b"SUB")
        asked = await peer.expect(b"PUB")
        peer.msg(asked.reply, sub.sid, b"1")
        peer.no_responders(asked.reply, sub.sid)
        assert await task == [b"1"]


@warped
async def test_the_first_reply_may_take_the_whole_time_and_a_busy_reader_does_not_stall() -> None:
    loop = asyncio.get_running_loop()
    async with connected() as (nc, peer, _):
        start = loop.time()
        replies = nc.request_many("a", timeout=10, stall=1)
        first = asyncio.ensure_future(anext(replies))
        sub = await peer.expect(b"SUB")
        asked = await peer.expect(b"PUB")
        await elapse(8)
        peer.msg(asked.reply, sub.sid, b"late, but the first")
        assert (await first).data == b"late, but the first"
        peer.msg(asked.reply, sub.sid, b"second")
        await peer.synced()
        await elapse(1.5)
        assert (await anext(replies)).data == b"second"
        with pytest.raises(StopAsyncIteration):
            await anext(replies)
        assert 10 <= loop.time() - start < 10.2, "0.5 s are left, less than a stall"


@warped
async def test_what_waits_at_the_deadline_is_still_given() -> None:
    async with connected() as (nc, peer, _):
        replies = nc.request_many("a", timeout=5)
        first = asyncio.ensure_future(anext(replies))
        sub = await peer.expect(b"SUB")
        asked = await peer.expect(b"PUB")
        for data in (b"1", b"2"):
            peer.msg(asked.reply, sub.sid, data)
        await peer.synced()
        assert (await first).data == b"1"
        await elapse(10)
        assert await collect(replies) == [b"2"]


@warped
async def test_a_silent_inbox_ends_after_the_total_time() -> None:
    loop = asyncio.get_running_loop()
    async with connected() as (nc, _, _):
        start = loop.time()
        assert await collect(nc.request_many("a", stall=1)) == []
        assert 5 <= loop.time() - start < 5.1


@warped
async def test_silence_without_a_connection_is_no_empty_answer() -> None:
    async with connected(reconnect_wait=60) as (nc, peer, server):
        server.refuse()
        peer.close()
        await eventually(lambda: not nc.is_connected)
        with pytest.raises(NatsTimeoutError, match="within 5 s: the connection was lost"):
            await collect(nc.request_many("a", timeout=5))


@warped
async def test_silence_of_a_connection_that_was_lost_meanwhile_is_no_empty_answer() -> None:
    async with connected() as (nc, peer, server):
        asked = asyncio.ensure_future(collect(nc.request_many("a", timeout=5)))
        await peer.expect(b"PUB")
        peer.close()
        await server.accept()
        with pytest.raises(NatsTimeoutError, match="the connection was lost"):
            await asked


@warped
async def test_silence_after_what_was_buffered_was_sent_is_an_empty_answer() -> None:
    async with connected() as (nc, peer, server):
        peer.close()
        await eventually(lambda: not nc.is_connected)
        asked = asyncio.ensure_future(collect(nc.request_many("a", timeout=5)))
        peer = await server.accept()
        await peer.expect(b"PUB")
        assert await asked == []


async def test_what_found_no_room_in_the_buffer_is_not_remembered() -> None:
    async with connected(reconnect_buffer_size=-1, reconnect_wait=60) as (nc, peer, server):
        server.refuse()
        peer.close()
        await eventually(lambda: not nc.is_connected)
        for _ in range(3):
            with pytest.raises(ReconnectBufferExceededError):
                await collect(nc.request_many("a", timeout=5))
        assert not nc.link.inbox_requests.over


async def test_too_many_replies_waiting_are_an_error_not_a_short_answer() -> None:
    async with connected() as (nc, peer, _):
        replies = nc.request_many("a", timeout=30)
        first = asyncio.ensure_future(anext(replies))
        sub = await peer.expect(b"SUB")
        asked = await peer.expect(b"PUB")
        peer.msg(asked.reply, sub.sid, b"x")
        await first
        for _ in range(MAX_BUFFERED + 10):
            peer.msg(asked.reply, sub.sid, b"x")
        await peer.synced()
        with pytest.raises(SlowConsumerError) as caught:
            await anext(replies)
        assert caught.value.dropped == 10


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        ({"timeout": 0}, BadTimeoutError),
        ({"timeout": None}, BadTimeoutError),
        ({"stall": -1}, BadTimeoutError),
        ({"max_msgs": 0}, ConfigError),
        ({"data": b"x" * 2_000_000}, MaxPayloadError),
        ({"subject": "a b"}, BadSubjectError),
        ({"stall": "1"}, BadTimeoutError),
        ({"stall": []}, BadTimeoutError),
        ({"stall": True}, BadTimeoutError),
        ({"stall": math.nan}, BadTimeoutError),
    ],
)
async def test_what_cannot_be_asked_is_refused_and_leaves_nothing(
    nats_server: NatsServer, bad: dict[str, Any], error: type[Exception]
) -> None:
    async with connect(nats_server.url) as nc:
        with pytest.raises(error):
            await collect(nc.request_many(**{"subject": "a", **bad}))
        await turns()
        await nothing_left(nc)
