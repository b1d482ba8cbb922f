"""Reading orders: one, or all of them as a stream."""

from __future__ import annotations

from collections.abc import AsyncIterator

from sqlalchemy import select

import natsrpc

from .api import NoSuchOrder, Order
from .database import Session
from .tables import OrderRow

router = natsrpc.Router()


@router.handler("{id}.get", name="get", errors=(NoSuchOrder,), idempotent=True)
async def get(id: str, session: Session) -> Order:
    """Answer one order. Its id is a part of the subject."""
    row = await session.get(OrderRow, id)
    if row is None:
        raise NoSuchOrder(f"there is no order {id!r}", id=id)
    return Order.model_validate(row, from_attributes=True)


@router.handler("list", name="list", idempotent=True)
async def listing(sku: str, session: Session) -> AsyncIterator[Order]:
    """Stream the orders of a sku. The session lives as long as the stream."""
    rows = await session.stream_scalars(select(OrderRow).where(OrderRow.sku == sku))
    async for row in rows:
        yield Order.model_validate(row, from_attributes=True)
