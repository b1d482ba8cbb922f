"""Callbacks and the event stream: which, when, in what order, and never in the way."""

from __future__ import annotations

import asyncio
import gc
import logging
from typing import Any

import pytest

from natsrpc.core import (
    AsyncError,
    Closed,
    Connected,
    Connection,
    ConnectionEvent,
    Disconnected,
    Reconnected,
    ReconnectFailed,
    ServersDiscovered,
    Status,
    connect,
)
from natsrpc.core.events import ERROR_LIMIT, STREAM_LIMIT, Callbacks, LameDuck
from natsrpc.errors import (
    BadHeaderError,
    ConfigError,
    ConfigTypeError,
    ConnectionClosedError,
    PermissionsError,
    SlowConsumerError,
)
from tests.core.connected import connected, sid_of
from tests.core.harness import ScriptedServer, eventually, no_leaks, turns, warped
from tests.core.recorder import CALLBACKS, Recorder

QUICK: dict[str, Any] = {"reconnect_wait": 0.01, "reconnect_jitter": 0.0}


# which and when


@pytest.mark.parity("H1")
async def test_the_states_are_those_of_the_protocol() -> None:
    assert [(s.name, int(s)) for s in Status] == [
        ("DISCONNECTED", 0),
        ("CONNECTED", 1),
        ("CLOSED", 2),
        ("RECONNECTING", 3),
        ("CONNECTING", 4),
        ("DRAINING_SUBS", 5),
        ("DRAINING_PUBS", 6),
    ]


@pytest.mark.parity("H1", "H2")
async def test_a_connection_tells_its_state_and_server_over_its_life() -> None:
    async with connected() as (nc, peer, server):
        facts = (nc.status, nc.is_connected, nc.is_reconnecting, nc.is_closed, nc.is_draining)
        assert facts == (Status.CONNECTED, True, False, False, False)
        assert (nc.connected_url, nc.connected_server_id) == (server.url, "NSCRIPTED")
        server.refuse()
        peer.reset()
        await eventually(lambda: nc.status is Status.RECONNECTING)
        assert (nc.is_connected, nc.is_reconnecting) == (False, True)
        assert (nc.connected_url, nc.connected_server_id) == (None, None)
        await nc.close()
        assert (nc.status, nc.is_closed, nc.is_reconnecting) == (Status.CLOSED, True, False)


@pytest.mark.parity("H2")
async def test_the_url_connected_to_hides_its_credentials() -> None:
    async with (
        ScriptedServer() as server,
        connect(f"nats://joe:s3cret@127.0.0.1:{server.port}") as nc,
    ):
        assert nc.connected_url == f"nats://***@127.0.0.1:{server.port}"
        assert "s3cret" not in repr(nc)


@pytest.mark.parity("H4", "H5", "H6", "L-events")
async def test_the_life_of_a_connection_is_told_in_order() -> None:
    recorder = Recorder()
    async with connected(**recorder.options) as (nc, peer, server):
        server.handshake = False
        peer.reset()
        (await server.accept()).close()
        server.handshake = True
        await server.accept()
        await eventually(lambda: "on_reconnect" in recorder.names)
        await nc.close()
        await nc.wait_closed()
        assert recorder.names == [
            "on_connect",
            "on_disconnect",
            "on_reconnect_error",
            "on_reconnect",
            "on_disconnect",
            "on_close",
        ]
        loss, farewell = recorder.told("on_disconnect")
        assert isinstance(loss[0], Exception)
        assert farewell == (None,)  # the user's own wish


@pytest.mark.parity("H3")
async def test_the_last_error_is_the_connections_own_and_cleared_when_reconnecting() -> None:
    async with connected() as (nc, peer, server):
        assert nc.last_error is None
        with pytest.raises(ValueError, match="subject"):
            await nc.publish("bad subject")
        assert nc.last_error is None  # a local failure is the caller's
        peer.err('Permissions Violation for Publish to "secret"')
        await peer.synced()
        assert isinstance(nc.last_error, PermissionsError)
        server.refuse()
        peer.reset()
        await eventually(lambda: nc.is_reconnecting)
        assert nc.last_error is None


@pytest.mark.parity("H3", "H6")
async def test_the_cause_is_readable_in_the_closed_callback() -> None:
    seen: list[Exception | None] = []
    async with connected(allow_reconnect=False, on_close=lambda nc: seen.append(nc.last_error)) as (
        nc,
        peer,
        _,
    ):
        peer.err("Maximum Payload Violation")
        peer.close()
        await nc.wait_closed()
        await eventually(lambda: seen)
        assert "Maximum Payload Violation" in str(seen[0])


@pytest.mark.parity("H7")
async def test_errors_nobody_could_raise_come_with_the_subscription_concerned() -> None:
    recorder = Recorder()
    async with connected(**recorder.options) as (nc, peer, _):
        slow = await nc.subscribe("slow", pending_msgs_limit=1)
        denied = await nc.subscribe("denied")

        def broken(msg: object) -> None:
            raise KeyError("mine")

        failing = await nc.subscribe("failing", cb=broken)
        for _ in range(3):
            peer.msg(b"slow", b"%d" % slow.sid)
        peer.err('Permissions Violation for Subscription to "denied"')
        peer.msg(b"failing", b"%d" % failing.sid)
        peer.msg(b"failing", b"%d" % failing.sid, headers=b"NATS/1.0\r\nno colon\r\n\r\n")
        await peer.synced()
        await eventually(lambda: len(recorder.told("on_error")) == 5)
        told = [(sub, type(error)) for sub, error in recorder.told("on_error")]
        assert told == [
            (slow, SlowConsumerError),
            (denied, PermissionsError),
            (failing, KeyError),
            (failing, BadHeaderError),
            (failing, KeyError),
        ]


@pytest.mark.parity("H7")
async def test_errors_without_a_callback_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with connected() as (nc, peer, _):
        sub = await nc.subscribe("here", cb=lambda msg: 1 / 0)
        peer.msg(b"here", b"%d" % sub.sid)
        peer.err('Permissions Violation for Publish to "there"')
        await peer.synced()
    assert "'here'" in caplog.text
    assert "ZeroDivisionError" in caplog.text
    assert "there" in caplog.text


@pytest.mark.parity("H8")
async def test_callbacks_may_be_replaced_and_removed_at_any_time() -> None:
    got: list[str] = []
    async with connected(on_disconnect=lambda nc, error: got.append("first")) as (nc, peer, server):
        nc.set_callback("on_disconnect", lambda nc, error: got.append("second"))
        nc.set_callback("on_reconnect", lambda nc: got.append("back"))
        peer.reset()
        peer = await server.accept()
        await eventually(lambda: got == ["second", "back"])
        nc.set_callback("on_disconnect", None)
        peer.reset()
        await server.accept()
        await eventually(lambda: got == ["second", "back", "back"])
        with pytest.raises(ConfigError, match="on_disconect"):
            nc.set_callback("on_disconect", None)
        with pytest.raises(ConfigError, match=r"no callback \[\]"):
            nc.set_callback([], None)  # type: ignore[arg-type]  # the mistake under test
        with pytest.raises(ConfigTypeError, match="callable"):
            nc.set_callback("on_close", 7)  # type: ignore[arg-type]  # the mistake under test


@pytest.mark.parity("H8")
async def test_an_event_goes_to_the_callback_set_when_it_happened() -> None:
    got: list[str] = []
    callbacks = Callbacks(None, {"on_close": lambda nc: got.append("then")})
    callbacks.tell(Closed(None))
    callbacks.set("on_close", None)
    await callbacks.finish(1)
    assert got == ["then"]


@pytest.mark.parametrize("name", CALLBACKS)
def test_what_cannot_be_called_is_refused_by_name(name: str) -> None:
    with pytest.raises(ConfigTypeError, match=name):
        options: dict[str, Any] = {name: "text"}
        connect("nats://h", **options).__await__().send(None)


# order


@pytest.mark.parity("H9")
async def test_callbacks_run_one_at_a_time_in_order_and_delay_no_message() -> None:
    running, most, order = 0, 0, []
    gate = asyncio.Event()
    got: list[bytes] = []

    async def slowly(name: str) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await gate.wait()
        await asyncio.sleep(0)
        running -= 1
        order.append(name)

    async with connected(
        on_connect=lambda nc: slowly("connect"),
        on_disconnect=lambda nc, error: slowly("disconnect"),
        on_reconnect=lambda nc: slowly("reconnect"),
        on_close=lambda nc: slowly("close"),
    ) as (nc, peer, server):
        await nc.subscribe("a", cb=lambda msg: got.append(msg.data))
        peer.reset()
        peer = await server.accept()
        peer.msg(b"a", await sid_of(peer, b"a"), b"not delayed")
        await peer.synced()
        assert got == [b"not delayed"]
        assert order == []
        gate.set()
        await nc.close()
        assert order == ["connect", "disconnect", "reconnect", "disconnect", "close"]
        assert most == 1


@pytest.mark.parity("H9")
async def test_callbacks_may_use_the_connection_freely() -> None:
    done: list[str] = []

    async def on_connect(nc: Connection) -> None:
        sub = await nc.subscribe("made.in.callback")
        await nc.flush()
        await sub.unsubscribe()
        done.append("connect")

    async def on_disconnect(nc: Connection, error: Exception | None) -> None:
        await nc.publish("lost", b"buffered")
        await nc.flush()  # waits for the next session, which must not wait for us
        done.append("disconnect")

    async def on_reconnect(nc: Connection) -> None:
        nc.set_callback("on_disconnect", None)
        await nc.close()
        done.append("reconnect")

    async with connected(
        on_connect=on_connect, on_disconnect=on_disconnect, on_reconnect=on_reconnect
    ) as (nc, peer, server):
        await eventually(lambda: done == ["connect"])
        peer.reset()
        peer = await server.accept()
        await peer.expect(b"PUB lost")
        await asyncio.wait_for(nc.wait_closed(), 5)
        await eventually(lambda: done == ["connect", "disconnect", "reconnect"])


@pytest.mark.parity("H9")
@pytest.mark.parametrize("end", ["close", "drain"])
async def test_a_callback_may_end_the_connection_without_waiting_for_itself(end: str) -> None:
    done: list[str] = []

    async def on_lame_duck(nc: Connection) -> None:
        await getattr(nc, end)()
        done.append("lame duck")

    async with connected(on_lame_duck=on_lame_duck, on_close=lambda nc: done.append("close")) as (
        nc,
        peer,
        _,
    ):
        peer.info(ldm=True)
        start = nc.link.loop.time()
        await asyncio.wait_for(nc.wait_closed(), 4)
        await eventually(lambda: done == ["lame duck", "close"], 4)
        # at the end a stuck callback would have five seconds
        assert nc.link.loop.time() - start < 4


# callbacks that misbehave


@pytest.mark.parametrize("name", CALLBACKS)
@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])
async def test_no_raising_callback_harms_the_connection(
    name: str, is_async: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("callback at fault")

    async def fail_later(*_: object) -> None:
        await asyncio.sleep(0)
        raise RuntimeError("callback at fault")

    recorder = Recorder()
    options = {**recorder.options, name: fail_later if is_async else fail}
    async with no_leaks(), connected(lame_duck_reconnect=False, **options) as (nc, peer, server):
        got: list[bytes] = []
        await nc.subscribe("a", cb=lambda msg: got.append(msg.data))
        peer.err('Permissions Violation for Publish to "x"')
        peer.info(ldm=True, connect_urls=["127.0.0.1:1", server.address])
        await peer.synced()
        server.handshake = False
        peer.reset()
        (await server.accept()).close()
        server.handshake = True
        await eventually(lambda: nc.stats().reconnects == 1)
        peer = await server.accept()
        peer.msg(b"a", await sid_of(peer, b"a"), b"1")
        await nc.flush()
        assert got == [b"1"]
        await nc.close()
        told = set(recorder.names) | {name}
        assert told == set(CALLBACKS)
    assert "callback at fault" in caplog.text
    assert f"callback {name} raised" in caplog.text


async def test_a_callback_cancelled_from_within_does_not_stop_the_next_ones() -> None:
    done: list[str] = []

    async def on_connect(nc: Connection) -> None:
        waiting = asyncio.ensure_future(asyncio.Event().wait())
        waiting.cancel()
        await waiting

    async with connected(on_connect=on_connect, on_close=lambda nc: done.append("close")) as (
        nc,
        _,
        _,
    ):
        await turns(5)
        await nc.close()
        assert done == ["close"]


@pytest.mark.parity("H6")
@warped
async def test_a_stuck_callback_is_cancelled_at_the_end_and_the_closed_one_still_runs() -> None:
    done: list[str] = []

    async def stuck(nc: Connection) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            done.append("cancelled")

    async with (
        no_leaks(),
        connected(
            on_connect=stuck,
            on_disconnect=lambda nc, error: done.append("disconnect"),
            on_close=lambda nc: done.append("close"),
        ) as (nc, _, _),
    ):
        await turns(5)
        start = nc.link.loop.time()
        await nc.close()
        assert nc.link.loop.time() - start == pytest.approx(5, abs=0.5)
        assert done == ["cancelled", "close"]


@warped
async def test_a_stuck_closed_callback_is_cancelled_too() -> None:
    async def stuck(nc: Connection) -> None:
        await asyncio.Event().wait()

    async with no_leaks(), connected(on_connect=stuck, on_close=stuck) as (nc, _, _):
        await turns(5)
        start = nc.link.loop.time()
        await nc.close()
        assert nc.link.loop.time() - start == pytest.approx(10, abs=0.5)
        assert "natsrpc callbacks" not in {task.get_name() for task in asyncio.all_tasks()}


async def test_cancelling_the_close_ends_its_wait_for_a_slow_callback() -> None:
    gate = asyncio.Event()
    done: list[str] = []

    async def on_close(nc: Connection) -> None:
        await gate.wait()
        done.append("close")

    async with connected(on_close=on_close) as (nc, _, _):
        closing = asyncio.create_task(nc.close())
        await eventually(lambda: nc.is_closed)
        await turns(5)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        gate.set()
        await eventually(lambda: done == ["close"])


async def test_a_flood_of_errors_is_bounded_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    gate = asyncio.Event()
    told: list[Exception] = []

    async def on_error(nc: Connection, sub: object, error: Exception) -> None:
        await gate.wait()
        told.append(error)

    async with connected(on_error=on_error) as (nc, peer, _):
        sub = await nc.subscribe("a", cb=lambda msg: 1 / 0)
        for _ in range(5000):
            peer.msg(b"a", b"%d" % sub.sid)
        await peer.synced()
        gate.set()
        await nc.close()
    assert len(told) in (ERROR_LIMIT, ERROR_LIMIT + 1)
    assert f"{5000 - len(told)} errors came faster" in caplog.text


async def test_slow_consumer_reports_wait_at_most_once_for_each_subscription() -> None:
    gate = asyncio.Event()
    told: list[Any] = []

    async def on_error(nc: Connection, sub: Any, error: Exception) -> None:
        await gate.wait()
        told.append(sub)

    async with connected(on_error=on_error) as (nc, peer, _):
        subs = [await nc.subscribe("a", pending_msgs_limit=1) for _ in range(2)]
        for round_ in range(50):
            for sub in subs:
                for _ in range(3):
                    peer.msg(b"a", b"%d" % sub.sid)
            await peer.synced()
            for sub in subs:  # catch up, so that the next drop begins a new episode
                try:
                    await sub.next_msg()
                except SlowConsumerError:
                    await sub.next_msg()
            if round_ == 25:
                assert len(asyncio.all_tasks()) < 8
        gate.set()
        await eventually(lambda: len(told) >= 3)
        await turns(10)
        assert len(told) <= 4
        assert [sub.dropped for sub in subs] == [100, 100]


# the stream of events


@pytest.mark.parity("L-events")
async def test_the_stream_tells_the_same_events_typed_and_ends_with_closed() -> None:
    async with connected(lame_duck_reconnect=False) as (nc, peer, server):
        events = nc.events()
        peer.err('Permissions Violation for Publish to "x"')
        peer.info(ldm=True, connect_urls=["127.0.0.1:1", server.address])
        await peer.synced()
        server.handshake = False
        peer.reset()
        await eventually(lambda: len(server.peers) == 2)
        server.peers[1].close()
        server.handshake = True
        await eventually(lambda: nc.stats().reconnects == 1)
        await nc.close()
        got = [event async for event in events]
        assert any(isinstance(event, ReconnectFailed) for event in got)
        assert [type(event) for event in got if not isinstance(event, ReconnectFailed)] == [
            AsyncError,
            ServersDiscovered,
            LameDuck,
            Disconnected,
            Reconnected,
            Disconnected,
            Closed,
        ]
        assert got[1] == ServersDiscovered(("nats://127.0.0.1:1",))
        assert got[2] == LameDuck(server.url)
        assert got[-1] == Closed(None)


async def test_a_retried_first_connect_is_told_as_connected() -> None:
    async with ScriptedServer() as server:
        server.refuse()
        nc = await connect(server.url, retry_on_failed_connect=True, **QUICK)
        events = nc.events()
        await server.listen()
        await server.accept()
        await nc.flush()
        await nc.close()
        kinds = {type(event) for event in [event async for event in events]}
        assert kinds >= {Connected, Disconnected, Closed}
        assert Reconnected not in kinds


@pytest.mark.parity("L-events")
async def test_a_reader_that_lags_loses_the_oldest_events_and_blocks_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    callbacks = Callbacks(None, {})
    stream = callbacks.stream()
    with caplog.at_level(logging.CRITICAL, "natsrpc.core"):
        for n in range(STREAM_LIMIT + 10):
            callbacks.tell(AsyncError(ValueError(n)))
    callbacks.tell(Closed(None))
    got = [event async for event in stream]
    assert len(got) == STREAM_LIMIT
    assert got[-1] == Closed(None)
    assert stream.lost == 11


async def test_cancelling_a_wait_for_an_event_loses_none() -> None:
    callbacks = Callbacks(None, {})
    stream = callbacks.stream()
    for n in range(20):
        waiting: asyncio.Task[ConnectionEvent] = asyncio.create_task(stream.__anext__())
        await turns(2)
        if n % 2:
            callbacks.tell(Reconnected())
        waiting.cancel()
        await asyncio.wait({waiting})
        if not waiting.cancelled():
            callbacks.tell(waiting.result())
    callbacks.tell(Closed(None))
    got = [event async for event in stream]
    assert len(got) == 11


async def test_streams_made_after_the_end_are_over_at_once() -> None:
    async with connected(allow_reconnect=False) as (nc, peer, _):
        peer.reset()
        await nc.wait_closed()
        async with asyncio.timeout(1):
            assert [event async for event in nc.events()] == []


async def test_a_stream_nobody_reads_is_forgotten() -> None:
    callbacks = Callbacks(None, {})
    for _ in range(100):
        callbacks.stream()
    gc.collect()
    assert not list(callbacks._streams)  # noqa: SLF001  nothing else shows it


@pytest.mark.parity("H12", "H14")
async def test_the_dispatcher_is_there_only_while_there_is_something_to_tell() -> None:
    async with no_leaks(), connected(on_connect=lambda nc: None) as (nc, _, _):
        await turns(5)
        assert "natsrpc callbacks" not in {task.get_name() for task in asyncio.all_tasks()}
        await nc.close()
        with pytest.raises(ConnectionClosedError):
            await nc.flush()
