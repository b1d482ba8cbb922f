"""What the hot path was measured to take on each Python, and how much more the tests allow.

The counts are exact: the same on any machine, and in every run. `python -m tests.perf.budgets`
counts anew on the Python that runs it and prints the rows below, to be pasted here where a change
is worth what it adds, or has taken something away. Other Pythons compile to other instructions.
"""

from __future__ import annotations

import asyncio
import sys
from contextvars import Context

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
        "raw request": (1286.8, 21.00, 2313.8),
        "typed call": (1555.8, 26.00, 3134.8),
        "raw requests, 64 at a time": (655.1, 10.20, 1158.3),
        "typed calls, 64 at a time": (1005.6, 15.20, 1689.7),
        "publish": (92.7, 1.18, 117.1),
        "delivery": (151.8, 1.04, 166.1),
    },
    "3.12": {
        "raw request": (1204.0, 21.00, 2152.2),
        "typed call": (1428.0, 26.00, 2399.2),
        "raw requests, 64 at a time": (609.8, 10.20, 1063.3),
        "typed calls, 64 at a time": (914.6, 15.20, 1391.2),
        "publish": (86.2, 1.18, 110.3),
        "delivery": (141.4, 1.04, 154.4),
    },
    "3.13": {
        "raw request": (1208.0, 21.00, 2198.2),
        "typed call": (1431.0, 26.00, 2442.2),
        "raw requests, 64 at a time": (612.6, 10.20, 1077.5),
        "typed calls, 64 at a time": (914.5, 15.20, 1400.4),
        "publish": (87.2, 1.18, 111.8),
        "delivery": (145.2, 1.04, 159.4),
    },
}

# Python -> what is held -> blocks of memory, bytes
MEMORY: dict[str, dict[str, tuple[float, float]]] = {
    "3.11": {
        "request in flight": (12.60, 1259),
        "call in flight": (36.83, 3982),
        "message pending": (3.08, 314),
        "message unsent": (1.03, 193),
        "subscription idle": (7.03, 728),
    },
    "3.12": {
        "request in flight": (12.61, 1222),
        "call in flight": (36.83, 3912),
        "message pending": (3.08, 314),
        "message unsent": (1.03, 193),
        "subscription idle": (7.03, 712),
    },
    "3.13": {
        "request in flight": (12.61, 1206),
        "call in flight": (36.83, 3896),
        "message pending": (3.09, 314),
        "message unsent": (1.03, 193),
        "subscription idle": (6.03, 720),
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
    """What each message or call holds: the least of three, for a dict or list may grow just now.

    In a context of its own: a variable that somebody else has set takes a block more in each copy
    of the context where its hash begins as that of one of ours, in one process of 32.
    """
    return await asyncio.create_task(_memory_of(name, url), context=Context())


async def _memory_of(name: str, url: str) -> Memory:
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
