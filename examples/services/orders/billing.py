"""The service `billing`: writes an invoice for each order that was placed."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import natsrpc

from .api import Order, placed
from .database import Session, database


class Base(DeclarativeBase):
    """The tables of billing."""


class Invoice(Base):
    """One for each event: two for one order would show that an event was handled twice."""

    __tablename__ = "invoice"
    number: Mapped[int] = mapped_column(primary_key=True)
    order: Mapped[str]
    region: Mapped[str]


service = natsrpc.Service("billing", version="1.0.0", lifespan=database(Base))


@service.subscriber(placed)
async def charge(order: Order, region: str, session: Session) -> None:
    """Write an invoice; `region` is the token of the event's subject."""
    session.add(Invoice(order=order.id, region=region))


@service.handler("billing.count", name="count", idempotent=True)
async def count(session: Session) -> tuple[int, int]:
    """Answer how many invoices there are, and for how many orders."""
    orders = func.count(Invoice.order.distinct())
    invoices, different = (await session.execute(select(func.count(), orders))).one()
    return invoices, different
