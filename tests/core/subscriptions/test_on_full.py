"""`on_full`: what a subscription does with a message that finds it full."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from natsrpc.core import Msg, connect, new_inbox
from natsrpc.errors import (
    ConfigError,
    NatsTimeoutError,
    SlowConsumerError,
)
from natsrpc.testing import NatsServer
from tests.core.connected import connected, sid_of
from tests.core.harness import elapse, eventually, no_leaks, steady, turns, warped


async def some(msg: Msg) -> None:
    """An async callback."""


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"on_full": "drop"}, "on_full must be one of 'drop_new', 'drop_old', 'block', 'error'"),
        ({"on_full": None}, "not None"),
        ({"on_full": "block", "cb": some}, "needs a subscription that is read with `next_msg`"),
        ({"on_full": "block", "cb": print}, "needs a subscription that is read with `next_msg`"),
        ({"on_full": "block", "into": asyncio.Queue()}, "needs a subscription that is read"),
        ({"on_full": "error", "cb": print}, "contradicts a plain function as cb"),
        ({"on_full": "drop_old", "cb": print}, "contradicts a plain function as cb"),
    ],
)
async def test_what_makes_no_sense_is_refused(options: dict[str, Any], told: str) -> None:
    async with connected() as (nc, peer, _):
        with pytest.raises(ConfigError, match=told):
            await nc.subscribe("a", **options)
        await peer.synced()
        assert b"SUB" not in peer.ops()


async def drained(sub: Any) -> list[bytes]:
    got = []
    while sub.pending_msgs:
        try:
            got.append((await sub.next_msg()).data)
        except SlowConsumerError:
            continue
    return got


@pytest.mark.parity("L-full")
@pytest.mark.parametrize(
    ("on_full", "kept"), [("drop_new", [b"0", b"1", b"2"]), ("drop_old", [b"4", b"5", b"6"])]
)
async def test_new_ones_are_dropped_or_old_ones(on_full: Any, kept: list[bytes]) -> None:
    told: list[Any] = []
    options: dict[str, Any] = {"on_error": lambda *event: told.append(event[2])}
    async with connected(**options) as (nc, peer, _):
        sub = await nc.subscribe("a", pending_msgs_limit=3, on_full=on_full)
        sid = await sid_of(peer, b"a")
        for n in range(7):
            peer.msg(b"a", sid, b"%d" % n)
        await peer.synced()
        assert (sub.pending_msgs, sub.dropped) == (3, 4)
        assert await drained(sub) == kept
        assert [type(error) for error in told] == [SlowConsumerError]
        peer.msg(b"a", sid, b"next")
        assert (await sub.next_msg()).data == b"next"


async def test_as_many_old_ones_go_as_one_new_one_needs_and_none_for_one_too_large() -> None:
    async with connected() as (nc, peer, _):
        sub = await nc.subscribe("a", pending_bytes_limit=10, on_full="drop_old")
        sid = await sid_of(peer, b"a")
        for data in (b"aaa", b"bbb", b"ccc", b"x" * 11, b"dddddd"):
            peer.msg(b"a", sid, data)
        await peer.synced()
        assert sub.dropped == 3  # the one too large, and two old ones
        assert await drained(sub) == [b"ccc", b"dddddd"]


async def test_old_ones_leave_a_queue_of_the_users_too() -> None:
    async with connected() as (nc, peer, _):
        queue: asyncio.Queue[Msg] = asyncio.Queue(2)
        sub = await nc.subscribe("a", into=queue, on_full="drop_old")
        sid = await sid_of(peer, b"a")
        for n in range(5):
            peer.msg(b"a", sid, b"%d" % n)
        await peer.synced()
        assert [queue.get_nowait().data for _ in range(2)] == [b"3", b"4"]
        queue.task_done()
        queue.task_done()
        await asyncio.wait_for(queue.join(), 5)
        assert sub.dropped == 3


@pytest.mark.parity("L-full")
async def test_an_error_ends_it_behind_what_is_pending() -> None:
    told: list[Any] = []
    closed: list[Any] = []
    options: dict[str, Any] = {"on_error": lambda *event: told.append(event[1:])}
    async with connected(**options) as (nc, peer, _):
        sub = await nc.subscribe("a", pending_msgs_limit=2, on_full="error")
        sub.on_closed = closed.append
        sid = await sid_of(peer, b"a")
        for n in range(5):
            peer.msg(b"a", sid, b"%d" % n)
        await peer.expect(b"UNSUB " + sid)
        await eventually(lambda: told)
        assert [(who, type(error)) for who, error in told] == [(sub, SlowConsumerError)]
        assert closed == [sub]
        assert not sub.is_valid
        assert sub.dropped == 1
        assert (await sub.next_msg()).data == b"0"
        with pytest.raises(SlowConsumerError):
            async for msg in sub:
                assert msg.data == b"1"
        for _ in range(2):
            with pytest.raises(SlowConsumerError):
                await sub.next_msg()
        assert nc.subscriptions == []


async def test_an_error_ends_a_callback_and_a_queue_as_well() -> None:
    async with connected() as (nc, peer, _), no_leaks():
        go, got = asyncio.Event(), []

        async def slowly(msg: Msg) -> None:
            got.append(msg.data)
            await go.wait()

        sub = await nc.subscribe("a", cb=slowly, pending_msgs_limit=2, on_full="error")
        sid = await sid_of(peer, b"a")
        peer.msg(b"a", sid, b"0")
        await eventually(lambda: got)
        for n in range(1, 6):
            peer.msg(b"a", sid, b"%d" % n)
        await peer.expect(b"UNSUB " + sid)
        go.set()
        await eventually(lambda: got == [b"0", b"1", b"2"])
        assert isinstance(sub.end_error, SlowConsumerError)
        queue: asyncio.Queue[Msg] = asyncio.Queue(1)
        other = await nc.subscribe("b", into=queue, on_full="error")
        sid = await sid_of(peer, b"b")
        peer.msg(b"b", sid, b"0")
        peer.msg(b"b", sid, b"1")
        await peer.expect(b"UNSUB " + sid)
        assert isinstance(other.end_error, SlowConsumerError)


@pytest.mark.parametrize(
    ("on_full", "told"),
    [("drop_new", ["slow", "closed"]), ("block", ["slow", "closed"]), ("error", ["closed"])],
)
async def test_what_is_told_of_the_last_of_its_messages_is_told_before_its_end(
    on_full: Any, told: list[str]
) -> None:
    statuses: list[str] = []
    async with connected() as (nc, peer, _):
        sub = await nc.subscribe("a", max_msgs=3, pending_msgs_limit=2, on_full=on_full)
        sub.on_status = lambda _, status: statuses.append(status.value)
        sid = await sid_of(peer, b"a")
        for n in range(3):
            peer.msg(b"a", sid, b"%d" % n)
        await peer.synced()  # the socket is read on, whatever is pending
        assert statuses == told
        assert not sub.is_valid
        dropped = 0 if on_full == "block" else 1
        assert (sub.pending_msgs, sub.dropped) == (3 - dropped, dropped)
        assert isinstance(sub.end_error, SlowConsumerError) is (on_full == "error")


async def test_the_last_of_its_messages_that_finds_a_queue_full_ends_it_with_an_error() -> None:
    told: list[Any] = []
    options: dict[str, Any] = {"on_error": lambda *event: told.append(event[2])}
    async with connected(**options) as (nc, peer, _):
        queue: asyncio.Queue[Msg] = asyncio.Queue(1)
        sub = await nc.subscribe("a", into=queue, max_msgs=2, on_full="error")
        sid = await sid_of(peer, b"a")
        peer.msg(b"a", sid, b"0")
        peer.msg(b"a", sid, b"1")
        await eventually(lambda: told)
        assert [type(error) for error in (sub.end_error, *told)] == 2 * [SlowConsumerError]


# blocking


@pytest.mark.parity("L-full")
@pytest.mark.live
async def test_a_blocking_one_loses_nothing_and_makes_the_publisher_no_slower(
    nats_server: NatsServer,
) -> None:
    subject, count = new_inbox("block"), 20_000
    async with connect(nats_server.url) as writer, connect(nats_server.url) as reader:
        sub = await reader.subscribe(subject, pending_msgs_limit=100, on_full="block")
        await reader.flush()
        for n in range(count):
            await writer.publish(subject, b"%06d" % n + b"x" * 100)
        await writer.flush()
        got = []
        async for msg in sub:
            got.append(int(msg.data[:6]))
            if len(got) % 1000 == 0:
                # what was read in one go is kept: 64 KiB, or what TLS has deciphered by then
                assert sub.pending_msgs < 100 + 256 * 1024 / 106 + 1
                await asyncio.sleep(0.001)  # why: a reader that is slow now and then
            if len(got) == count:
                break
        assert got == list(range(count))
        assert sub.dropped == 0
        await reader.flush()


async def test_all_of_the_connection_waits_until_half_is_free() -> None:
    async with connected() as (nc, peer, _):
        sub = await nc.subscribe("a", pending_msgs_limit=4, on_full="block")
        sid = await sid_of(peer, b"a")
        for n in range(6):  # in one chunk
            peer.msg(b"a", sid, b"%d" % n)
        await eventually(lambda: sub.pending_msgs == 6)
        peer.msg(b"a", sid, b"6")
        with pytest.raises(NatsTimeoutError):
            await nc.flush(timeout=0.05)
        assert sub.pending_msgs == 6
        for n in range(3):
            assert (await sub.next_msg()).data == b"%d" % n
        assert await steady(lambda: sub.pending_msgs) == 3
        assert (await sub.next_msg()).data == b"3"
        await eventually(lambda: sub.pending_msgs == 3)
        await nc.flush()
        assert await drained(sub) == [b"4", b"5", b"6"]
        assert sub.dropped == 0


async def test_one_huge_message_blocks_until_it_is_read() -> None:
    async with connected() as (nc, peer, _):
        sub = await nc.subscribe("a", pending_bytes_limit=10, on_full="block")
        sid = await sid_of(peer, b"a")
        peer.msg(b"a", sid, b"x" * 1000)
        await eventually(lambda: sub.pending_msgs)
        peer.msg(b"a", sid, b"y")
        assert (await sub.next_msg()).data == b"x" * 1000
        assert (await sub.next_msg()).data == b"y"


@pytest.mark.parity("L-full")
@warped
async def test_it_drops_when_it_blocked_for_too_long_and_blocks_again_later() -> None:
    told: list[Any] = []
    options: dict[str, Any] = {
        "on_error": lambda *event: told.append(event[2]), "ping_interval": 2.0,
    }  # fmt: skip
    async with connected(**options) as (nc, peer, _):
        sub = await nc.subscribe("a", pending_msgs_limit=1, on_full="block")
        sid = await sid_of(peer, b"a")
        peer.msg(b"a", sid, b"0")
        peer.msg(b"a", sid, b"1")
        await eventually(lambda: sub.pending_msgs == 2)
        for n in range(2, 5):
            peer.msg(b"a", sid, b"%d" % n)
        await elapse(1.9)
        assert (sub.pending_msgs, sub.dropped) == (2, 0)
        await elapse(0.2)
        await peer.synced()
        assert nc.is_connected
        assert (sub.pending_msgs, sub.dropped) == (2, 3)
        await eventually(lambda: told)
        assert [type(error) for error in told] == [SlowConsumerError]
        assert await drained(sub) == [b"0", b"1"]
        for n in range(5, 7):
            peer.msg(b"a", sid, b"%d" % n)
        await eventually(lambda: sub.pending_msgs == 2)
        assert await drained(sub) == [b"5", b"6"]
        assert sub.dropped == 3


@pytest.mark.parametrize("how", ["unsubscribe", "drain", "close", "lost"])
async def test_the_end_of_a_full_one_lets_the_others_go_on(how: str) -> None:
    async with connected() as (nc, peer, server):
        sub = await nc.subscribe("a", pending_msgs_limit=1, on_full="block")
        other = await nc.subscribe("b")
        sid, other_sid = await sid_of(peer, b"a"), await sid_of(peer, b"b")
        peer.msg(b"a", sid, b"0")
        peer.msg(b"a", sid, b"1")
        await eventually(lambda: sub.pending_msgs == 2)
        peer.msg(b"b", other_sid, b"hello")
        if how == "unsubscribe":
            await sub.unsubscribe()
            assert (await other.next_msg()).data == b"hello"
        elif how == "drain":
            ending = asyncio.create_task(sub.drain())
            assert await drained(sub) == [b"0", b"1"]
            assert (await other.next_msg()).data == b"hello"
            await ending
        elif how == "close":
            async with no_leaks():
                await nc.close()
        else:
            peer.reset()
            await nc.force_reconnect()
            again = await server.accept()
            await again.expect(b"PING")
            await again.expect(b"SUB b ")
            again.msg(b"b", other_sid, b"again")
            await turns(20)
            assert other.pending_msgs == 0  # a new session waits, too
            assert await drained(sub) == [b"0", b"1"]
            assert (await other.next_msg()).data == b"again"
    gc.collect()
