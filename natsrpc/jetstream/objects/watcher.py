"""A watch of an object store: an iterator over what it knows of its objects, and changes."""

from __future__ import annotations

from ..consuming import Feed, Reading, metadata_of
from .info import ObjectInfo, from_json


class ObjectWatcher(Reading):
    """The objects of a watch, while its block lasts: `ObjectStore.watch` makes it. Iterating may be
    cancelled and go on."""

    def __init__(self, feed: Feed, *, ignore_deletes: bool) -> None:
        super().__init__(feed, "store.watch()", "watcher")
        self._ignore_deletes = ignore_deletes

    async def __anext__(self) -> ObjectInfo | None:
        """The next object; None once, when those that were there have all come.

        Raises:
            StreamNotFoundError: the store is gone, or was made anew.
            JetStreamError, PermissionsError: the server will never serve it.
            ConnectionClosedError: the connection is closed.
        """
        while True:
            msg = await self._next()
            if msg is None:
                return None
            facts = metadata_of(msg.raw_reply)
            info = from_json(msg.data, mtime=facts.timestamp, revision=facts.stream_seq)
            if not (self._ignore_deletes and info.deleted):
                return info
