"""A watch of keys: an iterator over their values and changes."""

from __future__ import annotations

from collections.abc import Callable

from natsrpc.core import Msg

from ..consuming import Feed, Reading
from .entry import Entry


class KeyWatcher(Reading):
    """The entries of a watch, while its block lasts: `KeyValue.watch` makes it.

    Iterating may be cancelled and go on. A watch survives reconnects, and the loss of its consumer:
    no revision comes twice.
    """

    def __init__(
        self, feed: Feed, entry_of: Callable[[Msg], Entry], *, ignore_deletes: bool
    ) -> None:
        super().__init__(feed, "kv.watch()", "watcher")
        self._entry_of = entry_of
        self._ignore_deletes = ignore_deletes

    async def __anext__(self) -> Entry | None:
        """The next entry; None once, when the values that were there have all come.

        Raises:
            StreamNotFoundError: the bucket is gone, or was made anew.
            JetStreamError, PermissionsError: the server will never serve it.
            ConnectionClosedError: the connection is closed.
        """
        while True:
            msg = await self._next()
            if msg is None:
                return None
            entry = self._entry_of(msg)
            if not self._ignore_deletes or entry.operation == "PUT":
                return entry
