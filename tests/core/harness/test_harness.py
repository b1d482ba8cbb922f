"""The harness itself, with nats-py as the client."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import nats
import nats.errors
import pytest
import trustme
from nats.aio.client import Client

from tests.core.harness import (
    MalformedFrameError,
    Proxy,
    ScriptedServer,
    elapse,
    eventually,
    no_leaks,
    parse_frames,
    warped,
)


async def connect(url: str, **options: Any) -> Client:
    return await nats.connect(url, **{"allow_reconnect": False, "connect_timeout": 1, **options})


async def test_a_client_connects_subscribes_and_gets_a_message() -> None:
    async with no_leaks(), ScriptedServer(info={"max_payload": 99}) as server:
        client = await connect(server.url)
        peer = await server.accept()
        assert client.max_payload == 99
        subscription = await client.subscribe("a.*")
        frame = await peer.expect(b"SUB a.*")
        peer.msg(b"a.b", frame.sid, b"one", reply=b"r")
        peer.msg(b"a.c", frame.sid, b"two", headers=b"NATS/1.0\r\nK: v\r\n\r\n")
        first, second = await subscription.next_msg(1), await subscription.next_msg(1)
        assert (first.subject, first.reply, first.data) == ("a.b", "r", b"one")
        assert (second.data, second.headers) == (b"two", {"K": "v"})
        await client.publish("out", b"hello", reply="back")
        await client.publish("out", b"hello", headers={"A": "b"})
        plain, headed = await peer.expect(b"PUB out"), await peer.expect(b"HPUB out")
        assert (plain.reply, plain.payload) == (b"back", b"hello")
        assert (headed.reply, headed.payload) == (b"", b"hello")
        assert headed.headers.startswith(b"NATS/1.0\r\nA: b")
        await client.close()
        await peer.closed.wait()


async def test_bytes_arrive_split_at_every_offset() -> None:
    async with ScriptedServer() as server:
        client = await connect(server.url)
        peer = await server.accept()
        subscription = await client.subscribe("a")
        await peer.expect(b"SUB")
        await peer.send_split(b"MSG a 1 2\r\nhi\r\n")
        assert (await subscription.next_msg(1)).data == b"hi"
        await client.close()


async def test_a_stalled_peer_reads_nothing_until_resumed() -> None:
    async with ScriptedServer(receive_buffer=4096) as server:
        client = await connect(server.url)
        peer = await server.accept()
        peer.stall()
        await client.publish("a", bytes(1 << 20))
        assert b"PUB" not in peer.ops()
        peer.resume()
        await peer.expect(b"PUB a")
        await client.close()


async def test_reset_and_refusal_reach_the_client() -> None:
    async with ScriptedServer() as server:
        client = await connect(server.url)
        peer = await server.accept()
        server.refuse()
        peer.reset()
        await eventually(lambda: client.is_closed)
        with pytest.raises((OSError, nats.errors.NoServersError)):
            await asyncio.open_connection("127.0.0.1", server.port)
        await server.listen()
        again = await connect(server.url)
        await server.accept()
        await again.close()


async def test_half_close_leaves_the_other_direction_open() -> None:
    async with ScriptedServer(handshake=False) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        peer = await server.accept()
        peer.half_close()
        assert await reader.read() == b""
        writer.write(b"PONG\r\n")
        assert (await peer.next_frame()).op == b"PONG"
        writer.close()


async def test_a_malformed_client_frame_fails_the_block() -> None:
    with pytest.raises(MalformedFrameError, match="does not end"):
        async with ScriptedServer(handshake=False) as server:
            _reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"PUB a 2\r\nxyz\r\n")
            await eventually(lambda: server.violations)
            writer.close()


@pytest.mark.parametrize("first", [False, True])
async def test_tls(first: bool) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with ScriptedServer(tls=context, tls_first=first) as server:
        client = await connect(server.url, tls=trusting, tls_handshake_first=first)
        peer = await server.accept()
        assert peer.transport.get_extra_info("cipher")
        await client.flush()
        await client.close()


async def test_the_proxy_records_splits_stalls_and_cuts() -> None:
    async with no_leaks(), ScriptedServer() as server, Proxy(server.port) as proxy:
        proxy.piece = 1
        client = await connect(proxy.url)
        peer = await server.accept()
        link = proxy.links[0]
        assert link.frames()[:2] == peer.frames[:2]
        assert link.down.startswith(b"INFO ")
        proxy.piece = None
        proxy.stall(up=False)
        flush = asyncio.create_task(client.flush(timeout=5))
        pings = peer.ops().count(b"PING")
        await eventually(lambda: peer.ops().count(b"PING") > pings or flush.done())
        assert not flush.done()
        proxy.resume()
        await flush
        proxy.refuse()
        proxy.cut()
        await eventually(lambda: client.is_closed)
        await link.closed.wait()


@warped
async def test_a_warped_clock_jumps_over_idle_time() -> None:
    loop = asyncio.get_running_loop()
    async with ScriptedServer() as server:
        client = await connect(server.url, ping_interval=120)
        peer = await server.accept()
        pings = peer.ops().count(b"PING")
        before = loop.time()
        await elapse(250)
        assert 250 <= loop.time() - before < 251
        assert peer.ops().count(b"PING") == pings + 2
        await client.close()


async def test_leaks_are_named() -> None:
    stop = asyncio.Event()
    with pytest.raises(AssertionError, match="left behind"):
        async with no_leaks(timeout=0.01):
            task = asyncio.create_task(stop.wait())
    stop.set()
    await task


def test_an_unfinished_frame_is_not_reported() -> None:
    whole = b"PING\r\nHPUB a r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n"
    assert [frame.op for frame in parse_frames(whole + b"PUB a 5\r\nhel")] == [b"PING", b"HPUB"]
    assert parse_frames(whole)[1].reply == b"r"
    for bad in (b"NOPE\r\n", b"PUB a\r\n", b"PUB a -1\r\n", b"SUB a\r\n", b"HPUB a 3 2\r\n"):
        with pytest.raises(MalformedFrameError):
            parse_frames(bad)
