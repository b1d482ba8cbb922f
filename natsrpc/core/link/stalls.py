"""Stalls: times in which this process did not look at its socket, stopped or with its loop blocked.

What is read then may have arrived at any moment since. While stalls are watched, a chunk that comes
after one is dated back to the last moment at which the loop is known to have run, and so is all
that the server had sent up to then: a PING asks it, and its PONG is behind all of that. Services
watch: they count that time as waited, and admit nothing until the PONG.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Protocol

from ..session import Session

PULSE = 0.1
"""Seconds between two beats of a loop that runs."""

LATE = 0.15
"""Seconds that a beat may be late before it is a stall: a loaded loop is not a blocked one."""


class StallHost(Protocol):
    """The link, as its stalls need it. A chunk that is read after `stall_at` asks for its date."""

    loop: asyncio.AbstractEventLoop
    session: Session | None
    stall_at: float


class Stalls:
    """Notices stalls, for the services of one connection."""

    def __init__(self, host: StallHost) -> None:
        self._host = host
        self._watchers: list[tuple[Callable[[], object], Callable[[], object]]] = []
        self._beat_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._since: float | None = None

    @property
    def is_under_way(self) -> bool:
        """Whether what is read now may have been sent before the end of a stall."""
        return self._since is not None

    def watch(self, begun: Callable[[], object], over: Callable[[], object]) -> None:
        """Call `begun` when a stall is noticed, before anything is read; `over` when all that the
        server had sent until then was read."""
        self._watchers.append((begun, over))
        if self._timer is None:
            self._beat_at = self._host.loop.time()
            self._beat()

    def unwatch(self, begun: Callable[[], object], over: Callable[[], object]) -> None:
        """Undo `watch`; nothing happens if it was not called."""
        if (begun, over) in self._watchers:
            self._watchers.remove((begun, over))
        if not self._watchers and self._timer is not None:
            self._timer.cancel()
            self._timer = self._since = None
            self._host.stall_at = math.inf

    def _beat(self) -> None:
        now = self._host.loop.time()
        if now > self._beat_at + PULSE + LATE and self._since is None:
            self._begin()  # a loop that runs timers before it reads
        self._beat_at = now
        if self._since is None:
            self._host.stall_at = now + PULSE + LATE
        self._timer = self._host.loop.call_later(PULSE, self._beat)

    def date(self) -> float:
        """The last moment before a stall, for a chunk that is read after it."""
        if self._since is None:
            self._begin()
        return self._host.loop.time() if self._since is None else self._since

    def _begin(self) -> None:
        session = self._host.session
        if session is None:
            return
        self._since = self._beat_at
        self._host.stall_at = -math.inf  # until it is over, each chunk is dated
        for begun, _ in list(self._watchers):
            begun()
        caught_up: asyncio.Future[None] = self._host.loop.create_future()
        caught_up.add_done_callback(self._end)
        session.ping(caught_up)

    def _end(self, caught_up: asyncio.Future[None]) -> None:
        if not caught_up.cancelled():
            caught_up.exception()  # a session that is lost brings nothing more
        if self._since is None:
            return  # nobody watches any more
        self._since = None
        self._host.stall_at = self._host.loop.time() + PULSE + LATE
        for _, over in list(self._watchers):
            over()
