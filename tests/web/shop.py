"""Services that the tests of the gateway call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Literal

from pydantic import BaseModel, Field

import natsrpc
from natsrpc import Header


class Order(BaseModel):
    sku: str
    quantity: int = Field(default=1, ge=1)


class Receipt(BaseModel):
    number: int
    sku: str
    quantity: int


class OutOfStock(natsrpc.RpcError, code=409):
    """There are not so many left."""

    sku: str
    left: int


class Placed(BaseModel):
    number: int


placed = natsrpc.Event("shop.events.{region}.placed", Placed)


router = natsrpc.Router()


@router.handler("place", errors=(OutOfStock,))
async def place(order: Order) -> Receipt:
    """Place an order."""
    if order.sku == "gone":
        raise OutOfStock("none left", sku=order.sku, left=0)
    return Receipt(number=7, sku=order.sku, quantity=order.quantity)


@router.handler("{user}.list", idempotent=True)
async def list_(
    user: str, state: Literal["open", "done"] = "open", limit: int = 10, exact: bool = False
) -> list[str]:
    """List the orders of a user."""
    return [user, state, str(limit), str(exact)]


@router.handler("double", idempotent=True)
async def double(number: int) -> int:
    return number * 2


@router.handler("watch", idempotent=True)
async def watch(
    count: Annotated[int, Field(ge=0, le=100)] = 3, fail: bool = False
) -> AsyncIterator[Receipt]:
    """Receipts as they come."""
    for number in range(count):
        yield Receipt(number=number, sku="a", quantity=1)
    if fail:
        raise OutOfStock("no more", sku="a", left=0)


@router.handler("import")
async def import_(orders: AsyncIterator[Order], region: str) -> list[str]:
    return [region, *[order.sku async for order in orders]]


@router.handler("both")
async def both(orders: AsyncIterator[Order]) -> AsyncIterator[Receipt]:
    async for order in orders:
        yield Receipt(number=1, sku=order.sku, quantity=order.quantity)


@router.handler("store")
async def store(data: AsyncIterator[bytes]) -> int:
    return sum([len(each) async for each in data])


@router.handler("blob")
async def blob(data: bytes) -> bytes:
    return data[::-1]


@router.handler("forget")
async def forget() -> None: ...


@router.handler("sleep")
async def sleep(seconds: Annotated[float, Field(ge=0, le=60)]) -> str:
    await asyncio.sleep(seconds)  # why: a handler that is slow, which is what is tried
    return "awake"


@router.handler("headers")
async def headers(
    context: natsrpc.Context, language: Annotated[str, Header("Accept-Language")] = ""
) -> dict[str, str]:
    context.reply_headers["ETag"] = '"7"'
    context.reply_headers["X-Private"] = "not for others"
    return {name.lower(): value for name, value in context.headers.items()}


@router.subscriber(placed)
async def note(event: Placed) -> None:
    """Take note of an order."""


def shop(name: str = "orders", version: str = "1.0.0", codec: str = "json") -> natsrpc.Service:
    """A service with every kind of endpoint, under subjects that begin with its name."""
    service = natsrpc.Service(
        name, version=version, description="takes orders", publishes=[placed], codec=codec
    )
    service.include(router, prefix=name)
    return service
