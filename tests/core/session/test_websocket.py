"""NATS inside a WebSocket: how it opens, what goes over it, how it ends, and hostile servers."""

from __future__ import annotations

import asyncio
import builtins
import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from natsrpc.core import connect
from natsrpc.errors import (
    AuthorizationError,
    ConfigError,
    ConfigTypeError,
    ConnectTimeoutError,
    NatsError,
    NatsTimeoutError,
    NoServersError,
    RemoteProtocolError,
    TLSError,
    WebSocketClosedError,
    WebSocketError,
)
from natsrpc.server import Cluster, NatsServer
from tests.core.harness import eventually, no_leaks
from tests.core.harness.websocket import (
    CLOSE,
    PING,
    PONG,
    TEXT,
    ScriptedWebSocket,
    accepted,
    ws_frame,
)

PLAIN = 'websocket { host: "127.0.0.1", port: -1, no_tls: true }\n'
QUICK: dict[str, Any] = {"reconnect_wait": 0.01, "reconnect_jitter": 0.0}


def here(server: NatsServer, scheme: str = "ws", user: str = "", path: str = "") -> str:
    return f"{scheme}://{user}127.0.0.1:{server.websocket_port}{path}"


# real servers


@pytest.mark.parity("L-websocket")
@pytest.mark.live
async def test_requests_events_and_large_bodies_go_both_ways() -> None:
    body = bytes(range(256)) * 3000
    async with NatsServer(PLAIN) as server, no_leaks(), connect(here(server)) as nc:

        async def echo(msg: Any) -> None:
            await msg.respond(msg.data, headers={"size": str(len(msg.data))})

        await nc.subscribe("echo", cb=echo)
        replies = await asyncio.gather(*(nc.request("echo", b"%d" % n) for n in range(500)))
        assert [reply.data for reply in replies] == [b"%d" % n for n in range(500)]
        reply = await nc.request("echo", body, headers={"a": "b"})
        assert (reply.data, reply.headers["size"]) == (body, str(len(body)))
        assert nc.connected_url == here(server)


@pytest.mark.live
@pytest.mark.parametrize("extra", ["compression: true", ""])
async def test_a_path_and_a_server_that_would_compress_are_no_hindrance(extra: str) -> None:
    config = f"websocket {{ port: -1, no_tls: true, {extra} }}"
    async with NatsServer(config) as server, connect(here(server, path="/any/path?x=1")) as nc:
        await nc.flush()


@pytest.mark.live
async def test_credentials_in_the_url_and_in_options() -> None:
    users = 'authorization { users: [ {user: "me", password: "p w"} ] }\n'
    async with NatsServer(users + PLAIN) as server:
        async with connect(here(server, user="me:p%20w@")) as nc:
            await nc.flush()
        async with connect(here(server), user="me", password="p w") as nc:
            await nc.flush()
        with pytest.raises(AuthorizationError):
            await connect(here(server, user="me:wrong@"))


@pytest.mark.parity("L-websocket")
@pytest.mark.live
async def test_tls_comes_first_and_is_verified(tmp_path: Path) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    issued = authority.issue_cert("localhost")
    for name, blob in {
        "ca": authority.cert_pem, "other": stranger.cert_pem,
        "key": issued.private_key_pem, "cert": issued.cert_chain_pems[0],
    }.items():  # fmt: skip
        blob.write_to_path(tmp_path / f"{name}.pem")
    tls = f'tls {{ cert_file: "{tmp_path}/cert.pem", key_file: "{tmp_path}/key.pem" }}'
    async with NatsServer(f'websocket {{ host: "127.0.0.1", port: -1, {tls} }}') as server:
        named = f"wss://localhost:{server.websocket_port}"
        async with connect(named, tls_ca=tmp_path / "ca.pem") as nc:
            await nc.flush()
        async with connect(
            here(server, "wss"), tls_ca=tmp_path / "ca.pem", tls_hostname="localhost"
        ) as nc:
            await nc.flush()
        for url, ca, told in [
            (here(server, "wss"), "ca.pem", "IP address mismatch"),
            (named, "other.pem", "self-signed|self signed|unable to get"),
        ]:
            with pytest.raises(TLSError, match=told):
                await connect(url, tls_ca=tmp_path / ca)
        with pytest.raises(NatsError):  # TLS is needed, and is not begun
            await connect(here(server), connect_timeout=0.5)


@pytest.mark.parity("L-websocket")
@pytest.mark.live
async def test_what_a_cluster_names_is_reached_by_websocket_too() -> None:
    async with Cluster(2, PLAIN) as cluster:
        first, second = cluster.servers
        async with connect(here(first), **QUICK) as nc:
            await eventually(lambda: here(second) in nc.discovered_servers)
            first.kill()
            await eventually(lambda: nc.connected_url == here(second))
            await nc.flush()


@pytest.mark.live
async def test_the_two_kinds_of_ports_are_told_apart() -> None:
    async with NatsServer(PLAIN) as server:
        with pytest.raises(RemoteProtocolError, match="does not speak HTTP: it is NATS without"):
            await connect(f"ws://127.0.0.1:{server.port}")
        with pytest.raises(NatsTimeoutError, match="ws:// or wss:// for a WebSocket port"):
            await connect(f"nats://127.0.0.1:{server.websocket_port}", connect_timeout=0.3)


# opening


@pytest.mark.parity("L-websocket")
async def test_the_request_has_the_path_and_the_users_own_headers() -> None:
    async with ScriptedWebSocket() as server:
        calls = 0

        async def made() -> dict[str, str]:
            nonlocal calls
            calls += 1
            return {"Authorization": f"Bearer {calls}", "X-Team": "blue"}

        async with connect(server.url + "/nats/x?y=1", ws_headers=made, **QUICK) as nc:
            peer = await server.peer()
            lines = peer.head.decode().split("\r\n")
            assert lines[0] == "GET /nats/x?y=1 HTTP/1.1"
            assert f"Host: 127.0.0.1:{server.port}" in lines
            assert {"Authorization: Bearer 1", "X-Team: blue"} <= set(lines)
            assert not any(line.lower().startswith("sec-websocket-ext") for line in lines)
            assert "y=1" not in repr(nc)
            await nc.force_reconnect()
            await eventually(lambda: len(server.peers) == 2 and server.peers[1].head)
            assert b"Authorization: Bearer 2\r\n" in server.peers[1].head


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({"a b": "c"}, "no name of an HTTP header"),
        ({"a": "s3cret\r\nX: y"}, "value of 'a' is not printable ASCII"),
        ({"Host": "x"}, "'Host' is set by the connection itself"),
        ({"sec-websocket-key": "x"}, "set by the connection itself"),
        ({"a": 5}, "must be of str to str"),
        ([("a", "b")], "ws_headers must be a mapping"),
        (lambda: 5, "ws_headers must be a mapping, not int"),
        (lambda: 1 / 0, "the ws_headers function raised ZeroDivisionError"),
    ],
)
async def test_bad_headers_are_refused_and_values_not_quoted(headers: Any, told: str) -> None:
    async with ScriptedWebSocket() as server:
        with pytest.raises((ConfigError, ConfigTypeError), match=told) as caught:
            await connect(server.url, ws_headers=headers)
        assert "s3cret" not in str(caught.value)
        assert all(not peer.head for peer in server.peers)


@pytest.mark.parametrize(
    ("servers", "options", "told"),
    [
        (["ws://a", "nats://b"], {}, "servers with nats:// and ws:// cannot share a connection"),
        (["ws://a", "wss://b"], {}, "servers with ws:// and wss:// cannot share a connection"),
        ("wss://a", {"first_server": "nats://b"}, "cannot share a connection"),
        ("nats://a", {"ws_headers": {"a": "b"}}, "ws_headers need ws:// or wss:// servers"),
        ("ws://a", {"tls": True}, "write wss:// in place of ws://"),
        ("ws://a", {"tls_hostname": "b"}, "write wss:// in place of ws://"),
        ("wss://a", {"tls": False}, "tls=False contradicts a wss:// server URL"),
    ],
)
async def test_contradictions_are_refused_before_anything_is_dialed(
    servers: Any, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        await connect(servers, **options)


async def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "wsproto"]:
        monkeypatch.delitem(sys.modules, name)
    real = builtins.__import__

    def without(name: str, *args: Any, **options: Any) -> Any:
        if name.partition(".")[0] == "wsproto":
            raise ImportError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r"pip install 'natsrpc\[ws\]'"):
        await connect("ws://127.0.0.1:1")


def answering(text: str) -> Callable[[bytes], bytes]:
    return lambda head: text.encode("latin-1")


REFUSALS = [
    ("HTTP/1.1 301 Moved Permanently\r\nLocation: https://elsewhere/x?secret=1\r\n\r\n", 301,
     "answered 301 Moved Permanently to https://elsewhere/x instead of opening a WebSocket; "
     "connect to where it points"),
    ("HTTP/1.1 302 Found\r\nLocation: https://user:secret/@elsewhere/x\r\n\r\n", 302,
     r"answered 302 Found to https://\*\*\*@elsewhere/x instead"),
    ("HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\n\r\n", 401, "ws_headers"),
    ("HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno!", 403, "ws_headers"),
    ("HTTP/1.1 502 Bad\x1b[31m Gateway\r\nTransfer-Encoding: chunked\r\n\r\n", 0, "no proper|502"),
    ("HTTP/1.0 502 Bad Gateway\r\n\r\n<html>", 502, "answered 502 Bad Gateway instead"),
    ("HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n", 200, "answered 200 OK"),
]  # fmt: skip


@pytest.mark.parity("L-websocket")
@pytest.mark.parametrize(("answer", "status", "told"), REFUSALS)
async def test_another_answer_than_101_is_told_with_its_status(
    answer: str, status: int, told: str
) -> None:
    async with ScriptedWebSocket(answering(answer), greets=False) as server, no_leaks():
        with pytest.raises(NatsError, match=told) as caught:
            await connect(server.url)
        assert "secret" not in str(caught.value)
        assert "\x1b" not in str(caught.value)
        attempts = caught.value.attempts if isinstance(caught.value, NoServersError) else ()
        if status:
            error = attempts[0][1]
            assert isinstance(error, WebSocketError)
            assert (error.status, error.server) == (status, server.url)


GARBAGE = [
    ("\x00\x01\x02garbage", "does not speak HTTP"),
    ("SSH-2.0-OpenSSH_9.6\r\n", "does not speak HTTP"),
    ("HTTP/1.1 101 Switching Protocols\r\nX: " + "x" * 20_000, "headers of more than 16384 bytes"),
    ("HTTP/1.1 101 Switching Protocols\r\n" + "X: y\r\n" * 5000, "more than 16384 bytes"),
    ("HTTP/1.1 502 Bad\r\n" + "X: y\r\n" * 3000 + "\r\n", "more than 16384 bytes"),
    ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
     "Sec-WebSocket-Accept: bm90IHRoZSByaWdodCBvbmU=\r\n\r\n", "no proper answer"),
    ("HTTP/1.1 101 Switching Protocols\r\n\r\n", "no proper answer"),
    ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
     "Sec-WebSocket-Protocol: \xff\r\nSec-WebSocket-Accept: x\r\n\r\n", "no proper answer"),
    ("HTTP/9.9 abc\r\n\r\n", "no proper answer"),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "told"), GARBAGE)
async def test_garbage_in_place_of_an_answer_is_refused(answer: str, told: str) -> None:
    async with ScriptedWebSocket(answering(answer), greets=False) as server, no_leaks():
        with pytest.raises(RemoteProtocolError, match=told):
            await connect(server.url)


async def test_an_extension_that_was_not_offered_is_refused() -> None:
    def answer(head: bytes) -> bytes:
        return accepted(head)[:-2] + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"

    async with ScriptedWebSocket(answer, greets=False) as server:
        with pytest.raises(RemoteProtocolError, match="no proper answer"):
            await connect(server.url)


@pytest.mark.parametrize("part", [b"", b"HTTP/1.1 101 Swi"])
async def test_a_server_that_hangs_up_or_falls_silent_while_it_opens(part: bytes) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(part)
        writer.close()

    listener = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with listener, no_leaks():
        port = listener.sockets[0].getsockname()[1]
        with pytest.raises(NoServersError, match="hung up instead of opening a WebSocket"):
            await connect(f"ws://127.0.0.1:{port}")
    async with ScriptedWebSocket(lambda head: part, greets=False) as server, no_leaks():
        with pytest.raises(NatsTimeoutError, match="while opening the WebSocket") as caught:
            await connect(server.url, connect_timeout=0.2)
        assert isinstance(caught.value, NoServersError)
        assert isinstance(caught.value.attempts[0][1], ConnectTimeoutError)


async def test_what_info_says_of_tls_does_not_matter() -> None:
    """A proxy in front of it may have had the TLS that the server speaks of."""
    async with (
        ScriptedWebSocket(info={"tls_required": True}) as server,
        connect(server.url) as nc,
    ):
        await nc.flush()


async def test_an_answer_and_info_may_come_byte_by_byte() -> None:
    async with ScriptedWebSocket(lambda head: b"", greets=False) as server:
        opening = asyncio.ensure_future(_connected(server.url))
        await eventually(lambda: server.peers and server.peers[0].head)
        peer = server.peers[0]
        info = ws_frame(b'INFO {"headers":true,"max_payload":1000}\r\n')
        await peer.send_split(accepted(peer.head) + info)
        nc = await opening
        await nc.close()


async def _connected(url: str, **options: Any) -> Any:
    return await connect(url, **options)


async def test_a_dialer_can_go_through_a_proxy() -> None:
    seen = []

    async def dial(make: Any, host: str, port: int) -> Any:
        seen.append((host, port))
        return await asyncio.get_running_loop().create_connection(make, "127.0.0.1", server.port)

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("far.example").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with (
        ScriptedWebSocket(tls=context) as server,
        connect("wss://far.example/x", dialer=dial, tls=trusting) as nc,
    ):
        await server.peer()
        await nc.flush()
    assert seen == [("far.example", 443)]


# while it stands


async def test_each_write_is_one_frame_under_a_key_of_its_own() -> None:
    async with ScriptedWebSocket() as server, connect(server.url) as nc:
        peer = await server.peer()
        mark = len(peer.data_frames)
        for n in range(50):
            await nc.publish("a", b"%d" % n)
        await nc.flush()
        assert len(peer.data_frames) - mark <= 2
        await nc.publish("b", b"x" * 200_000)
        await nc.flush()
        assert (await peer.expect(b"PUB b")).payload == b"x" * 200_000
        assert max(map(len, peer.data_frames)) <= 64 * 1024
        assert len(set(peer.keys)) == len(peer.keys)
        assert b"\0\0\0\0" not in peer.keys


async def test_pings_are_answered_the_latest_of_many() -> None:
    async with ScriptedWebSocket() as server, connect(server.url):
        peer = await server.peer()
        peer.send(b"".join(ws_frame(b"%d" % n, PING) for n in range(1000)))
        await eventually(lambda: (PONG, b"999") in peer.controls)
        assert len(peer.controls) < 100


async def test_messages_in_fragments_with_pings_between_arrive_whole() -> None:
    async with ScriptedWebSocket() as server, connect(server.url) as nc:
        peer = await server.peer()
        sub = await nc.subscribe("a")
        await peer.expect(b"SUB a")
        msg = b"MSG a %d 5\r\nhello\r\n" % sub.sid
        peer.send(ws_frame(msg[:7], fin=False) + ws_frame(b"", PING))
        peer.send(ws_frame(msg[7:9], 0, fin=False) + ws_frame(msg[9:], 0) + ws_frame(b"!", PONG))
        assert (await sub.next_msg()).data == b"hello"
        assert nc.is_connected


HOSTILE = [
    (ws_frame(b"+OK", TEXT), "text frame"),
    (ws_frame(b"x" * 200, PING), "control frame is too large"),
    (b"\x82\x85abcdhello", "masked"),
    (ws_frame(b"\x03", CLOSE), "1 byte"),
    (ws_frame(b"\x00\x01", CLOSE), "invalid code"),
    (ws_frame(b"\x03\xe8\xff\xfe", CLOSE), "CLOSE reason"),
    (ws_frame(b"\xff\xff\xff garbage\r\n"), "expected|unknown|unexpected|not"),
]


@pytest.mark.parametrize(("raw", "told"), HOSTILE)
async def test_what_breaks_the_rules_ends_the_session(raw: bytes, told: str) -> None:
    lost: list[Any] = []
    async with (
        ScriptedWebSocket() as server,
        connect(server.url, on_disconnect=lambda _, error: lost.append(error), **QUICK) as nc,
    ):
        peer = await server.peer()
        peer.send(raw)
        await eventually(lambda: len(server.peers) == 2 and nc.is_connected)
        assert isinstance(lost[0], RemoteProtocolError)


async def test_an_endless_frame_ends_where_its_message_is_too_large() -> None:
    lost: list[Any] = []
    async with (
        ScriptedWebSocket() as server,
        connect(
            server.url, max_message_size=10_000,
            on_disconnect=lambda _, error: lost.append(error), **QUICK,
        ) as nc,
    ):  # fmt: skip
        peer = await server.peer()
        peer.send(ws_frame(b"MSG a 1 99999999\r\n" + b"x" * 50_000, size=1 << 60))
        await eventually(lambda: len(server.peers) == 2 and nc.is_connected)
        assert isinstance(lost[0], RemoteProtocolError)


@pytest.mark.parity("L-websocket")
@pytest.mark.parametrize(
    ("payload", "code", "told"),
    [
        (b"\x03\xe9bye\x1b[0m", 1001, r"code 1001: bye\?\[0m"),
        (b"\x03\xea", 1002, r"code 1002 \(it refuses what was sent\)"),
        (b"", 1005, "code 1005"),
        (b"\x0f\xa0own", 4000, "code 4000: own"),
    ],
)
async def test_a_close_frame_is_answered_and_told(payload: bytes, code: int, told: str) -> None:
    lost: list[Any] = []
    async with (
        ScriptedWebSocket() as server,
        connect(server.url, on_disconnect=lambda _, error: lost.append(error), **QUICK) as nc,
    ):
        peer = await server.peer()
        sub = await nc.subscribe("a")
        await peer.expect(b"SUB a")
        last = b"MSG a %d 4\r\nlast\r\n" % sub.sid
        peer.send(ws_frame(last) + ws_frame(payload, CLOSE) + ws_frame(last))
        await eventually(lambda: len(server.peers) == 2 and nc.is_connected)
        assert isinstance(lost[0], WebSocketClosedError)
        assert lost[0].code == code
        with pytest.raises(WebSocketClosedError, match=told):
            raise lost[0]
        assert sub.pending_msgs == 1  # what came before counts, what came behind does not
        assert [opcode for opcode, _ in peer.controls] == [CLOSE]


async def test_an_err_before_the_close_frame_is_the_reason() -> None:
    lost: list[Any] = []
    async with (
        ScriptedWebSocket() as server,
        connect(server.url, on_disconnect=lambda _, error: lost.append(error), **QUICK) as nc,
    ):
        peer = await server.peer()
        peer.send(ws_frame(b"-ERR 'Authorization Violation'\r\n") + ws_frame(b"\x03\xf0", CLOSE))
        await eventually(lambda: len(server.peers) == 2 and nc.is_connected)
        assert isinstance(lost[0], AuthorizationError)


async def test_we_say_goodbye_behind_what_was_sent() -> None:
    async with ScriptedWebSocket() as server, no_leaks():
        nc = await connect(server.url)
        peer = await server.peer()
        await nc.publish("a", b"last")
        await nc.close()
        await peer.closed.wait()
        assert (await peer.expect(b"PUB a")).payload == b"last"
        assert peer.controls == [(CLOSE, b"\x03\xe8")]
