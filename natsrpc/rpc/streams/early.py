"""Frames that overtook others: a channel keeps them until those before them are here.

Servers of a cluster keep no order between two ways. A side that moves from one of them to another,
as it does where a server is about to go, sends its next items another way than the last ones, and
they may come first. So a number that does not follow yet is taken for a loss only after a moment.
"""

from __future__ import annotations

from natsrpc.core import Msg

PATIENCE = 3
"""Looks at a conversation (see `TICK`) after which what was overtaken is lost: about a second."""

SPARE = 16
"""Frames without an item that are kept beside those with one."""


class Early:
    """The frames of one conversation that wait for others, in the order in which they came.

    `count` is how many there are.
    """

    def __init__(self) -> None:
        self._waiting: dict[int, list[Msg]] = {}
        self._size = 0
        self._age = 0
        self.count: int = 0

    def keep(self, after: int, msg: Msg, *, items: int, size: int) -> bool:
        """Keep a frame that is to be taken when `after` items are here; false if there is no room.

        Args:
            after: how many items come before it.
            msg: the frame.
            items: how many more items the reader takes.
            size: how many more bytes it takes.
        """
        if self.count >= items + SPARE or self._size + len(msg.data) > size:
            return False
        self._waiting.setdefault(after, []).append(msg)
        self._size += len(msg.data)
        self.count += 1
        return True

    def due(self, received: int) -> list[Msg]:
        """Give out the frames whose turn it is when so many items are here."""
        found = self._waiting.pop(received, [])
        self._size -= sum(len(msg.data) for msg in found)
        self.count -= len(found)
        if found:
            self._age = 0
        return found

    def is_late(self) -> bool:
        """Whether what they wait for is lost; asked at each look."""
        self._age += 1
        return self._age >= PATIENCE
