"""The table of the service `orders`, which its two routers share."""

from __future__ import annotations

from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """The tables of orders."""


class OrderRow(Base):
    """An order that was taken."""

    __tablename__ = "orders"
    id: Mapped[str] = mapped_column(primary_key=True)
    sku: Mapped[str]
    count: Mapped[int]
    region: Mapped[str]
