"""What the typed calls carry: one request and one response, the same for every peer."""

from __future__ import annotations

from pydantic import BaseModel


class Order(BaseModel):
    """What is asked."""

    id: int
    customer: str
    items: list[str]
    amount: float
    note: str | None = None


class Receipt(BaseModel):
    """What is answered."""

    id: int
    text: str
    total: float
    accepted: bool


ITEMS = 1000
"""What a stream has of them."""

ORDER = Order(id=4711, customer="ada@example.org", items=["pen", "ink", "paper"], amount=12.5)


def receipt_of(order: Order) -> Receipt:
    """The work of the service: next to none, so that the way there and back is what is measured."""
    return Receipt(
        id=order.id, text=f"thank you, {order.customer}", total=order.amount * 1.19, accepted=True
    )
