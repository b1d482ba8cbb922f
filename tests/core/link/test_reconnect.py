"""Losing a session and getting another: when, where, how often, and what is carried over."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from natsrpc.core import Connection, Msg, Status, connect
from natsrpc.errors import (
    BadSubjectError,
    ConnectError,
    ConnectionClosedError,
    FlushInterruptedError,
    HeadersNotSupportedError,
    MaxPayloadError,
    NatsTimeoutError,
    NoServersError,
    ReconnectBufferExceededError,
    ServerError,
    StaleConnectionError,
)
from natsrpc.testing import NatsServer
from tests.core.connected import connected, sid_of
from tests.core.harness import Peer, Proxy, ScriptedServer, eventually, no_leaks, turns, warped
from tests.core.recorder import Recorder

QUICK: dict[str, Any] = {"reconnect_wait": 0.01, "reconnect_jitter": 0.0}


# when a session counts as lost


def garbage(peer: Peer) -> None:
    peer.send(b"HELO\r\n")


def garbage_without_end(peer: Peer) -> None:
    peer.send(b"HTTP/1.1 502")


@pytest.mark.parity("B2")
@pytest.mark.parametrize(
    "breaking", [Peer.close, Peer.reset, Peer.half_close, garbage, garbage_without_end]
)
async def test_eof_reset_and_garbage_lead_to_a_new_session(
    breaking: Callable[[Peer], None],
) -> None:
    recorder = Recorder()
    async with connected(**recorder.options) as (nc, peer, server):
        breaking(peer)
        await server.accept()
        await eventually(lambda: nc.status is Status.CONNECTED)
        await eventually(lambda: "on_reconnect" in recorder.names)
        ((error,),) = recorder.told("on_disconnect")
        assert isinstance(error, Exception)  # None is for what was done on purpose


@pytest.mark.parity("B2")
@pytest.mark.parametrize(
    "text",
    [
        "Stale Connection",
        "Maximum Payload Violation",
        "User Authentication Expired",
        "Unknown Protocol Operation",
        "Something nobody knows",
    ],
)
async def test_an_error_that_closes_leads_to_a_new_session_and_is_the_reason(text: str) -> None:
    recorder = Recorder()
    async with connected(**recorder.options) as (nc, peer, server):
        peer.err(text)
        peer.close()
        await server.accept()
        await eventually(lambda: nc.status is Status.CONNECTED)
        await eventually(lambda: "on_reconnect" in recorder.names)
        ((error,),) = recorder.told("on_disconnect")
        if text == "Stale Connection":
            assert isinstance(error, StaleConnectionError)
        else:
            assert text in str(error)


async def test_an_unexpected_failure_while_reading_counts_as_a_loss(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with connected() as (nc, peer, server):

        def fail(*_: object) -> None:
            raise RuntimeError("a fault of ours")

        monkeypatch.setattr(nc.link, "session_info", fail)
        peer.info()
        await server.accept()
        await eventually(lambda: nc.status is Status.CONNECTED)
    assert "a fault of ours" in caplog.text


async def test_a_session_lost_in_the_turn_of_its_pong_is_not_taken_for_a_live_one() -> None:
    async def dial(
        factory: Callable[[], asyncio.Protocol], host: str, port: int
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_connection(factory, host, port)
        if len(server.peers) <= 1:
            receive = protocol.data_received

            def receive_and_lose(data: bytes) -> None:
                receive(data)
                if b"PONG" in data:
                    protocol.connection_lost(ConnectionResetError())

            protocol.data_received = receive_and_lose  # type: ignore[method-assign]  # see above
        return transport, protocol

    async with (
        ScriptedServer() as server,
        connect(server.url, **QUICK, dialer=dial, retry_on_failed_connect=True) as nc,
    ):
        await asyncio.wait_for(nc.flush(), 5)
        assert len(server.peers) == 2


async def test_a_dead_peer_that_owes_us_reads_is_dropped_at_once() -> None:
    """Closed politely, its socket would wait for the unsent bytes for as long as TCP allows."""
    async with (
        no_leaks(),
        connected(receive_buffer=4096, ping_interval=0.05, auto_pong=False) as (nc, peer, server),
    ):
        peer.stall()
        sent = 0
        while not nc.link.congested:
            nc.link.send(b"n", bytes(100_000))
            sent += 100_000
            await turns(2)
        server.auto_pong = True
        await server.accept(2.0)
        await asyncio.wait_for(nc.flush(), 5)
        peer.resume()
        await asyncio.wait_for(peer.closed.wait(), 5)
        assert len(peer.received) < sent


async def test_nothing_is_dispatched_once_a_session_is_given_up() -> None:
    """The rest of a chunk would come once more, or out of turn, beside the next session's."""
    got: list[bytes] = []
    async with connected() as (nc, peer, server):

        def give_up(msg: Msg) -> None:
            got.append(msg.data)
            with contextlib.suppress(StopIteration):
                nc.force_reconnect().send(None)  # at once, in the middle of a chunk

        sub = await nc.subscribe("a", cb=give_up)
        await nc.flush()
        message = b"MSG a %b 1\r\n%b\r\n"
        peer.send(b"".join(message % (b"%d" % sub.sid, data) for data in (b"1", b"2", b"3")))
        await server.accept()
        await nc.flush()
        assert got == [b"1"]


@pytest.mark.parity("B16")
async def test_pings_are_answered_however_busy_handlers_and_callbacks_are() -> None:
    gate = asyncio.Event()

    async def busy(*_: object) -> None:
        await gate.wait()

    async with connected(on_error=busy) as (nc, peer, _):
        sub = await nc.subscribe("a", cb=busy)
        peer.msg(b"a", b"%d" % sub.sid)
        peer.err('Permissions Violation for Publish to "x"')
        for _ in range(3):
            await asyncio.wait_for(peer.synced(), 5)
        gate.set()


@pytest.mark.parity("B14", "B15")
@warped
async def test_a_stale_connection_is_closed_for_that_reason_where_reconnecting_is_off() -> None:
    recorder = Recorder()
    async with connected(
        auto_pong=False, ping_interval=10, allow_reconnect=False, **recorder.options
    ) as (nc, _, _):
        start = nc.link.loop.time()
        await nc.wait_closed()
        assert nc.link.loop.time() - start == pytest.approx(30, abs=0.5)  # the third tick
        assert isinstance(nc.last_error, StaleConnectionError)


# with reconnecting off


@pytest.mark.parity("B1", "H13")
async def test_with_reconnecting_off_the_first_loss_closes_and_the_cause_stays_readable() -> None:
    recorder = Recorder()
    async with connected(allow_reconnect=False, **recorder.options) as (nc, peer, server):
        peer.err("Maximum Payload Violation")
        peer.close()
        await asyncio.wait_for(nc.wait_closed(), 5)
        await eventually(lambda: "on_close" in recorder.names)
        assert recorder.names == ["on_connect", "on_error", "on_disconnect", "on_close"]
        assert isinstance(nc.last_error, ServerError)
        assert len(server.peers) == 1
        with pytest.raises(ConnectionClosedError):
            await nc.publish("a")


async def test_with_reconnecting_off_the_first_connect_is_one_try() -> None:
    async with ScriptedServer() as server:
        server.refuse()
        with pytest.raises(NoServersError) as caught:
            await connect(server.url, allow_reconnect=False)
        assert len(caught.value.attempts) == 1


# how often and when


async def lost_for_good(attempts: int) -> tuple[Connection, Recorder, float]:
    """Lose the only server for good; the recorder, and when that was."""
    recorder = Recorder()
    async with connected(
        max_reconnect_attempts=attempts,
        reconnect_wait=3.0,
        reconnect_jitter=0.0,
        **recorder.options,
    ) as (nc, peer, server):
        server.refuse()
        lost = nc.link.loop.time()
        peer.reset()
        await nc.wait_closed()
        await eventually(lambda: "on_close" in recorder.names)
        return nc, recorder, lost


@pytest.mark.parity("B3")
@pytest.mark.parametrize(("attempts", "tries"), [(0, []), (1, [0]), (3, [0, 3, 6])])
def test_the_only_server_is_tried_so_many_times_a_wait_apart(
    attempts: int, tries: list[float]
) -> None:
    @warped
    async def check() -> None:
        nc, recorder, lost = await lost_for_good(attempts)
        assert [t - lost for t in recorder.times("on_reconnect_error")] == pytest.approx(
            tries, abs=0.2
        )
        assert isinstance(nc.last_error, NoServersError)
        assert not isinstance(nc.last_error, TimeoutError)
        told = recorder.told("on_reconnect_error")
        assert [(error,) for _, error in nc.last_error.attempts] == told[-1:]
        assert recorder.names[-1] == "on_close"

    check()


async def test_a_reconnect_whose_attempts_all_time_out_ends_with_a_timeout() -> None:
    options: dict[str, Any] = {"connect_timeout": 0.05, "max_reconnect_attempts": 2}
    async with connected(**options) as (nc, peer, server):
        server.handshake = False  # it listens, and says nothing
        peer.reset()
        await asyncio.wait_for(nc.wait_closed(), 5)
        assert isinstance(nc.last_error, NoServersError)
        assert isinstance(nc.last_error, TimeoutError)
        assert [address for address, _ in nc.last_error.attempts] == [server.url]


@pytest.mark.parity("B3")
@warped
async def test_a_negative_number_of_attempts_is_without_end() -> None:
    recorder = Recorder()
    async with connected(max_reconnect_attempts=-1, reconnect_wait=2.0, **recorder.options) as (
        nc,
        peer,
        server,
    ):
        server.refuse()
        peer.reset()
        await eventually(lambda: len(recorder.told("on_reconnect_error")) > 40, 1000)
        assert nc.status is Status.RECONNECTING
        await server.listen()
        await eventually(lambda: nc.status is Status.CONNECTED, 10)


@pytest.mark.parity("B3")
@warped
async def test_a_success_gives_a_server_all_its_attempts_back() -> None:
    recorder = Recorder()
    async with connected(max_reconnect_attempts=3, reconnect_wait=1.0, **recorder.options) as (
        nc,
        peer,
        server,
    ):
        for round_ in range(1, 4):
            server.refuse()
            peer.reset()
            await eventually(
                lambda: len(recorder.told("on_reconnect_error")) == 2 * round_,  # noqa: B023  at once
                60,
            )
            await server.listen()
            peer = await server.accept(60)
            await eventually(lambda: nc.status is Status.CONNECTED)


@pytest.mark.parity("B3", "B5")
@warped
async def test_a_dead_pool_lasts_as_long_as_one_dead_server() -> None:
    recorder = Recorder()
    async with contextlib.AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(ScriptedServer()) for _ in range(4)]
        nc = await connect(
            [s.url for s in servers],
            max_reconnect_attempts=3,
            reconnect_wait=5.0,
            reconnect_jitter=0.0,
            **recorder.options,
        )
        for server in servers:
            server.refuse()
        lost = nc.link.loop.time()
        next(peer for server in servers for peer in server.peers).reset()
        await nc.wait_closed()
        assert nc.link.loop.time() - lost == pytest.approx(10, abs=0.5)
        assert len(recorder.told("on_reconnect_error")) == 12


@pytest.mark.parity("B4", "B5")
async def test_the_next_server_is_tried_at_once_and_the_lost_one_last() -> None:
    recorder = Recorder()
    async with contextlib.AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(ScriptedServer()) for _ in range(3)]
        first, second, third = servers
        async with connect(
            [s.url for s in servers], randomize_servers=False, reconnect_wait=60, **recorder.options
        ) as nc:
            peer = await first.accept()
            second.refuse()
            start = nc.link.loop.time()
            peer.reset()
            peer = await third.accept()
            await eventually(lambda: nc.status is Status.CONNECTED)
            assert nc.link.loop.time() - start < 5
            assert nc.servers == [third.url, first.url, second.url]
            peer.reset()
            await first.accept()


@pytest.mark.parity("B5", "B6", "L-jitter")
@warped
async def test_clients_of_one_server_do_not_all_come_back_at_once() -> None:
    waits = []
    async with connected(reconnect_wait=0, reconnect_jitter=5) as (nc, peer, server):
        for _ in range(8):
            lost = nc.link.loop.time()
            peer.reset()
            peer = await server.accept(10)
            waits.append(nc.link.loop.time() - lost)
            await eventually(lambda: nc.status is Status.CONNECTED)
    assert max(waits) < 5.5
    assert max(waits) - min(waits) > 0.5


@pytest.mark.parity("B5", "B6", "L-jitter")
@warped
async def test_the_wait_between_passes_is_jittered() -> None:
    recorder = Recorder()
    async with connected(
        max_reconnect_attempts=40, reconnect_wait=2.0, reconnect_jitter=1.0, **recorder.options
    ) as (nc, peer, server):
        server.refuse()
        peer.reset()
        await nc.wait_closed()
        times = recorder.times("on_reconnect_error")
        waits = [b - a for a, b in itertools.pairwise(times)]
        assert len(waits) == 39
        assert all(1.99 < wait < 3.2 for wait in waits)
        assert max(waits) - min(waits) > 0.3


@warped
async def test_time_spent_on_a_pass_counts_as_waited() -> None:
    """Three servers that take two seconds each to say nothing: no further wait of five is due."""
    recorder = Recorder()
    async with contextlib.AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(ScriptedServer()) for _ in range(3)]
        async with connect(
            [s.url for s in servers],
            connect_timeout=2.0,
            reconnect_wait=5.0,
            reconnect_jitter=0.0,
            **recorder.options,
        ) as nc:
            for server in servers:
                server.handshake = False
            next(peer for server in servers for peer in server.peers).reset()
            await eventually(lambda: len(recorder.told("on_reconnect_error")) == 6, 60)
            times = recorder.times("on_reconnect_error")
            assert times[3] - times[2] == pytest.approx(2, abs=0.3)
            await nc.close()


@warped
async def test_a_server_that_drops_us_again_and_again_is_not_hammered() -> None:
    async with connected(reconnect_wait=2.0, reconnect_jitter=0.1) as (nc, peer, server):
        start = nc.link.loop.time()
        for _ in range(6):
            peer.reset()
            peer = await server.accept(30)
            await eventually(lambda: nc.status is Status.CONNECTED)
        assert nc.link.loop.time() - start >= 10.0  # the first at once, then one a wait


@pytest.mark.parity("B6", "L-jitter")
@warped
async def test_a_function_may_decide_on_the_wait_after_each_pass() -> None:
    recorder = Recorder()
    asked: list[int] = []

    def delay(passes: int) -> float:
        asked.append(passes)
        return passes * 10.0

    async with connected(
        max_reconnect_attempts=4, reconnect_delay_cb=delay, **recorder.options
    ) as (nc, peer, server):
        server.refuse()
        peer.reset()
        await nc.wait_closed()
        times = recorder.times("on_reconnect_error")
        assert asked == [1, 2, 3]
        waits = [b - a for a, b in itertools.pairwise(times)]
        assert waits == pytest.approx([10, 20, 30], abs=0.5)


@pytest.mark.parity("B6")
@warped
async def test_a_raising_delay_function_falls_back_to_the_usual_wait(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def delay(passes: int) -> float:
        raise ValueError(f"no idea after {passes}")

    async with connected(reconnect_delay_cb=delay) as (nc, peer, server):
        server.refuse()
        peer.reset()
        await eventually(lambda: "no idea after 2" in caplog.text, 30)
        await server.listen()
        await eventually(lambda: nc.status is Status.CONNECTED, 30)


@pytest.mark.parity("B11")
async def test_a_failed_handshake_uses_up_one_attempt_and_is_told() -> None:
    recorder = Recorder()
    async with connected(max_reconnect_attempts=3, **recorder.options) as (nc, peer, server):
        server.handshake = False
        peer.reset()
        for _ in range(2):
            failing = await server.accept()
            failing.close()
        server.handshake = True
        await server.accept()
        await eventually(lambda: nc.status is Status.CONNECTED)
        await eventually(lambda: "on_reconnect" in recorder.names)
        assert recorder.names == [
            "on_connect",
            "on_disconnect",
            "on_reconnect_error",
            "on_reconnect_error",
            "on_reconnect",
        ]
        for (error,) in recorder.told("on_reconnect_error"):
            assert isinstance(error, ConnectError)
            assert error.server == server.url


async def test_a_credentials_function_that_raises_is_a_failed_attempt() -> None:
    calls = 0

    def token() -> str:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise OSError("vault away")
        return "t"

    recorder = Recorder()
    async with connected(token=token, **recorder.options) as (nc, peer, server):
        peer.reset()
        await eventually(lambda: "on_reconnect" in recorder.names)
        assert nc.status is Status.CONNECTED
        assert len(recorder.told("on_reconnect_error")) == 1
        assert len(server.peers) == 3


async def test_a_fault_in_the_loop_itself_closes_instead_of_hanging(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = Recorder()
    async with connected(**recorder.options) as (nc, peer, _):

        def fail(*_: object) -> None:
            raise RuntimeError("a fault of ours")

        monkeypatch.setattr(nc.link, "adopt", fail)
        peer.reset()
        await asyncio.wait_for(nc.wait_closed(), 5)
        await eventually(lambda: "on_close" in recorder.names)
        assert isinstance(nc.last_error, RuntimeError)
    assert "a fault of ours" in caplog.text


# while there is no session


@pytest.mark.parity("B7")
async def test_a_loss_fails_flushes_keeps_requests_and_is_told_once() -> None:
    recorder = Recorder()
    async with connected(auto_pong=False, **recorder.options) as (nc, peer, server):
        flush = asyncio.create_task(nc.flush())
        request = asyncio.create_task(nc.request("a", b"1", timeout=5))
        await peer.expect(b"PUB a")
        server.refuse()
        peer.reset()
        with pytest.raises(FlushInterruptedError):
            await flush
        await eventually(lambda: nc.status is Status.RECONNECTING)
        assert nc.is_reconnecting
        assert not nc.is_connected
        await turns(10)
        assert not request.done()
        assert len(recorder.told("on_disconnect")) == 1
        server.auto_pong = True
        await server.listen()
        await eventually(lambda: nc.status is Status.CONNECTED)
        request.cancel()


async def test_a_request_in_flight_is_answered_by_way_of_the_next_session() -> None:
    async with connected() as (nc, peer, server):
        request = asyncio.create_task(nc.request("a", b"1", timeout=5))
        reply = (await peer.expect(b"PUB a")).reply
        peer.reset()
        peer = await server.accept()
        sub = await peer.expect(b"SUB _INBOX.")
        peer.msg(reply, sub.sid, b"late but here")
        assert (await request).data == b"late but here"


@pytest.mark.parity("B8")
@pytest.mark.parametrize(("limit", "taken"), [(32, 2), (34, 2), (35, 3), (1, 1), (-1, 0)])
async def test_the_buffer_refuses_once_it_is_at_its_limit(limit: int, taken: int) -> None:
    async with connected(reconnect_buffer_size=limit) as (nc, peer, server):
        server.refuse()
        peer.reset()
        await eventually(lambda: nc.is_reconnecting)
        for n in range(taken):
            await nc.publish("foo", b"%04d" % n)  # 17 bytes of protocol
        with pytest.raises(ReconnectBufferExceededError):
            await nc.publish("foo", b"over")
        assert nc.is_reconnecting
        assert nc.stats().out_msgs == taken
        await server.listen()
        peer = await server.accept()
        await nc.flush()
        got = [frame.payload for frame in peer.frames if frame.op == b"PUB"]
        assert got == [b"%04d" % n for n in range(taken)]


@pytest.mark.parity("B8")
async def test_the_buffer_takes_eight_mebibytes_unless_told_otherwise() -> None:
    async with connected(reconnect_buffer_size=0) as (nc, peer, server):
        server.refuse()
        peer.reset()
        await eventually(lambda: nc.is_reconnecting)
        for _ in range(9):
            nc.link.send(b"a", bytes(1024 * 1024 - 1024))
        assert nc.buffered > 8 * 1024 * 1024
        with pytest.raises(ReconnectBufferExceededError):
            nc.link.send(b"a", b"")


@pytest.mark.parity("B9", "B10", "H5")
async def test_a_session_is_restored_in_order() -> None:
    async with connected() as (nc, peer, server):
        plain = await nc.subscribe("plain")
        await nc.subscribe("group", queue_group="q")
        limited = await nc.subscribe("limited", max_msgs=5)
        gone = await nc.subscribe("gone")
        for _ in range(2):
            peer.msg(b"limited", b"%d" % limited.sid)
        await peer.synced()
        server.refuse()
        peer.reset()
        await eventually(lambda: nc.is_reconnecting)
        await nc.publish("a", b"1")
        await gone.unsubscribe()
        request = asyncio.create_task(nc.request("b", timeout=5))
        await turns()
        late = await nc.subscribe("late")
        await nc.publish("c", b"2", headers={"k": "v"})
        flush = asyncio.create_task(nc.flush())
        await turns()
        await server.listen()
        peer = await server.accept()
        await flush
        inbox = nc.link.requests.subject.encode()
        heads = [frame.raw.split(b"\r\n")[0].rsplit(b" ", 1)[0] for frame in peer.frames[2:-1]]
        assert peer.ops()[:2] == [b"CONNECT", b"PING"]
        assert heads[:5] == [
            b"SUB plain",
            b"SUB group q",
            b"SUB limited",
            b"UNSUB " + b"%d" % limited.sid,
            b"SUB late",
        ]
        assert heads[5] == b"SUB " + inbox
        assert [frame.op for frame in peer.frames[8:]] == [b"PUB", b"PUB", b"HPUB", b"PING"]
        assert peer.frames[5].args[-1] == b"3"  # of five, two had come
        assert [frame.subject for frame in peer.frames[8:11]] == [b"a", b"b", b"c"]
        assert (plain.is_valid, late.is_valid) == (True, True)
        request.cancel()


async def test_a_subscribe_that_is_refused_while_reconnecting_is_not_made_up_for_later() -> None:
    async with connected() as (nc, peer, server):
        server.refuse()
        peer.reset()
        await eventually(lambda: nc.is_reconnecting)
        with pytest.raises(BadSubjectError):
            await nc.subscribe("not good")
        taken = await nc.subscribe("good")
        await server.listen()
        peer = await server.accept()
        await nc.flush()
        assert [frame.args for frame in peer.frames if frame.op == b"SUB"] == [
            (b"good", b"%d" % taken.sid)
        ]
        assert nc.subscriptions == [taken]


@pytest.mark.parity("B10")
async def test_what_was_buffered_survives_a_failed_handshake() -> None:
    async with connected() as (nc, peer, server):
        server.handshake = False
        peer.reset()
        await eventually(lambda: nc.is_reconnecting)
        await nc.publish("a", b"kept")
        failing = await server.accept()
        failing.auto_pong = False
        failing.info()
        await failing.expect(b"PING")
        server.handshake = True
        failing.close()
        peer = await server.accept()
        assert (await peer.expect(b"PUB a")).payload == b"kept"


@pytest.mark.parity("B12")
async def test_half_a_message_dies_with_its_socket() -> None:
    got: list[bytes] = []
    async with connected() as (nc, peer, server):
        await nc.subscribe("a", cb=lambda msg: got.append(msg.data))
        sid = await sid_of(peer, b"a")
        await peer.send_split(b"MSG a " + sid + b" 10\r\nhalf", [5, 12])
        peer.close()
        peer = await server.accept()
        peer.msg(b"a", sid, b"whole")
        await peer.synced()
        assert got == [b"whole"]


@pytest.mark.parity("B13")
async def test_nothing_newer_overtakes_what_was_buffered() -> None:
    rng = random.Random(7)
    async with connected() as (nc, peer, server):
        written = 0

        async def publish_on() -> None:
            nonlocal written
            while True:
                await nc.publish("n", b"%d" % written)
                written += 1
                for _ in range(rng.randrange(3)):
                    await asyncio.sleep(0)

        publishing = asyncio.create_task(publish_on())
        for _ in range(20):
            await turns(rng.randrange(1, 30))
            peer.reset()
            peer = await server.accept()
        await turns(20)
        publishing.cancel()
        await nc.flush()
        got = [int(f.payload) for p in server.peers for f in p.frames if f.op == b"PUB"]
        assert got == sorted(set(got))  # in order, none twice
        assert written - len(got) < written // 4  # lost only what was on its way


async def test_frames_not_yet_handed_over_move_to_the_next_session_in_order() -> None:
    """A peer stops reading and dies: what never left this process is sent again, once."""
    async with connected(receive_buffer=4096) as (nc, peer, server):
        peer.stall()
        block, sent = bytes(60_000), 0
        while not nc.link.congested:
            nc.link.send(b"n", b"%08d" % sent + block)
            sent += 1
            await turns(2)
        queued = []
        for _ in range(20):  # these stay in our own list
            nc.link.send(b"n", b"%08d" % sent)
            queued.append(sent)
            sent += 1
        await turns(3)
        peer.reset()
        peer = await server.accept()
        await nc.flush()
        got = [int(frame.payload[:8]) for frame in peer.frames if frame.op == b"PUB"]
        assert got[-20:] == queued
        assert got == sorted(set(got))
        first = [int(frame.payload[:8]) for frame in server.peers[0].frames if frame.op == b"PUB"]
        assert not set(first) & set(got)  # none twice
        assert all(f.op != b"PING" or f is not peer.frames[2] for f in peer.frames)


@pytest.mark.parity("B13")
async def test_cut_links_neither_double_nor_reorder_what_a_real_server_relays(
    nats_server: NatsServer,
) -> None:
    """At most once and in order, however often the link breaks in the middle of traffic."""
    got: list[int] = []
    async with (
        Proxy(nats_server.port) as proxy,
        connect(nats_server.url) as reader,
        connect(proxy.url, **QUICK) as nc,
    ):
        await reader.subscribe("cut.links", cb=lambda msg: got.append(int(msg.data)))
        await reader.flush()
        for n in range(3000):
            await nc.publish("cut.links", b"%d" % n)
            if n % 100 == 50:
                await eventually(lambda: nc.is_connected)
                proxy.cut(reset=n % 200 == 50)
            if n % 7 == 0:
                await asyncio.sleep(0.0005)  # why: the link is back before it is cut again
        await nc.flush()
        await reader.flush()
        assert nc.stats().reconnects >= 10
    assert got == sorted(set(got))
    assert got[-1] == 2999
    assert len(got) > 1500


async def test_a_buffered_message_the_next_server_would_refuse_is_dropped_and_told() -> None:
    """Sent, it would end each session that follows."""
    recorder = Recorder()
    async with connected(**recorder.options) as (nc, peer, server):
        server.refuse()
        peer.reset()
        await eventually(lambda: nc.is_reconnecting)
        await nc.publish("a", bytes(2000))
        await nc.publish("b", b"", headers={"k": "v"})
        await nc.publish("c", b"fits")
        server.info.update(max_payload=1000, headers=False)
        await server.listen()
        peer = await server.accept()
        await nc.flush()
        assert [f.subject for f in peer.frames if f.op in (b"PUB", b"HPUB")] == [b"c"]
        kinds = [type(error) for _, error in recorder.told("on_error")]
        assert kinds == [MaxPayloadError, HeadersNotSupportedError]
        assert len(server.peers) == 2


@pytest.mark.parametrize("old_style", [False, True])
async def test_a_buffered_request_the_next_server_would_refuse_fails_at_once(
    old_style: bool,
) -> None:
    recorder = Recorder()
    async with connected(old_style_requests=old_style, **recorder.options) as (nc, peer, server):
        server.refuse()
        peer.reset()
        await eventually(lambda: nc.is_reconnecting)
        asked: list[asyncio.Future[object]] = [
            asyncio.ensure_future(nc.request("a", bytes(2000), timeout=60)),
            asyncio.ensure_future(anext(aiter(nc.request_many("a", bytes(2000), timeout=60)))),
        ]
        await turns()
        server.info.update(max_payload=1000)
        await server.listen()
        for each in asked:
            with pytest.raises(MaxPayloadError):
                await asyncio.wait_for(each, 5)
        assert not recorder.told("on_error")


async def test_a_limit_set_after_a_reconnect_counts_what_came_before_it() -> None:
    async with connected() as (nc, peer, server):
        sub = await nc.subscribe("a")
        for _ in range(3):
            peer.msg(b"a", b"%d" % sub.sid)
        await peer.synced()
        peer.reset()
        peer = await server.accept()
        await nc.flush()
        await sub.unsubscribe(max_msgs=5)
        assert (await peer.expect(b"UNSUB")).args == (b"%d" % sub.sid, b"2")


# reconnecting on demand, and from the start


@pytest.mark.parity("L-force")
@warped
async def test_force_reconnect_drops_the_session_and_does_not_wait() -> None:
    recorder = Recorder()
    async with connected(reconnect_wait=60, reconnect_jitter=5, **recorder.options) as (
        nc,
        _,
        server,
    ):
        request = asyncio.create_task(nc.request("a", timeout=30))
        flush = asyncio.create_task(nc.flush())
        await turns(3)
        start = nc.link.loop.time()
        for _ in range(3):  # calls in a row are one
            await nc.force_reconnect()
        with pytest.raises(ConnectionClosedError):
            await request
        with contextlib.suppress(ConnectionClosedError):
            await flush
        await server.accept()
        await eventually(lambda: nc.status is Status.CONNECTED)
        assert nc.link.loop.time() - start < 1
        assert len(server.peers) == 2
        await eventually(lambda: "on_reconnect" in recorder.names)
        assert recorder.told("on_disconnect") == [(None,)]


@pytest.mark.parity("L-force")
@warped
async def test_force_reconnect_wakes_a_waiting_loop() -> None:
    recorder = Recorder()
    async with connected(reconnect_wait=1000, **recorder.options) as (nc, peer, server):
        server.refuse()
        peer.reset()
        await eventually(lambda: "on_reconnect_error" in recorder.names, 30)
        await server.listen()
        start = nc.link.loop.time()
        await nc.force_reconnect()
        await eventually(lambda: nc.status is Status.CONNECTED, 30)
        assert nc.link.loop.time() - start < 5


@pytest.mark.parity("L-force")
async def test_force_reconnect_works_where_losses_close() -> None:
    async with connected(allow_reconnect=False) as (nc, _, server):
        await nc.force_reconnect()
        await eventually(lambda: nc.status is Status.CONNECTED)
        assert len(server.peers) == 2
        server.peers[1].reset()
        await nc.wait_closed()
        with pytest.raises(ConnectionClosedError):
            await nc.force_reconnect()


@pytest.mark.parity("L-retry")
async def test_a_failed_first_connect_can_go_on_in_the_background() -> None:
    recorder = Recorder()
    async with ScriptedServer() as server:
        server.refuse()
        nc = await connect(server.url, retry_on_failed_connect=True, **QUICK, **recorder.options)
        assert nc.status is Status.RECONNECTING
        await nc.publish("a", b"early")
        sub = await nc.subscribe("b")
        request = asyncio.create_task(nc.request("c", timeout=5))
        await eventually(lambda: "on_reconnect_error" in recorder.names)
        await server.listen()
        peer = await server.accept()
        await nc.flush()
        assert peer.ops()[2:] == [b"SUB", b"SUB", b"PUB", b"PUB", b"PING"]
        assert (sub.is_valid, "on_connect" in recorder.names) == (True, True)
        assert "on_reconnect" not in recorder.names
        assert nc.stats().reconnects == 0
        request.cancel()
        await nc.close()


@pytest.mark.parity("L-retry")
@warped
async def test_retrying_a_first_connect_ends_when_the_attempts_are_spent() -> None:
    recorder = Recorder()
    async with no_leaks(), ScriptedServer() as server:
        server.refuse()
        nc = await connect(
            server.url,
            retry_on_failed_connect=True,
            max_reconnect_attempts=2,
            **recorder.options,
        )
        await nc.wait_closed()
        await eventually(lambda: "on_close" in recorder.names)
        assert recorder.names == ["on_reconnect_error", "on_reconnect_error", "on_close"]


# on a real server


@pytest.mark.parity("G3", "H5", "B10")
async def test_a_restarted_server_finds_everything_restored(fresh_server: NatsServer) -> None:
    recorder = Recorder()
    got: list[bytes] = []
    async with connect(fresh_server.url, **QUICK, **recorder.options) as nc:
        await nc.subscribe("plain", cb=lambda msg: got.append(msg.data))

        async def answer(msg: Msg) -> None:
            await msg.respond(msg.data.upper())

        await nc.subscribe("ask", queue_group="q", cb=answer)
        assert (await nc.request("ask", b"one")).data == b"ONE"
        attempts = nc.stats().attempts
        fresh_server.kill()
        await eventually(lambda: nc.is_reconnecting)
        await nc.publish("plain", b"meanwhile")
        request = asyncio.create_task(nc.request("ask", b"two", timeout=10))
        await asyncio.to_thread(fresh_server.start)
        assert (await request).data == b"TWO"
        await nc.flush()
        await nc.flush()
        assert got == [b"meanwhile"]
        assert nc.stats().reconnects == 1  # one restart, however many attempts
        assert nc.stats().attempts > attempts
        assert recorder.names.count("on_reconnect") == 1


async def test_requests_go_on_over_repeated_kills(fresh_server: NatsServer) -> None:
    """A request lost with a session times out; the next one works."""
    async with connect(fresh_server.url, **QUICK) as nc:
        await nc.subscribe("ask", cb=lambda msg: nc.link.send(msg.raw_reply, msg.data))
        for n in range(3):
            fresh_server.kill()
            await asyncio.to_thread(fresh_server.start)
            await eventually(lambda: nc.stats().reconnects == n + 1)  # noqa: B023  at once
            with contextlib.suppress(NatsTimeoutError):
                assert (await nc.request("ask", b"x", timeout=2)).data == b"x"
        assert nc.status is Status.CONNECTED


# what nobody waits for any more


async def asked_many(nc: Connection) -> None:
    async for _ in nc.request_many("ask", timeout=0.5):
        pass


@warped
@pytest.mark.parametrize("old_style", [False, True])
async def test_a_request_that_timed_out_in_the_buffer_is_not_sent(old_style: bool) -> None:
    patient = {**QUICK, "max_reconnect_attempts": -1}
    async with connected(**patient, old_style_requests=old_style) as (nc, peer, server):
        server.refuse()
        peer.reset()
        await eventually(lambda: nc.status is Status.RECONNECTING)
        for asking in (nc.request("ask", timeout=0.5), asked_many(nc)):
            with pytest.raises(NatsTimeoutError):
                await asking
        waits = asyncio.ensure_future(nc.request("ask", b"waits", timeout=60))
        await turns()
        await nc.publish("ask", b"told", reply="somebody.elses")
        await server.listen()
        peer = await server.accept()
        await peer.expect(b"PUB ask somebody.elses")
        asked = [frame.payload for frame in peer.frames if frame.op in (b"PUB", b"HPUB")]
        assert asked == [b"waits", b"told"]
        waits.cancel()
        await asyncio.wait([waits])


@warped
async def test_a_full_buffer_makes_room_by_what_nobody_waits_for() -> None:
    async with connected(**QUICK, reconnect_buffer_size=1) as (nc, peer, server):
        server.refuse()
        peer.reset()
        await eventually(lambda: nc.status is Status.RECONNECTING)
        with pytest.raises(NatsTimeoutError):
            await nc.request("ask", timeout=0.5)
        await nc.publish("told", b"")
        with pytest.raises(ReconnectBufferExceededError):
            await nc.publish("told", b"")


@pytest.mark.parity("B3")
async def test_servers_that_fail_and_name_each_other_are_given_up_all_the_same() -> None:
    """The INFO of each failed attempt names them all: none comes back with a fresh count."""
    tried: list[int] = []
    urls: list[str] = []

    async def fail(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tried.append(writer.get_extra_info("sockname")[1])
        info = json.dumps({"server_id": "x", "max_payload": 1000, "connect_urls": urls})
        writer.write(f"INFO {info}\r\n-ERR 'Authentication Timeout'\r\n".encode())
        writer.close()

    failing = [await asyncio.start_server(fail, "127.0.0.1", 0) for _ in range(2)]
    ports = [each.sockets[0].getsockname()[1] for each in failing]
    urls += [f"127.0.0.1:{port}" for port in ports]
    closed = asyncio.Event()
    try:
        async with connected(
            max_reconnect_attempts=3,
            info={"connect_urls": urls},
            on_close=lambda nc: closed.set(),
        ) as (nc, peer, server):
            server.refuse()
            peer.reset()
            await asyncio.wait_for(closed.wait(), 10)
            assert isinstance(nc.last_error, NoServersError)
    finally:
        for each in failing:
            each.close()
    assert sorted(tried) == sorted([*ports, *ports, *ports])
