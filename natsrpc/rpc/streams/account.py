"""How many bytes of half values a connection keeps: bodies, and items in parts. Pure state.

Each value is entered with the size it was announced with. Where not all fit, room is given to the
oldest one first, up to its size: it becomes whole and makes room, so that half values never lock
each other out. What has no room yet is not asked for.
"""

from __future__ import annotations

from collections.abc import Callable

BODIES = 4
"""Values of the largest size that are put together at one time."""


class Account:
    """The bytes that may be kept, and who has them."""

    __slots__ = ("_bodies", "free", "moves", "size")

    def __init__(self) -> None:
        self.size: int = 0
        self.free: int = 0
        self.moves: int = 0
        """Parts that came so far: whether anything goes on."""
        self._bodies: dict[Body, None] = {}

    def allow(self, largest: int) -> None:
        """Have room for `BODIES` values of this size, at least."""
        more = largest * BODIES - self.size
        if more > 0:
            self.size += more
            self.free += more
            self._spread()

    def enter(self, total: int, on_room: Callable[[], object]) -> Body:
        """Enter a value of `total` bytes; `on_room` is called whenever it gets more room."""
        body = Body(self, total, on_room)
        self._bodies[body] = None
        body.room = min(total, self.free)
        self.free -= body.room
        return body

    def leave(self, body: Body) -> None:
        """Take a value off, and give its room to those behind it."""
        if body in self._bodies:
            del self._bodies[body]
            self.free += body.room
            self._spread()

    def _spread(self) -> None:
        for body in list(self._bodies):
            if self.free <= 0:
                return
            more = min(body.total - body.room, self.free)
            if more > 0 and body in self._bodies:
                body.room += more
                self.free -= more
                body.on_room()


class Body:
    """One value that is put together: `room` of its `total` bytes may be kept now."""

    __slots__ = ("_account", "on_room", "room", "total")

    def __init__(self, account: Account, total: int, on_room: Callable[[], object]) -> None:
        self._account = account
        self.total: int = total
        self.on_room: Callable[[], object] = on_room
        self.room: int = 0

    def close(self) -> None:
        """Leave the account; once is enough."""
        self._account.leave(self)
