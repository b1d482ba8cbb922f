"""msgspec's Structs beside pydantic's models: the time to encode and decode a body, by both codecs.

The bodies are the request and the response of the other benchmarks, and a hundred of the latter.
Windows of models and of Structs alternate.

    python -m benchmarks.structs [--rounds 9]
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import msgspec

from benchmarks.models import ORDER, Order, Receipt, receipt_of
from natsrpc import codecs


class OrderStruct(msgspec.Struct):
    """The request."""

    id: int
    customer: str
    items: list[str]
    amount: float
    note: str | None = None


class ReceiptStruct(msgspec.Struct):
    """The response."""

    id: int
    text: str
    total: float
    accepted: bool


RECEIPT = receipt_of(ORDER)
CASES: list[tuple[str, Any, Any, Any, Any]] = [
    ("order", Order, ORDER, OrderStruct, OrderStruct(**ORDER.model_dump())),
    ("receipt", Receipt, RECEIPT, ReceiptStruct, ReceiptStruct(**RECEIPT.model_dump())),
    (
        "100 receipts",
        list[Receipt],
        [RECEIPT] * 100,
        list[ReceiptStruct],
        [ReceiptStruct(**RECEIPT.model_dump())] * 100,
    ),
]


def window(function: Callable[[Any], Any], value: Any, seconds: float = 0.05) -> float:
    """Return the microseconds of one call."""
    count = 0
    began = time.process_time()
    while time.process_time() - began < seconds:
        for _ in range(100):
            function(value)
        count += 100
    return (time.process_time() - began) / count * 1e6


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.structs")
    parser.add_argument("--rounds", type=int, default=9, help="windows of each (default 9)")
    rounds = parser.parse_args().rounds
    print(f"CPython {platform.python_version()}, msgspec {msgspec.__version__}, microseconds")
    print("| | | model | Struct | ratio |\n|---|---|---|---|---|")
    for codec in map(codecs.get, ("json", "msgpack")):
        for name, model, value, struct, other in CASES:
            bounds = codec.bind(model), codec.bind(struct)
            data = bounds[0].encode(value)
            for way in ("encode", "decode"):
                given = (value, other) if way == "encode" else (data, data)
                rows = [
                    [
                        window(getattr(bound, way), each)
                        for bound, each in zip(bounds, given, strict=True)
                    ]
                    for _ in range(rounds)
                ]
                models, structs = map(statistics.median, zip(*rows, strict=True))
                print(
                    f"| {codec.name} | {way} {name} | {models:.2f} | {structs:.2f} "
                    f"| {models / structs:.1f} x |"
                )


if __name__ == "__main__":
    main()
