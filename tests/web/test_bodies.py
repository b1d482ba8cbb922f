"""The bodies of requests: how large, how slow, how many of them at one time."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

import natsrpc
from natsrpc.testing import NatsServer
from natsrpc.web import Gateway

from .conftest import Browse, Hosted, browsing
from .shop import shop
from .test_gateway import BYTES, NDJSON, problem

MIB = 1024 * 1024


async def pieces(size: int, piece: int = 64 * 1024) -> AsyncIterator[bytes]:
    """A body of zeros, in pieces."""
    for _ in range(size // piece):
        yield bytes(piece)


async def test_a_body_that_is_too_large_is_refused(browse: Browse) -> None:
    http = await browse(max_body=100_000)
    said = await http.post("/orders/blob", content=bytes(100_001), headers=BYTES)
    assert problem(said, 413)["errors"][0]["in"] == "body"
    unsaid = await http.post("/orders/blob", content=pieces(MIB), headers=BYTES)
    problem(unsaid, 413)
    assert (
        await http.post("/orders/blob", content=bytes(100_000), headers=BYTES)
    ).status_code == 200


async def test_an_item_that_is_too_large_is_refused(browse: Browse) -> None:
    http = await browse(max_body=1_000)
    line = b'{"sku":"' + b"a" * 1_000 + b'"}\n'
    problem(await http.post("/orders/import?value=eu", content=line * 2, headers=NDJSON), 413)
    small = b'{"sku":"a"}\n' * 1_000
    answer = await http.post("/orders/import?value=eu", content=small, headers=NDJSON)
    assert len(answer.json()) == 1_001


async def test_a_file_of_any_size_passes_in_pieces(browse: Browse) -> None:
    http = await browse(max_body=1_000)
    answer = await http.post("/orders/store", content=pieces(8 * MIB), headers=BYTES)
    assert answer.json() == 8 * MIB


async def test_bodies_that_are_held_at_one_time_are_bounded(browse: Browse) -> None:
    http = await browse(max_held=300_000, max_body=MIB)
    over = await http.post("/orders/blob", content=bytes(400_000), headers=BYTES)
    assert problem(over, 503)["detail"].startswith("the gateway holds")
    for _ in range(5):  # what was held is given back, that of a refused one, too
        answer = await http.post("/orders/blob", content=bytes(140_000), headers=BYTES)
        assert answer.status_code == 200
        over = await http.post("/orders/blob", content=pieces(MIB), headers=BYTES)
        problem(over, 503)


async def test_long_lines_are_held_within_the_same_bound(browse: Browse) -> None:
    http = await browse(max_held=300_000, max_body=MIB)
    line = b'{"sku":"a","note":"' + b"a" * 400_000 + b'"}'

    async def body() -> AsyncIterator[bytes]:
        for begin in range(0, len(line), 50_000):
            yield line[begin : begin + 50_000]

    for _ in range(3):
        over = await http.post("/orders/import?value=eu", content=body(), headers=NDJSON)
        problem(over, 503)
    small = b'{"sku":"a"}\n'
    answer = await http.post("/orders/import?value=eu", content=small, headers=NDJSON)
    assert answer.status_code == 200


async def test_a_large_body_is_held_once(nats_server: NatsServer) -> None:
    """At the peak there is one at the gateway; the others are at the worker, in this process."""
    size = 6 * MIB
    service = natsrpc.Service("far", version="1.0.0")

    @service.handler("far.length")
    async def length(data: bytes) -> int:
        return len(data)

    async def receive_in_pieces() -> AsyncIterator[bytes]:
        async for piece in pieces(size):
            yield piece

    async with (
        natsrpc.connect(nats_server.url) as worker,
        worker.serve(service),
        natsrpc.connect(nats_server.url) as client,
        browsing(Gateway(client)) as http,
    ):
        await http.get("/services.json")
        tracemalloc.start()
        try:
            answer = await http.post("/far/length", content=receive_in_pieces(), headers=BYTES)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert answer.json() == size
        # one at the gateway; the parts and the whole at the worker
        assert peak < 3.6 * size


async def say(url: str, data: bytes) -> bytes:
    """All that comes of a request, which may be half of one, until the other side closes."""
    reader, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
    writer.write(data)
    try:
        return await asyncio.wait_for(reader.read(), 20)
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize(
    "line",
    [
        b"POST /orders/place HTTP/1.1\r\nContent-Type: application/json\r\n",
        b"POST /orders/import?value=eu HTTP/1.1\r\nContent-Type: application/x-ndjson\r\n",
    ],
)
async def test_a_body_that_does_not_come_is_not_waited_for(
    hosted: Hosted, monkeypatch: pytest.MonkeyPatch, line: bytes
) -> None:
    monkeypatch.setattr("natsrpc.web.hosting.KEEP_ALIVE", 0.1)
    async with hosted(body_timeout=0.2) as url:
        head = line + b"Host: x\r\nContent-Length: 100\r\n\r\n{"
        answer = await say(url, head)
        assert answer.startswith(b"HTTP/1.1 408 ")


def waiting(going_on: asyncio.Event, **options: Any) -> natsrpc.Service:
    """A service that answers once it may go on."""
    service = natsrpc.Service("small", version="1.0.0")

    @service.handler("small.wait", **options)
    async def wait() -> None:
        await going_on.wait()

    return service


async def test_requests_are_bounded_in_number(hosted: Hosted) -> None:
    going_on = asyncio.Event()
    service = waiting(going_on)
    async with hosted(service, max_requests=2) as url, httpx.AsyncClient(base_url=url) as http:
        await http.get("/openapi.json")
        slow = [asyncio.ensure_future(http.post("/small/wait")) for _ in range(2)]
        while (refused := await http.get("/openapi.json")).status_code == 200:
            pass  # they are not here yet
        problem(refused, 503)
        assert refused.headers["retry-after"] == "1"
        going_on.set()
        assert [(await each).status_code for each in slow] == [204, 204]
        assert (await http.post("/small/wait")).status_code == 204


async def test_an_overloaded_service_says_so(browse: Browse) -> None:
    going_on = asyncio.Event()
    http = await browse(waiting(going_on, max_concurrency=1, max_waiting=0))
    await http.get("/services.json")
    first, second = (asyncio.ensure_future(http.post("/small/wait")) for _ in range(2))
    done, _ = await asyncio.wait([first, second], return_when=asyncio.FIRST_COMPLETED)
    refused = done.pop().result()
    assert problem(refused, 429)["error"] == "OverloadedError"
    assert refused.headers["retry-after"] == "1"
    going_on.set()
    assert {(await each).status_code for each in (first, second)} == {204, 429}


async def test_a_large_answer_passes_whole(browse: Browse) -> None:
    service = natsrpc.Service("large", version="1.0.0")

    @service.handler("large.text")
    async def text() -> str:
        return "x" * (3 * MIB)

    answer = await (await browse(service, shop())).post("/large/text")
    assert len(answer.json()) == 3 * MIB
