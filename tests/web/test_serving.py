"""An app on a socket in the loop of its caller."""

from __future__ import annotations

import asyncio
import signal
import socket
import urllib.request
from typing import Any

import pytest

from natsrpc.errors import ConfigError
from natsrpc.web import bind, serve, serving
from natsrpc.web.serving import CONNECTIONS, HEADERS


async def app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


def read(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310  # our own
        return bytes(answer.read())


async def test_an_app_is_served_while_the_block_runs() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with bind("127.0.0.1:0") as listener:
        async with serve(app, listener) as url:
            assert await asyncio.to_thread(read, url) == b"hello"
            assert signal.getsignal(signal.SIGTERM) is before
    with pytest.raises(OSError, match="refused"):
        await asyncio.to_thread(read, url)


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("8080", "expected HOST:PORT"),
        ("localhost:", "expected HOST:PORT"),
        ("localhost:http", "expected HOST:PORT"),
        ("127.0.0.1:70000", "expected HOST:PORT"),
        ("127.0.0.1:²", "expected HOST:PORT"),
        ("127.0.0.1:" + "9" * 5000, "expected HOST:PORT"),
        ("256.1.1.1:80", "cannot listen at"),
    ],
)
def test_addresses_that_are_none(address: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        bind(address)


def test_an_address_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"^port {port} of 127\.0\.0\.1 is in use$"):
            bind(f"127.0.0.1:{port}")


def test_all_addresses_are_an_empty_host() -> None:
    with bind(":0") as listener:
        assert listener.getsockname()[0] == "0.0.0.0"  # noqa: S104  # what is asked for


# who says nothing, too much, or something else


async def until_closed(reader: asyncio.StreamReader) -> bytes:
    """All that comes before the other side closes; nothing where it breaks the connection."""
    try:
        return await asyncio.wait_for(reader.read(), 20)
    except ConnectionResetError:
        return b""


@pytest.mark.parametrize("said", [b"", b"GET /livez HTTP/1.1\r\nHost: x\r\nX: "])
async def test_who_does_not_come_to_an_end_is_left(
    monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr(serving, "PATIENCE", 0.2)
    with bind("127.0.0.1:0") as listener:
        async with serve(app, listener):
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            writer.write(said)
            assert await until_closed(reader) == b""
            writer.close()


async def test_those_who_say_nothing_keep_nobody_out() -> None:
    with bind("127.0.0.1:0") as listener:
        async with serve(app, listener) as url:
            address = listener.getsockname()
            silent = [await asyncio.open_connection(*address) for _ in range(CONNECTIONS + 40)]
            assert await asyncio.to_thread(read, url) == b"hello"
            for reader, _ in silent[:40]:  # the oldest made room
                assert await until_closed(reader) == b""
            for _, writer in silent:
                writer.close()


async def test_a_request_without_end_is_refused() -> None:
    with bind("127.0.0.1:0") as listener:
        async with serve(app, listener):
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            writer.write(b"GET / HTTP/1.1\r\nX: " + b"x" * (HEADERS + 1))
            assert (await until_closed(reader)).startswith(b"HTTP/1.1 400 ")
            writer.close()


async def test_a_connection_is_for_one_request_and_no_websocket() -> None:
    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    with bind("127.0.0.1:0") as listener:
        async with serve(app, listener):
            for more in (b"", upgrade + b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"):
                reader, writer = await asyncio.open_connection(*listener.getsockname())
                writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n" + more + b"\r\n")
                answer = await until_closed(reader)
                assert answer.startswith(b"HTTP/1.1 200 ")
                assert b"\r\n5\r\nhello\r\n" in answer
                writer.close()
