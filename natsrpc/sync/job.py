"""`Job`: one coroutine that the loop's thread runs while the thread that asked for it waits.

The two meet in a queue that the waiting thread reads. What comes through it is either None, when
the coroutine has ended, or an errand: something that the waiting thread does for it (see `items`).
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from queue import Empty, SimpleQueue
from typing import Any, Protocol, TypeAlias

# Windows does not interrupt a thread that waits for a lock: there it looks for Ctrl-C by itself.
_SLICE = 0.05 if sys.platform == "win32" else None

# From Python 3.12 on a task can take its first step at once: that saves a turn of the loop, and a
# fifth of what a blocking call costs.
_EAGER: dict[str, Any] = {"eager_start": True} if sys.version_info >= (3, 12) else {}


class Errand(Protocol):
    """Something that a thread does for a coroutine."""

    def run(self) -> None:
        """Do it, in the thread that reads the inbox."""


Inbox: TypeAlias = "SimpleQueue[Errand | None]"
"""What a thread reads that works for a coroutine; None ends it."""


class Job:
    """A call of an async function in the loop's thread, and how it ended.

    Args:
        inbox: what the waiting thread reads.
        function: what is called, with `args` and `kwargs`.
    """

    __slots__ = ("_args", "_error", "_function", "_inbox", "_is_done", "_kwargs", "_task", "_value")

    def __init__(
        self,
        inbox: Inbox,
        function: Callable[..., Awaitable[Any]],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] = {},  # it is read only
    ) -> None:
        self._inbox = inbox
        self._function = function
        self._args = args
        self._kwargs = kwargs
        self._error: BaseException | None = None
        self._task: asyncio.Task[None] | None = None
        self._value: Any = None
        self._is_done = False

    # in the loop's thread

    def start(self) -> None:
        """Begin, with the context variables of the thread that submitted this."""
        self._task = asyncio.Task(self._run(), loop=asyncio.get_running_loop(), **_EAGER)

    async def _run(self) -> None:
        try:
            self._value = await self._function(*self._args, **self._kwargs)
        except BaseException as error:  # it goes on in the thread that waits
            self._error = error
        self._is_done = True
        self._inbox.put(None)

    def cancel(self, keep: set[asyncio.Task[None]]) -> None:
        """Cancel it. Its task is in `keep` until it has ended, for nothing else holds it."""
        task = self._task
        if task is not None and not task.done():
            keep.add(task)
            task.add_done_callback(keep.discard)
            task.cancel()

    def fail(self, error: BaseException) -> None:
        """End a job that will not run any more. One that has ended stays as it is."""
        if not self._is_done:
            self._is_done = True
            self._error = error
            self._inbox.put(None)

    # in the thread that waits

    def wait(self, timeout: float | None = None) -> None:
        """Wait until it has ended, and run its errands meanwhile.

        Args:
            timeout: seconds after which the wait is given up; the job goes on.
        """
        get = self._inbox.get
        while True:
            try:
                errand = get(True, timeout or _SLICE)
            except Empty:
                if timeout is not None:
                    return
                continue
            if errand is None:
                return
            errand.run()

    def result(self) -> Any:
        """What it returned; or the error that it raised, raised here."""
        error = self._error
        if error is None:
            return self._value
        self._error = None  # the error's traceback holds this frame, and so this job
        trace = error.__traceback__
        try:
            # without the frame of `_run`: below the caller's own frames stand those of the call
            raise error.with_traceback(trace and trace.tb_next)
        finally:
            del error, trace
