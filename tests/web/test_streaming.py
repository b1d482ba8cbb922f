"""Streams over HTTP, on real sockets: items as they come, clients that leave or do not read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

import natsrpc
from natsrpc.web import exchange

from .conftest import Hosted

Events = list[tuple[str, Any]]


class Desk:
    """A service whose handlers wait for the test, which sees how they end."""

    def __init__(self) -> None:
        self.service = natsrpc.Service("desk", version="1.0.0")
        self.next: asyncio.Queue[Any] = asyncio.Queue()
        self.begun = asyncio.Event()
        self.ended = asyncio.Event()
        self.sent = 0
        self.service.handler("desk.watch", idempotent=True)(self.watch)
        self.service.handler("desk.flood", idempotent=True)(self.flood)
        self.service.handler("desk.wait")(self.wait)
        self.service.handler("desk.raw")(self.raw)
        self.service.handler("desk.lines")(self.lines)
        self.service.handler("desk.count")(self.count)

    async def watch(self) -> AsyncIterator[dict[str, int]]:
        self.begun.set()
        try:
            while (item := await self.next.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            self.ended.set()

    async def flood(self) -> AsyncIterator[str]:
        try:
            while True:
                self.sent += 1
                yield "x" * 10_000
        finally:
            self.ended.set()

    async def wait(self) -> None:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.set()

    async def raw(self) -> AsyncIterator[bytes]:
        yield b"\x00\n"
        yield b"\xff"
        if await self.next.get() is None:
            raise natsrpc.RpcError("broken")

    async def count(self, items: AsyncIterator[int]) -> int:
        try:
            count = 0
            async for _ in items:
                self.begun.set()
                count += 1
            return count
        finally:
            self.ended.set()

    async def lines(self, items: AsyncIterator[int]) -> AsyncIterator[int]:
        async for item in items:
            yield item * 2


def events_of(text: str) -> Events:
    """The events of a response, as a browser reads them."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if line[:1] != ":")
        if fields:
            found.append((fields.get("event", "message"), json.loads(fields["data"])))
    return found


async def test_events_come_when_they_are_sent(hosted: Hosted) -> None:
    desk = Desk()
    accept = {"Accept": "text/event-stream"}
    async with hosted(desk.service) as url, httpx.AsyncClient(base_url=url) as http:
        desk.next.put_nowait({"n": 1})
        async with http.stream("GET", "/desk/watch", headers=accept) as response:
            assert response.headers["content-type"] == "text/event-stream"
            assert response.headers["cache-control"] == "no-store"
            pieces = response.aiter_text()
            assert events_of(await anext(pieces)) == [("message", {"n": 1})]
            desk.next.put_nowait({"n": 2})
            assert events_of(await anext(pieces)) == [("message", {"n": 2})]
            desk.next.put_nowait(None)
            assert events_of("".join([each async for each in pieces])) == [("end", {})]


async def test_an_error_ends_a_stream_as_its_last_event(hosted: Hosted) -> None:
    desk = Desk()
    accept = {"Accept": "text/event-stream"}
    async with hosted(desk.service) as url, httpx.AsyncClient(base_url=url) as http:
        for item in ({"n": 1}, natsrpc.RpcError("no more", code=410)):
            desk.next.put_nowait(item)
        first, last = events_of((await http.get("/desk/watch", headers=accept)).text)
        assert first == ("message", {"n": 1})
        assert last[0] == "problem"
        assert (last[1]["status"], last[1]["detail"]) == (410, "no more")
        for item in ({"n": 1}, natsrpc.RpcError("no more", code=410)):
            desk.next.put_nowait(item)
        lines = (await http.get("/desk/watch")).text.splitlines()
        assert json.loads(lines[0]) == {"n": 1}
        assert json.loads(lines[1])["$problem"]["status"] == 410


async def test_an_error_before_the_first_item_has_its_status(hosted: Hosted) -> None:
    desk = Desk()
    async with hosted(desk.service) as url, httpx.AsyncClient(base_url=url) as http:
        desk.next.put_nowait(natsrpc.NotFoundError("no such desk"))
        refused = await http.get("/desk/watch")
        assert refused.status_code == 404
        assert refused.headers["content-type"] == "application/problem+json"


async def test_a_quiet_stream_begins_and_shows_that_it_lives(
    hosted: Hosted, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk()
    monkeypatch.setattr("natsrpc.web.streaming.FIRST", 0.01)
    accept = {"Accept": "text/event-stream"}
    async with (
        hosted(desk.service, heartbeat=0.01) as url,
        httpx.AsyncClient(base_url=url) as http,
        http.stream("GET", "/desk/watch", headers=accept) as response,
    ):
        pieces = response.aiter_text()
        assert ": still here" in await anext(pieces)
        assert ": still here" in await anext(pieces)


async def test_raw_items_are_bytes_and_break_off_at_an_error(hosted: Hosted) -> None:
    desk = Desk()
    async with hosted(desk.service) as url, httpx.AsyncClient(base_url=url) as http:
        desk.next.put_nowait("end")
        whole = await http.post("/desk/raw")
        assert whole.headers["content-type"] == "application/octet-stream"
        assert whole.content == b"\x00\n\xff"
        desk.next.put_nowait(None)
        with pytest.raises(httpx.RemoteProtocolError):
            await http.post("/desk/raw")
        desk.next.put_nowait("end")
        text = (await http.post("/desk/raw", headers={"Accept": "text/event-stream"})).text
        assert text.startswith("data: AAo=\n\ndata: /w==\n\n")


async def chunk(reader: asyncio.StreamReader) -> bytes:
    """One chunk of a response."""
    size = int(await reader.readline(), 16)
    return (await reader.readexactly(size + 2))[:-2]


async def test_both_sides_stream_at_once(hosted: Hosted) -> None:
    async with hosted(Desk().service) as url:
        reader, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
        writer.write(
            b"POST /desk/lines HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n2\r\n1\n\r\n"
        )
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        item = await chunk(reader)
        for _ in range(3):  # each answer is the next item
            writer.write(b"%x\r\n%b\r\n" % (len(item), item))
            item = await chunk(reader)
        assert item == b"16\n"
        writer.write(b"0\r\n\r\n")
        assert await chunk(reader) == b""
        writer.close()


async def left(url: str, request: bytes, until: asyncio.Event) -> None:
    """Send a request, and leave once something has happened."""
    _, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
    writer.write(request)
    await asyncio.wait_for(until.wait(), 10)
    writer.transport.abort()


@pytest.mark.parametrize("line", ["POST /desk/wait", "GET /desk/watch"])
async def test_a_client_that_leaves_cancels_the_call(hosted: Hosted, line: str) -> None:
    desk = Desk()
    async with (
        hosted(desk.service, timeout=60.0) as url,
        httpx.AsyncClient(base_url=url) as http,
    ):
        await http.get("/services.json")  # the first request may be slow, and is looked at sooner
        request = f"{line} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode()
        await left(url, request, desk.begun)
        await asyncio.wait_for(desk.ended.wait(), 10)


async def test_a_client_that_leaves_within_an_upload_ends_it(hosted: Hosted) -> None:
    desk = Desk()
    async with hosted(desk.service) as url:
        head = (
            b"POST /desk/count HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n"
            b"Content-Length: 1000\r\n\r\n1\n2\n"
        )
        await left(url, head, desk.begun)
        await asyncio.wait_for(desk.ended.wait(), 10)


async def test_a_client_that_does_not_read_holds_the_service_up_and_is_left(
    hosted: Hosted, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk()
    monkeypatch.setattr(exchange, "STALL", 0.3)
    async with hosted(desk.service) as url:
        reader, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
        writer.write(b"GET /desk/flood HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.wait_for(desk.ended.wait(), 20)
        assert desk.sent < 3_000  # what the sockets and the windows take: some megabytes
        writer.transport.abort()
        assert reader


async def test_streams_are_bounded_in_number(hosted: Hosted) -> None:
    desk = Desk()
    async with (
        hosted(desk.service, max_streams=1) as url,
        httpx.AsyncClient(base_url=url) as http,
    ):
        desk.next.put_nowait({"n": 1})
        async with http.stream("GET", "/desk/watch") as response:
            await anext(response.aiter_text())
            refused = await http.get("/desk/watch")
            assert refused.status_code == 503
            assert refused.headers["retry-after"] == "1"
        await asyncio.wait_for(desk.ended.wait(), 10)
        desk.next.put_nowait(None)
        assert (await http.get("/desk/watch")).status_code == 200
