"""The service `billing`: writes an invoice for each order that was placed, whatever breaks.

A worker is given each event until it has done it: a crash loses none. What it does stands in one
transaction with a note that it was done, so an event that comes again changes nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sqlalchemy import func, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import natsrpc

from .api import Order, events, letters, placed
from .database import Session, database


class Base(DeclarativeBase):
    """The tables of billing."""


class Invoice(Base):
    """One for each order: two for one would show that an event was handled twice."""

    __tablename__ = "invoice"
    number: Mapped[int] = mapped_column(primary_key=True)
    order: Mapped[str]
    region: Mapped[str]


class Charged(Base):
    """The orders whose invoice was written."""

    __tablename__ = "charged"
    order: Mapped[str] = mapped_column(primary_key=True)


service = natsrpc.Service(
    "billing", version="1.0.0", lifespan=database(Base), streams=[events, letters]
)


@service.worker(
    placed, stream=events.name, durable="billing", dead_letter="shop.dead.billing", timeout=10.0
)
async def charge(order: Order, region: str, session: Session) -> None:
    """Write an invoice; `region` is the token of the event's subject."""
    async with natsrpc.once(order.id, noted_in(session)) as is_first:
        if is_first:
            session.add(Invoice(order=order.id, region=region))


def noted_in(session: AsyncSession) -> Callable[[str], Awaitable[bool]]:
    """Make the store of `once`: it notes an order in this transaction, and tells if it was new."""

    async def add(order: str) -> bool:
        row = insert(Charged).values(order=order).on_conflict_do_nothing()
        return (await session.execute(row.returning(Charged.order))).first() is not None

    return add


@service.handler("billing.count", name="count", idempotent=True)
async def count(session: Session) -> tuple[int, int]:
    """Answer how many invoices there are, and for how many orders."""
    orders = func.count(Invoice.order.distinct())
    invoices, different = (await session.execute(select(func.count(), orders))).one()
    return invoices, different
