"""`Stream`: the answers of a handler that streams, for a plain `for` loop."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Iterator
from types import TracebackType
from typing import Generic, TypeVar

from natsrpc.errors import ConnectionClosedError

from .background import Background
from .items import Feed

T = TypeVar("T")


class Stream(Iterator[T], Generic[T]):
    """An iterator over the items of a stream, which is opened with the first one.

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
        self._items = items
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
        try:
            item: T = self._background.run(self._items.__anext__)
        except StopAsyncIteration:
            self._end()
            raise StopIteration from None
        except BaseException:
            self._end()
            raise
        return item

    def _end(self) -> None:
        self._is_ended = True
        if self._feed is not None:
            self._feed.stop()

    def close(self) -> None:
        """End the stream, here and at the worker. Closing twice is harmless."""
        if not self._is_ended:
            self._end()
            with contextlib.suppress(ConnectionClosedError):
                self._background.run(self._items.aclose)

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
        # Any thread may drop it. asyncio itself closes a generator that is dropped, in its loop.
        if self._feed is not None:
            self._feed.stop()

    def __repr__(self) -> str:
        return f"<Stream{' ended' if self._is_ended else ''}>"
