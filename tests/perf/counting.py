"""Counting what Python does, instead of timing it: counts are the same on any machine."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import CodeType, FrameType
from typing import Any

_RUN_CALLBACK = asyncio.Handle._run.__code__  # noqa: SLF001  what the loop calls each callback through


@dataclass
class Hops:
    """What one operation took, on average.

    `calls` are calls of Python functions, asyncio's included, and resumed coroutines, as
    `sys.setprofile` sees them; `own_calls` those of natsrpc; `callbacks` what the loop ran.
    """

    calls: float
    own_calls: float
    callbacks: float
    by_function: dict[str, float] = field(repr=False)

    def table(self) -> str:
        """The functions called, most called first: for the message of a failure."""
        rows = sorted(self.by_function.items(), key=lambda row: -row[1])[:60]
        head = f"{self.calls:.1f} calls ({self.own_calls:.1f} ours), {self.callbacks:.1f} callbacks"
        return "\n".join([head, *(f"{count:8.2f}  {name}" for name, count in rows)])


async def count_hops(operation: Callable[[], Awaitable[Any]], times: int = 100) -> Hops:
    """Run an operation one at a time, warm, and average the Python calls of this thread."""
    for _ in range(20):
        await operation()
    names: Counter[CodeType] = Counter()

    def profile(frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            names[frame.f_code] += 1

    sys.setprofile(profile)
    try:
        for _ in range(times):
            await operation()
    finally:
        sys.setprofile(None)
    counts = {code: count / times for code, count in names.items()}
    return Hops(
        calls=sum(counts.values()),
        own_calls=sum(n for code, n in counts.items() if "/natsrpc/" in code.co_filename),
        callbacks=counts.get(_RUN_CALLBACK, 0.0),
        by_function={_place(code): count for code, count in counts.items()},
    )


def _place(code: CodeType) -> str:
    return f"{'/'.join(code.co_filename.split('/')[-2:])}:{code.co_qualname}"
