"""PINGs, PONGs, flushes and what becomes of them when a server falls silent."""

from __future__ import annotations

import asyncio
import random

import pytest

from natsrpc.core import Msg
from natsrpc.errors import (
    BadTimeoutError,
    ConnectionClosedError,
    FlushInterruptedError,
    NatsTimeoutError,
    StaleConnectionError,
)
from tests.core.connected import connected, sid_of
from tests.core.harness import elapse, eventually, no_leaks, open_sockets, turns, warped


async def test_a_ping_is_answered_at_once() -> None:
    async with connected() as (_, peer, _):
        peer.ping()
        await peer.expect(b"PONG\r\n")


@warped
async def test_a_pong_too_late_for_its_flush_harms_nothing() -> None:
    got: list[Msg] = []
    async with connected(auto_pong=False) as (nc, peer, server):
        await nc.subscribe("a", cb=got.append)
        for _ in range(3):
            with pytest.raises(NatsTimeoutError):
                await nc.flush(timeout=1)
        for _ in range(3):
            peer.pong()
        await peer.synced()
        peer.msg(b"a", await sid_of(peer, b"a"), b"still read")
        await peer.synced()
        assert [msg.data for msg in got] == [b"still read"]
        peer.auto_pong = True
        await nc.flush(timeout=1)
        assert len(server.peers) == 1


@warped
async def test_a_late_pong_does_not_answer_the_next_flush() -> None:
    async with connected(auto_pong=False) as (nc, peer, _):
        with pytest.raises(NatsTimeoutError):
            await nc.flush(timeout=1)
        flush = asyncio.create_task(nc.flush(timeout=10))
        await turns(5)
        peer.pong()
        await peer.synced()
        assert not flush.done()
        peer.pong()
        await asyncio.wait_for(flush, 1)


async def test_a_cancelled_flush_keeps_its_place_in_the_row() -> None:
    async with connected(auto_pong=False) as (nc, peer, _):
        first, second = [asyncio.create_task(nc.flush()) for _ in range(2)]
        await turns(5)
        first.cancel()
        await turns()
        peer.pong()
        await peer.synced()
        assert not second.done()
        peer.pong()
        await asyncio.wait_for(second, 1)


async def test_each_pong_completes_the_oldest_flush_only() -> None:
    async with connected(auto_pong=False) as (nc, peer, _):
        flushes = [asyncio.create_task(nc.flush()) for _ in range(4)]
        await eventually(lambda: peer.ops().count(b"PING") == 5)
        for answered in range(1, 5):
            peer.pong()
            await peer.synced()
            await turns()
            assert [flush.done() for flush in flushes] == [True] * answered + [False] * (
                4 - answered
            )


@warped
async def test_the_keepalives_own_pongs_complete_no_flush() -> None:
    async with connected(auto_pong=False, ping_interval=10.0, max_pings_out=5) as (nc, peer, _):
        pings = peer.ops().count(b"PING")
        await elapse(10.5)  # a keepalive is out
        assert peer.ops().count(b"PING") == pings + 1
        flush = asyncio.create_task(nc.flush(timeout=5))
        await turns(5)
        peer.pong()
        await peer.synced()
        assert not flush.done()
        peer.pong()
        await asyncio.wait_for(flush, 1)


async def test_a_pong_nobody_asked_for_is_ignored() -> None:
    async with connected(auto_pong=False) as (nc, peer, server):
        peer.send(b"PONG\r\n" * 5)
        await peer.synced()
        flush = asyncio.create_task(nc.flush())
        await turns(5)
        assert not flush.done()
        peer.pong()
        await asyncio.wait_for(flush, 1)
        assert len(server.peers) == 1


async def test_flushes_fail_at_once_when_the_session_dies() -> None:
    async with connected(auto_pong=False) as (nc, peer, server):
        flushes = [asyncio.create_task(nc.flush(timeout=60)) for _ in range(3)]
        await eventually(lambda: peer.ops().count(b"PING") == 4)
        server.refuse()
        peer.reset()
        for flush in flushes:
            with pytest.raises(FlushInterruptedError):
                await asyncio.wait_for(flush, 1)


async def test_a_flush_begun_while_reconnecting_is_answered_by_the_next_session() -> None:
    async with connected() as (nc, peer, server):
        server.refuse()
        peer.reset()
        await eventually(lambda: nc.is_reconnecting)
        await nc.publish("a", b"kept")
        flush = asyncio.create_task(nc.flush(timeout=60))
        await turns(5)
        assert not flush.done()
        await server.listen()
        again = await server.accept()
        await asyncio.wait_for(flush, 2)
        assert again.ops()[-2:] == [b"PUB", b"PING"]


async def test_a_flush_in_the_turn_of_the_loss_does_not_wait_out_its_timeout() -> None:
    async with connected() as (nc, peer, server):
        outcomes: list[asyncio.Task[None]] = []

        def note(msg: Msg) -> None:
            outcomes.append(asyncio.create_task(nc.flush(timeout=60)))

        await nc.subscribe("a", cb=note)
        await nc.flush()
        peer.msg(b"a", b"1")
        peer.send(b"NOPE\r\n")  # the session is lost in the turn that made the task
        await peer.closed.wait()
        await server.accept()
        await asyncio.wait_for(asyncio.gather(*outcomes), 2)
        assert len(outcomes) == 1


async def test_a_flush_while_reconnecting_ends_with_close() -> None:
    async with connected() as (nc, peer, server):
        server.refuse()
        peer.reset()
        await eventually(lambda: nc.is_reconnecting)
        flush = asyncio.create_task(nc.flush(timeout=None))
        await turns()
        await nc.close()
        with pytest.raises(ConnectionClosedError):
            await asyncio.wait_for(flush, 1)
        with pytest.raises(ConnectionClosedError):
            await nc.flush()


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), "1", True])
async def test_a_flush_needs_a_time_above_zero(timeout: float) -> None:
    async with connected() as (nc, _, _):
        with pytest.raises(BadTimeoutError):
            await nc.flush(timeout)


@warped
async def test_a_silent_server_is_left_after_its_pings() -> None:
    causes: list[Exception] = []
    async with connected(
        auto_pong=False,
        ping_interval=20.0,
        max_pings_out=2,
        on_disconnect=lambda nc, error: causes.append(error),
    ) as (nc, peer, server):
        loop = asyncio.get_running_loop()
        start = loop.time()
        server.auto_pong = True
        await peer.closed.wait()
        assert 59 < loop.time() - start < 62  # two unanswered, then the third interval's end
        await server.accept()
        await nc.flush()
        assert [type(cause) for cause in causes] == [StaleConnectionError]


@warped
async def test_any_pong_resets_the_count_of_unanswered_pings() -> None:
    async with connected(ping_interval=20.0, max_pings_out=1) as (nc, peer, server):
        await elapse(2000)
        assert len(server.peers) == 1
        assert peer.ops().count(b"PING") > 90
        assert nc.is_connected


@warped
async def test_whatever_comes_is_a_sign_of_life_though_the_pongs_wait_behind_it() -> None:
    async with connected(auto_pong=False, ping_interval=20.0, max_pings_out=2) as (
        nc,
        peer,
        server,
    ):
        server.auto_pong = True
        for _ in range(50):
            await elapse(15)
            peer.send(b"MSG nobody 99 1\r\nx\r\n")
        assert nc.is_connected
        assert len(server.peers) == 1
        await asyncio.wait_for(peer.closed.wait(), 62)


@warped
async def test_a_half_open_link_is_noticed_in_under_a_minute_by_default() -> None:
    async with connected(auto_pong=False) as (nc, peer, server):
        server.auto_pong = True
        await nc.publish("a", b"nobody takes it")
        await asyncio.wait_for(peer.closed.wait(), 59)
        await server.accept()


@warped
async def test_keepalives_can_be_switched_off() -> None:
    async with connected(auto_pong=False, ping_interval=0) as (nc, peer, _):
        pings = peer.ops().count(b"PING")
        await elapse(100_000)
        assert peer.ops().count(b"PING") == pings
        assert nc.is_connected


@warped
async def test_a_peer_that_takes_no_bytes_is_left_after_the_write_timeout() -> None:
    async with connected(receive_buffer=65536, write_timeout=30.0, ping_interval=0) as (
        nc,
        peer,
        server,
    ):
        peer.stall()
        task = asyncio.create_task(flood(nc.publish))
        again = await server.accept(timeout=60)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        again.resume()
        await nc.flush(60)
        assert nc.is_connected


@warped
async def test_a_dead_peer_with_unsent_bytes_delays_no_reconnect_and_keeps_no_socket() -> None:
    async with connected(receive_buffer=65536, ping_interval=20.0, max_pings_out=1) as (
        nc,
        peer,
        server,
    ):
        loop = asyncio.get_running_loop()
        before, start = len(open_sockets()), loop.time()
        peer.stall()
        while nc.buffered < 400_000:
            nc.link.send(b"a", bytes(300_000))
            await turns()
        await server.accept(timeout=100)
        assert loop.time() - start < 45  # two intervals
        server.peers[1].resume()
        await nc.flush()
        # One more than before: the stalled peer's end, which has read nothing of the loss.
        await eventually(lambda: len(open_sockets()) == before + 1)


@warped
async def test_closing_towards_a_dead_peer_ends_in_time_and_keeps_no_socket() -> None:
    async with no_leaks(), connected(receive_buffer=65536) as (nc, peer, _):
        loop = asyncio.get_running_loop()
        before, start = len(open_sockets()), loop.time()
        peer.stall()
        while nc.buffered < 400_000:
            nc.link.send(b"a", bytes(300_000))
            await turns()
        await nc.close()
        assert loop.time() - start < 5
        assert len(open_sockets()) == before - 1


async def flood(publish: object) -> None:
    assert callable(publish)
    for _ in range(200):
        await publish("a", bytes(100_000))


async def test_rtt_is_a_round_trip() -> None:
    async with connected() as (nc, peer, _):
        pings = peer.ops().count(b"PING")
        assert 0 < await nc.rtt() < 5
        assert peer.ops().count(b"PING") == pings + 1


async def test_random_cancellations_of_flushes_leave_the_row_in_order() -> None:
    dice = random.Random(9)
    async with connected(auto_pong=False) as (nc, peer, _):
        flushes: list[asyncio.Task[None]] = []
        pongs = 0
        for _ in range(400):
            match dice.randrange(4):
                case 0 | 1:
                    flushes.append(asyncio.create_task(nc.flush()))
                case 2:
                    if flushes:
                        dice.choice(flushes).cancel()
                case 3:
                    await turns(dice.randrange(4))
                    if pongs < peer.ops().count(b"PING") - 1:
                        peer.pong()
                        pongs += 1
        done = asyncio.gather(*flushes, return_exceptions=True)
        while not done.done():
            if pongs < peer.ops().count(b"PING") - 1:
                peer.pong()
                pongs += 1
            await turns(1)
        assert all(flush.cancelled() or flush.exception() is None for flush in flushes)
