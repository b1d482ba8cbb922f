"""`Stream`: the answers of a handler that streams, for a plain `for` loop."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from types import TracebackType
from typing import Generic, TypeVar

from natsrpc.errors import ConnectionClosedError

from .background import Background
from .items import Feed
from .reader import Reader

T = TypeVar("T")


class Stream(Iterator[T], Generic[T]):
    """An iterator over the items of a stream, which is opened with the first one.

    Items that are here already are handed over a few at a time (see `reader`).

    `close`, leaving its `with` block and dropping it end the stream at the worker. One thread
    iterates at a time.
    """

    def __init__(
        self,
        owner: object,
        background: Background,
        items: AsyncGenerator[T, None],
        feed: Feed | None,
    ) -> None:
        self._owner = owner  # as long as it is read from, the client is not dropped
        self._background = background
        self._reader = Reader(items)
        self._here: deque[T] = deque()
        self._feed = feed
        self._is_ended = False

    def __iter__(self) -> Stream[T]:
        return self

    def __next__(self) -> T:
        """The next item.

        Raises:
            RpcError, NoRespondersError, NatsTimeoutError, ContractError, ConnectionClosedError:
                what the stream ended with; see `Client.stream`.
        """
        if self._is_ended:
            raise StopIteration
        if self._here:
            return self._here.popleft()
        try:
            self._here.extend(self._background.run(self._reader.take))
        except BaseException:
            self._end()
            raise
        if not self._here:
            self._end()
            raise StopIteration
        return self._here.popleft()

    def _end(self) -> None:
        self._is_ended = True
        if self._feed is not None:
            self._feed.stop()

    def close(self) -> None:
        """End the stream, here and at the worker. Closing twice is harmless."""
        if not self._is_ended:
            self._end()
            with contextlib.suppress(ConnectionClosedError):
                self._background.run(self._reader.close)

    def __enter__(self) -> Stream[T]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        # any thread may drop it, that of the loop included: nothing is waited for
        if not getattr(self, "_is_ended", True):
            self._end()
            with contextlib.suppress(ConnectionClosedError):
                self._background.post(self._reader.close)

    def __repr__(self) -> str:
        return f"<Stream{' ended' if self._is_ended else ''}>"
