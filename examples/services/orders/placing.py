"""Taking orders: reserve in stock, write it down, answer, and tell whoever listens."""

from __future__ import annotations

import uuid
from typing import Annotated

import natsrpc
from natsrpc import Client, Context, Depends

from .api import NewOrder, Order, OutOfStock, Stock, placed
from .database import Session
from .tables import OrderRow

router = natsrpc.Router(errors=(OutOfStock,))


def stock_service(client: Client) -> Stock:
    """Bind the stock service, over the connection that this service is served on."""
    return client.bind(Stock)


@router.handler("place", name="place")
async def place(
    new: NewOrder,
    session: Session,
    stock: Annotated[Stock, Depends(stock_service, scope="app")],
    context: Context,
) -> Order:
    """Take an order.

    If stock raises OutOfStock, so does this: the caller catches the same class, two hops away. The
    event is told after the answer. The order is committed by then, so whoever hears of it finds
    it. If the process dies in between, nobody does; once it is told, a stream keeps it.
    """
    order = Order(id=uuid.uuid4().hex, **new.model_dump())
    await stock.reserve(order.id, order.sku, order.count)
    session.add(OrderRow(**order.model_dump()))
    context.after_reply(announce, context.client, order)
    return order


async def announce(client: Client, order: Order) -> None:
    """Tell that an order was taken: a stream keeps it for workers, and subscribers hear it now."""
    await client.enqueue(placed, order, tokens={"region": order.region})
