"""Events: publishers and subscribers are held to the type that the event has."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, assert_type

from pydantic import BaseModel

from natsrpc import (
    Client,
    Context,
    Delivery,
    Depends,
    Event,
    Msg,
    Retry,
    Router,
    Service,
    Token,
    sync,
)
from natsrpc.jetstream import PubAck


class Placed(BaseModel):
    order: int


class Paid(Placed):
    amount: int


class Other(BaseModel):
    order: int


class Db: ...


def open_db() -> Db:
    return Db()


placed = Event("shop.{region}.placed", Placed)
numbers = Event("numbers", list[int])
assert_type(placed, Event[Placed])
assert_type(numbers, Event[list[int]])
service = Service("bill", version="1.0.0", publishes=[placed, numbers])
router = Router("x")


async def publishers(client: Client) -> None:
    await client.publish(placed, Placed(order=1), tokens={"region": "eu"}, headers={"a": "b"})
    await client.publish(placed, Paid(order=1, amount=2), codec="msgpack")
    await client.publish(numbers, [1, 2])
    await client.publish("subject", Other(order=1))
    await client.publish("subject")
    await client.publish(placed, Other(order=1))  # E: misc, reportCallIssue
    await client.publish(placed, {"order": 1})  # E: misc, reportCallIssue
    await client.publish(placed)  # E: call-overload, reportArgumentType
    await client.publish(numbers, ["a"])  # E: misc, reportCallIssue
    await client.publish(numbers, [1], tokens={"n": 1})  # E: dict-item, reportArgumentType
    await client.publish("subject", 1, tokens={"a": "b"})  # E: call-overload, reportArgumentType


async def enqueuers(client: Client, blocking: sync.Client) -> None:
    ack = await client.enqueue(placed, Placed(order=1), tokens={"region": "eu"}, msg_id="a")
    assert_type(ack, PubAck)
    assert_type(blocking.enqueue(numbers, [1], delay=5.0), PubAck)
    await client.enqueue("subject", Other(order=1), at=datetime.now(UTC), timeout=1.0)
    await client.enqueue("subject")
    await client.enqueue(placed, Other(order=1))  # E: misc, reportCallIssue
    await client.enqueue(placed)  # E: call-overload, reportArgumentType
    await client.enqueue("subject", 1, delay="5")  # E: call-overload, reportCallIssue
    blocking.enqueue(numbers, ["a"])  # E: misc, reportCallIssue


@service.subscriber(placed)
async def whole(event: Placed) -> None: ...


@service.subscriber(placed, ordered=True, queue_group=None, max_waiting=5, timeout=1.0)
async def with_token(event: Placed, region: Annotated[str, Token()]) -> None: ...


@service.subscriber(placed, dependencies=[Depends(open_db)])
def plain(event: Placed, db: Annotated[Db, Depends(open_db)]) -> None: ...


@router.subscriber(placed)
async def with_context(context: Context, event: Placed) -> None: ...


@service.group("v1").subscriber(placed)
async def with_client(client: Client, context: Context, event: Placed) -> None: ...


@service.subscriber(placed)
async def wider(event: BaseModel) -> None: ...


@service.subscriber(placed)
async def message(msg: Msg) -> None: ...


@service.subscriber(placed)
async def nothing() -> None: ...


@service.subscriber("any.*", name="any")
async def untyped(event: Any) -> None: ...


async def subscribers_stay_functions() -> None:
    assert_type(await whole(Placed(order=1)), None)
    assert_type(await with_token(Placed(order=1), region="eu"), None)
    plain(Placed(order=1), db=open_db())
    await untyped(event=1)


async def other(event: Other) -> None: ...


async def narrower(event: Paid) -> None: ...


async def answers(event: Placed) -> int:
    return 1


service.subscriber(placed)(other)  # E: arg-type, reportCallIssue
router.subscriber(placed)(narrower)  # E: arg-type, reportCallIssue
service.subscriber(placed)(answers)  # E: type-var, reportCallIssue
service.subscriber(placed, order=True)(whole)  # E: call-overload, reportCallIssue
service.subscriber(5)  # E: call-overload, reportCallIssue


@service.worker(placed, stream="S", durable="d", retry=Retry(attempts=3), dead_letter="dead")
async def works(event: Placed, delivery: Delivery) -> None: ...


@router.worker(placed, stream="S")
def works_plainly(event: Placed) -> None: ...


@service.worker(placed, stream="S", batch=100, batch_wait=0.5)
async def works_on_many(events: list[Placed], deliveries: list[Delivery]) -> None: ...


@service.worker("shop.*.placed", stream="S", batch=10)
async def works_on_subjects(events: list[Other]) -> None: ...


async def on_one_of_many(event: Placed) -> None: ...


service.worker(placed, stream="S")(other)  # E: arg-type, reportCallIssue
service.worker(placed, stream="S", batch=10)(on_one_of_many)  # E: arg-type, reportCallIssue
service.worker(placed)  # E: call-overload, reportCallIssue
service.worker(placed, stream="S", retry=5)  # E: call-overload, reportCallIssue
service.worker(placed, stream="S", queue_group="x")  # E: call-overload, reportCallIssue
