"""Counting what Python does, instead of timing it: counts are the same on any machine."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import TypeAlias

import natsrpc

from .tracing import instructions_seen

_RUN_CALLBACK = asyncio.Handle._run.__code__  # noqa: SLF001  what the loop calls each callback through
_OWN = str(Path(natsrpc.__file__).parent) + os.sep

Operation: TypeAlias = Callable[[], Awaitable[object]]


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
        head = f"{self.calls:.1f} calls ({self.own_calls:.1f} ours), {self.callbacks:.1f} callbacks"
        return _table(head, self.by_function, 60)


async def count_hops(operation: Operation, times: int = 100) -> Hops:
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
        own_calls=_own(counts),
        callbacks=counts.get(_RUN_CALLBACK, 0.0),
        by_function=_by_place(counts),
    )


@dataclass
class Work:
    """What one operation executes, on average, as the interpreter runs it.

    `instructions` are those of Python's bytecode, asyncio's included; `own` those of natsrpc, and
    `own_calls` how often a function of natsrpc was called or resumed.
    """

    instructions: float
    own: float
    own_calls: float
    by_function: dict[str, float] = field(repr=False)

    def table(self) -> str:
        """The functions that execute most: for the message of a failure."""
        head = (
            f"{self.own:.1f} instructions and {self.own_calls:.2f} calls of natsrpc, "
            f"{self.instructions:.1f} instructions in all; most are in"
        )
        return _table(head, self.by_function, 30)


async def count_work(operation: Operation, *, times: int, per: int = 1, rounds: int = 5) -> Work:
    """Run an operation one at a time, warm, and average the instructions of this thread.

    Of several rounds the least counts: a read that came in two pieces, a timer that fired or a
    fresh block of tokens is no work of each message. `per` is how many messages an operation is.
    """
    for _ in range(max(1, 40 // per)):
        await operation()
    found = [await _count_round(operation, times, per) for _ in range(rounds)]
    return Work(
        instructions=min(work.instructions for work in found),
        own=min(work.own for work in found),
        own_calls=min(work.own_calls for work in found),
        by_function=min(found, key=lambda work: work.own).by_function,
    )


async def _count_round(operation: Operation, times: int, per: int) -> Work:
    here = sys._getframe().f_code  # noqa: SLF001  our own frame is not to be counted
    with instructions_seen(here) as (executed, called):
        for _ in range(times):
            await operation()
    messages = times * per
    counts = {code: count / messages for code, count in executed.items()}
    return Work(
        instructions=sum(counts.values()),
        own=_own(counts),
        own_calls=_own({code: count / messages for code, count in called.items()}),
        by_function=_by_place(counts),
    )


def _own(counts: dict[CodeType, float]) -> float:
    return sum(count for code, count in counts.items() if code.co_filename.startswith(_OWN))


def _table(head: str, by_function: dict[str, float], shown: int) -> str:
    rows = sorted(by_function.items(), key=lambda row: -row[1])[:shown]
    return "\n".join([head, *(f"{count:8.2f}  {name}" for name, count in rows)])


def _by_place(counts: dict[CodeType, float]) -> dict[str, float]:
    places: dict[str, float] = {}
    for code, count in counts.items():
        place = f"{'/'.join(code.co_filename.split('/')[-2:])}:{code.co_qualname}"
        places[place] = places.get(place, 0.0) + count
    return places
