"""Several parameters: each is a field of the body.

natsrpc run examples/services/calc.py
natsrpc call calc.add '{"a": 1, "b": 2}'
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

import natsrpc

service = natsrpc.Service("calc", version="1.0.0", description="does sums")
calc = service.group("calc")


@calc.handler("add")
async def add(a: float, b: float) -> float:
    """Add two numbers."""
    return a + b


@calc.handler("mean")
def mean(values: Annotated[list[float], Field(min_length=1)]) -> float:
    """Average some numbers. A function that is not async runs in a thread."""
    return sum(values) / len(values)


if __name__ == "__main__":
    natsrpc.run(service)
