"""A watch of keys: an iterator over their values and changes."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from natsrpc.core import Msg
from natsrpc.errors import ConfigError

from ..consuming import Feed
from .entry import Entry


class KeyWatcher:
    """The entries of a watch, while its block lasts: `KeyValue.watch` makes it.

    Iterating may be cancelled and go on. A watch survives reconnects, and the loss of its consumer:
    no revision comes twice.
    """

    def __init__(
        self, feed: Feed, entry_of: Callable[[Msg], Entry], *, ignore_deletes: bool
    ) -> None:
        self._feed = feed
        self._entry_of = entry_of
        self._ignore_deletes = ignore_deletes
        self._is_entered = False

    async def __aenter__(self) -> KeyWatcher:
        if self._is_entered:
            raise ConfigError("watch() was entered before: call it again for another block")
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

    def __aiter__(self) -> KeyWatcher:
        return self

    async def __anext__(self) -> Entry | None:
        """The next entry; None once, when the values that were there have all come.

        Raises:
            StreamNotFoundError: the bucket is gone, or was made anew.
            JetStreamError, PermissionsError: the server will never serve it.
            ConnectionClosedError: the connection is closed.
        """
        if not self._is_entered:
            raise ConfigError("write 'async with kv.watch() as watcher', then iterate")
        while True:
            msg = await self._feed.next()
            if msg is None:
                return None
            entry = self._entry_of(msg)
            if not self._ignore_deletes or entry.operation == "PUT":
                return entry
