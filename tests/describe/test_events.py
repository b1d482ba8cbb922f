"""Events in documents: what a service reads and publishes, and what a change of it breaks."""

from __future__ import annotations

import ast
import json
from typing import Any

import pytest
from pydantic import BaseModel, create_model

from natsrpc import Event, Service
from natsrpc.describe import (
    Inboxes,
    asyncapi,
    diff,
    document,
    permissions,
    read_document,
    stub,
)
from natsrpc.errors import ConfigError
from natsrpc.jetstream import StreamConfig


class Item(BaseModel):
    sku: str


class Placed(BaseModel):
    """An order was placed."""

    items: list[Item]


placed = Event("shop.{region}.placed", Placed, description="Someone bought.")
paid = Event("shop.paid", int)


def shop(version: str = "1.0.0", **options: Any) -> Service:
    return Service("shop", version=version, **options)


def exported(service: Service) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(document(service.contract)))
    return found


def subscribing(event: Any, body: Any = Placed, **options: Any) -> dict[str, Any]:
    service = shop()

    async def charge(event: Any) -> None: ...

    charge.__annotations__["event"] = body
    service.subscriber(event, **options)(charge)
    return exported(service)


def told(old: dict[str, Any], new: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(each.where, each.text, each.step) for each in diff(old, new).changes]


def test_a_document_has_what_is_published_and_what_is_read() -> None:
    found = subscribing(placed)
    (charge,) = found["endpoints"]
    assert (charge["kind"], charge["template"], charge["queue_group"]) == (
        "event", "shop.{region}.placed", "shop.charge"
    )  # fmt: skip
    assert charge["request"]["title"] == "Placed"
    (event,) = exported(shop(publishes=[placed]))["publishes"]
    assert (event["subject"], event["description"]) == ("shop.{region}.placed", "Someone bought.")
    assert (event["content_type"], event["payload"]["title"]) == ("application/json", "Placed")
    assert read_document(found) == found


def test_a_document_without_events_is_read_as_one_that_has_none() -> None:
    old = exported(shop())
    del old["publishes"]
    assert read_document(old) == exported(shop())


@pytest.mark.parametrize(
    "publishes", [5, {}, [5], [{}], [{"subject": "a", "payload": 3}], [{"subject": 3}]]
)
def test_events_that_are_none_are_refused(publishes: Any) -> None:
    with pytest.raises(ConfigError, match="no contract"):
        read_document({**exported(shop()), "publishes": publishes})


def test_the_streams_that_a_service_declares_are_named() -> None:
    streams = [StreamConfig(name="A", subjects=["a"]), StreamConfig(name="B", subjects=["b"])]
    found = exported(shop(streams=streams))
    assert found["streams"] == ["A", "B"]
    assert read_document(found) == found
    old = exported(shop())
    del old["streams"]
    assert read_document(old) == exported(shop())
    bad: list[Any] = [5, {}, [5], [""], ["a"] * 3000]
    for value in bad:
        with pytest.raises(ConfigError, match="no list of names"):
            read_document({**found, "streams": value})


def test_operations_receive_and_send() -> None:
    service = shop(publishes=[placed, paid])

    @service.subscriber(placed)
    async def charge(event: Placed) -> None:
        """Charge it."""

    found = asyncapi(service.contract)
    actions = {key: each["action"] for key, each in found["operations"].items()}
    assert actions == {"charge": "receive", "shop_placed": "send", "shop_paid": "send"}
    assert all("reply" not in each for each in found["operations"].values())
    for key in ("charge", "shop_placed"):
        channel = found["channels"][key]
        assert channel["address"] == "shop.{region}.placed"
        assert channel["parameters"] == {"region": {}}
        assert list(channel["messages"]) == ["event"]
        reference = channel["messages"]["event"]["payload"]["properties"]["items"]["items"]["$ref"]
        name = reference.removeprefix("#/components/schemas/")
        assert found["components"]["schemas"][name]["title"] == "Item"
    assert found["channels"]["shop_paid"]["messages"]["event"]["payload"] == {"type": "integer"}
    assert found["operations"]["charge"]["summary"] == "Charge it."


def test_a_stub_defines_each_event_once_and_tells_what_it_left_out() -> None:
    service = shop(publishes=[placed])
    for number, target in enumerate((placed, placed, paid, "any.*", "shop.paid")):

        async def take(event: Any) -> None: ...

        take.__annotations__["event"] = int if target in (paid, "shop.paid") else Placed
        untyped: Any = service
        untyped.subscriber(target, name=f"take{number}")(take)
    source = stub(document(service.contract))
    lines = [ast.unparse(node) for node in ast.parse(source).body if isinstance(node, ast.Assign)]
    assert lines == [
        "SHOP_PLACED = natsrpc.Event('shop.{region}.placed', Placed, "
        "description='Someone bought.')",
        "SHOP_PAID = natsrpc.Event('shop.paid', int)",
    ]
    assert "needs one subject: any.*" in source
    assert "class Shop:" not in source  # there is nothing to call


RENAMED = (
    "name 'charge' became 'bill', and so its queue group 'shop.bill': while both versions run, "
    "each event is handled by both; name='charge' keeps it"
)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, []),
        ({"name": "bill"}, [("bill", RENAMED, "minor")]),
        (
            {"name": "bill", "queue_group": "shop.charge"},
            [("bill", "name 'charge' became 'bill'", "minor")],
        ),
        (
            {"queue_group": "mine"},
            [
                (
                    "charge",
                    "queue group 'shop.charge' became 'mine': while both versions run, each event "
                    "is handled by both",
                    "minor",
                )
            ],
        ),
        (
            {"queue_group": None},
            [
                (
                    "charge",
                    "queue group 'shop.charge' became '': how often an event is handled changes",
                    "major",
                )
            ],
        ),
        (
            {"event": "shop.other"},
            [("charge", "events of 'shop.{region}.placed' became those of 'shop.other'", "major")],
        ),
        (
            {"event": "shop.other", "name": "bill"},
            [
                (
                    "charge",
                    "removed: it handles no event on 'shop.{region}.placed' any more",
                    "major",
                ),
                ("bill", "added: handles events on 'shop.other'", "minor"),
            ],
        ),
    ],
)
def test_changes_of_a_subscriber(change: Any, expected: list[tuple[str, str, str]]) -> None:
    event = change.pop("event", "shop.{region}.placed")
    assert told(subscribing("shop.{region}.placed"), subscribing(event, **change)) == expected


def model(**fields: Any) -> Any:
    return create_model("Placed", **fields)


NARROW = model(a=(int, ...), b=(str, ...))
WIDE = model(a=(int, ...), b=(str, "none"))


def test_a_type_breaks_by_who_reads_it() -> None:
    """Publishers write what a subscriber reads; subscribers read what a service publishes."""
    reading = subscribing("a", NARROW), subscribing("a", WIDE)
    assert [each[2] for each in told(*reading)] == ["minor"]
    assert told(*reversed(reading)) == [("charge event.b", "became required", "major")]
    writing = [exported(shop(publishes=[Event("a", kind)])) for kind in (NARROW, WIDE)]
    # what is written always has it, whatever its default is to those who read
    assert told(*writing) == []
    optional = exported(shop(publishes=[Event("a", model(a=(int, ...), b=(str | None, ...)))]))
    found = told(writing[0], optional)
    assert found == [("a published.b", "may now also be null", "major")]


def test_changes_of_what_is_published() -> None:
    one, both = exported(shop(publishes=[placed])), exported(shop(publishes=[placed, paid]))
    assert told(one, both) == [("shop.paid published", "added", "minor")]
    assert told(both, one) == [("shop.paid published", "no longer published", "major")]
    other = exported(shop(publishes=[Event("shop.{region}.placed", Placed)]))
    assert told(one, other) == [
        ("shop.{region}.placed published", "described in other words", "patch")
    ]
    nothing = exported(shop(publishes=[Event("shop.{region}.placed", None)]))
    assert ("Placed became nothing", "major") in [each[1:] for each in told(one, nothing)]


def test_subscribers_and_endpoints_of_one_subject_are_not_mixed_up() -> None:
    before, after = shop(), shop()
    for service in (before, after):

        @service.handler("shop.placed", name="place")
        async def place(order: int) -> None: ...

    @after.subscriber("shop.placed")
    async def audit(order: int) -> None: ...

    assert told(exported(before), exported(after)) == [
        ("audit", "added: handles events on 'shop.placed'", "minor")
    ]


class Numbered(BaseModel):
    number: int
    items: list[Item]


def test_the_key_of_an_event_is_in_the_contract() -> None:
    plain, keyed = (Event("shop.{region}.placed", Numbered, key=key) for key in (None, "number"))
    old, new = exported(shop(publishes=[plain])), exported(shop(publishes=[keyed]))
    assert [each["publishes"][0]["key"] for each in (old, new)] == ["", "number"]
    ((where, text, step),) = [each for each in told(old, new) if "key" in each[1]]
    assert (where, step) == ("shop.{region}.placed published", "minor")
    assert "'' became 'number'" in text
    before = exported(shop(publishes=[plain]))
    del before["publishes"][0]["key"]
    assert read_document(before) == old  # one of an older version


def test_a_stub_has_the_key_where_its_class_has_the_field() -> None:
    keyed = Event("shop.placed", Numbered, key="number")
    found = exported(shop(publishes=[keyed]))
    assert "key='number'" in ast.unparse(ast.parse(stub(found)))
    for other in ("items", "no\nsuch", "import", "missing"):
        found["publishes"][0]["key"] = other
        assert "key=" not in stub(found)


@pytest.mark.parametrize("name", ["*", ">", "a.b", "a b", 'a"', "a\n"])
def test_no_permissions_come_of_a_stream_of_a_strangers_naming(name: str) -> None:
    found = exported(shop(streams=[StreamConfig(name="A")]))
    inboxes = Inboxes(service="_INBOX_a", caller="_INBOX_b", observer="_INBOX_c")
    allowed = permissions(found, inboxes)["service"].publish
    assert {"$JS.API.STREAM.INFO.A", "$JS.API.STREAM.CREATE.A"} <= set(allowed)
    found["streams"] = [name]
    with pytest.raises(ConfigError, match="bad name"):
        permissions(read_document(found), inboxes)
