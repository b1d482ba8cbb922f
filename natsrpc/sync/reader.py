"""`Reader`: takes the items of a stream in the loop, for a thread that iterates over them.

To hand over to another thread and back costs ten times what an item does. So one hand-over brings
what is here already: the first item is waited for, further ones are not. A step that would have to
wait is kept, and is the first one of the next time.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator
from typing import Any

MOST = 16
"""Items of one hand-over. So many is the worker ahead of a thread that does not read on."""

_END: Any = object()
_EAGER: dict[str, Any] = {"eager_start": True} if sys.version_info >= (3, 12) else {}


class Reader:
    """The items of an async generator, a few at a time."""

    def __init__(self, items: AsyncGenerator[Any, None]) -> None:
        self._items = items
        self._step: asyncio.Task[Any] | None = None

    async def take(self) -> list[Any]:
        """The next items, one at least; none at the end.

        Raises:
            Exception: what the stream ended with, when no item is left before it.
        """
        step, self._step = self._step, None
        item = await (anext(self._items, _END) if step is None else step)
        if item is _END:
            return []
        found = [item]
        while len(found) < MOST:
            step = self._start()
            if not _EAGER:
                await asyncio.sleep(0)  # it takes its first step meanwhile
            if not _has_item(step):
                self._step = step
                break
            found.append(step.result())
        return found

    def _start(self) -> asyncio.Task[Any]:
        loop = asyncio.get_running_loop()
        return asyncio.Task(_next(self._items), loop=loop, **_EAGER)

    async def close(self) -> None:
        """End the stream."""
        step, self._step = self._step, None
        if step is not None:
            step.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await step
        await self._items.aclose()


async def _next(items: AsyncGenerator[Any, None]) -> Any:
    return await anext(items, _END)


def _has_item(step: asyncio.Task[Any]) -> bool:
    """Whether a step has an item already; not if it waits, and not if the stream is at its end."""
    if not step.done() or step.cancelled() or step.exception() is not None:
        return False
    return step.result() is not _END
