"""An app on a socket in the loop of its caller."""

from __future__ import annotations

import asyncio
import signal
import socket
import urllib.request
from typing import Any

import pytest

from natsrpc.errors import ConfigError
from natsrpc.web import bind, serve


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
