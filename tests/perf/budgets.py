"""What the hot path was measured to take on each Python, and how much more the tests allow.

The counts are exact: the same on any machine, and in every run. Other Pythons compile to other
instructions, so each has rows of its own in `budgets.json`. Where a change is worth what it adds,
or has taken something away, `make budgets` counts anew on every Python found, rewrites these rows
and prints what they were and are; `python -m tests.perf.budgets` does it for the Python that runs
it.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from contextvars import Context
from pathlib import Path
from typing import TypeAlias
from unittest.mock import patch

from natsrpc.core.link import stalls
from natsrpc.testing import NatsServer

from .allocations import Memory, held_while
from .counting import Work, count_work
from .operations import HELD, HELD_THINGS, OPERATIONS, Measured
from .tracing import hindrance

OWN_HEADROOM = 1.01
"""For another patch release, which may compile a little differently."""

ALL_HEADROOM = 1.03
"""For another patch release, whose asyncio may do a little more."""

CALL_HEADROOM = 0.5
"""Not one call more for each message."""

BLOCK_HEADROOM = 0.5
"""Not one object more for each message."""

SIZE_HEADROOM = 1.05
"""For what dicts and lists keep in reserve."""

FILE = Path(__file__).with_suffix(".json")

THIS_PYTHON = "{}.{}".format(*sys.version_info)

Rows: TypeAlias = dict[str, list[float]]
Tables: TypeAlias = dict[str, dict[str, Rows]]


def read() -> Tables:
    """The tables of the file: work and memory, by Python and by operation."""
    tables: Tables = json.loads(FILE.read_text(encoding="utf-8"))
    return tables


WORK = read()["work"]
"""Python -> operation -> instructions of natsrpc, calls of its functions, instructions in all."""

MEMORY = read()["memory"]
"""Python -> what is held -> blocks of memory, bytes."""


async def work_of(name: str, url: str) -> Work:
    """What each message or call of an operation executes."""
    measured = OPERATIONS[name]
    # counting slows the loop down so much that it would be taken for blocked
    with patch.object(stalls, "LATE", 60.0):
        return await _work_of(measured, url)


async def _work_of(measured: Measured, url: str) -> Work:
    async with measured.start(url) as operation:
        if measured.per == 1:
            return await count_work(operation, times=100)
        return await count_work(operation, times=1, per=measured.per, rounds=10)


async def memory_of(name: str, url: str) -> Memory:
    """What each message or call holds: the least of three, for a dict or list may grow just now.

    In a context of its own: a variable that somebody else has set takes a block more in each copy
    of the context where its hash begins as that of one of ours, in one process of 32.
    """
    # tracing slows the loop down as counting does
    with patch.object(stalls, "LATE", 60.0):
        return await asyncio.create_task(_memory_of(name, url), context=Context())


async def _memory_of(name: str, url: str) -> Memory:
    found = []
    for _ in range(3):
        async with HELD_THINGS[name](url) as begin:
            found.append(await held_while(begin, HELD))
    return min(found, key=lambda memory: memory.blocks)


async def measured(url: str) -> dict[str, Rows]:
    """All that this Python takes, counted anew."""
    if hindered := hindrance():
        raise SystemExit(f"instructions cannot be counted: {hindered}")
    work: Rows = {}
    memory: Rows = {}
    for name in OPERATIONS:
        did = await work_of(name, url)
        work[name] = [round(did.own, 1), round(did.own_calls, 2), round(did.instructions, 1)]
    for name in HELD_THINGS:
        held = await memory_of(name, url)
        memory[name] = [round(held.blocks, 1), round(held.size, -1)]  # not exact to the last
    return {"work": work, "memory": memory}


def changes(tables: Tables, found: dict[str, Rows]) -> Iterator[str]:
    """The rows of this Python that differ, old and new."""
    for table, rows in found.items():
        before = tables.get(table, {}).get(THIS_PYTHON, {})
        for name in {**before, **rows}:
            old, new = before.get(name, "none"), rows.get(name, "none")
            if old != new:
                yield f"{THIS_PYTHON} {table}, {name}: {old} -> {new}"


def written(tables: Tables) -> str:
    """The file's text: a row a line, Pythons in order, operations as they are declared."""
    blocks = []
    for table, pythons in tables.items():
        by_python = []
        for python in sorted(pythons, key=lambda text: [int(part) for part in text.split(".")]):
            rows = [f"      {json.dumps(n)}: {json.dumps(r)}" for n, r in pythons[python].items()]
            by_python.append(f'    "{python}": {{\n' + ",\n".join(rows) + "\n    }")
        blocks.append(f'  "{table}": {{\n' + ",\n".join(by_python) + "\n  }")
    return "{\n" + ",\n".join(blocks) + "\n}\n"


def renew() -> None:
    """Count anew on this Python, rewrite its rows and print those that changed."""
    with NatsServer() as server:
        found = asyncio.run(measured(server.url))
    tables = read()
    told = [*changes(tables, found)]
    print("\n".join(told) or f"{THIS_PYTHON}: nothing has changed", flush=True)
    for table, rows in found.items():
        tables.setdefault(table, {})[THIS_PYTHON] = rows
    FILE.write_text(written(tables), encoding="utf-8")


if __name__ == "__main__":
    renew()
