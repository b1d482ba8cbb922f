"""Overdue: what had no answer for a while, and is sent again.

A server that dies takes along what was sent to it through others, and nobody says so: there is
neither a lost session nor a "no responders". So what may be done twice is sent again after two
seconds or more, then after four, eight, and at most sixteen. One timer looks at all that waits;
nothing is noted for a request that is answered before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

_FIRST = 2.0
_LONGEST = 16.0


class Overdue:
    """Looks at the inboxes that `waiting` gives, and calls `send_again` with those that were there
    at its last look as well."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        waiting: Callable[[], Iterable[bytes]],
        send_again: Callable[[bytes], None],
    ) -> None:
        self._loop = loop
        self._waiting = waiting
        self._send_again = send_again
        self._before: set[bytes] = set()
        self._pause = _FIRST
        self.is_on: bool = False

    def watch(self) -> None:
        """Look from now on, until nothing waits. Called where something begins to wait, unless it
        is on."""
        self.is_on = True
        self._loop.call_later(self._pause, self._look)

    def _look(self) -> None:
        waiting = set(self._waiting())
        late = waiting & self._before
        for inbox in late:
            self._send_again(inbox)
        self._before = waiting
        self._pause = min(2 * self._pause, _LONGEST) if late else _FIRST
        self.is_on = False
        if waiting:
            self.watch()
