"""Reading a feed in a block: what watches and the messages of ordered consumers have in common."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from natsrpc.core import Msg
from natsrpc.errors import ConfigError

from .feed import Feed


class Reading:
    """A feed that users enter once, with `async with`, and iterate over. `OrderedMessages` and the
    watchers of buckets and stores say what its messages become.

    Args:
        feed: what is read.
        call: what a user writes to get it, as in "kv.watch()".
        name: the name that stands behind `as` in examples.
    """

    def __init__(self, feed: Feed, call: str, name: str) -> None:
        self._feed = feed
        self._call = call
        self._name = name
        self._is_entered = False

    async def __aenter__(self) -> Self:
        if self._is_entered:
            method = self._call.partition(".")[2]
            raise ConfigError(f"{method} was entered before: call it again for another block")
        await self._feed.open()
        self._is_entered = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._feed.close()

    def __aiter__(self) -> Self:
        return self

    async def _next(self) -> Msg | None:
        """The next message as it came; None for the mark that all that was there has come.

        Raises:
            ConfigError: the block was not entered.
            StreamNotFoundError: the stream is gone, or was made anew.
            JetStreamError, PermissionsError: the server will never serve it.
            ConnectionClosedError: the connection is closed.
        """
        if not self._is_entered:
            raise ConfigError(f"write 'async with {self._call} as {self._name}', then iterate")
        return await self._feed.next()
