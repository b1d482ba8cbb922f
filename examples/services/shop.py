"""Errors: the caller catches the class that the handler raised, with its fields.

natsrpc run examples/services/shop.py
natsrpc call shop.order '{"sku": "unicorn", "count": 1}'
"""

from __future__ import annotations

import natsrpc


class OutOfStock(natsrpc.RpcError, code=409):
    """Fewer are left than were ordered."""

    sku: str
    left: int


service = natsrpc.Service("shop", version="1.0.0", description="takes orders")
stock = {"teapot": 3, "unicorn": 0}


@service.handler("shop.order", name="order", errors=(OutOfStock,))
async def order(sku: str, count: int) -> int:
    """Take `count` of `sku` out of stock and answer how many are left."""
    if sku not in stock:
        raise natsrpc.NotFoundError(f"there is no {sku!r} in this shop")
    if stock[sku] < count:
        raise OutOfStock(f"too few of {sku!r}", sku=sku, left=stock[sku])
    stock[sku] -= count
    return stock[sku]


if __name__ == "__main__":
    natsrpc.run(service)
