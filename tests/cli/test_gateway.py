"""`natsrpc gateway`: a process that serves over HTTP until it is told to stop."""

from __future__ import annotations

import asyncio
import re
import signal
import sys

import httpx
import pytest

import natsrpc
from natsrpc.testing import NatsServer
from tests.core.harness import eventually
from tests.web.shop import shop

from .processes import Command

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals"),
]


def address(command: Command) -> str:
    """Where a gateway serves, once it does."""
    found = re.search(r"http://[^,]+", command.wait_for("services are at"))
    assert found is not None
    return found[0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_gateway_serves_until_it_is_told_to_stop(
    nats_server: NatsServer, number: signal.Signals
) -> None:
    async with natsrpc.connect(nats_server.url) as worker, worker.serve(shop()) as server:
        with Command("gateway", "--port", "0", "--server", nats_server.url) as command:
            url = await asyncio.to_thread(address, command)
            async with httpx.AsyncClient(base_url=url) as http:
                answer = await http.post("/orders/place", json={"sku": "tea"})
                assert answer.json()["sku"] == "tea"
                assert "/orders/place" in (await http.get("/openapi.json")).json()["paths"]
                elsewhere = await http.get("/openapi.json", headers={"Host": "evil.example"})
                assert elsewhere.status_code == 421
                slow = asyncio.ensure_future(http.post("/orders/sleep", json=0.5))
                await eventually(lambda: server.inflight == 1)
                command.signal(number)
                assert (await slow).json() == "awake"
            assert await asyncio.to_thread(command.wait) == 0


async def test_options_reach_the_gateway(nats_server: NatsServer) -> None:
    arguments = ("stock", "--max-body", "1KiB", "--timeout", "3s", "--header", "X-Tenant")
    services = shop(), shop("stock")
    async with natsrpc.connect(nats_server.url) as worker, worker.serve(*services):
        with Command("gateway", *arguments, "-p", "0", "-s", nats_server.url) as command:
            url = await asyncio.to_thread(address, command)
            async with httpx.AsyncClient(base_url=url) as http:
                assert (await http.post("/orders/forget")).status_code == 404
                assert (
                    await http.post("/stock/place", json={"sku": "x" * 2000})
                ).status_code == 413
                answer = await http.post("/stock/headers", headers={"X-Tenant": "acme"})
                assert answer.json()["natsrpc-timeout"] == "3000"
                assert answer.json()["x-tenant"] == "acme"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--header", "Nats-Msg-Id"], "'Nats-Msg-Id' never crosses"),
        (["--cors", "shop.example"], "no origin"),
        (["--timeout", "2m"], "expected at most max_timeout"),
        (["--host", "256.1.1.1"], "cannot listen at"),
    ],
)
def test_what_cannot_be_served_is_told(
    nats_server: NatsServer, arguments: list[str], text: str
) -> None:
    with Command("gateway", "-p", "0", "-s", nats_server.url, *arguments) as command:
        assert command.wait() == 2
        assert text in command.output
