"""A session after its handshake: later INFOs, -ERRs, a server that stalls."""

from __future__ import annotations

import asyncio

import pytest

from natsrpc.core import Msg, connect
from natsrpc.errors import (
    AuthExpiredError,
    MaxPayloadError,
    NatsError,
    NatsTimeoutError,
    RemoteProtocolError,
    ServerClosedConnectionError,
    ServerError,
)
from tests.core.answers import says
from tests.core.connected import connected
from tests.core.harness import ScriptedServer, eventually, warped


async def test_messages_behind_the_pong_of_a_reconnect_reach_who_is_subscribed() -> None:
    got: list[bytes] = []
    errors: list[Exception] = []

    def handle(msg: Msg) -> None:
        got.append(msg.data)
        if msg.data == b"bad":
            raise ValueError("mine")

    async with connected(on_error=lambda nc, sub, error: errors.append(error)) as (
        nc,
        peer,
        server,
    ):
        sub = await nc.subscribe("a", cb=handle)
        await nc.flush()
        messages = b"".join(
            b"MSG a %d %d\r\n%b\r\n" % (sid, len(data), data)
            for sid, data in ((sub.sid, b"bad"), (sub.sid, b"good"), (99, b"nobody's"))
        )
        server.auto_pong = False
        server.listeners.append(says(b"PONG\r\n" + messages))
        peer.close()
        await eventually(lambda: len(got) == 2)
        assert got == [b"bad", b"good"]
        await eventually(lambda: errors)
        assert isinstance(errors[0], ValueError)
        server.listeners[0] = says(b"PONG\r\nPING\r\n" + messages + b"BOGUS\r\n" + messages)
        server.peers[1].close()
        await eventually(lambda: len(got) >= 4)
        server.listeners.clear()
        server.auto_pong = True
        await eventually(lambda: nc.stats().reconnects >= 3 and nc.is_connected)
        assert set(got) == {b"bad", b"good"}


@pytest.mark.parity("C13", "C14")
async def test_each_info_is_read_afresh() -> None:
    async with connected(info={"auth_required": True, "cluster": "c"}) as (nc, peer, _):
        assert nc.server_info is not None
        assert nc.server_info.auth_required
        assert nc.server_info.cluster == "c"
        assert nc.max_payload == 1048576
        peer.send(b'INFO {"server_id":"z","max_payload":10}\r\n')
        await peer.synced()
        assert not nc.server_info.auth_required
        assert nc.server_info.cluster == ""
        assert nc.server_info.server_id == "z"
        assert nc.max_payload == 10
        with pytest.raises(MaxPayloadError):
            await nc.publish("a", b"x" * 11)


@pytest.mark.parity("C13")
async def test_a_plain_server_after_a_server_with_tls_is_taken_for_what_it_is() -> None:
    back = asyncio.Event()
    async with connected(info={"tls_available": True}, on_reconnect=lambda nc: back.set()) as (
        nc,
        peer,
        server,
    ):
        server.info = {"tls_available": None}
        peer.close()
        await asyncio.wait_for(back.wait(), 5)
        assert nc.server_info is not None
        assert not nc.server_info.tls_available


async def test_a_later_info_that_cannot_be_read_is_told_and_ignored() -> None:
    errors: list[Exception] = []
    async with connected(on_error=lambda nc, sub, error: errors.append(error)) as (nc, peer, _):
        for bad in (b"INFO {bad}", b"INFO []", b'INFO {"max_payload":-5}'):
            peer.send(bad + b"\r\n")
        await peer.synced()
        await eventually(lambda: len(errors) == 3)
        assert all(isinstance(error, RemoteProtocolError) for error in errors)
        assert nc.is_connected
        assert nc.max_payload == 1048576


@pytest.mark.parity("H2", "D5", "L-facts")
async def test_what_a_connection_tells_of_its_server_shows_no_credentials() -> None:
    async with ScriptedServer(info={"connect_urls": ["127.0.0.1:1"]}) as server:
        url = f"nats://user:secret@127.0.0.1:{server.port}"
        async with connect(url) as nc:
            assert nc.connected_url == f"nats://***@127.0.0.1:{server.port}"
            assert nc.servers == [server.url, "nats://127.0.0.1:1"]
            assert nc.discovered_servers == ["nats://127.0.0.1:1"]
            assert nc.server_address == ("127.0.0.1", server.port)
            assert nc.local_address is not None
            assert nc.local_address == server.peers[0].transport.get_extra_info("peername")
            assert nc.server_info is not None
            assert (nc.server_info.client_id, nc.server_info.client_ip) == (1, "127.0.0.1")
        after: list[object] = [
            nc.connected_url,
            nc.server_info,
            nc.local_address,
            nc.server_address,
        ]
        assert after == [None] * 4


NOT_FATAL = [
    'Permissions Violation for Publish to "Foo.Bar"',
    'Permissions Violation for Subscription to "Foo.*"',
    "maximum subscriptions exceeded",
    "Invalid Subject",
    "Invalid Publish Subject",
    "Failed Account Registration",
]


@pytest.mark.parity("A7", "S7")
@pytest.mark.parametrize("text", NOT_FATAL)
async def test_an_error_that_closes_nothing_is_told_and_nothing_else(text: str) -> None:
    errors: list[Exception] = []
    async with connected(on_error=lambda nc, sub, error: errors.append(error)) as (
        nc,
        peer,
        server,
    ):
        peer.err(text)
        await peer.synced()
        await eventually(lambda: errors)
        (error,) = errors
        assert isinstance(error, ServerError)
        assert error.text == text
        assert nc.last_error is error
        assert nc.is_connected
        assert len(server.peers) == 1


FATAL: list[tuple[str, type[NatsError]]] = [
    ("Unknown Protocol Operation", ServerClosedConnectionError),
    ("Maximum Payload Violation", ServerClosedConnectionError),
    ("maximum control line exceeded", ServerClosedConnectionError),
    ("User Authentication Expired", AuthExpiredError),
    ("Something New", ServerError),
]


@pytest.mark.parity("A6", "A8", "B2")
@pytest.mark.parametrize(("text", "kind"), FATAL)
async def test_an_error_that_closes_the_connection_is_told_once_and_reconnected_from(
    text: str, kind: type[NatsError]
) -> None:
    told: list[tuple[str, object]] = []
    async with connected(
        on_error=lambda nc, sub, error: told.append(("error", error)),
        on_disconnect=lambda nc, error: told.append(("disconnect", error)),
        on_reconnect=lambda nc: told.append(("reconnect", None)),
    ) as (nc, peer, _):
        peer.err(text)
        peer.close()
        await eventually(lambda: len(told) == 3)
        assert [name for name, _ in told] == ["error", "disconnect", "reconnect"]
        assert type(told[0][1]) is kind
        assert told[1][1] is told[0][1]
        assert nc.is_connected
        assert nc.last_error is None


@warped
async def test_a_server_that_says_it_closes_and_does_not_is_left() -> None:
    lost: list[tuple[float, Exception]] = []
    loop = asyncio.get_running_loop()
    async with connected(
        on_disconnect=lambda nc, error: lost.append((loop.time(), error)), on_error=print
    ) as (nc, peer, _):
        before = loop.time()
        peer.err("Something New")
        await eventually(lambda: lost, timeout=10)
        assert 1.9 < lost[0][0] - before < 2.5
        assert isinstance(lost[0][1], ServerError)
        await eventually(lambda: nc.is_connected, timeout=10)


async def test_bytes_that_are_no_protocol_end_the_session_and_no_handler_runs() -> None:
    got: list[Msg] = []
    back = asyncio.Event()
    async with connected(on_reconnect=lambda nc: back.set()) as (nc, peer, _):
        sub = await nc.subscribe("a", cb=got.append)
        await nc.flush()
        peer.send(b"MSG a %d 1\r\nx\r\nMSG a %d x\r\nMSG a %d 1\r\ny\r\n" % ((sub.sid,) * 3))
        await asyncio.wait_for(back.wait(), 5)
        assert [msg.data for msg in got] == [b"x"]


@pytest.mark.parity("C15")
async def test_a_server_that_takes_nothing_stops_publishers_and_is_left_in_time() -> None:
    lost: list[Exception] = []
    async with connected(
        receive_buffer=4096,
        write_timeout=0.2,
        on_disconnect=lambda nc, error: lost.append(error),
    ) as (nc, peer, server):
        peer.stall()

        async def flood() -> None:
            while nc.is_connected:
                await nc.publish("flood", bytes(50_000))

        await asyncio.wait_for(flood(), 10)
        await eventually(lambda: lost)
        (error,) = lost
        assert isinstance(error, NatsTimeoutError)
        assert "0.2 s" in str(error)
        await server.accept()
        await eventually(lambda: nc.is_connected)
        await nc.flush()
        assert nc.buffered < 2_000_000


@pytest.mark.parity("C15")
async def test_what_is_published_in_one_turn_of_the_loop_is_one_write() -> None:
    async with connected() as (nc, peer, _):
        chunks: list[bytes] = []
        receive = peer.data_received
        peer.data_received = lambda data: (chunks.append(data), receive(data))[1]  # type: ignore[method-assign,func-returns-value]  # a spy
        for n in range(5):
            nc.link.send(b"one.turn", b"%d" % n)
        await peer.expect(b"PUB one.turn 1\r\n4")
        assert len(chunks) == 1
