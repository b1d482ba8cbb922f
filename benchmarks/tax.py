"""The cost of types: the CPU of a typed call over that of a raw request, on one connection.

Service and caller are in this one process, so its CPU time is that of both added. Windows of raw
requests and of typed calls alternate, both with the same bytes there and back. The typed calls
carry a deadline header and go through pydantic on both sides. The work of pydantic alone is
measured, too: it is part of the cost, and no framework can save it.

    python -m benchmarks.tax [--seconds 0.5] [--rounds 11] [--limit 12]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import platform
import statistics
import sys
import time
from collections.abc import Awaitable, Callable

from pydantic import TypeAdapter

import natsrpc
from benchmarks.models import ORDER, Order, Receipt, receipt_of
from natsrpc.core import Msg, connect
from natsrpc.testing import NatsServer

INFLIGHT = 64
RECEIPT = receipt_of(ORDER)
REQUEST = ORDER.model_dump_json().encode()
REPLY = RECEIPT.model_dump_json().encode()

service = natsrpc.Service("tax", version="1.0.0")


@service.handler("tax.typed")
async def typed(order: Order) -> Receipt:
    """Answer a model that exists already: as little as a handler can do."""
    return RECEIPT


async def window(call: Callable[[], Awaitable[object]], seconds: float) -> float:
    """Return the CPU microseconds of one call, with `INFLIGHT` of them in flight."""
    count = 0
    end = time.perf_counter() + seconds

    async def caller() -> None:
        nonlocal count
        while time.perf_counter() < end:
            await call()
            count += 1

    gc.collect()
    began = time.process_time()
    await asyncio.gather(*(caller() for _ in range(INFLIGHT)))
    return (time.process_time() - began) / count * 1e6


def pydantic_alone(rounds: int = 20_000) -> float:
    """Return the CPU microseconds of encoding and decoding one request and one reply."""
    orders, receipts = TypeAdapter(Order), TypeAdapter(Receipt)
    write_order, write_receipt = orders.serializer.to_json, receipts.serializer.to_json
    read_order, read_receipt = orders.validator.validate_json, receipts.validator.validate_json
    began = time.process_time()
    for _ in range(rounds):
        read_order(write_order(ORDER))
        read_receipt(write_receipt(RECEIPT))
    return (time.process_time() - began) / rounds * 1e6


async def measure(url: str, seconds: float, rounds: int) -> tuple[list[float], list[float]]:
    """Return the CPU microseconds of raw requests and of typed calls, a window of each in turns."""
    raws, typeds = [], []
    async with natsrpc.connect(url) as client, connect(url) as worker:

        def echo(msg: Msg) -> None:
            worker.link.send(msg.raw_reply, REPLY)

        worker.link.attach("tax.raw", echo)
        async with natsrpc.Client(worker).serve(service):
            request = client.connection.link.requests.request

            async def raw() -> object:
                return await request(b"tax.raw", REQUEST)

            async def call() -> object:
                return await client.call("tax.typed", ORDER, Receipt, timeout=5.0)

            await window(raw, seconds)
            await window(call, seconds)
            for _ in range(rounds):
                raws.append(await window(raw, seconds))
                typeds.append(await window(call, seconds))
    return raws, typeds


def main() -> None:
    """Measure and print; exit with 1 if the cost is over the limit."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tax", description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.5, help="a window (default 0.5)")
    parser.add_argument("--rounds", type=int, default=11, help="windows of each (default 11)")
    parser.add_argument("--limit", type=float, default=12.0, help="microseconds (default 12)")
    arguments = parser.parse_args()
    with NatsServer() as server:
        raws, typeds = asyncio.run(measure(server.url, arguments.seconds, arguments.rounds))
    taxes = [after - before for before, after in zip(raws, typeds, strict=True)]
    tax = statistics.median(taxes)
    print(
        f"Python {platform.python_version()}, CPU of service and caller added, medians of "
        f"{arguments.rounds} windows:\n"
        f"raw {statistics.median(raws):.1f} us, typed {statistics.median(typeds):.1f} us, "
        f"tax {tax:.1f} us (windows {min(taxes):.1f} to {max(taxes):.1f}), "
        f"of which pydantic {pydantic_alone():.1f} us"
    )
    sys.exit(0 if tax <= arguments.limit else 1)


if __name__ == "__main__":
    main()
