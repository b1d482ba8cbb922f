"""Plain iterables as streams of requests.

The loop asks for an item when the worker can take one. A plain iterator may block, so the loop's
thread never reads it. For an upload the thread that waits for the answer does; for a stream, whose
answers that thread reads, a thread of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Iterable, Iterator
from queue import SimpleQueue
from typing import Any

from natsrpc.errors import ConfigTypeError

from .job import Inbox

_END: Any = object()


class Items:
    """The items of a plain iterable, for the loop to iterate over.

    Args:
        iterable: what is read.
        inbox: the queue whose reader reads the items.

    Raises:
        ConfigTypeError: it is no iterable, or an async one.
    """

    def __init__(self, iterable: Iterable[Any], inbox: Inbox) -> None:
        self._iterator: Iterator[Any] = iter(check_items(iterable))
        self._inbox = inbox

    def __aiter__(self) -> Items:
        return self

    async def __anext__(self) -> Any:
        wanted = _Wanted(self._iterator)
        self._inbox.put(wanted)
        item = await wanted.future
        if item is _END:
            raise StopAsyncIteration
        return item


class _Wanted:
    """The errand of reading one item."""

    def __init__(self, iterator: Iterator[Any]) -> None:
        self._iterator = iterator
        self._loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self._loop.create_future()

    def run(self) -> None:
        """Read it. What is no `Exception`, such as KeyboardInterrupt, is raised here."""
        if self.future.cancelled():
            return  # the stream has ended meanwhile: the iterator keeps its item
        item, error = _END, None
        try:
            item = next(self._iterator, _END)
        except Exception as raised:
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody wants it any more
            self._loop.call_soon_threadsafe(self._settle, item, error)

    def _settle(self, item: Any, error: Exception | None) -> None:
        if self.future.done():
            return
        if error is None:
            self.future.set_result(item)
        else:
            self.future.set_exception(error)


class Feed:
    """The items of a stream, sent while its answers are read, and the thread that reads them.

    The thread begins when a worker takes the first item. Where a read blocks when the stream ends,
    nobody waits for it, nor does the end of the process.
    """

    def __init__(self, iterable: Iterable[Any]) -> None:
        self._inbox: Inbox = SimpleQueue()
        self._items = Items(iterable, self._inbox)
        self._context = contextvars.copy_context()
        self._thread: threading.Thread | None = None

    def __aiter__(self) -> Feed:
        return self

    async def __anext__(self) -> Any:
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._context.run,
                args=(_read, self._inbox),
                name="natsrpc-items",
                daemon=True,
            )
            self._thread.start()
        return await anext(self._items)

    def stop(self) -> None:
        """Let the thread end: no more items are wanted. From any thread."""
        self._inbox.put(None)


def _read(inbox: Inbox) -> None:
    while (errand := inbox.get()) is not None:
        errand.run()


def check_items(items: Any) -> Iterable[Any]:
    """Return what a plain `for` can read.

    Raises:
        ConfigTypeError: it is an async iterable, or no iterable at all.
    """
    if isinstance(items, Iterable):
        found: Iterable[Any] = items
        return found
    other = ", and not an async one" if hasattr(items, "__aiter__") else ""
    raise ConfigTypeError(
        f"items are {type(items).__name__}: expected a plain iterable{other}, such as a list or "
        "what a `def` with `yield` makes"
    )
