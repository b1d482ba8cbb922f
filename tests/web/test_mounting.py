"""A gateway in an app of others, and by itself: its life, and the paths below which it is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import fastapi
import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

import natsrpc
from natsrpc.errors import NoServersError
from natsrpc.testing import NatsServer, serve_in_memory
from natsrpc.web import Gateway

from .shop import shop


@asynccontextmanager
async def living(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an app that has begun."""
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as http:
            yield http


async def test_in_fastapi_the_lifespan_opens_and_closes_the_client(
    nats_server: NatsServer,
) -> None:
    gateway = Gateway(natsrpc.connect(nats_server.url))
    app = fastapi.FastAPI(lifespan=gateway.lifespan)
    app.mount("/rpc", gateway)

    @app.get("/health")
    async def health() -> str:
        return "ok"

    async with (
        natsrpc.connect(nats_server.url) as worker,
        worker.serve(shop()),
        living(app) as http,
    ):
        assert (await http.get("/health")).json() == "ok"
        page = await http.get("/rpc/", follow_redirects=True)
        assert (page.url.path, page.status_code) == ("/rpc/docs", 200)
        answer = await http.post("/rpc/orders/place", json={"sku": "tea"})
        assert answer.json()["sku"] == "tea"
        document = (await http.get("/rpc/openapi.json")).json()
        assert document["servers"] == [{"url": "/rpc"}]
        assert "/orders/place" in document["paths"]
    assert gateway._client._opened.connection.is_closed  # type: ignore[union-attr]  # noqa: SLF001


async def test_in_starlette_below_a_path_with_odd_letters() -> None:
    async with serve_in_memory(shop()) as client:
        gateway = Gateway(client)
        app = Starlette(routes=[Mount("/a b/é", gateway)], lifespan=gateway.lifespan)
        async with living(app) as http:
            answer = await http.get("/a b/é/orders/x%2Fy/list")
            assert answer.json()[0] == "x/y"
        assert not client.connection.is_closed


async def drive(app: Gateway, *received: str) -> list[dict[str, Any]]:
    """What an app says of its life to a server that tells it these."""
    said: list[dict[str, Any]] = []
    messages = [{"type": f"lifespan.{each}"} for each in received]

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        said.append(message)

    await app({"type": "lifespan"}, receive, send)
    return said


async def test_by_itself_it_lives_as_its_server_tells_it(nats_server: NatsServer) -> None:
    gateway = Gateway(natsrpc.connect(nats_server.url))
    said = await drive(gateway, "startup", "shutdown")
    assert [each["type"] for each in said] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]


async def test_a_gateway_that_cannot_connect_does_not_start() -> None:
    gateway = Gateway(natsrpc.connect("nats://127.0.0.1:1", max_reconnect_attempts=0))
    with pytest.raises(NoServersError):
        await drive(gateway, "startup")


async def test_a_websocket_is_closed() -> None:
    said: list[dict[str, Any]] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        said.append(message)

    async with serve_in_memory(shop()) as client:
        await Gateway(client)({"type": "websocket"}, receive, send)
    assert [each["type"] for each in said] == ["websocket.close"]
