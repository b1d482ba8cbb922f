"""A service on a server of its own, and the command beside it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

import natsrpc
from natsrpc.testing import NatsServer

from .processes import Shell

service = natsrpc.Service("cli-test", version="1.2.3", description="for the command line")


@service.handler("cli.echo", name="echo")
async def echo(value: dict[str, int]) -> dict[str, int]:
    return value


@service.handler("cli.header", name="header")
async def header(message: natsrpc.Msg) -> str:
    return message.headers.get("Who") or ""


@service.handler("cli.raw", name="raw")
async def raw(body: bytes) -> bytes:
    return body[::-1]


@service.handler("cli.missing", name="missing")
async def missing() -> None:
    raise natsrpc.NotFoundError("there is no such thing", details={"id": 7})


@service.handler("cli.nothing", name="nothing")
async def nothing() -> None:
    pass


@service.handler("cli.count", name="count")
async def count(to: int) -> AsyncIterator[int | None]:
    for n in range(to):
        yield n
    yield None
    if to > 2:
        raise natsrpc.NotFoundError("no more of them")


@service.handler("cli.bytes", name="bytes")
async def plain_bytes(count: int) -> bytes:
    return bytes(n % 128 for n in range(count))


@service.handler("cli.sum", name="sum")
async def total(numbers: AsyncIterator[int]) -> int:
    return sum([number async for number in numbers])


@service.handler("cli.double", name="double")
async def double(numbers: AsyncIterator[int]) -> AsyncIterator[int]:
    async for number in numbers:
        yield 2 * number


@service.handler("cli.odd", name="odd")
async def odd() -> dict[bytes, int]:
    return {b"a\xff": 1}


@service.handler("cli.sleep", name="sleep")
async def sleep() -> None:
    await asyncio.Event().wait()


@pytest.fixture
def fresh_jetstream() -> Iterator[NatsServer]:
    """A server with JetStream for one test."""
    with NatsServer(jetstream=True) as server:
        yield server


@pytest.fixture
async def natsrpc_command(fresh_server: NatsServer) -> AsyncIterator[Shell]:
    async with natsrpc.connect(fresh_server.url) as client, client.serve(service):
        yield Shell(fresh_server.url)
