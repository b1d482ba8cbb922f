"""`Service`: what may be registered, and what contract comes of it."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from pydantic import BaseModel

from natsrpc.codecs import Bound
from natsrpc.errors import (
    BadSubjectError,
    ConfigError,
    ConfigTypeError,
    RpcError,
    UnknownCodecError,
)
from natsrpc.rpc import Client, Service


class Item(BaseModel):
    sku: str


async def handler(item: Item) -> Item:
    """Give the item back."""
    return item


async def _private_() -> None: ...


def make(**options: Any) -> Service:
    return Service("shop", version="1.0.0", **options)


def test_contract_of_an_endpoint() -> None:
    service = make(description="sells", metadata={"team": "a"})
    group = service.group("shop").group("items")
    group.handler("{id}.get", name="get", metadata={"k": "v"}, errors=(RpcError,))(handler)
    contract = service.contract
    assert (contract.name, contract.version, contract.description) == ("shop", "1.0.0", "sells")
    assert dict(contract.metadata) == {"team": "a"}
    (endpoint,) = contract.endpoints
    assert endpoint.name == "get"
    assert endpoint.subject == "shop.items.*.get"
    assert endpoint.template == "shop.items.{id}.get"
    assert endpoint.queue_group == "q"
    assert endpoint.doc == "Give the item back."
    assert (endpoint.request_type, endpoint.response_type) == (Item, Item)
    assert endpoint.errors == (RpcError,)
    with pytest.raises(TypeError):
        endpoint.metadata["k"] = "w"  # type: ignore[index]  # frozen, as is tested


def test_queue_groups_are_inherited_from_the_nearest_level() -> None:
    service = make(queue_group="workers")
    everyone = service.group("all", queue_group=None)
    service.handler("a")(handler)
    everyone.handler("b")(handler)
    everyone.handler("c", queue_group="some")(handler)
    everyone.group("d").handler("e")(handler)
    service.group("").handler("f", queue_group=None)(handler)
    found = {e.subject: e.queue_group for e in service.contract.endpoints}
    assert found == {"a": "workers", "all.b": "", "all.c": "some", "all.d.e": "", "f": ""}


def test_endpoints_on_different_subjects_may_share_a_name() -> None:
    """Ref: ADR-32, "Multiple endpoints can have the same names"."""
    service = Service("shop", version="1.0.0")
    for prefix in ("users", "orders"):
        service.group(prefix).handler("get", name="get")(handler)
    found = [(each.name, each.subject) for each in service.contract.endpoints]
    assert found == [("get", "users.get"), ("get", "orders.get")]


def test_names_that_were_not_given_are_unique_within_a_service() -> None:
    service = make()
    for prefix in ("users", "orders", "orders.{id}"):
        service.group(prefix).handler("get")(handler)
    for _ in range(3):
        service.handler("all", queue_group=None)(handler)
    service.handler("other", name="get")(handler)
    names = [each.name for each in service.contract.endpoints]
    assert names == ["get", "orders_get", "orders_id_get", "all", "all_2", "all_3", "get"]


def test_names_are_made_from_subjects_or_functions() -> None:
    service = make()
    service.handler()(handler)
    service.handler("with.dots")(handler)
    service.handler("plain")(handler)
    service.handler("with.underscores")(_private_)
    names = [(e.name, e.subject) for e in service.contract.endpoints]
    assert names == [
        ("handler", "handler"),
        ("with_dots", "with.dots"),
        ("plain", "plain"),
        ("private", "with.underscores"),
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        {"name": ""},
        {"name": "a b"},
        {"name": "shop\n"},
        {"name": "é"},
        {"name": 5},
        {"version": "1.0"},
        {"version": "v1.0.0"},
        {"version": "1.0.0\n"},
        {"version": "01.0.0"},
        {"version": "1.٣.0"},
        {"version": None},
        {"metadata": {"a": 1}},
        {"metadata": {"_nats.x": "1"}},
        {"max_concurrency": 0},
        {"max_concurrency": True},
        {"max_waiting": -1},
        {"max_waiting": 1.5},
    ],
)
def test_what_a_service_may_not_be(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Service(**{"name": "shop", "version": "1.0.0", **arguments})


@pytest.mark.parametrize("version", ["0.0.0", "1.2.3-rc.1+build.5", "10.20.30"])
def test_semantic_versions_are_taken(version: str) -> None:
    assert Service("shop", version=version).version == version


def test_an_unknown_codec_is_refused() -> None:
    with pytest.raises(UnknownCodecError):
        make(codec="yaml")


@pytest.mark.parametrize(
    ("subject", "options"),
    [
        ("a b", {}),
        ("", {}),
        ("a..b", {}),
        ("orders.x{id}", {}),
        ("{id}.{id}", {}),
        ("fine", {"name": "not fine"}),
        ("fine", {"queue_group": "a b"}),
        ("fine", {"max_concurrency": 0}),
        ("fine", {"timeout": 0}),
        ("fine", {"timeout": "5"}),
        ("fine", {"timeout": float("inf")}),
        ("fine", {"errors": (ValueError,)}),
        ("fine", {"metadata": {"_nats": "x"}}),
    ],
)
def test_what_an_endpoint_may_not_be(subject: str, options: dict[str, Any]) -> None:
    with pytest.raises((ConfigError, BadSubjectError, ValueError)):
        make().handler(subject, **options)(handler)


def test_a_handler_without_brackets_is_told_so() -> None:
    with pytest.raises(ConfigError, match="with brackets"):
        make().handler(handler)  # type: ignore[arg-type]  # the mistake


@pytest.mark.parametrize("prefix", ["a b", "a.>", "a..b"])
def test_what_a_group_may_not_be_called(prefix: str) -> None:
    with pytest.raises((ConfigError, BadSubjectError)):
        make().group(prefix)


def test_one_subject_twice_in_a_queue_group_is_refused() -> None:
    service = make()
    service.handler("a")(handler)
    with pytest.raises(ConfigError, match="already serves 'a'"):
        service.handler("a", name="other")(handler)
    service.handler("a", queue_group="elsewhere")(handler)
    service.handler("a", queue_group=None)(handler)


def test_overlapping_subjects_in_a_queue_group_are_warned_of() -> None:
    service = make()
    service.handler("orders.*")(handler)
    with pytest.warns(UserWarning, match="steal each other's"):
        service.handler("orders.new")(handler)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        service.handler("orders.{id}.get")(handler)
        service.handler("orders.>", queue_group=None)(handler)


def test_a_type_the_codec_cannot_carry_is_refused() -> None:
    class Odd:
        pass

    async def odd(value: Odd) -> None: ...

    with pytest.raises(ConfigError, match="'odd'"):
        make().handler("odd")(odd)


def test_registering_a_class_or_nothing_is_refused() -> None:
    class Empty: ...

    class Desk:
        async def ask(self) -> None: ...

    class Api:
        async def ask(self) -> None: ...

        async def answer(self) -> None: ...

    service = make()
    with pytest.raises(ConfigError, match="not the class"):
        service.register(Desk)
    with pytest.raises(ConfigError, match="no public methods"):
        service.register(Empty())
    with pytest.raises(ConfigError, match="no method 'answer'"):
        service.register(Desk(), api=Api)


async def test_health_asks_every_probe() -> None:
    service = make()
    assert await service.health() == {"status": "ok", "probes": {}}

    @service.probe
    def disk() -> dict[str, int]:
        return {"free": 5}

    @service.probe
    async def database() -> None: ...

    assert await service.health() == {
        "status": "ok",
        "probes": {"disk": {"free": 5}, "database": True},
    }

    @service.probe
    async def cache() -> None:
        raise OSError("the password is hunter2")

    @service.probe
    def tired() -> bool:
        return False

    found = await service.health()
    assert found["status"] == "unwell"
    assert found["probes"]["cache"] == "OSError"
    assert found["probes"]["tired"] is False


@pytest.mark.parametrize(
    ("result", "shown"),
    [
        (float("nan"), "nan"),
        ({("a", 1): 2}, "{('a', 1): 2}"),
        ("x" * 70_000, "x" * 4096),
        (0, 0),
        ({"free": [1.5, None]}, {"free": [1.5, None]}),
    ],
    ids=["nan", "keys", "long", "zero", "mapping"],
)
async def test_what_a_probe_returns_can_always_be_told(result: object, shown: object) -> None:
    service = make()

    @service.probe
    def probe() -> object:
        return result

    assert await service.health() == {"status": "ok", "probes": {"probe": shown}}


class ReverseCodec:
    """A user's own codec: text, reversed."""

    name = "reverse"
    content_type = "text/x-reverse"

    def bind(self, type_: Any) -> Bound:
        return Bound(lambda value: str(value)[::-1].encode(), lambda data: data.decode()[::-1])

    def schema(self, type_: Any, *, mode: str = "validation") -> None:
        return None


@pytest.mark.live
async def test_a_codec_that_is_not_registered_serves_too(client: Client, unique: str) -> None:
    service = Service("reverse", version="1.0.0", codec=ReverseCodec())
    seen: list[str] = []

    @service.handler(unique)
    async def shout(text: str) -> str:
        seen.append(text)
        return text.upper()

    async with client.serve(service):
        reply = await client.connection.request(unique, b"cba")
    assert seen == ["abc"]
    assert reply.data == b"CBA"
    assert reply.headers["Content-Type"] == "text/x-reverse"


@pytest.mark.live
async def test_the_reply_is_in_the_requests_codec(client: Client, unique: str) -> None:
    service = Service("codecs", version="1.0.0", codec="msgpack")

    @service.handler(unique)
    async def echo(item: Item) -> Item:
        return item

    async with client.serve(service):
        for codec in ("json", "msgpack"):
            assert await client.call(echo, Item(sku="a"), codec=codec) == Item(sku="a")
        headers = {"Content-Type": "application/json; charset=utf-8"}
        reply = await client.connection.request(unique, b'{"sku":"a"}', headers=headers)
        assert (reply.data, reply.raw_headers) == (b'{"sku":"a"}', b"")
        reply = await client.connection.request(unique, b"\x81\xa3sku\xa1a")
        assert (reply.data, reply.headers["Content-Type"]) == (
            b"\x81\xa3sku\xa1a",
            "application/msgpack",
        )


def test_errors_are_a_tuple_of_error_classes() -> None:
    service = Service("x", version="1.0.0")
    lone: Any = RpcError
    with pytest.raises(ConfigTypeError, match="errors of handler 'handler': expected a tuple"):
        service.handler("x", errors=lone)(handler)
