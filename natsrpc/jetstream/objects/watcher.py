"""A watch of an object store: an iterator over what it knows of its objects, and changes."""

from __future__ import annotations

from types import TracebackType

from natsrpc.errors import ConfigError

from ..consuming import Feed, metadata_of
from .info import ObjectInfo, from_json


class ObjectWatcher:
    """The objects of a watch, while its block lasts: `ObjectStore.watch` makes it. Iterating may be
    cancelled and go on."""

    def __init__(self, feed: Feed, *, ignore_deletes: bool) -> None:
        self._feed = feed
        self._ignore_deletes = ignore_deletes
        self._is_entered = False

    async def __aenter__(self) -> ObjectWatcher:
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

    def __aiter__(self) -> ObjectWatcher:
        return self

    async def __anext__(self) -> ObjectInfo | None:
        """The next object; None once, when those that were there have all come.

        Raises:
            StreamNotFoundError: the store is gone, or was made anew.
            JetStreamError, PermissionsError: the server will never serve it.
            ConnectionClosedError: the connection is closed.
        """
        if not self._is_entered:
            raise ConfigError("write 'async with store.watch() as watcher', then iterate")
        while True:
            msg = await self._feed.next()
            if msg is None:
                return None
            facts = metadata_of(msg.raw_reply)
            info = from_json(msg.data, mtime=facts.timestamp, revision=facts.stream_seq)
            if not (self._ignore_deletes and info.deleted):
                return info
