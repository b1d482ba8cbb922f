"""`Connection.barrier`: waiting until callbacks have handled what was received."""

from __future__ import annotations

import asyncio

import pytest

from natsrpc.core import Msg
from natsrpc.errors import (
    BadTimeoutError,
    ConnectionClosedError,
    NatsTimeoutError,
)
from tests.core.connected import connected, sid_of
from tests.core.harness import eventually, turns


async def test_nothing_to_wait_for_is_no_wait() -> None:
    async with connected() as (nc, peer, _):
        await nc.barrier()
        plain = await nc.subscribe("a", cb=lambda msg: None)
        unread = await nc.subscribe("b")
        idle = await nc.subscribe("c", cb=asyncio.sleep)  # type: ignore[arg-type]  # never called
        for sub in (plain, unread):
            peer.msg(b"x", b"%d" % sub.sid, b"")
        await peer.synced()
        await nc.barrier()
        assert unread.pending_msgs == 1
        assert idle.is_valid


@pytest.mark.parity("L-barrier")
async def test_all_that_was_received_before_is_handled_and_nothing_more_waited_for() -> None:
    async with connected() as (nc, peer, _):
        gates = [asyncio.Event() for _ in range(6)]
        handled: list[int] = []

        async def slowly(msg: Msg) -> None:
            await gates[int(msg.data)].wait()
            handled.append(int(msg.data))

        await nc.subscribe("a", cb=slowly)
        sid = await sid_of(peer, b"a")
        for n in range(3):
            peer.msg(b"a", sid, b"%d" % n)
        await peer.synced()
        first = asyncio.create_task(nc.barrier())
        await turns()
        for n in range(3, 6):
            peer.msg(b"a", sid, b"%d" % n)
        await peer.synced()
        second = asyncio.create_task(nc.barrier())
        for n in range(2):
            gates[n].set()
        await eventually(lambda: handled == [0, 1])
        await turns(10)
        assert not first.done()
        gates[2].set()
        await asyncio.wait_for(first, 5)
        assert handled == [0, 1, 2]
        assert not second.done()
        for gate in gates[:-1]:
            gate.set()
        await eventually(lambda: len(handled) == 5)
        await turns(10)
        assert not second.done()
        gates[-1].set()
        await asyncio.wait_for(second, 5)
        assert handled == [0, 1, 2, 3, 4, 5]
        await nc.barrier()


async def test_a_subscription_that_has_ended_is_waited_for_too() -> None:
    async with connected() as (nc, peer, _):
        go, handled = asyncio.Event(), []

        async def slowly(msg: Msg) -> None:
            await go.wait()
            handled.append(msg.data)

        sub = await nc.subscribe("a", cb=slowly, max_msgs=2)
        sid = await sid_of(peer, b"a")
        for data in (b"0", b"1"):
            peer.msg(b"a", sid, data)
        await eventually(lambda: not sub.is_valid)
        waiting = asyncio.create_task(nc.barrier())
        await turns(10)
        assert not waiting.done()
        go.set()
        await asyncio.wait_for(waiting, 5)
        assert handled == [b"0", b"1"]


async def test_a_callback_does_not_wait_for_itself() -> None:
    async with connected() as (nc, peer, _):
        passed: list[bytes] = []

        async def cb(msg: Msg) -> None:
            await nc.barrier()
            passed.append(msg.data)

        await nc.subscribe("a", cb=cb)
        sid = await sid_of(peer, b"a")
        peer.msg(b"a", sid, b"0")
        peer.msg(b"a", sid, b"1")
        await eventually(lambda: passed == [b"0", b"1"])


async def test_it_ends_in_time_and_with_the_connection_and_can_be_cancelled() -> None:
    async with connected() as (nc, peer, _):
        go, handled = asyncio.Event(), []

        async def slowly(msg: Msg) -> None:
            await go.wait()
            handled.append(msg.data)

        await nc.subscribe("a", cb=slowly)
        sid = await sid_of(peer, b"a")
        for data in (b"0", b"1"):
            peer.msg(b"a", sid, data)
        await peer.synced()
        with pytest.raises(BadTimeoutError):
            await nc.barrier(timeout=0)
        with pytest.raises(NatsTimeoutError, match=r"still busy after 0\.01 s"):
            await nc.barrier(timeout=0.01)
        waiting = asyncio.create_task(nc.barrier(timeout=None))
        await turns()
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        waiting = asyncio.create_task(nc.barrier())
        await turns()
        await nc.close()
        with pytest.raises(ConnectionClosedError):
            await asyncio.wait_for(waiting, 5)
        with pytest.raises(ConnectionClosedError):
            await nc.barrier()
        go.set()
