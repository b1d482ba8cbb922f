"""What is allocated for messages and calls, block by block, as `tracemalloc` sees it."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from .counting import Operation

_LEFT_OUT = (
    tracemalloc.Filter(False, tracemalloc.__file__),
    tracemalloc.Filter(False, __file__),
)


@dataclass
class Memory:
    """Blocks of memory that are held, their size in bytes, and the lines that allocated most."""

    blocks: float
    size: float
    lines: list[str] = field(repr=False)

    def table(self) -> str:
        """For the message of a failure."""
        return "\n".join([f"{self.blocks:.2f} blocks of {self.size:.0f} bytes, of", *self.lines])


@contextmanager
def _traced() -> Iterator[None]:
    gc.collect()  # empties the free lists too, from which objects come unseen
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


def _held(messages: int) -> Memory:
    gc.collect()
    found = tracemalloc.take_snapshot().filter_traces(_LEFT_OUT).statistics("lineno")
    found.sort(key=lambda line: -line.count)
    return Memory(
        blocks=sum(line.count for line in found) / messages,
        size=sum(line.size for line in found) / messages,
        lines=[
            f"{line.count / messages:8.2f} blocks {line.size / messages:8.0f} bytes  "
            f"{'/'.join(line.traceback[0].filename.split('/')[-2:])}:{line.traceback[0].lineno}"
            for line in found[:20]
        ],
    )


async def left_by(operation: Operation, messages: int, per: int = 1) -> Memory:
    """What is held after an operation was run many times, and was not before.

    It is the least of several looks, fifty messages apart or one operation of `per`: the connection
    makes some hundred tokens at a time for the requests to come.
    """
    times = messages // per
    for _ in range(times):
        await operation()
    with _traced():
        for _ in range(times):
            await operation()
        looks = []
        for _ in range(12):
            for _ in range(max(1, 50 // per)):
                await operation()
            looks.append(_held(1))
        return min(looks, key=lambda look: look.blocks)


async def held_while(begin: Callable[[], Awaitable[object]], messages: int) -> Memory:
    """What is held for each of the messages or calls that `begin` leaves unfinished."""
    with _traced():
        kept = await begin()
        found = _held(messages)
        del kept
        return found
