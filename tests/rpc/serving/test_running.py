"""What a running service subscribes to: how much, in which order, and what if it is refused."""

from __future__ import annotations

import asyncio
import json
import logging
import urllib.request
from typing import Any

import pytest

from natsrpc.errors import MaxSubscriptionsError, PermissionsError
from natsrpc.rpc import Service, connect
from natsrpc.rpc.serving.denials import TELLING
from natsrpc.testing import NatsServer
from tests.core.harness import ScriptedServer, eventually

pytestmark = pytest.mark.live


def calc(*names: str) -> Service:
    service = Service("calc", version="1.0.0")
    for name in names:

        @service.handler(f"calc.{name}")
        async def one(a: int) -> int:
            return a

    return service


FOUR = ("add", "sub", "mul", "div")
LIMITED = "authorization {{ users: [{{user: s, password: s, permissions: {{{}}}}}] }}"
ENDPOINTS_ONLY = LIMITED.format('publish: ">", subscribe: ["calc.add", "calc.sub", "_INBOX.>"]')
HALF = LIMITED.format('publish: ">", subscribe: ["calc.add", "calc.add.>", "$SRV.>"]')


def interest(server: NatsServer) -> list[str]:
    """The subjects of all subscriptions of the only client, as the server knows them."""
    url = f"http://127.0.0.1:{server.monitor_port}/connz?subs=1"
    with urllib.request.urlopen(url, timeout=5) as answer:
        (connection,) = json.load(answer)["connections"]
    found: list[str] = connection.get("subscriptions_list", [])
    return found


async def test_three_subscriptions_an_endpoint_and_three_for_discovery() -> None:
    """Each is known to every server of a cluster."""
    with NatsServer('http: "127.0.0.1:-1"') as server:
        async with connect(server.url) as client:
            running = await client.serve(calc(*FOUR))
            found = await asyncio.to_thread(interest, server)
            id_ = running.services[0].id
            assert sorted(found) == sorted(
                [
                    *(f"calc.{name}" for name in FOUR),
                    *(f"calc.{name}._NATSRPC.large" for name in FOUR),
                    *(f"calc.{name}._NATSRPC.cancel" for name in FOUR),
                    *("$SRV.*", "$SRV.*.calc", f"$SRV.*.calc.{id_}"),
                ]
            )
            await running.drain()
            assert await asyncio.to_thread(interest, server) == []


async def test_endpoints_are_accepted_before_anything_else_is_subscribed() -> None:
    async with ScriptedServer() as server, connect(server.url) as client:
        peer = await server.accept()
        await peer.expect(b"PING")
        peer.auto_pong = False
        serving = asyncio.ensure_future(_serve(client, calc("add", "sub"), calc("mul")))
        await peer.expect(b"PING")
        first = [frame.subject for frame in peer.frames if frame.op == b"SUB"]
        assert first == [b"calc.add", b"calc.sub", b"calc.mul"]
        peer.auto_pong = True
        peer.pong()
        running = await serving
        later = [frame.subject for frame in peer.frames if frame.op == b"SUB"][3:]
        assert len(later) == 3 * 2 + 2 * 3
        assert all(b"_NATSRPC" in each or each.startswith(b"$SRV") for each in later)
        await running.close()


async def _serve(client: Any, *services: Service) -> Any:
    return await client.serve(*services)


async def test_what_a_service_can_do_without_is_denied_in_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told: list[Exception] = []
    options: Any = {"on_error": lambda nc, sub, error: told.append(error)}
    with NatsServer(ENDPOINTS_ONLY) as server, caplog.at_level(logging.WARNING):
        async with (
            connect(server.url, user="s", password="s", **options) as client,
            client.serve(calc("add", "sub")),
        ):
            assert await client.call("calc.add", 1, int) == 1
            await eventually(lambda: caplog.records)
            await asyncio.sleep(2 * TELLING)  # why: whether more lines come
    (line,) = (record.getMessage() for record in caplog.records)
    for subject in ("calc.sub._NATSRPC.large", "calc.add._NATSRPC.cancel", "$SRV.*.calc"):
        assert repr(subject) in line
    assert told == []


async def test_a_denied_endpoint_is_an_error_and_leaves_nothing() -> None:
    with NatsServer(HALF) as server:
        async with connect(server.url, user="s", password="s") as client:
            with pytest.raises(PermissionsError, match=r"calc\.sub"):
                await client.serve(calc("add", "sub"))
            assert client.connection.subscriptions == []


async def test_a_service_whose_endpoints_are_too_many_for_the_server_is_an_error() -> None:
    with NatsServer("max_subscriptions: 1") as server:
        async with connect(server.url) as client:
            with pytest.raises(MaxSubscriptionsError):
                await client.serve(calc("add", "sub"))
            assert client.connection.subscriptions == []


async def test_what_a_service_can_do_without_may_be_too_much_for_the_server() -> None:
    with NatsServer("max_subscriptions: 3") as server:
        async with (
            connect(server.url) as worker,
            connect(server.url) as client,
            worker.serve(calc("add", "sub")),
        ):
            assert await client.call("calc.add", 1, int) == 1
            assert await client.call("calc.sub", 2, int) == 2
