"""A message without a reply subject is handled like any other, and nothing is written for it."""

from __future__ import annotations

import asyncio

import pytest

from natsrpc.errors import RpcError
from natsrpc.rpc import Client, Service, connect
from natsrpc.testing import NatsServer
from tests.core.harness import Frame, Link, Proxy, eventually

pytestmark = pytest.mark.live

CASES = [
    ("value", b"1", {}, True),
    ("refuses", b"1", {}, True),
    ("fails", b"1", {}, True),
    ("slow", b"1", {"Natsrpc-Timeout": "20"}, True),
    ("value", b"{broken", {}, False),
    ("value", b'"no number"', {}, False),
    ("value", b"1", {"Content-Type": "application/x-unknown"}, False),
    ("value", b"1", {"Natsrpc-Timeout": "soon"}, False),
]


@pytest.mark.parametrize(("name", "body", "headers", "runs"), CASES)
async def test_nothing_is_written_where_nobody_waits(
    name: str,
    body: bytes,
    headers: dict[str, str],
    runs: bool,
    nats_server: NatsServer,
    client: Client,
) -> None:
    service = Service("silent", version="1.0.0")
    ran: list[str] = []

    @service.handler("silent.value")
    async def value(number: int) -> int:
        ran.append("value")
        return number

    @service.handler("silent.refuses")
    async def refuses(number: int) -> int:
        ran.append("refuses")
        raise RpcError("no", code=409)

    @service.handler("silent.fails")
    async def fails(number: int) -> int:
        ran.append("fails")
        raise ZeroDivisionError

    @service.handler("silent.slow")
    async def slow(number: int) -> int:
        ran.append("slow")
        await asyncio.Event().wait()
        return number

    async with (
        Proxy(nats_server.port) as proxy,
        connect(proxy.url) as serving,
        serving.serve(service) as server,
    ):
        (link,) = proxy.links
        endpoints = {endpoint.contract.name: endpoint for endpoint in server.services[0].endpoints}
        written = len(published(link))
        await client.connection.publish(f"silent.{name}", body, headers=headers)
        await client.connection.flush()
        if runs:
            await eventually(lambda: endpoints[name].answers.num_requests == 1)
            assert ran == [name]
        await client.call("silent.value", 7, int)  # the connection lives, the service goes on
        assert len(published(link)) == written + 1
        assert proxy.links == [link]


def published(link: Link) -> list[Frame]:
    return [frame for frame in link.frames() if frame.op in (b"PUB", b"HPUB")]
