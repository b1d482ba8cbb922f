"""Waiting for a state with a deadline, and checking that nothing is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
from collections.abc import AsyncIterator, Callable

from .clock import WarpLoop


async def turns(count: int = 3) -> None:
    """Let the event loop run `count` times, sockets included."""
    for _ in range(count):
        await asyncio.sleep(0)


async def eventually(
    predicate: Callable[[], object], timeout: float = 5.0, *, what: str = ""
) -> None:
    """Return as soon as `predicate()` is true; AssertionError after `timeout` seconds.

    The first turns of the loop are watched one by one, then the state is looked at every
    few milliseconds (tenths of a second on a clock that jumps): an unmet condition costs the
    timeout, a met one costs nothing.
    """
    loop = asyncio.get_running_loop()
    longest = 0.2 if isinstance(loop, WarpLoop) else 0.005
    deadline = loop.time() + timeout
    looked = 0
    while not predicate():
        if loop.time() >= deadline:
            raise AssertionError(f"not within {timeout} s: {what or predicate!r}")
        looked += 1
        await asyncio.sleep(0 if looked < 20 else min(0.0002 * looked, longest))


def open_sockets() -> frozenset[tuple[int, int]]:
    """(descriptor, inode) of every socket this process holds open (POSIX only)."""
    found = set()
    for descriptor in range(1024):
        with contextlib.suppress(OSError):
            state = os.fstat(descriptor)
            if stat.S_ISSOCK(state.st_mode):
                found.add((descriptor, state.st_ino))
    return frozenset(found)


@contextlib.asynccontextmanager
async def no_leaks(timeout: float = 2.0) -> AsyncIterator[None]:
    """Fail if the block leaves a task running or a socket open.

    Both may take a few turns to go away after the last `close()`: they get `timeout` seconds.
    Put it outside the server and the client: `async with no_leaks(), ScriptedServer() as ...`.
    """
    tasks, sockets = asyncio.all_tasks(), open_sockets()
    yield

    def left() -> list[object]:
        running: list[object] = [t for t in asyncio.all_tasks() - tasks if not t.done()]
        return running + list(open_sockets() - sockets)

    with contextlib.suppress(AssertionError):
        await eventually(lambda: not left(), timeout)
    assert not left(), f"left behind: {left()!r}"
