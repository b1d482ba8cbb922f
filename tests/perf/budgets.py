"""What the hot path was measured to take on each Python, and how much more the tests allow.

The counts are exact: the same on any machine, and in every run. `python -m tests.perf.budgets`
counts anew on the Python that runs it and prints the rows below, to be pasted here where a change
is worth what it adds, or has taken something away. Other Pythons compile to other instructions.
"""

from __future__ import annotations

import asyncio
import sys

from natsrpc.testing import NatsServer

from .allocations import Memory, held_while
from .counting import Work, count_work
from .operations import HELD, HELD_THINGS, OPERATIONS

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

# Python -> operation -> instructions of natsrpc, calls of its functions, instructions in all
WORK: dict[str, dict[str, tuple[float, float, float]]] = {
    "3.11": {
        "raw request": (1146.0, 18.00, 2678.0),
        "typed call": (1464.0, 26.00, 3302.0),
        "publish": (137.2, 4.13, 161.3),
        "delivery": (226.2, 1.03, 240.5),
    },
    "3.12": {
        "raw request": (1092.0, 18.00, 2511.2),
        "typed call": (1355.0, 25.00, 2801.2),
        "publish": (123.8, 4.13, 147.7),
        "delivery": (223.1, 1.03, 236.1),
    },
    "3.13": {
        "raw request": (1081.0, 18.00, 2562.2),
        "typed call": (1358.0, 25.00, 2865.2),
        "publish": (125.8, 4.13, 150.1),
        "delivery": (218.1, 1.03, 232.3),
    },
}

# Python -> what is held -> blocks of memory, bytes
MEMORY: dict[str, dict[str, tuple[float, float]]] = {
    "3.11": {
        "request in flight": (11.12, 1271),
        "call in flight": (36.08, 4016),
        "message pending": (3.10, 315),
        "message unsent": (1.03, 193),
    },
    "3.12": {
        "request in flight": (10.98, 1230),
        "call in flight": (36.09, 3947),
        "message pending": (3.10, 316),
        "message unsent": (1.03, 193),
    },
    "3.13": {
        "request in flight": (10.98, 1366),
        "call in flight": (36.08, 4083),
        "message pending": (3.10, 316),
        "message unsent": (1.03, 193),
    },
}

THIS_PYTHON = "{}.{}".format(*sys.version_info)


async def work_of(name: str, url: str) -> Work:
    """What each message or call of an operation executes."""
    measured = OPERATIONS[name]
    async with measured.start(url) as operation:
        if measured.per == 1:
            return await count_work(operation, times=100)
        return await count_work(operation, times=1, per=measured.per, rounds=10)


async def memory_of(name: str, url: str) -> Memory:
    """What each message or call holds: the least of three, for a dict or list may grow just now."""
    found = []
    for _ in range(3):
        async with HELD_THINGS[name](url) as begin:
            found.append(await held_while(begin, HELD))
    return min(found, key=lambda memory: memory.blocks)


async def _measure(url: str) -> None:
    print(f'WORK\n    "{THIS_PYTHON}": {{')
    for name in OPERATIONS:
        work = await work_of(name, url)
        print(f'        "{name}": ({work.own:.1f}, {work.own_calls:.2f}, {work.instructions:.1f}),')
    print(f'    }},\nMEMORY\n    "{THIS_PYTHON}": {{')
    for name in HELD_THINGS:
        memory = await memory_of(name, url)
        print(f'        "{name}": ({memory.blocks:.2f}, {memory.size:.0f}),')
    print("    },")


if __name__ == "__main__":
    with NatsServer() as server:
        asyncio.run(_measure(server.url))
