"""The service `stock`: how much there is, and for which orders some of it is reserved."""

from __future__ import annotations

from sqlalchemy import update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import natsrpc

from .api import OutOfStock
from .database import Session, database


class Base(DeclarativeBase):
    """The tables of stock."""


class Shelf(Base):
    """How many of a kind are left."""

    __tablename__ = "shelf"
    sku: Mapped[str] = mapped_column(primary_key=True)
    left: Mapped[int]


class Reservation(Base):
    """What an order has taken from a shelf."""

    __tablename__ = "reservation"
    order: Mapped[str] = mapped_column(primary_key=True)
    sku: Mapped[str]
    count: Mapped[int]


router = natsrpc.Router("stock")


@router.handler("put", name="put")
async def put(sku: str, count: int, session: Session) -> int:
    """Put so many on the shelf, and answer how many are there."""
    row = insert(Shelf).values(sku=sku, left=count)
    more = row.on_conflict_do_update(set_={"left": Shelf.left + count}, index_elements=["sku"])
    return (await session.execute(more.returning(Shelf.left))).scalar_one()


@router.handler("left", name="left", idempotent=True)
async def left(sku: str, session: Session) -> int:
    """Answer how many are on the shelf."""
    shelf = await session.get(Shelf, sku)
    return shelf.left if shelf else 0


@router.handler("reserve", name="reserve", errors=(OutOfStock,), idempotent=True)
async def reserve(order: str, sku: str, count: int, session: Session) -> int:
    """Take so many for an order. Asked again for the same order, it takes nothing more."""
    row = insert(Reservation).values(order=order, sku=sku, count=count)
    is_new = (
        await session.execute(row.on_conflict_do_nothing().returning(Reservation.order))
    ).scalar_one_or_none()
    if is_new is not None:
        fewer = update(Shelf).where(Shelf.sku == sku, Shelf.left >= count)
        taken = await session.execute(fewer.values(left=Shelf.left - count).returning(Shelf.left))
        remaining = taken.scalar_one_or_none()
        if remaining is None:  # the reservation is rolled back
            raise OutOfStock(f"too few of {sku!r}", sku=sku, left=await left(sku, session))
        return remaining
    return await left(sku, session)


service = natsrpc.Service("stock", version="1.0.0", lifespan=database(Base))
service.include(router)
