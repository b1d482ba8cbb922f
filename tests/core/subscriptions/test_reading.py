"""Reading a subscription: no message is lost, whatever is cancelled, and order holds."""

from __future__ import annotations

import asyncio
import random

import pytest

from natsrpc.core import Msg
from natsrpc.errors import (
    BadSubscriptionError,
    ConnectionClosedError,
    MaxMessagesError,
    NatsTimeoutError,
)
from tests.core.connected import connected, sid_of
from tests.core.harness import eventually, no_leaks, turns, warped


async def test_cancelled_reads_lose_no_message() -> None:
    dice = random.Random(5)
    total = 1500
    async with connected() as (nc, peer, _):
        sub = await nc.subscribe("a")
        sid = await sid_of(peer, b"a")
        got: list[bytes] = []

        async def read() -> None:
            msg = await sub.next_msg(timeout=None)
            got.append(msg.data)  # in the turn of the return: nothing is between

        readers: list[asyncio.Task[None]] = []
        for number in range(total):
            readers += [asyncio.create_task(read()) for _ in range(dice.randrange(3))]
            await turns(dice.randrange(3))
            peer.msg(b"a", sid, b"%d" % number)
            await (turns(dice.randrange(4)) if dice.random() < 0.7 else peer.synced())
            for reader in dice.sample(readers, len(readers) // 2):
                reader.cancel()
            readers = [reader for reader in readers if not reader.done()]
        await peer.synced()
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
        assert len(got) > total // 10
        while sub.pending_msgs:
            await read()
        assert [int(data) for data in got] == list(range(total))
        assert (sub.pending_msgs, sub.pending_bytes) == (0, 0)
        assert sub.delivered == len(got)
        assert sub.dropped == 0
        await asyncio.wait_for(sub.drain(), 2)


async def test_reads_that_time_out_lose_no_message() -> None:
    async with connected() as (nc, peer, _):
        sub = await nc.subscribe("a")
        sid = await sid_of(peer, b"a")
        got: list[bytes] = []
        dice = random.Random(6)
        for number in range(200):
            asyncio.get_running_loop().call_later(
                0.002 * dice.random(), peer.msg, b"a", sid, b"%d" % number
            )
            try:
                got.append((await sub.next_msg(timeout=0.001)).data)
            except NatsTimeoutError:
                continue
        await eventually(lambda: len(got) + sub.pending_msgs == 200)
        while sub.pending_msgs:
            got.append((await sub.next_msg()).data)
        assert sorted(map(int, got)) == list(range(200))


async def test_a_wake_up_that_a_cancelled_reader_cannot_use_goes_to_the_next() -> None:
    async with connected() as (nc, peer, _):
        sub = await nc.subscribe("a")
        sid = await sid_of(peer, b"a")
        first, second = [asyncio.create_task(sub.next_msg(timeout=None)) for _ in range(2)]
        await turns()
        peer.msg(b"a", sid, b"x")
        watch = await nc.subscribe("b", cb=lambda msg: (first.cancel(), None)[1])
        peer.msg(b"b", b"%d" % watch.sid)  # read in the turn that woke the first
        await peer.synced()
        assert first.cancelled()
        assert (await asyncio.wait_for(second, 1)).data == b"x"


async def test_waiting_readers_are_served_in_turn() -> None:
    async with connected() as (nc, peer, _):
        sub = await nc.subscribe("a")
        sid = await sid_of(peer, b"a")
        readers = [asyncio.create_task(sub.next_msg()) for _ in range(5)]
        await turns()
        for number in range(5):
            peer.msg(b"a", sid, b"%d" % number)
        got = [(await reader).data for reader in readers]
        assert got == [b"0", b"1", b"2", b"3", b"4"]


async def test_an_iteration_left_and_taken_up_again_loses_nothing() -> None:
    async with connected() as (nc, peer, _):
        sub = await nc.subscribe("a")
        sid = await sid_of(peer, b"a")
        for number in range(30):
            peer.msg(b"a", sid, b"%d" % number)
        await peer.synced()
        got: list[bytes] = []
        while len(got) < 30:
            async for msg in sub:
                got.append(msg.data)
                if len(got) % 7 == 0 or len(got) == 30:
                    break
        assert got == [b"%d" % number for number in range(30)]
        assert sub.pending_bytes == 0


async def test_a_cancelled_iteration_loses_nothing() -> None:
    async with connected() as (nc, peer, _):
        sub = await nc.subscribe("a")
        sid = await sid_of(peer, b"a")
        got: list[bytes] = []

        async def read_all() -> None:
            async for msg in sub:
                got.append(msg.data)  # noqa: PERF401  one by one: it is cancelled between

        for number in range(200):
            reader = asyncio.create_task(read_all())
            await turns(number % 3)
            peer.msg(b"a", sid, b"%d" % number)
            await turns(number % 4)
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
        await peer.synced()
        reader = asyncio.create_task(read_all())
        await eventually(lambda: len(got) == 200)
        reader.cancel()
        assert [int(data) for data in got] == list(range(200))


async def test_an_async_callback_gets_messages_one_at_a_time_in_order() -> None:
    running = most = 0
    got: list[bytes] = []

    async def handle(msg: Msg) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await turns(random.randrange(3))
        got.append(msg.data)
        running -= 1

    async with no_leaks(), connected() as (nc, peer, _):
        sub = await nc.subscribe("a", cb=handle)
        for number in range(100):
            peer.msg(b"a", b"1", b"%d" % number)
        await eventually(lambda: len(got) == 100)
        assert got == [b"%d" % number for number in range(100)]
        assert most == 1
        assert sub.delivered == 100


async def test_all_of_a_burst_up_to_max_msgs_is_handled_by_an_async_callback() -> None:
    got: list[bytes] = []

    async def handle(msg: Msg) -> None:
        await asyncio.sleep(0)
        got.append(msg.data)

    async with connected() as (nc, peer, _):
        sub = await nc.subscribe("a", cb=handle, max_msgs=5)
        for number in range(8):
            peer.msg(b"a", b"1", b"%d" % number)
        await peer.synced()
        await eventually(lambda: len(got) == 5)
        await turns(5)
        assert got == [b"0", b"1", b"2", b"3", b"4"]
        assert not sub.is_valid


async def test_all_of_a_burst_up_to_max_msgs_can_be_read() -> None:
    async with connected() as (nc, peer, _):
        sub = await nc.subscribe("a", max_msgs=5)
        for number in range(8):
            peer.msg(b"a", b"1", b"%d" % number)
        await peer.synced()
        assert [msg.data async for msg in sub] == [b"0", b"1", b"2", b"3", b"4"]
        with pytest.raises(MaxMessagesError):
            await sub.next_msg()


async def test_a_callback_in_place_keeps_no_queue_to_overflow() -> None:
    count = 0

    def handle(msg: Msg) -> None:
        nonlocal count
        count += 1

    async with connected() as (nc, peer, _):
        sub = await nc.subscribe("a", cb=handle, pending_msgs_limit=10)
        peer.send(b"MSG a 1 1\r\nx\r\n" * 100_000)
        await peer.synced()
        assert (count, sub.dropped, sub.pending_msgs) == (100_000, 0, 0)


async def test_readers_are_woken_by_close_and_by_exhaustion() -> None:
    async def iterate(sub: object) -> None:
        async for _ in sub:  # type: ignore[attr-defined]  # a Subscription
            pass

    for end in ("close", "exhaustion"):
        async with no_leaks(), connected(max_reconnect_attempts=1) as (nc, peer, server):
            sub = await nc.subscribe("a")
            waits = [
                asyncio.create_task(sub.next_msg(timeout=None)),
                asyncio.create_task(iterate(sub)),
                asyncio.create_task(nc.request("b", timeout=None)),
            ]
            await peer.expect(b"PUB b")
            server.refuse()
            if end == "close":
                await nc.close()
            else:
                peer.reset()
            for wait in waits:
                with pytest.raises(ConnectionClosedError):
                    await asyncio.wait_for(wait, 2)


async def test_unsubscribing_wakes_those_who_wait() -> None:
    async with connected() as (nc, _, _):
        sub = await nc.subscribe("a")
        waiting = asyncio.create_task(sub.next_msg(timeout=None))
        await turns()
        await sub.unsubscribe()
        with pytest.raises(BadSubscriptionError):
            await asyncio.wait_for(waiting, 1)


@warped
async def test_a_read_times_out_in_time() -> None:
    async with connected() as (nc, _, _):
        sub = await nc.subscribe("a")
        loop = asyncio.get_running_loop()
        before = loop.time()
        with pytest.raises(NatsTimeoutError):
            await sub.next_msg(timeout=7.0)
        assert 6.9 < loop.time() - before < 7.2


async def test_replies_are_not_limited_as_subscriptions_are() -> None:
    """Replies to requests never count as a slow consumer's, however many come at once."""
    async with connected() as (nc, peer, _):
        requests = [asyncio.create_task(nc.request("a", timeout=20)) for _ in range(2000)]
        sid = await sid_of(peer, nc.link.requests.subject.encode())
        await eventually(lambda: peer.ops().count(b"PUB") == 2000)
        replies = [frame.reply for frame in peer.frames if frame.op == b"PUB"]
        assert len(set(replies)) == 2000
        peer.stall()
        for reply in replies:
            peer.msg(reply, sid, bytes(40_000))
        peer.resume()
        answers = await asyncio.gather(*requests)
        assert sum(len(answer.data) for answer in answers) == 2000 * 40_000
