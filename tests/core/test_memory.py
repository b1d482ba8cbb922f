"""Memory stays bounded: against a peer that stops reading, a peer that floods, a long absence."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from typing import Any

import pytest

from natsrpc.core import Msg, Status, connect
from natsrpc.core.session.transport import HIGH_WATER, Transport
from natsrpc.errors import NatsTimeoutError, ReconnectBufferExceededError
from natsrpc.testing import NatsServer
from tests.core.connected import connected
from tests.core.harness import Proxy, elapse, eventually, steady, turns, warped
from tests.core.recorder import Recorder

MIB = 1024 * 1024


async def test_publishers_stop_when_the_peer_stops_reading() -> None:
    payload = bytes(50_000)
    async with connected(receive_buffer=4096) as (nc, peer, _):
        peer.stall()
        published = 0

        async def publish_on() -> None:
            nonlocal published
            while True:
                await nc.publish("flood", payload)
                published += 1

        producers = [asyncio.create_task(publish_on()) for _ in range(4)]
        await eventually(lambda: nc.link.congested)
        before = await steady(lambda: published)
        assert nc.buffered < 3 * HIGH_WATER + 5 * len(payload)
        peer.resume()
        await eventually(lambda: published > before + 100)
        for producer in producers:
            producer.cancel()
        await asyncio.wait(producers)


@pytest.mark.parametrize("how", ["request", "respond"])
async def test_requests_and_answers_wait_for_room_too(how: str) -> None:
    payload = bytes(50_000)
    async with connected(receive_buffer=4096) as (nc, peer, _):
        peer.stall()
        while not nc.link.congested:
            nc.link.send(b"n", payload)
            await turns(2)
        buffered = nc.buffered
        waits: list[asyncio.Task[Any]]
        if how == "request":
            waits = [asyncio.create_task(nc.request("a", payload, timeout=60)) for _ in range(50)]
            await turns(20)
            assert nc.buffered == buffered  # not one was written
        else:
            msgs: list[Msg] = []
            sub = await nc.subscribe("a", cb=msgs.append)
            peer.msg(b"a", b"%d" % sub.sid, reply=b"r")
            await eventually(lambda: msgs)
            waits = [asyncio.create_task(msgs[0].respond(payload)) for _ in range(5)]
            await turns(20)
            assert not any(wait.done() for wait in waits)
        for wait in waits:
            wait.cancel()
        await asyncio.wait(waits)
        peer.resume()


class FullSocket(asyncio.Transport):
    """A socket whose kernel takes `unsent` down as the test says."""

    unsent = 1_000_000

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def abort(self) -> None:
        pass


@warped
async def test_a_peer_that_reads_slowly_is_not_taken_for_one_that_does_not_read() -> None:
    loop = asyncio.get_running_loop()
    lost: list[Exception | None] = []
    transport = Transport(loop, receive=lambda data: None, lost=lost.append, write_timeout=10)
    socket = FullSocket()
    transport.connection_made(socket)
    transport.pause_writing()
    for _ in range(5):
        await elapse(9)
        socket.unsent -= 1000
    assert lost == []
    await elapse(21)
    assert isinstance(lost[0], NatsTimeoutError)


async def test_a_stalled_link_holds_no_more_than_the_limits(nats_server: NatsServer) -> None:
    """As much as can be published into a link that carries nothing."""
    async with Proxy(nats_server.port) as proxy, connect(proxy.url) as nc:
        await nc.flush()
        proxy.stall()
        tracemalloc.start()
        producers = [asyncio.create_task(publish_forever(nc, bytes(10_000))) for _ in range(20)]
        await eventually(lambda: nc.link.congested)
        await steady(lambda: nc.stats().out_msgs)
        held, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        for producer in producers:
            producer.cancel()
        await asyncio.wait(producers)
        assert nc.buffered < 2 * MIB
        assert peak < 8 * MIB, (held, peak)
        proxy.resume()


async def publish_forever(nc: Any, payload: bytes) -> None:
    while True:
        await nc.publish("memory.flood", payload)


async def test_what_is_published_during_an_absence_is_bounded() -> None:
    async with connected(reconnect_buffer_size=MIB) as (nc, peer, server):
        server.refuse()
        peer.reset()
        await eventually(lambda: nc.status is Status.RECONNECTING)
        refused = 0
        for _ in range(1000):
            try:
                await nc.publish("a", bytes(10_000))
            except ReconnectBufferExceededError:
                refused += 1
        assert MIB <= nc.buffered < MIB + 11_000
        assert refused > 890


async def test_a_flood_nobody_reads_is_dropped_counted_and_told(nats_server: NatsServer) -> None:
    recorder = Recorder()
    async with (
        connect(nats_server.url, **recorder.options) as nc,
        connect(nats_server.url) as flooding,
    ):
        sub = await nc.subscribe("memory.unread", pending_msgs_limit=None, pending_bytes_limit=MIB)
        await nc.flush()
        for _ in range(5000):
            await flooding.publish("memory.unread", bytes(1000))
        await flooding.flush()
        await eventually(lambda: sub.dropped + sub.pending_msgs == 5000)
        assert sub.pending_bytes <= MIB
        assert sub.dropped > 3900
        await turns(5)
        assert len(recorder.told("on_error")) == 1


@warped
async def test_reconnecting_for_long_grows_nothing() -> None:
    async with connected(
        max_reconnect_attempts=-1, reconnect_wait=2.0, on_reconnect_error=lambda *_: None
    ) as (nc, peer, server):
        server.refuse()
        peer.reset()
        sub = await nc.subscribe("a")
        await elapse(50)
        tracemalloc.start()
        attempts = nc.stats().attempts
        await elapse(300)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert nc.stats().attempts > attempts + 100
        assert grown < 50_000
        await sub.unsubscribe()
