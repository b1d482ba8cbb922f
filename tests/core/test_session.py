"""The handshake, against servers that say all manner of things; and what INFO and -ERR do later."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from natsrpc.core import Connection, Msg, connect
from natsrpc.errors import (
    AuthExpiredError,
    AuthorizationError,
    ConnectError,
    MaxConnectionsError,
    MaxPayloadError,
    NatsError,
    NatsTimeoutError,
    NoServersError,
    ProtocolError,
    RemoteProtocolError,
    ServerClosedConnectionError,
    ServerError,
    TLSError,
)
from natsrpc.version import __version__
from tests.core.connected import connected
from tests.core.harness import Frame, Peer, ScriptedServer, eventually, no_leaks, turns, warped

QUICK: dict[str, Any] = {"reconnect_wait": 0.01, "reconnect_jitter": 0.0}
INFO = b'INFO {"server_id":"x","proto":1,"headers":true,"max_payload":1048576} \r\n'


def says(*answers: bytes, close: bool = False) -> Callable[[Peer, Frame], None]:
    """Answers the first CONNECT with these bytes."""

    def answer(peer: Peer, frame: Frame) -> None:
        if frame.op == b"CONNECT":
            for data in answers:
                peer.send(data)
            if close:
                peer.close()

    return answer


async def greeted_with(first: bytes, *, close: bool = False, **options: Any) -> Exception:
    """How a connect fails whose server begins with these bytes."""
    async with no_leaks(), ScriptedServer(handshake=False) as server:

        async def greet() -> None:
            peer = await server.accept()
            peer.send(first)
            if close:
                peer.close()

        task = asyncio.create_task(greet())
        with pytest.raises(NatsError) as caught:
            await connect(server.url, **{"connect_timeout": 0.5, **options})
        await task
    error = caught.value
    return error.attempts[0][1] if isinstance(error, NoServersError) else error  # type: ignore[return-value]


# the handshake as it should be


@pytest.mark.parity("C10")
async def test_connect_and_ping_go_out_in_one_write_after_info() -> None:
    async with ScriptedServer(auto_pong=False) as server:
        opening = asyncio.ensure_future(connect(server.url).__aenter__())
        peer = await server.accept()
        await eventually(lambda: len(peer.frames) == 2)
        assert peer.ops() == [b"CONNECT", b"PING"]
        await turns(10)
        assert not opening.done()
        peer.pong()
        nc = await opening
        assert nc.is_connected
        await nc.close()


@pytest.mark.parity("C11", "C12")
async def test_connect_says_everything_the_server_would_else_assume() -> None:
    async with connected() as (_, peer, _):
        assert peer.frames[0].options == {
            "verbose": False,
            "pedantic": False,
            "tls_required": False,
            "name": "",
            "lang": "python-natsrpc",
            "version": __version__,
            "protocol": 1,
            "echo": True,
            "headers": True,
            "no_responders": True,
        }
    async with connected(
        name="näme\r\n", verbose=True, pedantic=True, echo=False, info={"headers": None}
    ) as (_, peer, _):
        sent = peer.frames[0].options
        assert sent["name"] == "näme\r\n"
        assert sent["verbose"] is sent["pedantic"] is True
        assert sent["echo"] is sent["headers"] is sent["no_responders"] is False


@pytest.mark.parity("L-no-echo")
async def test_no_echo_needs_a_server_that_knows_of_it() -> None:
    async with ScriptedServer(info={"proto": None}) as server:
        with pytest.raises(NoServersError, match="does not support echo=False"):
            await connect(server.url, echo=False)
        async with connect(server.url):
            pass


@pytest.mark.parity("C10", "C12")
async def test_what_may_come_between_connect_and_pong_is_taken() -> None:
    async with ScriptedServer(auto_pong=False) as server:
        server.listeners.append(
            says(b"+OK\r\n", b"PING\r\n", b'INFO {"max_payload":77}\r\n', b"PONG\r\n")
        )
        async with connect(server.url, verbose=True) as nc:
            assert nc.max_payload == 77
            peer = await server.accept()
            await peer.expect(b"PING")
            await peer.expect(b"PONG")


async def test_what_comes_behind_pong_is_handled_once_connected() -> None:
    """Servers from 2.12 on send a second INFO, often in the same packet."""
    async with ScriptedServer(auto_pong=False) as server:
        server.listeners.append(
            says(b'PONG\r\nINFO {"server_id":"y","max_payload":5}\r\n-ERR \'Invalid Subject\'\r\n')
        )
        errors: list[Exception] = []
        async with connect(server.url, on_error=lambda nc, sub, error: errors.append(error)) as nc:
            assert nc.max_payload == 5
            assert nc.server_info is not None
            assert nc.server_info.server_id == "y"
            await eventually(lambda: errors)
            assert isinstance(errors[0], ServerError)


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


async def test_the_handshake_takes_any_chunking() -> None:
    async with ScriptedServer(handshake=False) as server:
        opening = asyncio.ensure_future(connect(server.url).__aenter__())
        peer = await server.accept()
        await peer.send_split(INFO)
        await peer.expect(b"PING")
        nc = await opening
        assert nc.max_payload == 1048576
        await nc.close()


# the handshake as it should not be


@pytest.mark.parity("C10", "E14")
@pytest.mark.parametrize(
    ("first", "told"),
    [
        (b"PONG\r\n", "expected INFO first, not Pong"),
        (b"+OK\r\n", "expected INFO first, not Ok"),
        (b"MSG a 1 0\r\n\r\n", "expected INFO first, not Msg"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak NATS"),
        (b"\x16\x03\x01\x02\x00\n", "does not speak NATS"),
        (b"INFO\r\n", "INFO"),
        (b"INFO {bad}\r\n", "INFO is not valid JSON"),
        (b"INFO []\r\n", "INFO is not a JSON object"),
        (b'INFO {"max_payload":"x"}\r\n', "'max_payload'"),
        (b"x" * 2_000_000, "does not speak NATS"),
    ],
)
async def test_a_server_that_begins_with_something_else_breaks_the_protocol(
    first: bytes, told: str
) -> None:
    error = await greeted_with(first)
    assert isinstance(error, RemoteProtocolError)
    assert isinstance(error, ProtocolError)
    assert told in str(error)


@pytest.mark.parity("C8", "C10")
@pytest.mark.parametrize("first", [b"", b"INF", b'INFO {"server_id":'])
async def test_a_server_that_says_too_little_is_given_up_in_time(first: bytes) -> None:
    error = await greeted_with(first, connect_timeout=0.3)
    assert type(error) is ConnectError
    assert "did not answer within 0.3 s (while waiting for INFO)" in str(error)


@pytest.mark.parity("C8", "C10")
async def test_a_server_that_never_pongs_is_given_up_in_time() -> None:
    async with no_leaks(), ScriptedServer(auto_pong=False) as server:
        with pytest.raises(NoServersError, match=r"0\.3 s \(while signing in\)"):
            await connect(server.url, connect_timeout=0.3)


@pytest.mark.parametrize("first", [b"", b"INFO {", INFO])
async def test_a_server_that_hangs_up_is_told_of(first: bytes) -> None:
    error = await greeted_with(first, close=True)
    assert type(error) is ConnectError
    assert error.server.startswith("nats://127.0.0.1:")


async def test_a_server_that_resets_is_told_of_in_the_words_of_the_system() -> None:
    async with no_leaks(), ScriptedServer(auto_pong=False) as server:
        server.listeners.append(lambda peer, frame: peer.reset())
        with pytest.raises(NoServersError, match="reset by peer"):
            await connect(server.url)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Authorization Violation", AuthorizationError),
        ("User Authentication Expired", AuthExpiredError),
        ("maximum connections exceeded", MaxConnectionsError),
        ("maximum account active connections exceeded", MaxConnectionsError),
        ("Authentication Timeout", ConnectError),
        ("attempted to connect to route port", ConnectError),
        ("invalid client protocol", ServerClosedConnectionError),
        ("Never Heard Of", ServerError),
    ],
)
@pytest.mark.parity("A5", "A9")
async def test_a_refusal_has_its_error_before_and_after_connect(
    text: str, kind: type[NatsError]
) -> None:
    line = f"-ERR '{text}'\r\n".encode()
    assert type(await greeted_with(line, close=True)) is kind
    assert type(await greeted_with(INFO + line, close=True)) is kind
    async with no_leaks(), ScriptedServer(auto_pong=False) as server:
        server.listeners.append(says(line, close=True))
        with pytest.raises(NatsError) as caught:
            await connect(server.url)
    error = caught.value
    first = error.attempts[0][1] if isinstance(error, NoServersError) else error
    assert type(first) is kind
    if isinstance(first, ConnectError):
        assert first.server == server.url


async def test_an_error_without_quotes_is_understood() -> None:
    error = await greeted_with(INFO + b"-ERR Authorization Violation\r\n", close=True)
    assert isinstance(error, AuthorizationError)


@pytest.mark.parametrize("answer", [b"MSG a 1 0\r\n\r\n", b"BOGUS\r\n", b"INFO {bad}\r\n"])
@pytest.mark.parity("C10")
async def test_anything_else_between_connect_and_pong_breaks_the_protocol(answer: bytes) -> None:
    async with no_leaks(), ScriptedServer(auto_pong=False) as server:
        server.listeners.append(says(answer))
        with pytest.raises(RemoteProtocolError):
            await connect(server.url)


async def test_an_info_as_long_as_a_large_cluster_makes_it_is_taken() -> None:
    nodes = [f"node-{n}.cluster.example.org:4222" for n in range(900)]
    async with ScriptedServer(info={"connect_urls": nodes}) as server, connect(server.url) as nc:
        assert len(nc.discovered_servers) == 900


@pytest.mark.parametrize("text", ["invalid client protocol", "no responders requires headers"])
async def test_a_refusal_of_our_connect_as_such_is_not_tried_again(text: str) -> None:
    text = text.replace("headers", "headers support")
    async with ScriptedServer() as server:
        async with connect(server.url, **QUICK) as nc:
            peer = await server.accept()
            server.listeners.append(says(f"-ERR '{text}'\r\n".encode(), close=True))
            server.auto_pong = False
            peer.close()
            await asyncio.wait_for(nc.wait_closed(), 5)
            assert isinstance(nc.last_error, ServerClosedConnectionError)
        assert len(server.peers) == 2


# later


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


def test_connect_is_json_that_any_server_reads() -> None:
    """Names in any script, quotes and line breaks: one line, plain JSON."""
    from natsrpc.core.wire import frames  # noqa: PLC0415  only here

    line = frames.connect({"name": 'a"b\r\nc\u2028é\U0001f600'})
    assert line.count(b"\r\n") == 1
    assert line.isascii()
    assert json.loads(line[8:])["name"] == 'a"b\r\nc\u2028é\U0001f600'


async def test_the_dialer_failing_in_its_own_way_is_a_failed_attempt() -> None:
    class ProxyError(Exception):
        pass

    async def dial(make: Any, host: str, port: int) -> Any:
        raise ProxyError("no route")

    with pytest.raises(NoServersError, match="no route") as caught:
        await connect("nats://h:1", dialer=dial)
    ((where, error),) = caught.value.attempts
    assert where == "nats://h:1"
    assert isinstance(error, ConnectError)
    assert isinstance(error.__cause__, ProxyError)


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "-.invalid", "xn--a.invalid"])
async def test_a_host_name_that_cannot_be_looked_up_is_a_failed_attempt(host: str) -> None:
    with pytest.raises(NoServersError) as caught:
        await connect(f"nats://{host}")
    assert isinstance(caught.value.attempts[0][1], ConnectError)


async def test_a_gossiped_name_that_cannot_be_looked_up_does_not_end_a_reconnect() -> None:
    failures: list[Exception] = []

    def connection(nc: Connection, error: Exception) -> None:
        failures.append(error)

    bad = "a" * 64 + ".example:1"
    async with connected(
        info={"connect_urls": [bad]}, on_reconnect_error=connection, randomize_servers=False
    ) as (nc, peer, server):
        assert nc.discovered_servers == [f"nats://{bad}"]
        peer.close()
        await server.accept()
        await eventually(lambda: nc.is_connected)
        assert [type(error) for error in failures] == [ConnectError]
        assert not isinstance(failures[0], TLSError)


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
            nc.send(b"one.turn", b"%d" % n)
        await peer.expect(b"PUB one.turn 1\r\n4")
        assert len(chunks) == 1
