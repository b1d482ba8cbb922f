"""`Threads`: the threads of plain (not async) functions, and the seats that bound them.

A request *takes a seat* before its first plain function runs, and has a thread of its own as long
as it keeps it: requests wait for seats, in their order, and never for a thread. A plain handler
keeps its seat from its first plain dependency to its end, and so does a request that has entered a
plain generator. If it queued for a thread each time, thirty-two requests that wait for a pooled
connection would keep those that have one from ever giving it back.

A request that is cancelled while it waits for a seat leaves at once; nothing of it runs.

Calls made inside handlers have seats of their own, at each depth: a plain handler that waits for a
nested call never holds the seat which that call needs.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import time
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from ..headers import inherited

T = TypeVar("T")

RESERVE = 8
"""Seats for the calls of one depth that are made inside handlers."""

_UNSET: Any = object()


class Threads:
    """The seats of one server: `limit` for calls from outside, `RESERVE` for each depth of calls
    that are made inside handlers. Threads are made when they are first needed."""

    def __init__(self, limit: int) -> None:
        self.limit: int = limit
        self._levels: dict[int, _Level] = {}

    async def take(self) -> Seat:
        """Wait for a seat; the caller must give it back."""
        current = inherited.get()
        depth = max(current[1], 1) if current else 1
        level = self._levels.get(depth)
        if level is None:
            limit = self.limit if depth == 1 else min(self.limit, RESERVE)
            level = self._levels[depth] = _Level(limit)
        return Seat(await level.take())

    async def run(self, call: Callable[[], T], variables: contextvars.Context | None = None) -> T:
        """Run `call` in a thread, as `Seat.run`, with a seat for this alone."""
        seat = await self.take()
        try:
            return await seat.run(call, variables)
        finally:
            seat.give_back()

    def stop(self) -> None:
        """Let the threads go once they are idle."""
        for level in self._levels.values():
            level.stop()


class _Level:
    """The seats and the threads of one depth, as many of one as of the other."""

    def __init__(self, limit: int) -> None:
        # taken from the package as late as this, it is loaded as late as this
        self.pool: concurrent.futures.Executor = concurrent.futures.ThreadPoolExecutor(
            limit, thread_name_prefix="natsrpc-handler"
        )
        self._free: int = limit
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def take(self) -> _Level:
        if self._free > 0:
            self._free -= 1
            return self
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._waiting.remove(turn)
            else:  # it was given in the same turn of the loop
                self.give_back()
            raise
        return self

    def give_back(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    def stop(self) -> None:
        self.pool.shutdown(wait=False)


class Seat:
    """A thread for one request, to run one function after another."""

    __slots__ = ("_level",)

    def __init__(self, level: _Level) -> None:
        self._level = level

    async def run(self, call: Callable[[], T], variables: contextvars.Context | None = None) -> T:
        """Run `call` in a thread, with a copy of the current context variables, or with `variables`
        as they are. What it sets is set here afterwards, as if it had run here.

        A thread cannot be stopped: when cancelled, this waits for it to end before it raises, so
        that the handler's slot stays taken for as long as it really runs.
        """
        if variables is None:
            variables = contextvars.copy_context()
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._level.pool, variables.run, _guarded, call)
        try:
            result: T = await asyncio.shield(future)
        except asyncio.CancelledError:
            while not future.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait([future])
            if not future.cancelled():
                future.exception()  # retrieved: nobody else will
            raise
        finally:
            adopt(variables)
        return result

    def give_back(self) -> None:
        """Let the next request have it."""
        self._level.give_back()


def thread_clock(loop: object, now: Callable[[], float]) -> Callable[[], float]:
    """A clock that agrees with a loop's `now` in any thread. That of uvloop stands still while the
    loop waits; it counts as `time.monotonic` does."""
    is_uvloop = type(loop).__module__.partition(".")[0] == "uvloop"
    return time.monotonic if is_uvloop else now


def adopt(variables: contextvars.Context) -> None:
    """Set the context variables here that differ there."""
    for variable, value in variables.items():
        if variable.get(_UNSET) is not value:
            variable.set(value)


def _guarded(call: Callable[[], T]) -> T:
    """Call; a `StopIteration`, which no future can carry, becomes a `RuntimeError`: else its waiter
    would never wake."""
    try:
        return call()
    except StopIteration as error:
        raise RuntimeError("the function raised StopIteration") from error
