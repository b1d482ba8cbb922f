"""`connection.link`: what the rooms above core build on."""

from __future__ import annotations

import asyncio

import pytest

from natsrpc.core import (
    AsyncError,
    Closed,
    ConnectionEvent,
    Disconnected,
    Msg,
    Reconnected,
    connect,
    new_inbox,
)
from natsrpc.errors import (
    BadQueueNameError,
    BadSubjectError,
    ConnectionClosedError,
    ConnectionDrainingError,
    PermissionsError,
)
from natsrpc.testing import NatsServer
from tests.core.connected import connected, sid_of
from tests.core.harness import eventually, turns
from tests.core.recorder import Recorder

# events in place


async def test_a_listener_hears_each_event_in_order_and_at_once() -> None:
    heard: list[ConnectionEvent] = []
    async with connected() as (nc, _, server):
        nc.link.add_listener(heard.append)
        await nc.force_reconnect()
        assert heard == [Disconnected(None)], "told before any other code could run"
        await server.accept()
        await eventually(lambda: nc.is_connected)
        assert heard == [Disconnected(None), Reconnected()]
        closing = asyncio.ensure_future(nc.close())
        await turns(1)
        assert heard[2:] == [Disconnected(None), Closed(None)]
        await closing


async def test_a_listener_hears_of_a_reconnect_when_all_is_restored() -> None:
    found: list[tuple[bool, int]] = []
    async with connected() as (nc, peer, server):
        await nc.subscribe("a")

        def look(event: ConnectionEvent) -> None:
            if isinstance(event, Reconnected):
                found.append((nc.is_connected, nc.buffered))
                nc.link.send(b"again", b"")

        nc.link.add_listener(look)
        peer.reset()
        again = await server.accept()
        await again.expect(b"PUB again")
        assert again.ops()[-2:] == [b"SUB", b"PUB"]
        assert found == [(True, len(b"SUB a 1\r\n"))]


async def test_a_listener_hears_denials_with_the_subscription_they_are_about() -> None:
    heard: list[tuple[ConnectionEvent, bool]] = []
    async with connected(**Recorder().options) as (nc, peer, _):
        sub = await nc.subscribe("secret")
        nc.link.add_listener(lambda event: heard.append((event, sub.is_valid)))
        peer.err('Permissions Violation for Subscription to "secret"')
        peer.err('Permissions Violation for Publish to "elsewhere"')
        await peer.synced()
        (denied, was_valid), (unknown, _) = heard
        assert isinstance(denied, AsyncError)
        assert isinstance(denied.error, PermissionsError)
        assert denied.subscription is sub
        assert was_valid
        assert sub.end_error is denied.error
        assert isinstance(unknown, AsyncError)
        assert isinstance(unknown.error, PermissionsError)
        assert unknown.error.subject == "elsewhere"
        assert unknown.subscription is None


async def test_listeners_and_callbacks_hear_what_is_reported() -> None:
    recorder = Recorder()
    heard: list[ConnectionEvent] = []
    async with connected(**recorder.options) as (nc, _, _):
        nc.link.add_listener(heard.append)
        error = ValueError("told by a room above")
        nc.link.report(error, None)
        assert heard == [AsyncError(error, None)]
        assert nc.last_error is error
        await eventually(lambda: recorder.told("on_error") == [(None, error)])


async def test_a_listener_that_is_removed_hears_nothing_more() -> None:
    heard: list[str] = []
    async with connected() as (nc, _, _):

        def once(event: ConnectionEvent) -> None:
            heard.append("once")
            nc.link.remove_listener(once)

        def ever(event: ConnectionEvent) -> None:
            heard.append("ever")

        nc.link.add_listener(once)
        nc.link.add_listener(ever)
        nc.link.report(ValueError("1"), None)
        nc.link.report(ValueError("2"), None)
        assert heard == ["once", "ever", "ever"]
        nc.link.remove_listener(once)  # nothing happens


# bare sinks


async def test_a_bare_sink_gets_every_message_in_place_and_uncounted() -> None:
    got: list[tuple[bytes, object]] = []
    async with connected() as (nc, peer, _):
        sub = nc.link.attach("a.*", lambda msg: got.append((msg.data, msg.sub)), queue_group="q")
        frame = await peer.expect(b"SUB")
        assert frame.args == (b"a.*", b"q", b"%d" % sub.sid)
        for number in range(3):
            peer.msg(b"a.b", frame.sid, b"%d" % number)
        await peer.synced()
        assert got == [(b"0", None), (b"1", None), (b"2", None)]
        assert sub.delivered == 0
        assert nc.stats().in_msgs == 3
        assert nc.subscriptions == [sub]


async def test_a_bare_sink_stays_over_a_reconnect() -> None:
    got: list[bytes] = []
    async with connected() as (nc, peer, server):
        nc.link.attach("a", lambda msg: got.append(msg.data))
        peer.reset()
        again = await server.accept()
        again.msg(b"a", await sid_of(again, b"a"), b"1")
        await again.synced()
        assert got == [b"1"]


async def test_a_bare_sink_that_raises_is_told_and_the_next_message_comes() -> None:
    recorder = Recorder()
    async with connected(**recorder.options) as (nc, peer, _):

        def broken(msg: Msg) -> None:
            raise KeyError(msg.data)

        sub = nc.link.attach("a", broken)
        for _ in range(2):
            peer.msg(b"a", b"%d" % sub.sid)
        await peer.synced()
        await eventually(lambda: len(recorder.told("on_error")) == 2)
        assert [told[0] for told in recorder.told("on_error")] == [sub, sub]


async def test_what_was_attached_is_detached_at_once_and_once() -> None:
    async with connected() as (nc, peer, _):
        got: list[Msg] = []
        sub = nc.link.attach("a", got.append)
        nc.link.detach(sub)
        nc.link.detach(sub)
        assert not sub.is_valid
        peer.msg(b"a", b"%d" % sub.sid)
        await peer.synced()
        await nc.flush()
        assert got == []
        assert peer.ops().count(b"UNSUB") == 1


async def test_attaching_checks_names_and_state() -> None:
    async with connected() as (nc, _, _):
        with pytest.raises(BadSubjectError):
            nc.link.attach("a b", print)
        with pytest.raises(BadQueueNameError):
            nc.link.attach("a", print, queue_group="q q")
        assert nc.link.sinks == {}
        nc.link.add_drain_hook(asyncio.Event().wait)  # type: ignore[arg-type]  # goes on draining
        nc.link.end_subscribing()
        with pytest.raises(ConnectionDrainingError):
            nc.link.attach("a", print)
        await nc.close()
        with pytest.raises(ConnectionClosedError):
            nc.link.attach("a", print)


# sending, and the time


@pytest.mark.live
async def test_answers_are_sent_and_pushed_without_a_turn_of_the_loop(
    nats_server: NatsServer,
) -> None:
    unique = new_inbox("link")
    async with connect(nats_server.url) as nc, connect(nats_server.url) as service:
        service.link.attach(unique, lambda msg: service.link.send(msg.raw_reply, msg.data * 2))
        await service.flush()
        assert (await nc.request(unique, b"ab")).data == b"abab"
        before = nc.stats().wire_bytes_out
        nc.link.send(unique.encode(), b"cd")
        assert nc.stats().wire_bytes_out == before
        nc.link.push()
        assert nc.stats().wire_bytes_out > before


async def test_a_sink_knows_when_its_chunk_was_read() -> None:
    read: list[tuple[float, float]] = []
    async with connected() as (nc, peer, _):
        sub = nc.link.attach("a", lambda msg: read.append((nc.link.read_at, nc.link.loop.time())))
        before = nc.link.loop.time()
        peer.send(b"MSG a %d 0\r\n\r\n" % sub.sid * 3)
        await peer.synced()
        ((at, _), *_) = read
        assert [when for when, _ in read] == [at] * 3
        assert before <= at <= read[0][1]


async def test_the_limits_are_those_of_the_connection() -> None:
    async with connected(info={"max_payload": 100}) as (nc, _, _):
        link = nc.link
        assert link.max_payload == nc.max_payload == link.outbound.max_payload == 100
        assert (link.is_connected, link.is_closed) == (True, False)
        await link.flush()
        await nc.close()
        assert (link.is_connected, link.is_closed) == (False, True)


# drains


async def test_hooks_run_before_anything_else_of_a_drain() -> None:
    seen: list[tuple[bool, int]] = []
    async with connected() as (nc, _, _):
        await nc.subscribe("a")

        async def hook() -> None:
            seen.append((nc.is_draining, len(nc.subscriptions)))
            await nc.link.flush()

        nc.link.add_drain_hook(hook)
        await nc.drain()
        assert seen == [(False, 1)]


async def test_a_drain_begun_in_a_callback_can_be_waited_for() -> None:
    async with connected() as (nc, peer, _):
        begun = asyncio.Event()

        async def drain(msg: Msg) -> None:
            await nc.drain()
            begun.set()

        await nc.link.drained()  # none was begun
        sub = await nc.subscribe("a", cb=drain)
        await nc.flush()
        peer.msg(b"a", b"%d" % sub.sid)
        await begun.wait()
        await nc.link.drained()
        assert nc.is_closed
