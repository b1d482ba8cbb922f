"""Subscribers as they are registered: what is taken, and what is refused where it is written."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator
from typing import Annotated, Any, NewType

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypeAliasType

import natsrpc
from natsrpc import Depends, Event, Token
from natsrpc.errors import BadQueueNameError, BadSubjectError, ConfigError


class Placed(BaseModel):
    order: int


class Paid(Placed):
    amount: int


class Other(BaseModel):
    order: int


placed = Event("shop.{region}.placed", Placed)


def new() -> natsrpc.Service:
    return natsrpc.Service("bill", version="1.0.0")


def untyped_places() -> list[Any]:
    """A service and a router, for what type checkers refuse."""
    return [new(), natsrpc.Router()]


def contract(service: natsrpc.Service) -> natsrpc.EndpointContract:
    (found,) = service.contract.endpoints
    return found


def test_a_subscriber_is_an_endpoint_of_its_own_kind_and_group() -> None:
    service = new()

    @service.subscriber(placed)
    async def charge(event: Placed) -> None:
        """Take the money."""

    found = contract(service)
    assert (found.name, found.subject, found.template) == (
        "charge", "shop.*.placed", "shop.{region}.placed"
    )  # fmt: skip
    assert (found.queue_group, found.kind, found.doc) == ("bill.charge", "event", "Take the money.")
    assert (found.request_type, found.response_type) == (Placed, None)
    assert dict(found.metadata) == {"natsrpc.kind": "event"}
    assert service.contract.subscribers == (found,)


def test_options_name_the_group_and_the_subscriber() -> None:
    def group(**options: Any) -> tuple[str, str]:
        service = new()

        @service.subscriber(placed, **options)
        async def charge(event: Placed) -> None: ...

        return contract(service).name, contract(service).queue_group

    assert group(name="cash") == ("cash", "bill.cash")
    assert group(queue_group="mine") == ("charge", "mine")
    assert group(queue_group=None) == ("charge", "")
    assert group(name="cash", queue_group="mine") == ("cash", "mine")


def test_prefixes_do_not_touch_events() -> None:
    service = new()
    router = natsrpc.Router("inner", metadata={"team": "money"})

    async def charge(event: Placed) -> None: ...

    service.group("v1").subscriber(placed)(charge)
    router.subscriber("shop.paid", name="other")(charge)
    service.include(router, prefix="v2")
    assert [each.subject for each in service.contract.endpoints] == ["shop.*.placed", "shop.paid"]
    assert service.contract.endpoints[1].metadata["team"] == "money"


@pytest.mark.parametrize("kind", [Placed, BaseModel, Any, object])
def test_a_parameter_takes_the_events_type_or_a_wider_one(kind: Any) -> None:
    service = new()

    async def charge(event: Any) -> None: ...

    charge.__annotations__["event"] = kind
    service.subscriber(placed)(charge)
    assert contract(service).request_type is Placed


@pytest.mark.parametrize("kind", [int, str, datetime.date, Annotated[int, Field(ge=1)]])
def test_an_event_of_a_scalar_is_of_its_own_type_beside_tokens(kind: Any) -> None:
    service = new()

    async def charge(event: Any, region: str) -> None: ...

    charge.__annotations__["event"] = kind
    service.subscriber(Event("shop.{region}.paid", kind))(charge)
    assert contract(service).request_type == kind


Alias = TypeAliasType("Alias", Placed)
Many = TypeAliasType("Many", list[Placed])
Number = NewType("Number", int)
Told: Any = Annotated[Placed, Field(description="of yesterday")]
Small: Any = Annotated[int, Field(le=9)]


@pytest.mark.parametrize(
    ("carried", "kind"),
    [
        (Alias, Alias),
        (Alias, Placed),
        (Placed, Alias),
        (Alias, BaseModel),
        (Many, Many),
        (Many, list[Placed]),
        (Number, Number),
        (Told, Told),
        (Told, Placed),
        (Small, Small),
        (Small, int),
        (Placed, Placed | None),
    ],
)
def test_a_type_is_the_same_under_another_name(carried: Any, kind: Any) -> None:
    service = new()

    async def charge(event: Any) -> None: ...

    charge.__annotations__["event"] = kind
    service.subscriber(Event("shop.paid", carried))(charge)
    assert contract(service).request_type == carried


async def test_several_parameters_are_fields_of_the_event() -> None:
    service, got = new(), list[tuple[int, int, str]]()

    @service.subscriber(Event("paid", Paid))  # type: ignore[arg-type]  # checkers see one event
    async def charge(order: int, amount: int, note: str = "none") -> None:
        got.append((order, amount, note))

    async def misspelt(order: int, amuont: int) -> None: ...

    for place in untyped_places():
        with pytest.raises(ConfigError, match=r"reads 'amuont' .* has only: order, amount"):
            place.subscriber(Event("paid", Paid))(misspelt)
    async with service.test() as client:
        await client.publish(Event("paid", Paid), Paid(order=1, amount=2))
        assert await client.settled() == []
    assert got == [(1, 2, "none")]


def test_an_event_that_the_services_codec_cannot_carry_is_refused() -> None:
    class Opaque: ...

    async def charge(event: Any) -> None: ...

    with pytest.raises(ConfigError, match="Opaque"):
        new().subscriber(Event("odd", Opaque))(charge)


@pytest.mark.parametrize("kind", [Other, Paid, int, list[Placed], bytes])
def test_a_parameter_of_another_type_is_refused_with_both_types(kind: Any) -> None:
    async def charge(event: Any) -> None: ...

    charge.__annotations__["event"] = kind
    told = r"'event' of subscriber '.*charge' is .* carries Placed: .*\.py:"
    for place in untyped_places():
        with pytest.raises(ConfigError, match=told):
            place.subscriber(placed)(charge)


async def answers(event: Placed) -> int:
    return 1


async def streams(event: Placed) -> AsyncIterator[int]:
    yield 1


async def uploads(event: AsyncIterator[int]) -> None: ...


async def asks(event: Placed, where: Annotated[str, Token("nowhere")]) -> None: ...


async def untyped(event) -> None: ...  # type: ignore[no-untyped-def]


async def undecided(event: Placed): ...  # type: ignore[no-untyped-def]


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (answers, "returns int: nobody waits for an answer.*-> None"),
        (streams, "streams: an event is one message"),
        (uploads, "streams: an event is one message"),
        (asks, "nowhere"),
        (untyped, "'event' of"),
        (undecided, "result of subscriber 'undecided' has no annotation: write '-> None'"),
        (3, "3"),
        (Placed, "class"),
    ],
)
def test_a_signature_that_no_event_fits_is_refused(function: Any, told: str) -> None:
    for place in untyped_places():
        with pytest.raises(ConfigError, match=told):
            place.subscriber(placed)(function)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"ordered": True, "max_concurrency": 2}, "one event at a time"),
        ({"max_concurrency": 0}, "max_concurrency is 0"),
        ({"max_waiting": -1}, "max_waiting is -1"),
        ({"max_waiting_bytes": "1 MB"}, "max_waiting_bytes is '1 MB'"),
        ({"timeout": 0}, "timeout is 0"),
        ({"name": "a b"}, "bad subscriber name"),
        ({"queue_group": "a b"}, "a b"),
        ({"metadata": {"a": 1}}, "metadata"),
        ({"dependencies": [answers]}, "Depends"),
        ({"errors": ()}, "no option 'errors'"),
    ],
)
def test_an_option_that_means_nothing_is_refused(options: Any, told: str) -> None:
    for place in untyped_places():
        with pytest.raises((ConfigError, BadQueueNameError), match=told):
            place.subscriber(placed, **options)


@pytest.mark.parametrize("target", ["$SYS.>", "_INBOX.>", "a._NATSRPC.b", "", "a b"])
def test_a_subject_that_is_no_events_is_refused(target: str) -> None:
    with pytest.raises(BadSubjectError):
        new().subscriber(target)


@pytest.mark.parametrize("target", [5, None, Placed, answers])
def test_what_is_neither_event_nor_subject_is_refused(target: Any) -> None:
    for place in untyped_places():
        with pytest.raises(ConfigError, match="an Event or a subject in the brackets"):
            place.subscriber(target)


def test_two_subscribers_of_one_name_are_refused_with_both_places() -> None:
    service = new()

    async def charge(event: Placed) -> None: ...

    service.subscriber(placed)(charge)
    for subject in ("shop.paid", "shop.*.placed"):
        with pytest.raises(ConfigError, match=r"charge.*test_subscribing\.py.*another `name`"):
            service.subscriber(subject, queue_group=None)(charge)
    router = natsrpc.Router()
    router.subscriber("a", name="one")(charge)
    router.subscriber("b", name="one")(charge)
    with pytest.raises(ConfigError, match="share its queue group"):
        service.include(router)
    assert len(service.contract.endpoints) == 1  # all of a router, or none


async def test_nobody_can_call_a_subscriber_by_its_function() -> None:
    service = new()

    @service.subscriber(placed)
    async def charge(event: Placed) -> None: ...

    async with service.test() as client:
        with pytest.raises(ConfigError, match="is a subscriber, which nobody can call"):
            await client.call(charge, Placed(order=1))


async def test_dependencies_and_middleware_of_all_levels_run_before_an_event() -> None:
    seen: list[str] = []

    def note(name: str) -> Any:
        def noted() -> None:
            seen.append(name)

        return Depends(noted)

    def around(name: str) -> Any:
        async def middleware(context: natsrpc.Context, call_next: Any) -> Any:
            seen.append(f"{name} {context.endpoint.kind}")
            return await call_next(context)

        return middleware

    service = natsrpc.Service("bill", version="1.0.0", dependencies=[note("service")])
    router = natsrpc.Router("x", dependencies=[note("router")])
    service.middleware(around("outer"))
    router.middleware(around("inner"))

    @router.subscriber(placed, dependencies=[note("own")])
    async def charge(event: Placed, client: natsrpc.Client) -> None:
        assert isinstance(client, natsrpc.Client)
        seen.append(f"charge {event.order}")

    service.include(router)
    async with service.test() as client:
        await client.publish(placed, Placed(order=3), tokens={"region": "eu"})
        assert await client.settled() == []
    assert seen == ["outer event", "inner event", "service", "router", "own", "charge 3"]
