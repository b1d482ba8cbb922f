"""Child processes: started and stopped by `with` or `async with`, and out of reach of Ctrl-C.

`NatsServer` and `Cluster` are started by it; the supervisor of `natsrpc run` takes from here how a
child gets a process group of its own.
"""

from __future__ import annotations

import abc
import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self, TypedDict

_POLL = 0.005  # seconds between two looks


class Startable(abc.ABC):
    """The base of things that are started and stopped: by these methods, or by `with`, or by
    `async with`, which runs them in a thread so that the event loop goes on."""

    @abc.abstractmethod
    def start(self) -> None:
        """Start it and wait until it is ready."""

    @abc.abstractmethod
    def stop(self) -> None:
        """Stop it and wait until it has ended."""

    async def __aenter__(self) -> Self:
        await _start_in_thread(self.start, self.stop)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await _finish_in_thread(self.stop)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


async def _start_in_thread(start: Callable[[], None], stop: Callable[[], None]) -> None:
    starting = asyncio.get_running_loop().run_in_executor(None, start)
    try:
        await asyncio.shield(starting)
    except asyncio.CancelledError:
        # the thread cannot be cancelled: wait for its end, then stop again what it has started
        await asyncio.gather(starting, return_exceptions=True)
        await _finish_in_thread(stop)
        raise


async def _finish_in_thread(stop: Callable[[], None]) -> None:
    # shielded: a test that is cancelled must not leave its server behind
    await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, stop))


class ProcessGroup(TypedDict, total=False):
    """Arguments of `subprocess.Popen` that put a child into a process group of its own."""

    creationflags: int
    start_new_session: bool


def own_process_group() -> ProcessGroup:
    """Return the arguments of `subprocess.Popen` that give a child a process group of its own.

    Ctrl-C in a terminal goes to the whole foreground group. The parent alone must decide what the
    interrupt means to its children: a server has to outlive the drain of its clients.
    """
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def looks(timeout: float) -> Iterator[None]:
    """Yield at once, then every 5 ms for `timeout` seconds, and a last time after that.

    The caller looks, at each, whether the thing that it waits for is there. The last look is for a
    machine so busy that the time passed within one sleep.
    """
    clock: Callable[[], float] = time.monotonic
    end = clock() + timeout
    while clock() < end:
        yield
        time.sleep(_POLL)
    yield
