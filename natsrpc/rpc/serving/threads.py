"""The threads that plain (not async) handlers run in, made by the server for its services."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
from collections.abc import Callable
from typing import Any


class Threads:
    """The bounded pool that plain (not async) handlers run in; made when first needed."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._pool: concurrent.futures.ThreadPoolExecutor | None = None

    async def run(self, call: Callable[[], Any]) -> Any:
        """Run `call` in a thread, with a copy of the current context variables.

        A thread cannot be stopped: when cancelled, this waits for it to end before it raises, so
        that the handler's slot stays taken for as long as it really runs.
        """
        if self._pool is None:
            # taken from the package as late as this, it is loaded as late as this
            self._pool = concurrent.futures.ThreadPoolExecutor(
                self.limit, thread_name_prefix="natsrpc-handler"
            )
        context = contextvars.copy_context()
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._pool, context.run, _guarded, call)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            while not future.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait([future])
            if not future.cancelled():
                future.exception()  # retrieved: nobody else will
            raise

    def stop(self) -> None:
        """Let the threads go once they are idle."""
        if self._pool is not None:
            self._pool.shutdown(wait=False)


def _guarded(call: Callable[[], Any]) -> Any:
    """Call; a `StopIteration`, which no future can carry, becomes a `RuntimeError`: else its waiter
    would never wake."""
    try:
        return call()
    except StopIteration as error:
        raise RuntimeError("the handler raised StopIteration") from error
