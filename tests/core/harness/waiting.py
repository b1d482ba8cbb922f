"""Waiting for a state with a deadline, and checking that nothing is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import stat
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from .clock import WarpLoop

T = TypeVar("T")

PATIENCE = 30.0
"""Seconds to wait for what comes at once on a machine with nothing else to do."""


async def turns(count: int = 3) -> None:
    """Let the event loop run `count` times, sockets included."""
    for _ in range(count):
        await asyncio.sleep(0)


async def eventually(
    predicate: Callable[[], object], timeout: float = PATIENCE, *, what: str = ""
) -> None:
    """Return as soon as `predicate()` is true; AssertionError after `timeout` seconds.

    What it gives may be awaitable. The first turns of the loop are watched one by one, then the
    state is looked at every few milliseconds (tenths of a second on a clock that jumps): an unmet
    condition costs the timeout, a met one costs nothing.
    """
    loop = asyncio.get_running_loop()
    longest = 0.2 if isinstance(loop, WarpLoop) else 0.005
    deadline = loop.time() + timeout
    looked = 0
    while True:
        found = predicate()
        if await found if inspect.isawaitable(found) else found:
            return
        if loop.time() >= deadline:
            raise AssertionError(f"not within {timeout} s: {what or predicate!r}")
        looked += 1
        pause = 0 if looked < 20 else min(0.0002 * looked, longest)
        await asyncio.sleep(pause)  # why: between two looks, here for all tests


def soon(predicate: Callable[[], object], timeout: float = PATIENCE, *, what: str = "") -> None:
    """The same without an event loop: for processes and their files."""
    deadline = time.monotonic() + timeout
    while not predicate():
        assert time.monotonic() < deadline, f"not within {timeout} s: {what or predicate!r}"
        time.sleep(0.005)  # why: between two looks, here for all tests


async def steady(value: Callable[[], T], unchanged: int = 50, timeout: float = PATIENCE) -> T:
    """Wait until `value()` stays the same for so many turns of the loop, and return it.

    For what must come to a stop: what goes on fails it after `timeout` seconds.
    """
    deadline = asyncio.get_running_loop().time() + timeout
    last, seen = value(), 0
    while seen < unchanged:
        await turns(1)
        now = value()
        last, seen = now, seen + 1 if now == last else 0
        assert asyncio.get_running_loop().time() < deadline, f"after {timeout} s it still changes"
    return last


async def until_done(
    attempt: Callable[[], Awaitable[T]], *errors: type[Exception], timeout: float = PATIENCE
) -> T:
    """Make attempts one after the other until one raises none of these errors; its result."""
    done: list[T] = []

    async def try_it() -> bool:
        with contextlib.suppress(*errors):
            done.append(await attempt())
        return bool(done)

    await eventually(try_it, timeout)
    return done[0]


async def until_raised(
    error: type[Exception], attempt: Callable[[], Awaitable[object]], timeout: float = PATIENCE
) -> None:
    """Make attempts one after the other until one raises `error`."""

    async def try_it() -> bool:
        try:
            await attempt()
        except error:
            return True
        return False

    await eventually(try_it, timeout)


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
async def no_leaks(timeout: float = PATIENCE) -> AsyncIterator[None]:
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
