"""The service `mail`: writes to the customer of each order that was placed.

It has no database. What it needs to know it asks the service `orders`, with the client of the
connection that it is served on. A letter is a line in a file.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import natsrpc
from natsrpc import Client

from .api import Order, placed

service = natsrpc.Service("mail", version="1.0.0")


def outbox() -> Path:
    """The file that letters are added to."""
    return Path(os.environ.get("ORDERS_FOLDER", "."), "mail.txt")


@service.subscriber(placed)
async def confirm(order: Order, client: Client) -> None:
    """Confirm an order, as it is written down."""
    found = await client.call(f"orders.{order.id}.get", returns=Order)
    letter = f"{found.id}: {found.count} of {found.sku} are on their way"
    await asyncio.to_thread(deliver, letter)


def deliver(letter: str) -> None:
    """Add a letter to the file, whole, though several processes write to it."""
    with outbox().open("a", encoding="utf-8") as file:
        file.write(letter + "\n")
