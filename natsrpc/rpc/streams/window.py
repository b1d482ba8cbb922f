"""How much a connection lets all its conversations be ahead of their readers together. Pure state.

A nats-server cuts a connection off when 64 MiB wait for it. So the sum of what was allowed and not
yet taken is bounded for the connection, not for each of its streams, and shared by them: each may
hold an equal part, and always a little, so that none waits for another's reader.
"""

from __future__ import annotations

WINDOW = 128
"""Items that a reader lets the other side be ahead, at most."""

START_ITEMS = 32
"""Items it allows at first."""

WINDOW_BYTES = 16 * 1024 * 1024
"""Bytes on their way to a connection, or waiting there to be taken, of all conversations."""

LEAST = 64 * 1024
"""Bytes that each may hold, however many there are."""

START = 256 * 1024
"""Bytes that each may hold at first: most conversations are short."""


class Window:
    """The receive window of one connection."""

    __slots__ = ("free", "shares", "size")

    def __init__(self, size: int = WINDOW_BYTES) -> None:
        self.size: int = size
        self.free: int = size
        self.shares: int = 0

    def share(self) -> Share:
        """A part of it, for one conversation."""
        self.shares += 1
        return Share(self)


class Share:
    """One conversation's part of a window.

    `held` is what was allowed and is not taken yet.
    """

    __slots__ = ("_window", "held", "is_open")

    def __init__(self, window: Window) -> None:
        self._window = window
        self.held: int = 0
        self.is_open: bool = True

    def grow(self, most: int) -> int:
        """Hold more, up to `most` bytes of it, and as much as its part allows; how much more."""
        if not self.is_open:
            return 0
        window = self._window
        room = max(LEAST, window.size // max(1, window.shares)) - self.held
        more = min(most, room, window.free)
        if self.held + more < LEAST:  # its least, even where others hold everything
            more = min(most, LEAST - self.held)
        if more <= 0:
            return 0
        window.free -= more
        self.held += more
        return more

    def shrink(self, size: int) -> None:
        """Give back what was taken."""
        if self.is_open:
            self.held -= size
            self._window.free += size

    def close(self) -> None:
        """Give back all of it."""
        if self.is_open:
            self.is_open = False
            self._window.free += self.held
            self._window.shares -= 1
            self.held = 0
