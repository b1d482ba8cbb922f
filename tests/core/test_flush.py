"""Flush, rtt and statistics, on a real server."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest

from natsrpc.core import Msg, connect, new_inbox
from natsrpc.errors import (
    BadTimeoutError,
    ConnectionClosedError,
    FlushInterruptedError,
    NatsTimeoutError,
)
from natsrpc.testing import NatsServer
from tests.core.connected import connected
from tests.core.harness import Proxy, eventually, turns

pytestmark = pytest.mark.live


@pytest.fixture
def subject() -> str:
    return new_inbox("flush")


@pytest.mark.parity("F1")
async def test_after_a_flush_the_server_has_treated_all_before_it(
    nats_server: NatsServer, subject: str
) -> None:
    async with connect(nats_server.url) as nc, connect(nats_server.url) as other:
        sub = await other.subscribe(subject)
        await other.flush()
        for _ in range(1000):
            await nc.publish(subject)
        await nc.flush()
        await other.flush()
        assert sub.pending_msgs == 1000


@pytest.mark.parity("F1")
async def test_a_callback_may_flush(nats_server: NatsServer, subject: str) -> None:
    done = []
    async with connect(nats_server.url) as nc:

        async def handle(_: Msg) -> None:
            await nc.publish(f"{subject}.seen")
            await nc.flush(1)
            done.append(await nc.rtt())

        await nc.subscribe(subject, cb=handle)
        await nc.publish(subject)
        await eventually(lambda: done)
        assert 0 < done[0] < 1


@pytest.mark.parity("F1", "E18")
@pytest.mark.parametrize("bad", [0, -1, float("nan"), "1", True])
async def test_a_flush_needs_a_time_above_zero(nats_server: NatsServer, bad: Any) -> None:
    async with connect(nats_server.url) as nc:
        with pytest.raises(BadTimeoutError, match="above 0"):
            await nc.flush(bad)


@pytest.mark.parity("F1", "F3", "E8")
async def test_a_late_answer_to_a_flush_that_gave_up_answers_no_other() -> None:
    async with connected(auto_pong=False) as (nc, peer, _):
        with pytest.raises(NatsTimeoutError, match=r"0\.01"):
            await nc.flush(0.01)
        second = asyncio.create_task(nc.flush(5))
        await peer.expect(b"PING")
        await peer.expect(b"PING")
        peer.pong()
        peer.ping()
        await peer.expect(b"PONG")
        assert not second.done()
        peer.pong()
        await asyncio.wait_for(second, 1)


@pytest.mark.parity("F2", "E1")
async def test_close_releases_a_flush_at_once() -> None:
    async with connected(auto_pong=False) as (nc, _, _):
        waiting = asyncio.create_task(nc.flush(30))
        await turns()
        await nc.close()
        with pytest.raises(ConnectionClosedError):
            await asyncio.wait_for(waiting, 1)
        with pytest.raises(ConnectionClosedError):
            await nc.flush()
        with pytest.raises(ConnectionClosedError):
            await nc.rtt()


@pytest.mark.parity("F4")
async def test_a_lost_connection_fails_a_flush_at_once() -> None:
    async with connected(auto_pong=False) as (nc, peer, _):
        waiting = asyncio.create_task(nc.flush(30))
        await peer.expect(b"PING")
        peer.reset()
        with pytest.raises(FlushInterruptedError):
            await asyncio.wait_for(waiting, 1)


@pytest.mark.parity("F5", "B9")
async def test_a_flush_begun_while_reconnecting_comes_after_what_was_buffered() -> None:
    async with connected() as (nc, peer, server):
        server.refuse()
        peer.reset()
        await eventually(lambda: nc.is_reconnecting)
        await nc.publish("a", b"kept")
        waiting = asyncio.create_task(nc.flush(5))
        await turns()
        await server.listen()
        again = await server.accept()
        await asyncio.wait_for(waiting, 2)
        assert again.ops() == [b"CONNECT", b"PING", b"PUB", b"PING"]


@pytest.mark.parity("F6", "S8")
async def test_unsent_bytes_are_counted_wherever_they_wait() -> None:
    async with connected() as (nc, peer, server):
        assert nc.buffered == 0
        await nc.publish("foo", b"1234")
        assert nc.buffered == 17
        await nc.flush()
        assert nc.buffered == 0
        server.refuse()
        peer.reset()
        await eventually(lambda: nc.is_reconnecting)
        await nc.publish("foo", b"1234")
        assert nc.buffered == 17


async def test_cancelled_flushes_harm_no_other(nats_server: NatsServer) -> None:
    async with connect(nats_server.url) as nc:
        for i in range(200):
            flushes = [asyncio.create_task(nc.flush(5)) for _ in range(4)]
            await turns(i % 4)
            flushes[i % 4].cancel()
            results = await asyncio.gather(*flushes, return_exceptions=True)
            assert sum(result is None for result in results) >= 3


@pytest.mark.parity("B16", "L9")
async def test_a_ping_is_answered_while_handlers_are_busy() -> None:
    busy = asyncio.Event()

    async def handle(_: Msg) -> None:
        await busy.wait()

    async with connected() as (nc, peer, _):
        await nc.subscribe("a", cb=handle)
        for _ in range(10):
            peer.msg(b"a", b"1", b"x")
        await asyncio.wait_for(peer.synced(), 1)
        busy.set()


# statistics


@pytest.mark.parity("G1", "G2")
async def test_messages_and_bytes_are_counted_both_ways(
    nats_server: NatsServer, subject: str
) -> None:
    async with connect(nats_server.url) as nc:
        assert dataclasses.astuple(nc.stats())[:4] == (0, 0, 0, 0)

        async def answer(msg: Msg) -> None:
            await msg.respond(b"12345")

        await nc.subscribe(subject, cb=answer)
        await nc.subscribe(f"{subject.rsplit('.', 1)[0]}.*", cb=lambda _: None)
        await nc.request(subject, b"123", headers={"A": "b"})
        block = len(b"NATS/1.0\r\nA: b\r\n\r\n")
        stats = nc.stats()
        assert (stats.out_msgs, stats.out_bytes) == (2, 3 + block + 5)
        assert (stats.in_msgs, stats.in_bytes) == (3, 2 * (3 + block) + 5), "a copy each"
        assert stats.wire_bytes_in > stats.in_bytes
        assert stats.wire_bytes_out > stats.out_bytes
        await nc.publish(subject)
        assert nc.stats().out_msgs == 3, "counted when it is published"
        assert stats.out_msgs == 2, "a copy"
        with pytest.raises(dataclasses.FrozenInstanceError):
            stats.out_msgs = 0  # type: ignore[misc]  # the point of the test


@pytest.mark.parametrize(
    ("how", "size"),
    [
        ({}, 128),
        ({}, 100_000),
        ({"reply": "to.me"}, 128),
        ({"headers": {"A": "b"}}, 128),
        ({"headers": {"A": "b"}, "reply": "to.me"}, 100_000),
    ],
    ids=["plain", "large", "reply", "headers", "all"],
)
async def test_a_message_is_counted_however_it_is_published(
    nats_server: NatsServer, subject: str, how: dict[str, Any], size: int
) -> None:
    block = len(b"NATS/1.0\r\nA: b\r\n\r\n") if "headers" in how else 0
    async with connect(nats_server.url) as nc:
        await nc.publish(subject, b"x" * size, **how)
        await nc.publish(subject, b"x" * size, **how)
        await nc.flush()
        stats = nc.stats()
        assert (stats.out_msgs, stats.out_bytes) == (2, 2 * (size + block))
        assert stats.wire_bytes_out > stats.out_bytes


@pytest.mark.parity("G2", "G3")
async def test_counters_go_on_over_reconnects(nats_server: NatsServer, subject: str) -> None:
    async with (
        Proxy(nats_server.port) as proxy,
        connect(proxy.url, reconnect_wait=0.01, reconnect_jitter=0) as nc,
    ):
        sub = await nc.subscribe(subject)
        await nc.publish(subject, b"123")
        await sub.next_msg(1)
        proxy.refuse()
        proxy.cut()
        await eventually(lambda: nc.is_reconnecting)
        await nc.publish(subject, b"while down")
        assert (nc.stats().out_msgs, nc.stats().out_bytes) == (2, 13)
        await eventually(lambda: nc.stats().attempts > 2)
        await proxy.listen()
        assert (await sub.next_msg(5)).data == b"while down"
        stats = nc.stats()
        assert (stats.reconnects, stats.in_msgs, stats.in_bytes) == (1, 2, 13)
        assert stats.attempts > 2


async def test_a_refused_message_is_not_counted(nats_server: NatsServer, subject: str) -> None:
    async with connect(nats_server.url) as nc:
        with pytest.raises(ValueError, match="max_payload"):
            await nc.publish(subject, b"x" * (nc.max_payload + 1))
        assert nc.stats().out_msgs == 0
    with pytest.raises(ConnectionClosedError):
        await nc.publish(subject)
    assert nc.stats().out_msgs == 0
