"""The handshake, against servers that say all manner of things."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from natsrpc.core import Connection, connect
from natsrpc.errors import (
    AuthExpiredError,
    AuthorizationError,
    ConnectError,
    ConnectTimeoutError,
    MaxConnectionsError,
    NatsError,
    NoServersError,
    ProtocolError,
    RemoteProtocolError,
    ServerClosedConnectionError,
    ServerError,
    TLSError,
)
from natsrpc.version import __version__
from tests.core.answers import says
from tests.core.connected import connected
from tests.core.harness import ScriptedServer, eventually, no_leaks, turns

QUICK: dict[str, Any] = {"reconnect_wait": 0.01, "reconnect_jitter": 0.0}


INFO = b'INFO {"server_id":"x","proto":1,"headers":true,"max_payload":1048576} \r\n'


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


async def test_the_handshake_takes_any_chunking() -> None:
    async with ScriptedServer(handshake=False) as server:
        opening = asyncio.ensure_future(connect(server.url).__aenter__())
        peer = await server.accept()
        await peer.send_split(INFO)
        await peer.expect(b"PING")
        nc = await opening
        assert nc.max_payload == 1048576
        await nc.close()


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
    assert type(error) is ConnectTimeoutError
    assert isinstance(error, TimeoutError)
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


async def test_nothing_is_said_to_a_server_that_hung_up_meanwhile() -> None:
    """A write would be answered by a reset, which takes the reason along."""
    async with no_leaks(), ScriptedServer() as server:

        async def token() -> str:
            (peer,) = server.peers
            peer.err("Authentication Timeout")
            peer.close()
            await peer.closed.wait()
            return "late"

        with pytest.raises(NoServersError, match="Authentication Timeout"):
            await connect(server.url, token=token)
        assert server.peers[0].received == b""


async def test_a_refusal_right_behind_info_is_read_before_anything_is_written() -> None:
    async with no_leaks(), ScriptedServer() as server:

        async def refuse() -> None:
            peer = await server.accept()
            peer.send(INFO + b"-ERR 'maximum connections exceeded'\r\n")

        server.handshake = False
        task = asyncio.create_task(refuse())
        with pytest.raises(MaxConnectionsError):
            await connect(server.url)
        await task
        await asyncio.wait_for(server.peers[0].closed.wait(), 5)
        assert server.peers[0].received == b""


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
