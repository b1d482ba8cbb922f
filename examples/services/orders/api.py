"""What the services say to each other. They import this module, and none imports another."""

from __future__ import annotations

from typing import Literal, Protocol

from pydantic import BaseModel, Field

import natsrpc
from natsrpc.jetstream import StreamConfig


class NewOrder(BaseModel):
    """What a customer asks for."""

    sku: str
    count: int = Field(ge=1, le=100)
    region: Literal["eu", "us"] = "eu"


class Order(NewOrder):
    """An order that was taken."""

    id: str


class OutOfStock(natsrpc.RpcError, code=409):
    """Fewer are left than were asked for. Raised by stock, and by orders, which lets it through."""

    sku: str
    left: int


class NoSuchOrder(natsrpc.RpcError, code=404):
    """There is no order of this id."""

    id: str


class Stock(Protocol):
    """The service stock, as others call it: `client.bind(Stock)`."""

    @natsrpc.endpoint("stock.reserve", errors=(OutOfStock,), idempotent=True)
    async def reserve(self, order: str, sku: str, count: int) -> int:
        """Take so many out of stock for an order, and answer how many are left."""
        ...


placed = natsrpc.Event(
    "shop.events.{region}.placed", Order, key="id", description="an order was taken"
)

events = StreamConfig(name="ORDER_EVENTS", subjects=["shop.events.>"], max_age=7 * 86_400.0)
"""Keeps what was told for a week: a worker that comes late finds it."""

letters = StreamConfig(name="ORDER_LETTERS", subjects=["shop.dead.>"])
"""Keeps the dead letters of all workers, until somebody has looked at them."""
