"""Workers in documents: where their messages are, and what a change of it breaks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

import natsrpc
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
from natsrpc.jetstream import JetStream, StreamConfig
from natsrpc.server import NatsServer
from tests.core.harness import eventually

from .least import config


class Placed(BaseModel):
    order: int


class Wider(BaseModel):
    order: int
    note: str


placed = Event("shop.{region}.placed", Placed)
INBOXES = Inboxes("_INBOX.billing", "_INBOX.caller", "_INBOX.observer")


def working(name: str = "charge", body: Any = Placed, event: Any = placed, **given: Any) -> Service:
    service, options = Service("billing", version="1.0.0"), {"stream": "ORDERS", **given}

    async def charge(event: Any) -> None:
        """Charge the customer."""

    charge.__annotations__["event"] = list[body] if "batch" in options else body
    worker: Any = service.worker
    worker(event, name=name, **options)(charge)
    return service


def exported(service: Service) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(document(service.contract)))
    return found


def told(old: Service, new: Service) -> list[tuple[str, str, str]]:
    changes = diff(exported(old), exported(new)).changes
    return [(each.where, each.text, each.step) for each in changes]


@pytest.mark.parametrize("options", [{}, {"batch": 10}])
def test_a_document_tells_where_its_messages_are(options: dict[str, Any]) -> None:
    found = exported(working(dead_letter="dead.billing", **options))
    (charge,) = found["endpoints"]
    assert (charge["kind"], charge["template"], charge["queue_group"]) == (
        "worker", "shop.{region}.placed", ""
    )  # fmt: skip
    assert charge["request"]["title"] == "Placed"  # that of one message
    assert charge["work"] == {
        "stream": "ORDERS",
        "durable": "billing-charge",
        "dead_letter": "dead.billing",
    }
    assert read_document(found) == found


def test_what_others_have_is_no_work() -> None:
    service = Service("x", version="1.0.0")

    @service.handler("x")
    async def x() -> None: ...

    (endpoint,) = exported(service)["endpoints"]
    assert endpoint["work"] is None


@pytest.mark.parametrize("work", [None, {}, {"stream": "S"}, {"stream": 1, "durable": "d"}, "x"])
def test_a_document_whose_worker_is_nowhere_is_refused(work: Any) -> None:
    found = exported(working())
    found["endpoints"][0]["work"] = work
    with pytest.raises(ConfigError, match=r"of (worker|endpoint) 'charge'"):
        read_document(found)


def test_a_change_tells_what_it_does_to_messages() -> None:
    again = (
        "charge",
        "consumer ORDERS/billing-charge became ORDERS/new, which begins at the first message of "
        "its stream: what the old one has handled is handled again; durable='billing-charge' "
        "keeps it",
        "major",
    )
    assert told(working(), working()) == []
    assert told(working(), working(durable="new")) == [again]
    assert told(working(durable="d"), working("bill", durable="d")) == [
        ("bill", "name 'charge' became 'bill'", "minor")
    ]
    assert told(working(), working(dead_letter="dead.x")) == [
        ("charge", "dead letters go to 'dead.x', and went to 'nowhere'", "minor")
    ]
    assert told(working(), working(event="shop.*.paid")) == [
        ("charge", "messages of 'shop.{region}.placed' became those of 'shop.*.paid'", "major")
    ]
    assert told(working(), Service("billing", version="1.0.0")) == [
        (
            "charge",
            "removed: its consumer ORDERS/billing-charge keeps messages that nobody handles",
            "major",
        )
    ]
    assert told(Service("billing", version="1.0.0"), working()) == [
        (
            "charge",
            "added: handles messages on 'shop.{region}.placed' of ORDERS/billing-charge",
            "minor",
        )
    ]
    (change,) = told(working(event="jobs"), working(event="jobs", body=Wider))
    assert change[0] == "charge event.note"
    assert change[2] == "major"


def test_a_worker_that_becomes_a_subscriber_is_another() -> None:
    service = Service("billing", version="1.0.0")

    @service.subscriber(placed)
    async def charge(event: Placed) -> None: ...

    steps = {text.partition(":")[0]: step for _, text, step in told(working(), service)}
    assert steps == {"removed": "major", "added": "minor"}


def test_asyncapi_shows_a_channel_without_a_reply() -> None:
    found = asyncapi(working().contract)
    assert list(found["channels"]) == ["charge"]
    assert list(found["channels"]["charge"]["messages"]) == ["event"]
    assert found["operations"]["charge"]["action"] == "receive"


def test_a_client_module_has_the_event_and_no_call() -> None:
    text = stub(exported(working()))
    assert 'SHOP_PLACED = natsrpc.Event("shop.{region}.placed", Placed)' in text
    assert "def charge" not in text


def test_permissions_name_one_consumer_and_no_more() -> None:
    found = permissions(exported(working(durable="d", dead_letter="dead.x")), INBOXES)
    assert found["service"].publish == (
        "_INBOX.observer.>",
        "$JS.API.STREAM.INFO.ORDERS",
        "$JS.API.CONSUMER.INFO.ORDERS.d",
        "$JS.API.CONSUMER.CREATE.ORDERS.d.shop.*.placed",
        "$JS.API.CONSUMER.MSG.NEXT.ORDERS.d",
        "$JS.ACK.ORDERS.d.>",
        "$JS.ACK.*.*.ORDERS.d.>",
        "_NATSRPC.work.ORDERS.d",
        "$JS.API.STREAM.NAMES",
        "dead.x",
    )
    assert {"_INBOX.billing.>", "_NATSRPC.work.ORDERS.d"} <= set(found["service"].subscribe)
    assert found["publisher"].publish == ("shop.*.placed",)
    assert found["publisher"].subscribe == ("_INBOX.caller.>",)
    assert "caller" not in found


@pytest.mark.parametrize("name", ['a"b', "a.b", "a b", ">", ""])
def test_a_foreign_document_names_no_other_consumers(name: str) -> None:
    found = exported(working())
    found["endpoints"][0]["work"]["durable"] = name
    with pytest.raises(ConfigError):
        permissions(found, INBOXES)


@pytest.fixture
def strict() -> Iterator[NatsServer]:
    """A server where a worker may do what is printed for it, and nothing else."""
    found = permissions(exported(working(durable="d", dead_letter="dead.x")), INBOXES)
    users = {role: found[role] for role in ("service", "publisher")}
    with NatsServer(config(users), jetstream=True) as server:
        yield server


@pytest.mark.live
async def test_they_are_enough(strict: NatsServer, caplog: pytest.LogCaptureFixture) -> None:
    service, done = Service("billing", version="1.0.0"), list[int]()

    @service.worker(placed, stream="ORDERS", durable="d", dead_letter="dead.x", name="charge")
    async def charge(event: Placed) -> None:
        if event.order == 2:
            raise natsrpc.Reject("no")
        done.append(event.order)

    url = strict.url
    async with (
        natsrpc.connect(url, user="admin", password="p") as owner,
        natsrpc.connect(url, user="service", password="p", inbox_prefix="_INBOX.billing") as client,
        natsrpc.connect(
            url, user="publisher", password="p", inbox_prefix="_INBOX.caller"
        ) as publisher,
    ):
        js = JetStream(owner.connection)
        orders = await js.create_stream(StreamConfig(name="ORDERS", subjects=["shop.>"]))
        dead = await js.create_stream(StreamConfig(name="DEAD", subjects=["dead.>"]))
        for _ in range(2):  # made, and then found
            async with client.serve(service):
                js = JetStream(publisher.connection)
                for order in (1, 2):
                    await js.publish("shop.eu.placed", b'{"order": %d}' % order)
                consumer = await orders.consumer("d")

                async def settled() -> bool:
                    info = await consumer.info()  # noqa: B023  it is used in its turn
                    return not info.num_ack_pending and not info.num_pending

                await eventually(settled)
        assert done == [1, 1]
        assert (await dead.info()).state.messages == 2
    assert "ermission" not in caplog.text
