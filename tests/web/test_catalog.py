"""The services that are there: found, kept current, and bounded whatever anybody answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

import natsrpc
from natsrpc.core import Connection, Msg
from natsrpc.testing import Broker, serve_in_memory
from natsrpc.web import Gateway, catalog

from .conftest import browsing
from .shop import shop
from .test_gateway import problem

Answer = dict[str, Any]

PLACE: Answer = {
    "name": "place", "subject": "evil.place", "kind": "unary", "idempotent": True,
    "content_type": "application/json", "request": {}, "response": {}, "errors": [],
}  # fmt: skip


def looks(broker: Broker) -> int:
    """How often all services were asked whether they are there."""
    return sum(each.subject == "$SRV.PING" for each in broker.published)


@asynccontextmanager
async def behind(broker: Broker, **options: Any) -> AsyncIterator[Any]:
    """A client of a gateway on a broker where no service need be."""
    async with (
        natsrpc.connect("nats://memory:4222", **broker.options()) as client,
        browsing(Gateway(client, **options)) as http,
    ):
        yield http


async def shown(http: Any, is_so: Callable[..., bool]) -> None:
    """Wait until the paths of the OpenAPI document are as a test wants."""
    for _ in range(200):
        if is_so((await http.get("/openapi.json")).json()["paths"]):
            return
        await asyncio.sleep(0.05)  # why: the gateway looks no more than once a second
    pytest.fail("the services were not seen to come or go")


async def test_services_that_come_and_go_are_seen() -> None:
    broker = Broker()
    async with behind(broker, refresh=0.001) as http:
        problem(await http.post("/orders/forget"), 404)
        assert (await http.get("/openapi.json")).json()["paths"] == {}
        async with serve_in_memory(shop(), broker=broker):
            await shown(http, lambda paths: "/orders/place" in paths)
            assert (await http.post("/orders/forget")).status_code == 204
        await shown(http, lambda paths: not paths)
        problem(await http.post("/orders/forget"), 404)


async def test_nobody_looks_while_nobody_asks_and_once_for_all_who_do() -> None:
    broker = Broker()
    async with serve_in_memory(shop(), broker=broker), behind(broker) as http:
        assert looks(broker) == 0
        await asyncio.gather(*(http.post("/orders/forget") for _ in range(20)))
        assert looks(broker) == 1
        await asyncio.gather(*(http.get("/openapi.json") for _ in range(20)))
        await http.post("/orders/forget")
        assert looks(broker) == 1
        asked = [each for each in broker.published if each.subject.startswith("$SRV.SCHEMA")]
        assert len(asked) == 1


async def test_unknown_paths_do_not_make_the_gateway_look_each_time() -> None:
    broker = Broker()
    async with serve_in_memory(shop(), broker=broker), behind(broker) as http:
        for number in range(50):
            problem(await http.post(f"/unknown/{number}"), 404)
        assert looks(broker) <= 2


async def test_a_contract_is_asked_for_again_when_its_instance_is_gone() -> None:
    broker = Broker()
    async with behind(broker, refresh=0.001) as http:
        for subject in ("first", "second"):
            service = natsrpc.Service("changing", version="1.0.0")

            @service.handler(f"changing.{subject}")
            async def handle() -> None: ...

            async with serve_in_memory(service, broker=broker):
                path = f"/changing/{subject}"
                await shown(http, lambda paths, path=path: list(paths) == [path])


async def test_the_newest_version_tells_a_path() -> None:
    broker = Broker()
    old = natsrpc.Service("two", version="1.9.0")
    new = natsrpc.Service("two", version="1.10.0")

    @old.handler("two.say")
    async def say(text: str) -> str:
        return text

    @new.handler("two.say", idempotent=True)
    async def say_more(text: str, times: int = 1) -> str:
        return text * times

    async with (
        serve_in_memory(old, broker=broker),
        serve_in_memory(new, broker=broker),
        behind(broker) as http,
    ):
        paths = (await http.get("/openapi.json")).json()["paths"]
        assert paths["/two/say"].keys() == {"get", "post"}


async def test_a_service_of_another_implementation_is_called_with_json() -> None:
    broker = Broker()

    async def respond(msg: Msg) -> None:
        await msg.respond(b'{"got": ' + msg.data + b"}")

    async def tell(msg: Msg) -> None:
        endpoint = {"name": "echo", "subject": "go.echo", "metadata": {"description": "Echo."}}
        identity = {"name": "goish", "id": "1", "version": "0.1.0"}
        more = {"endpoints": [endpoint]} if "INFO" in msg.subject else {}
        await msg.respond(json.dumps({**identity, **more}).encode())

    async with (
        natsrpc.connect("nats://memory:4222", **broker.options()) as other,
        behind(broker) as http,
    ):
        for subject in ("$SRV.PING", "$SRV.INFO.goish.1"):
            await other.connection.subscribe(subject, cb=tell)
        await other.connection.subscribe("go.echo", cb=respond)
        assert (await http.post("/go/echo", json=[1])).json() == {"got": [1]}
        paths = (await http.get("/openapi.json")).json()["paths"]
        assert paths["/go/echo"]["post"]["description"] == "Echo."


# whoever may answer discovery


async def lying(connection: Connection, *contracts: Answer, names: list[str] | None = None) -> None:
    """Answer discovery as services with these contracts would."""

    async def ping(msg: Msg) -> None:
        for number in range(len(contracts)):
            identity = {"name": f"evil{number}", "id": "1", "version": "1.0.0"}
            await msg.respond(json.dumps(identity).encode())
        for name in names or []:
            await msg.respond(json.dumps({"name": name, "id": "1", "version": "1"}).encode())

    async def schema(msg: Msg) -> None:
        number = int(msg.subject.split(".")[2].removeprefix("evil"))
        await msg.respond(json.dumps(contracts[number]).encode())

    await connection.subscribe("$SRV.PING", cb=ping)
    await connection.subscribe("$SRV.SCHEMA.*.1", cb=schema)
    await connection.flush()


def contract(**changes: Any) -> Answer:
    return {"name": "x", "version": "1", "endpoints": [{**PLACE, **changes}]}


def nested(levels: int) -> Answer:
    schema: Answer = {"type": "object"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


def doubling(levels: int) -> Answer:
    definitions = {
        f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}, {"$ref": f"#/$defs/d{n + 1}"}]}
        for n in range(levels)
    }
    return {"$ref": "#/$defs/d0", "$defs": {**definitions, f"d{levels}": {"type": "string"}}}


@pytest.mark.parametrize(
    "subject",
    [
        "$JS.API.STREAM.DELETE.ORDERS",
        "$SYS.REQ.USER.INFO",
        "_INBOX.abc",
        "evil._NATSRPC.cancel",
        ">",
        "a..b",
        "a b",
        "a.>.b",
        "\ud800",
        "x" * 600,
        ".".join("x" * 40),
    ],
)
async def test_a_subject_that_is_no_services_own_has_no_path(subject: str) -> None:
    broker = Broker()
    async with (
        natsrpc.connect("nats://memory:4222", **broker.options()) as evil,
        behind(broker) as http,
    ):
        await lying(evil.connection, contract(subject=subject, template=subject))
        assert (await http.get("/openapi.json")).json()["paths"] == {}
        (service,) = (await http.get("/services.json")).json()["services"]
        assert service["versions"][0]["endpoints"][0]["http"] is None


@pytest.mark.parametrize("value", ["$JS", "_INBOX", "$SYS", "_NATSRPC"])
async def test_a_path_cannot_fill_in_what_is_not_a_services_own(value: str) -> None:
    broker = Broker()
    async with (
        natsrpc.connect("nats://memory:4222", **broker.options()) as evil,
        behind(broker) as http,
    ):
        await lying(evil.connection, contract(subject="*.API.INFO", template="{any}.API.INFO"))
        await http.get("/openapi.json")
        problem(await http.post(f"/{value}/API/INFO", json={}), 400)


@pytest.mark.parametrize(
    "request_",
    [
        nested(90),
        doubling(60),
        {"$ref": "https://evil.example/schema.json"},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}},
        {"anyOf": [{"$ref": "#/$defs/a"}, {}], "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}]}}},
        {"type": "number", "default": float("nan"), "maximum": float("inf")},
        {"title": "</script><script>alert(1)</script>", "properties": {"a": {}}},
        {"type": "object", "properties": {"$ref": {"type": "string"}}},
        {"properties": {str(n): {"type": "string"} for n in range(5_000)}, "type": "object"},
    ],
    ids=[
        "nested",
        "doubling",
        "elsewhere",
        "circle",
        "variant",
        "nan",
        "markup",
        "named $ref",
        "many",
    ],
)
async def test_a_hostile_contract_breaks_no_document(request_: Answer) -> None:
    broker = Broker()
    async with (
        natsrpc.connect("nats://memory:4222", **broker.options()) as evil,
        serve_in_memory(shop(), broker=broker),
        behind(broker) as http,
    ):
        await lying(evil.connection, contract(request=request_, response=request_))
        openapi = await http.get("/openapi.json")
        assert "/orders/place" in openapi.json()["paths"]
        assert "evil.example" not in openapi.text
        assert "NaN" not in openapi.text
        names = {each["name"] for each in (await http.get("/services.json")).json()["services"]}
        assert names == {"evil0", "orders"}
        assert (await http.post("/orders/forget")).status_code == 204


async def test_what_is_no_contract_is_told_and_does_no_harm() -> None:
    broker = Broker()
    async with (
        natsrpc.connect("nats://memory:4222", **broker.options()) as evil,
        serve_in_memory(shop(), broker=broker),
        behind(broker) as http,
    ):
        await lying(evil.connection, {"endpoints": 7}, contract(kind=7), names=["a.b", "x y"])
        services = (await http.get("/services.json")).json()["services"]
        problems = {each["name"]: each["versions"][0]["problem"] for each in services}
        assert problems.pop("orders") == ""
        assert problems.keys() == {"a.b", "evil0", "evil1", "x y"}
        assert all("cannot be read" in text for text in problems.values())


async def test_services_without_number_leave_room_for_those_that_were_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(catalog, "MAX_ENTRIES", 10)
    monkeypatch.setattr(catalog, "PATIENCE", 0.2)
    broker = Broker()
    async with (
        natsrpc.connect("nats://memory:4222", **broker.options()) as evil,
        serve_in_memory(shop(), broker=broker),
        behind(broker, refresh=0.001) as http,
    ):
        await http.get("/services.json")
        await lying(evil.connection, names=[f"many{n}" for n in range(100)])
        found = (await http.get("/services.json")).json()
        for _ in range(100):
            if not found["is_complete"]:
                break
            await asyncio.sleep(0.05)  # why: the gateway looks no more than once a second
            found = (await http.get("/services.json")).json()
        assert len(found["services"]) == 10
        assert "orders" in {each["name"] for each in found["services"]}
        assert (await http.post("/orders/forget")).status_code == 204


async def test_contracts_that_are_too_large_together_are_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(catalog, "MAX_BYTES", 20_000)
    broker = Broker()
    async with (
        serve_in_memory(shop(), broker=broker),
        natsrpc.connect("nats://memory:4222", **broker.options()) as evil,
        behind(broker) as http,
    ):
        await lying(evil.connection, contract(description="x" * 19_000))
        services = (await http.get("/services.json")).json()["services"]
        problems = [each["versions"][0]["problem"] for each in services]
        assert sorted(problems) == ["", "there are too many contracts: this one is not read"]
