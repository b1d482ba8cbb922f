"""What the gateway tells of the services: the shape that its page is made from."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx

import natsrpc
from natsrpc.describe import read_document
from natsrpc.testing import Broker, NatsServer, serve_in_memory
from natsrpc.web import Gateway
from natsrpc.web.catalog import Entry, Snapshot
from natsrpc.web.description import describe_services

from .shop import shop

ENDPOINT = {
    "name", "subject", "template", "queue_group", "kind", "idempotent", "description",
    "content_type", "request", "items", "response", "errors", "http",
}  # fmt: skip


@asynccontextmanager
async def browsing(gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(gateway)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as http:
        yield http
    await gateway.close()


async def described(*services: natsrpc.Service) -> dict[str, Any]:
    """The description of services, each of which is served by itself."""
    broker = Broker()
    async with AsyncExitStack() as stack:
        for service in services:
            client = await stack.enter_async_context(serve_in_memory(service, broker=broker))
        http = await stack.enter_async_context(browsing(Gateway(client)))
        response = await http.get("/services.json")
        assert response.headers["content-type"] == "application/json"
        found: dict[str, Any] = response.json()
        return found


async def test_the_services_are_described_with_all_that_a_page_shows() -> None:
    found = await described(shop())
    assert found.keys() == {"number", "seen", "is_complete", "problem", "services"}
    assert (found["number"], found["is_complete"], found["problem"]) == (1, True, "")
    (service,) = found["services"]
    (version,) = service["versions"]
    assert (service["name"], version["version"]) == ("orders", "1.0.0")
    assert version["description"] == "takes orders"
    assert version["instance_count"] == len(version["instances"]) == 1
    assert version["instances"][0].keys() == {"id", "metadata"}
    assert version["problem"] == ""
    assert version["workers"] == []
    assert [each["subject"] for each in version["publishes"]] == ["shop.events.{region}.placed"]
    assert [each["name"] for each in version["subscribers"]] == ["note"]
    assert version["subscribers"][0]["http"] is None
    for endpoint in version["endpoints"]:
        assert endpoint.keys() >= ENDPOINT


async def test_an_endpoint_is_described_with_its_path() -> None:
    (service,) = (await described(shop()))["services"]
    by_name = {each["name"]: each for each in service["versions"][0]["endpoints"]}
    place = by_name["place"]
    assert place["description"] == "Place an order."
    assert place["request"]["properties"].keys() == {"sku", "quantity"}
    assert place["errors"][0]["name"] == "OutOfStock"
    assert place["http"]["path"] == "/orders/place"
    assert place["http"]["methods"] == ["POST"]
    listing = by_name["list"]["http"]
    assert listing["path"] == "/orders/{user}/list"
    assert (listing["methods"], listing["tokens"]) == (["GET", "POST"], ["user"])
    assert listing["query"].keys() == {"state", "limit", "exact"}
    assert by_name["watch"]["http"]["methods"] == ["GET", "POST"]
    assert by_name["double"]["http"]["query"] == {"value": {"type": "integer"}}


async def test_versions_are_listed_the_newest_first() -> None:
    found = await described(shop(version="1.9.0"), shop(version="1.10.0"), shop("stock"))
    orders, stock = found["services"]
    assert [each["version"] for each in orders["versions"]] == ["1.10.0", "1.9.0"]
    assert stock["name"] == "stock"


def test_workers_are_listed_by_themselves() -> None:
    work = {"stream": "SHOP", "durable": "charge", "dead_letter": ""}
    endpoint = {"name": "charge", "subject": "shop.placed", "kind": "worker", "work": work}
    value = {"name": "billing", "version": "1.0.0", "endpoints": [endpoint]}
    entry = Entry("billing", "1.0.0", {}, (), read_document(value))
    (version,) = describe_services(Snapshot(1, (entry,)))["services"][0]["versions"]
    assert version["endpoints"] == version["subscribers"] == []
    (worker,) = version["workers"]
    assert (worker["name"], worker["work"], worker["http"]) == ("charge", work, None)


async def test_who_has_the_description_is_told_that_it_is_the_same() -> None:
    async with serve_in_memory(shop()) as client, browsing(Gateway(client)) as http:
        first = await http.get("/services.json")
        again = await http.get("/services.json", headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


async def test_figures_are_asked_for_once_a_second() -> None:
    broker = Broker()
    async with serve_in_memory(shop(), broker=broker) as client, browsing(Gateway(client)) as http:
        assert (await http.post("/orders/forget")).status_code == 204
        figures = (await http.get("/stats.json")).json()
        (instance,) = figures["instances"]
        assert instance["name"] == "orders"
        by_name = {each["name"]: each for each in instance["endpoints"]}
        assert by_name["forget"]["num_requests"] == 1
        assert by_name["forget"]["health"] == "ok"
        await http.get("/stats.json")
        asked = [each for each in broker.published if each.subject == "$SRV.STATS"]
        assert len(asked) == 1


async def test_figures_without_a_connection_are_unavailable(fresh_server: NatsServer) -> None:
    lost = asyncio.Event()
    async with (
        natsrpc.connect(fresh_server.url, on_disconnect=lambda *_: lost.set()) as client,
        browsing(Gateway(client)) as http,
    ):
        fresh_server.kill()
        await lost.wait()
        refused = await http.get("/stats.json")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert refused.json()["detail"] == "the gateway has no connection to NATS"
