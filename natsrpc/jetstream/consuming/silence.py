"""Silence: heartbeats of pulls that did not come, counted, and made sure of.

A pull that brought nothing for more than two heartbeats is taken for dead only after a round trip
to the server: until then its heartbeats may lie unread in the socket, behind a loop that was
blocked. While there is no session, nothing is counted.

A pull that does not wait has no heartbeats. It is to end at once, and a server whose stream goes
just then may never say a word; but one that searches a large stream may take its time, and would
never be done if it were asked anew each time. So it is doubted soon, and given up late.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from natsrpc.core import Link
from natsrpc.errors import NatsError

from .pull import Pull

_MOST_MISSED = 2
_DOUBT = 1.0


class Silence:
    """Watches the pulls that `pulls` gives, and calls `found` with those that are dead; `doubt`
    while one that does not wait brings nothing, each second."""

    def __init__(
        self,
        link: Link,
        heartbeat: float,
        pulls: Callable[[], Iterable[Pull]],
        found: Callable[[list[Pull]], None],
        doubt: Callable[[], object] | None = None,
    ) -> None:
        self._link = link
        self._heartbeat = heartbeat
        self._pulls = pulls
        self._found = found
        self._doubt = doubt
        self._timer: asyncio.TimerHandle | None = None
        self._doubting: asyncio.TimerHandle | None = None
        self._checking: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Watch from now on."""
        if self._heartbeat:
            self._timer = self._link.loop.call_later(self._heartbeat, self._look)

    def look_soon(self, pull: Pull) -> None:
        """Doubt a pull that does not wait, as long as it brings nothing."""
        self._doubting = self._link.loop.call_later(_DOUBT, self._look_again, pull, pull.left)

    def _look_again(self, pull: Pull, left: int) -> None:
        if pull in self._pulls():
            if pull.left == left and self._doubt is not None:
                self._doubt()
            self.look_soon(pull)

    def stop(self) -> None:
        """Watch no more."""
        for timer in (self._timer, self._doubting):
            if timer is not None:
                timer.cancel()
        if self._checking is not None:
            self._checking.cancel()

    def _look(self) -> None:
        """A heartbeat is due from each pull."""
        self.start()
        if not self._link.is_connected:
            return
        for pull in self._pulls():
            if pull.asked.heartbeat or pull.asked.no_wait:  # the latter is to end at once
                pull.misses = 1 if pull.left != pull.left_before else pull.misses + 1
                pull.left_before = pull.left
        if self._silent() and self._checking is None:
            self._checking = self._link.loop.create_task(self._make_sure(), name="natsrpc silence")

    def _silent(self) -> list[Pull]:
        return [
            pull
            for pull in self._pulls()
            if pull.misses > _MOST_MISSED and pull.left == pull.left_before
        ]

    async def _make_sure(self) -> None:
        try:
            await self._link.flush(max(2 * self._heartbeat, 1.0))
        except NatsError:
            return  # the connection is what does not answer
        finally:
            self._checking = None
        silent = self._silent()
        if silent:
            self._found(silent)
