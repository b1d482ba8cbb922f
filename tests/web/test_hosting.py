"""A gateway on a socket: who says nothing, who does not read, and how many there may be."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from natsrpc.web import hosting

from .conftest import Hosted
from .test_bodies import say


def address(url: str) -> list[Any]:
    return url.removeprefix("http://").split(":")


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"GET /services.json HTTP/1.1\r\nHost: x\r\nX: ",
        b"POST /orders/forget HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\nGET / HT",
    ],
)
async def test_who_does_not_come_to_an_end_is_left(
    hosted: Hosted, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr(hosting, "PATIENCE", 0.3)
    monkeypatch.setattr(hosting, "KEEP_ALIVE", 0.3)
    async with hosted() as url:
        await say(url, said)  # returns when the other side closes


async def test_a_request_that_takes_longer_than_its_head_may_is_answered(
    hosted: Hosted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosting, "PATIENCE", 0.3)
    async with hosted() as url, httpx.AsyncClient(base_url=url) as http:
        assert (await http.post("/orders/sleep", json=0.6)).json() == "awake"
        assert (await http.post("/orders/sleep", json=0.6)).json() == "awake"


async def test_a_head_without_end_is_refused(hosted: Hosted) -> None:
    async with hosted() as url:
        head = b"GET / HTTP/1.1\r\nX: " + b"x" * (hosting.HEADERS + 1)
        assert (await say(url, head)).startswith(b"HTTP/1.1 400 ")


async def test_who_does_not_read_a_large_answer_is_left(
    hosted: Hosted, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = asyncio.Event()
    before = hosting._Connection.connection_lost  # noqa: SLF001  what the client cannot see

    def note(self: Any, error: Exception | None) -> None:
        before(self, error)
        lost.set()

    monkeypatch.setattr("natsrpc.web.hosting._Connection.connection_lost", note)
    monkeypatch.setattr(hosting, "STALL", 0.3)
    async with hosted() as url:
        _, writer = await asyncio.open_connection(*address(url))
        body = bytes(7_000_000)
        head = (
            b"POST /orders/blob HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body)
        )
        writer.write(head)
        writer.write(body)
        try:
            await asyncio.wait_for(lost.wait(), 30)  # nobody reads what comes here
        finally:
            writer.transport.abort()


async def test_those_who_say_nothing_keep_nobody_out(
    hosted: Hosted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosting, "CONNECTIONS", 20)
    async with hosted() as url, httpx.AsyncClient(base_url=url) as http:
        slow = asyncio.ensure_future(http.post("/orders/sleep", json=1.0))
        silent = [await asyncio.open_connection(*address(url)) for _ in range(40)]
        async with httpx.AsyncClient(base_url=url) as other:
            assert (await other.post("/orders/forget")).status_code == 204
        assert (await slow).json() == "awake"
        for reader, _ in silent[:15]:  # the oldest made room
            assert await asyncio.wait_for(reader.read(), 10) == b""
        for _, writer in silent:
            writer.close()
