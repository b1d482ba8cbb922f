"""Functions that become workers: what is read of them, and what is refused where it is written."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import BaseModel

import natsrpc
from natsrpc import (
    ConfigError,
    Context,
    Delivery,
    Depends,
    Event,
    Header,
    Msg,
    Retry,
    Router,
    Service,
    Token,
)


class Placed(BaseModel):
    order: int


class Other(BaseModel):
    name: str


placed = Event("shop.{region}.placed", Placed)


def service() -> Service:
    return Service("billing", version="1.0.0")


def test_a_worker_is_in_the_contract() -> None:
    billing = service()

    @billing.worker(
        placed, stream="ORDERS", durable="charges", retry=Retry(attempts=9), dead_letter="dead.x"
    )
    async def charge(event: Placed, region: str) -> None:
        """Charge the customer."""

    (found,) = billing.contract.workers
    assert (found.name, found.kind, found.queue_group) == ("charge", "worker", "")
    assert (found.subject, found.template) == ("shop.*.placed", "shop.{region}.placed")
    assert found.request_type is Placed
    assert found.doc == "Charge the customer."
    assert dict(found.metadata) == {
        "natsrpc.kind": "worker",
        "natsrpc.stream": "ORDERS",
        "natsrpc.durable": "charges",
    }
    work = found.work
    assert work is not None
    assert (work.stream, work.durable, work.dead_letter) == ("ORDERS", "charges", "dead.x")
    assert (work.retry.attempts, work.ack_wait, work.batch) == (9, 30.0, 0)
    (handler,) = billing.definition.handlers
    assert (handler.limits.max_concurrency, handler.limits.timeout) == (16, 30.0)


def test_one_that_takes_batches_reads_each_message_as_the_event_s_type() -> None:
    billing = service()

    @billing.worker(placed, stream="ORDERS", batch=100, batch_wait=0.2)
    async def charge(events: list[Placed], deliveries: list[Delivery]) -> None: ...

    (found,) = billing.contract.workers
    assert found.request_type is Placed
    assert found.work is not None
    assert (found.work.batch, found.work.batch_wait) == (100, 0.2)


def test_a_router_brings_its_workers_with_what_is_around_them() -> None:
    router, seen = Router("inner", metadata={"team": "money"}), []

    @router.middleware
    async def around(context: Context, call_next: natsrpc.Next[Context]) -> object:
        return await call_next(context)

    @router.worker(placed, stream="ORDERS")
    async def charge(event: Placed) -> None:
        seen.append(event)

    billing = service()
    billing.include(router, prefix="outer")
    (found,) = billing.contract.workers
    assert found.subject == "shop.*.placed"  # prefixes do not touch it
    assert found.metadata["team"] == "money"
    assert found.work is not None
    assert found.work.durable == "billing-charge"
    assert billing.definition.handlers[0].middlewares == (around,)


def test_a_worker_cannot_be_called() -> None:
    billing = service()

    @billing.worker(placed, stream="ORDERS")
    async def charge(event: Placed) -> None: ...

    from natsrpc.rpc.signature import registry  # noqa: PLC0415

    with pytest.raises(ConfigError, match="is a worker, which nobody can call: enqueue its event"):
        registry.find(charge)


def test_two_workers_do_not_share_a_consumer() -> None:
    billing = service()

    @billing.worker(placed, stream="ORDERS", durable="one")
    async def charge(event: Placed) -> None: ...

    with pytest.raises(ConfigError, match="would share the consumer 'one' of stream 'ORDERS'"):

        @billing.worker("shop.eu.placed", stream="ORDERS", durable="one")
        async def mail(event: Placed) -> None: ...


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"stream": ""}, "stream is ''"),
        ({"stream": "a.b"}, "stream name 'a.b' has '.'"),
        ({"durable": "a b"}, "durable name 'a b' has ' '"),
        ({"queue_group": "x"}, "has no option 'queue_group'; it has: stream, batch, durable"),
        ({"max_concurrency": 0}, "max_concurrency is 0"),
        ({"timeout": 0}, "timeout is 0"),
        ({"ack_wait": -1}, "ack_wait=-1: expected a positive number of seconds"),
        ({"ack_wait": True}, "ack_wait=True"),
        ({"retry": 5}, r"retry=5: expected natsrpc.Retry\(attempts=5\)"),
        ({"batch": 0}, "batch is 0"),
        ({"batch_wait": 1.0}, "takes no batches"),
        ({"batch": 5, "batch_wait": 20.0}, "must not wait for more than half"),
        ({"dead_letter": "dead.*"}, "dead_letter='dead.*'"),
        ({"dead_letter": "$JS.x"}, r"dead_letter='\$JS.x'"),
        ({"dead_letter": "shop.eu.placed"}, "which it would be given itself"),
        ({"dead_letter": 7}, "dead_letter=7: expected a subject"),
        ({"name": "a b"}, "a b"),
        ({"metadata": 5}, "bad metadata 5: expected a mapping of strings"),
        ({"metadata": {"a": 5}}, "bad metadata 'a': 5: expected strings"),
        ({"dependencies": [7]}, "dependencies of worker"),
    ],
)
def test_an_option_that_cannot_be_is_refused(options: dict[str, Any], expected: str) -> None:
    given = {"stream": "ORDERS", **options}
    with pytest.raises(ConfigError, match=expected):
        service().worker(placed, **given)
    with pytest.raises(ConfigError, match=expected):
        Router().worker(placed, **given)


def test_a_target_that_is_neither_event_nor_subject_is_refused() -> None:
    with pytest.raises(ConfigError, match="worker takes an Event or a subject, not 7"):
        service().worker(7, stream="ORDERS")  # type: ignore[call-overload]


def tokened(region: Annotated[str, Token("region")]) -> str:
    return region


async def answers(event: Placed) -> int:
    return 1


async def other(event: Other) -> None: ...


async def none(deliveries: list[Delivery]) -> None: ...


async def single(event: Placed, delivery: Delivery) -> None: ...


async def several(event: Placed, deliveries: list[Delivery]) -> None: ...


async def header(events: list[Placed], tenant: Annotated[str, Header("X")]) -> None: ...


async def token(events: list[Placed], region: str) -> None: ...


async def message(events: list[Placed], msg: Msg) -> None: ...


async def guarded(events: list[Placed], region: Annotated[str, Depends(tokened)]) -> None: ...


async def one_of_batch(events: list[Placed], delivery: Delivery) -> None: ...


@pytest.mark.parametrize(
    ("function", "batch", "expected"),
    [
        (answers, None, "worker .*answers' returns int: nobody waits for an answer"),
        (other, None, "is Other, and event 'shop.{region}.placed' carries Placed"),
        (several, None, "it is given one message at a time"),
        (none, 5, "takes batches, and reads none"),
        (single, 5, "its one parameter for them is a list"),
        (header, 5, "'tenant' .* is read from one message"),
        (token, 5, "'region' .* is read from one message"),
        (message, 5, "'msg' .* is read from one message"),
        (guarded, 5, "'region' of 'tokened' is read from one message"),
        (one_of_batch, 5, r"a batch has several: write 'deliveries: list\[natsrpc.Delivery\]'"),
    ],
)
@pytest.mark.parametrize("make", [service, Router])
def test_a_function_that_does_not_fit_is_refused(
    make: Any, function: Any, batch: int | None, expected: str
) -> None:
    decorate = make().worker(placed, stream="ORDERS", batch=batch)
    with pytest.raises(ConfigError, match=expected):
        decorate(function)


def test_nobody_else_is_given_a_delivery() -> None:
    billing = service()

    async def handler(delivery: Delivery) -> None: ...

    def needs(delivery: Delivery) -> int:
        return delivery.attempt

    async def depends(attempt: Annotated[int, Depends(needs)]) -> None: ...

    expected = "only a worker has a Delivery"
    with pytest.raises(ConfigError, match=expected):
        billing.handler("x")(handler)
    with pytest.raises(ConfigError, match=expected):
        billing.handler("x")(depends)
    with pytest.raises(ConfigError, match=expected):
        billing.subscriber("x")(handler)


def test_a_delivery_takes_neither_default_nor_company() -> None:
    async def default(event: Placed, delivery: Delivery = None) -> None: ...  # type: ignore[assignment]

    async def union(event: Placed, delivery: Delivery | None) -> None: ...

    for function, expected in (
        (default, "it takes neither a marker nor a default"),
        (union, "mixes Delivery with something else"),
    ):
        with pytest.raises(ConfigError, match=expected):
            service().worker("x", stream="ORDERS")(function)
