"""What the services say to each other. They import this module, and none imports another."""

from __future__ import annotations

from typing import Literal, Protocol

from pydantic import BaseModel, Field

import natsrpc


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


placed = natsrpc.Event("shop.events.{region}.placed", Order, description="an order was taken")
