"""The end of a connection: in which order, who is woken, and that nothing stays behind."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, TypeAlias

import pytest

from natsrpc.core import Connection, Msg, Status, connect
from natsrpc.errors import (
    ConnectionClosedError,
    ConnectionReconnectingError,
    NatsError,
    NoServersError,
    ReconnectBufferExceededError,
    UnsentMessagesError,
)
from natsrpc.testing import NatsServer
from tests.core.connected import Pair, connected
from tests.core.harness import (
    Proxy,
    ScriptedServer,
    eventually,
    no_leaks,
    open_sockets,
    turns,
    warped,
)
from tests.core.recorder import Recorder

Wait: TypeAlias = "Callable[[Connection], Coroutine[Any, Any, object]]"


@pytest.mark.parity("H10")
async def test_waits_are_released_before_the_callbacks_run_and_output_goes_out() -> None:
    order: list[str] = []

    async def note(name: str, wait: Awaitable[object]) -> None:
        with contextlib.suppress(ConnectionClosedError):
            await wait
        order.append(name)

    async with connected(
        auto_pong=False,
        on_disconnect=lambda nc, error: order.append("disconnected"),
        on_close=lambda nc: order.append("closed"),
    ) as (nc, peer, _):
        sub = await nc.subscribe("a")
        waits = [
            asyncio.create_task(note("flush", nc.flush())),
            asyncio.create_task(note("request", nc.request("b", timeout=None))),
            asyncio.create_task(note("pull", sub.next_msg(None))),
        ]
        await turns(5)
        await nc.publish("last", b"word")
        await nc.close()
        await asyncio.wait(waits)
        assert order == ["flush", "request", "pull", "disconnected", "closed"]
        await asyncio.wait_for(peer.closed.wait(), 5)
        assert peer.frames[-1].payload == b"word"
        assert peer.lost_by is None  # a FIN, not a reset


@pytest.mark.parity("H11")
@warped
async def test_closing_while_reconnecting_tells_closed_only_and_does_not_wait() -> None:
    recorder = Recorder()
    async with no_leaks(), connected(reconnect_wait=3600, **recorder.options) as (nc, peer, server):
        server.refuse()
        peer.reset()
        await eventually(lambda: "on_reconnect_error" in recorder.names, 60)
        start = nc.link.loop.time()
        await nc.close()
        assert nc.link.loop.time() - start < 5
        assert recorder.names[-2:] == ["on_reconnect_error", "on_close"]
        assert recorder.names.count("on_disconnect") == 1


async def test_closing_while_dialing_drops_the_attempt() -> None:
    async with no_leaks(), connected() as (nc, peer, server):
        server.handshake = False
        peer.reset()
        attempt = await server.accept()
        await nc.close()
        await asyncio.wait_for(attempt.closed.wait(), 5)
        assert nc.status is Status.CLOSED


@pytest.mark.parity("H6", "H12")
async def test_closing_again_at_once_and_from_callbacks_is_harmless() -> None:
    recorder = Recorder()
    options = recorder.options
    note = options["on_close"]

    async def on_close(nc: Connection) -> None:
        note(nc)
        await nc.close()

    async with no_leaks(), connected(**{**options, "on_close": on_close}) as (nc, peer, _):

        async def handle(msg: Msg) -> None:
            await nc.close()

        sub = await nc.subscribe("a", cb=handle)
        peer.msg(b"a", b"%d" % sub.sid)
        await asyncio.gather(*(nc.close() for _ in range(5)), nc.wait_closed())
        await nc.close()
        assert recorder.names.count("on_close") == 1


@pytest.mark.parity("H14")
async def test_nothing_is_left_of_a_connection_that_did_everything(
    nats_server: NatsServer,
) -> None:
    async with no_leaks():
        nc = await connect(nats_server.url, on_error=lambda *_: None)
        queue: asyncio.Queue[Msg] = asyncio.Queue()

        async def work(msg: Msg) -> None:
            await msg.respond(b"")

        await nc.subscribe("close.a", cb=work)
        await nc.subscribe("close.b", into=queue)
        sub = await nc.subscribe("close.c")
        reading = asyncio.create_task(sub.next_msg(None))
        await nc.request("close.a")
        await nc.flush()
        await nc.close()
        with pytest.raises(ConnectionClosedError):
            await reading


async def test_a_failed_connect_leaves_nothing(nats_server: NatsServer) -> None:
    async with no_leaks(), ScriptedServer(handshake=False) as silent:
        with pytest.raises(NatsError):
            await connect(silent.url, connect_timeout=0.05)
        connecting = asyncio.ensure_future(connect(silent.url, connect_timeout=60))
        await silent.accept()
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting


async def test_using_a_closed_connection_says_so() -> None:
    async with connected() as (nc, _, _):
        sub = await nc.subscribe("a")
        await nc.close()
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: nc.publish("a"),
            lambda: nc.request("a"),
            lambda: nc.subscribe("a"),
            lambda: nc.flush(),
            lambda: nc.rtt(),
            lambda: nc.drain(),
            lambda: nc.force_reconnect(),
            lambda: sub.next_msg(),
            lambda: sub.drain(),
        ]
        for call in calls:
            with pytest.raises(ConnectionClosedError):
                await call()


async def test_closing_does_not_wait_long_for_a_peer_that_reads_nothing() -> None:
    """What is unsent gets a moment; then the socket is dropped, with all it holds."""
    async with no_leaks(), connected(receive_buffer=4096) as (nc, peer, _):
        peer.stall()
        while not nc.link.congested:
            nc.link.send(b"n", bytes(500_000))
            await turns(2)
        sockets = open_sockets()
        start = nc.link.loop.time()
        await nc.close()
        assert 1.5 < nc.link.loop.time() - start < 8
        assert len(open_sockets()) == len(sockets) - 1


async def test_closing_hands_over_what_a_slow_peer_had_not_taken_yet() -> None:
    async with connected(receive_buffer=4096) as (nc, peer, _):
        peer.stall()
        sent = 0
        while not nc.link.congested:
            nc.link.send(b"n", b"%08d" % sent + bytes(100_000))
            sent += 1
            await turns(2)
        for _ in range(5):
            nc.link.send(b"n", b"%08d" % sent)
            sent += 1
        for _ in range(5):
            nc.link.send(b"n", b"%08d" % sent + bytes(100_000))
            sent += 1
        closing = asyncio.create_task(nc.close())
        await turns(5)
        peer.resume()
        await closing
        await asyncio.wait_for(peer.closed.wait(), 5)
        got = [int(frame.payload[:8]) for frame in peer.frames if frame.op == b"PUB"]
        assert got == list(range(sent))


# who is woken


async def iterate(messages: AsyncIterator[object]) -> None:
    async for _ in messages:
        pass


async def read(nc: Connection) -> None:
    await (await nc.subscribe("read")).next_msg(None)


async def read_all(nc: Connection) -> None:
    await iterate(await nc.subscribe("read.all"))  # type: ignore[arg-type]  # it has __aiter__


async def drain_stuck(nc: Connection) -> None:
    gate = asyncio.Event()

    async def stuck(msg: Msg) -> None:
        await gate.wait()

    sub = await nc.subscribe("stuck", cb=stuck)
    try:
        await sub.drain()
    finally:
        gate.set()


async def publish_until_it_waits(nc: Connection) -> None:
    while True:
        await nc.publish("flood", bytes(100_000))


PARKED: dict[str, Wait] = {
    "request": lambda nc: nc.request("a", timeout=None),
    "request with a timeout": lambda nc: nc.request("a", timeout=3600),
    "request_many": lambda nc: iterate(nc.request_many("a", timeout=3600)),
    "next_msg": read,
    "async for": read_all,
    "flush": lambda nc: nc.flush(None),
    "rtt": lambda nc: nc.rtt(),
    "events": lambda nc: iterate(nc.events()),
    "wait_closed": lambda nc: nc.wait_closed(),
    "drain of a subscription": drain_stuck,
    "checked subscribe": lambda nc: nc.subscribe("checked", check=True),
}


@contextlib.asynccontextmanager
async def parked(**options: Any) -> AsyncIterator[tuple[Pair, dict[str, asyncio.Task[object]]]]:
    """A connection with one task in every kind of wait."""
    async with connected(auto_pong=False, **options) as pair:
        tasks = {name: asyncio.create_task(wait(pair.nc)) for name, wait in PARKED.items()}
        await turns(10)
        assert not [name for name, task in tasks.items() if task.done()]
        yield pair, tasks


async def check_woken(tasks: dict[str, asyncio.Task[object]], timeout: float) -> None:
    await asyncio.wait(tasks.values(), timeout=timeout)
    assert [name for name, task in tasks.items() if not task.done()] == []
    for name, task in tasks.items():
        assert not task.cancelled(), name
        error = task.exception()
        assert error is None or isinstance(error, ConnectionClosedError), name
        if name not in ("events", "wait_closed", "drain of a subscription"):
            assert error is not None, name


async def test_every_wait_is_woken_by_close() -> None:
    async with no_leaks(), parked() as ((nc, _, _), tasks):
        await nc.close()
        await check_woken(tasks, 5)


async def test_every_wait_is_woken_when_the_servers_are_exhausted() -> None:
    async with (
        no_leaks(),
        parked(max_reconnect_attempts=2, ping_interval=0) as ((nc, peer, server), tasks),
    ):
        server.refuse()
        peer.reset()
        await eventually(lambda: nc.is_reconnecting)
        flushing = asyncio.create_task(nc.flush(None))  # for the next session, which never comes
        tasks["flush while reconnecting"] = flushing
        await nc.wait_closed()
        await check_woken(tasks, 5)
        assert isinstance(nc.last_error, NoServersError)
        with pytest.raises(ConnectionClosedError) as caught:
            await nc.request("a")
        assert not caught.value.__cause__ or isinstance(caught.value.__cause__, NoServersError)


async def test_every_wait_is_woken_by_a_loss_that_closes() -> None:
    async with no_leaks(), parked(allow_reconnect=False) as ((_, peer, _), tasks):
        peer.reset()
        await check_woken(tasks, 5)


async def test_producers_waiting_for_room_are_woken_by_close_and_exhaustion() -> None:
    for end in ("close", "loss"):
        async with connected(receive_buffer=4096, max_reconnect_attempts=0) as (nc, peer, _):
            peer.stall()
            producers = [asyncio.create_task(publish_until_it_waits(nc)) for _ in range(3)]
            await eventually(lambda: nc.link.congested)
            asking = asyncio.create_task(nc.request("a", timeout=None))
            await turns(5)
            if end == "close":
                closing = asyncio.create_task(nc.close())
            else:
                peer.reset()
            _, waiting = await asyncio.wait([*producers, asking], timeout=5)
            assert not waiting
            # a producer that goes on without a session may fill the buffer first
            ends = (ConnectionClosedError, ReconnectBufferExceededError)
            assert all(isinstance(t.exception(), ends) for t in producers)
            assert isinstance(asking.exception(), ConnectionClosedError)
            if end == "close":
                peer.resume()
                await closing


async def test_a_drain_is_woken_by_a_loss() -> None:
    async with connected() as (nc, peer, _):
        gate = asyncio.Event()

        async def stuck(msg: Msg) -> None:
            await gate.wait()

        sub = await nc.subscribe("a", cb=stuck)
        peer.msg(b"a", b"%d" % sub.sid)
        await peer.synced()
        draining = asyncio.create_task(nc.drain())
        await eventually(lambda: nc.is_draining)
        peer.reset()
        with pytest.raises(ConnectionClosedError):
            await asyncio.wait_for(draining, 5)
        gate.set()


async def test_closing_over_a_stalled_link_wakes_everybody_at_once(
    nats_server: NatsServer,
) -> None:
    async with Proxy(nats_server.port) as proxy, connect(proxy.url) as nc:
        await nc.flush()
        proxy.stall()
        waits = [asyncio.create_task(nc.request("stalled", timeout=60)) for _ in range(10)]
        waits += [asyncio.create_task(nc.flush(60)) for _ in range(10)]  # type: ignore[arg-type]  # any task will do
        await turns(5)
        start = nc.link.loop.time()
        closing = asyncio.create_task(nc.close())
        await asyncio.wait(waits)
        assert nc.link.loop.time() - start < 2
        assert all(isinstance(t.exception(), ConnectionClosedError) for t in waits)
        proxy.resume()
        await closing


# what was accepted, and cannot be sent any more


def lost(recorder: list[Exception]) -> list[tuple[int, int]]:
    return [(e.msgs, e.size) for e in recorder if isinstance(e, UnsentMessagesError)]


@pytest.mark.parametrize("how", ["leave", "close", "drain", "give up"])
async def test_what_is_still_buffered_at_the_end_is_told(
    how: str,
) -> None:
    told: list[Exception] = []
    closed = asyncio.Event()
    attempts = 2 if how == "give up" else -1
    async with ScriptedServer() as server:
        async with connect(
            server.url,
            reconnect_wait=0.01,
            max_reconnect_attempts=attempts,
            on_error=lambda nc, sub, error: told.append(error),
            on_close=lambda nc: closed.set(),
        ) as nc:
            peer = await server.accept()
            server.refuse()
            peer.reset()
            await eventually(lambda: nc.is_reconnecting)
            await nc.publish("audit", b"important")
            await nc.publish("audit", b"too", headers={"A": "b"})
            await nc.publish("audit", b"with a reply", reply="somewhere")
            request = asyncio.ensure_future(nc.request("ask", b"its caller hears of it"))
            await turns()
            inbox = nc.link.requests.subject[:-1] + "12345678"
            size = nc.buffered - len(f"PUB ask {inbox} 22\r\nits caller hears of it\r\n")
            if how == "close":
                await nc.close()
            elif how == "drain":
                with pytest.raises(ConnectionReconnectingError):
                    await nc.drain()
            elif how == "give up":
                await asyncio.wait_for(closed.wait(), 10)
        with pytest.raises(ConnectionClosedError):
            await request
    assert lost(told) == [(3, size)]
    assert "3 messages" in str(told[-1])


async def test_what_is_lost_is_logged_where_nobody_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with connected() as (nc, peer, server):
        server.refuse()
        peer.reset()
        await eventually(lambda: nc.is_reconnecting)
        await nc.publish("audit", b"important")
    assert "1 messages (24 bytes) that were published are lost" in caplog.text


async def test_nothing_is_told_where_nothing_is_lost() -> None:
    told: list[Exception] = []
    async with connected(on_error=lambda nc, sub, error: told.append(error)) as (nc, peer, server):
        server.refuse()
        peer.reset()
        await eventually(lambda: nc.is_reconnecting)
        await nc.publish("audit", b"important")
        await server.listen()
        again = await server.accept()
        await again.expect(b"PUB audit")
        server.refuse()
        again.reset()
        await eventually(lambda: nc.is_reconnecting)
        request = asyncio.ensure_future(nc.request("ask"))
        await turns()
    with pytest.raises(ConnectionClosedError):
        await request
    assert lost(told) == []


async def test_a_loss_that_closes_tells_what_it_lost() -> None:
    told: list[Exception] = []
    closed = asyncio.Event()
    async with connected(
        allow_reconnect=False,
        on_error=lambda nc, sub, error: told.append(error),
        on_close=lambda nc: closed.set(),
    ) as (nc, peer, _):
        nc.link.session.transport.hold()  # type: ignore[union-attr]
        await nc.publish("audit", b"important")
        peer.reset()
        await asyncio.wait_for(closed.wait(), 5)
    assert lost(told) == [(1, 24)]


@pytest.mark.parametrize("how", ["timeout", "reset", "lost"])
async def test_what_a_stalled_peer_had_not_taken_at_the_end_is_told(how: str) -> None:
    told: list[Exception] = []
    closed = asyncio.Event()
    options: dict[str, Any] = {"allow_reconnect": False, "write_timeout": 0.05}
    async with connected(
        receive_buffer=4096,
        on_error=lambda nc, sub, error: told.append(error),
        on_close=lambda nc: closed.set(),
        **(options if how == "lost" else {}),
    ) as (nc, peer, _):
        peer.stall()
        while not nc.link.congested:
            nc.link.send(b"audit", bytes(500_000))
            await turns(2)
        left = nc.buffered
        if how == "lost":
            await asyncio.wait_for(closed.wait(), 5)
        closing = asyncio.ensure_future(nc.close())
        await turns()
        if how == "reset":
            peer.reset()
        await closing
    ((msgs, size),) = lost(told)
    assert msgs == 0
    assert 0 < size <= left
