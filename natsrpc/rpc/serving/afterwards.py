"""Work after the answer: `AfterReply` runs what the handlers of one endpoint asked for.

It runs in the task of the request, which keeps its slots: so no more of it is under way than
requests may run, and a drain waits for it as it does for handlers. Each function has a task of its
own within, for the context variables of the moment at which it was asked for.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
from functools import partial
from time import perf_counter_ns
from typing import Protocol

from ..contract import Afterwards, Later
from ..headers import no_deadline
from ..signature import describe, is_async
from .eager import cancel_and_hold
from .threads import Threads

logger: logging.Logger = logging.getLogger("natsrpc.rpc")


class Noting(Protocol):
    """The counters of an endpoint, as far as this moves them."""

    processing_time_ns: int

    def note_error(self, text: str) -> None:
        """Count an error."""


class AfterReply:
    """Runs the functions that the handlers of one endpoint gave to `Context.after_reply`."""

    def __init__(self, threads: Threads, answers: Noting, handler: str) -> None:
        self._threads = threads
        self._answers = answers
        self._handler = handler
        self._running: set[asyncio.Task[None]] = set()
        self._is_aborted = False

    async def run(self, afterwards: Afterwards) -> None:
        """Run them one by one, also those that are added meanwhile. Their time is not that of the
        handler, by which it is told what cannot be answered in time."""
        began = perf_counter_ns()
        try:
            while (later := afterwards.take()) is not None:
                if self._is_aborted:
                    self._lose(later, "was not run: the service is stopping")
                else:
                    await self._run_one(later)
        finally:
            self._answers.processing_time_ns -= perf_counter_ns() - began

    async def _run_one(self, later: Later) -> None:
        task = asyncio.get_running_loop().create_task(
            self._call(later), name=f"natsrpc after {self._handler}", context=later.variables
        )
        self._running.add(task)
        try:
            await asyncio.wait([task])
        finally:
            self._running.discard(task)
            task.cancel()  # it has ended, unless this was cancelled
        if task.cancelled():
            self._lose(later, "was cancelled")
        else:
            task.result()  # raises what nobody's input may hold up, as KeyboardInterrupt

    async def _call(self, later: Later) -> None:
        function, args, _ = later
        with no_deadline():
            try:
                if is_async(function):
                    await function(*args)
                    return
                result = await self._threads.run(partial(function, *args))
                if inspect.isawaitable(result):
                    await result
            except (Exception, SystemExit) as error:
                self._fail(later, error)

    def _fail(self, later: Later, error: BaseException) -> None:
        name, error_id = describe(later.function), os.urandom(8).hex()
        text = "%r, called after the reply of handler %r, failed (error id %s)"
        logger.error(text, name, self._handler, error_id, exc_info=error)
        self._answers.note_error(f"after the reply: {name} failed (error id {error_id})")

    def _lose(self, later: Later, why: str) -> None:
        name = describe(later.function)
        logger.warning("%r, to be called after the reply of %r, %s", name, self._handler, why)
        self._answers.note_error(f"after the reply: {name} {why}")

    def abort(self) -> None:
        """Cancel what runs, and run no more: the end of a drain's patience."""
        self._is_aborted = True
        for task in list(self._running):
            cancel_and_hold(task)
