"""The same for every peer: the models of the typed calls, and the names of what JetStream has."""

from __future__ import annotations

from pydantic import BaseModel


class Order(BaseModel):
    """The request."""

    id: int
    customer: str
    items: list[str]
    amount: float
    note: str | None = None


class Receipt(BaseModel):
    """The response."""

    id: int
    text: str
    total: float
    accepted: bool


ITEMS = 1000
"""The receipts in one stream."""

ORDER = Order(id=4711, customer="ada@example.org", items=["pen", "ink", "paper"], amount=12.5)


def receipt_of(order: Order) -> Receipt:
    """Make the response. It is next to no work, so that the way there and back is measured."""
    return Receipt(
        id=order.id, text=f"thank you, {order.customer}", total=order.amount * 1.19, accepted=True
    )


# What `benchmarks.stores` makes for the JetStream scenarios.
STREAM, SUBJECT, CONSUMER = "BENCH", "bench.stored", "bench"
BUCKET = "bench"
"""The name of the bucket, and of the object store."""
OBJECT = "there"
"""An object that is in the store."""


def key(number: int) -> str:
    """One of a hundred keys, which all have a value."""
    return f"key.{number % 100}"
