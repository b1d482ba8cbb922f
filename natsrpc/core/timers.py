"""Entries that expire, many at a time and cheaply.

A timer handle for every request costs more than the rest of its bookkeeping (a heap push, a cancel,
a sweep of cancelled handles). Nearly all requests of a program share a few timeouts, and entries of
one timeout expire in the order they came: so each distinct delay has a lane, a row of (deadline,
key), and only its first entry needs a timer of the event loop. Entries removed in time stay in the
lane until they come to its front.

Calls that inherit what is left of a deadline have as many delays as there are calls. Once there are
more than a few lanes, a new delay is rounded up, by at most 1/64: so there are never many.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from natsrpc.errors import BadTimeoutError

K = TypeVar("K")
V = TypeVar("V")
E = TypeVar("E", bound=tuple[Any, ...])

_COMPACT_ABOVE = 1024
_EXACT_LANES = 16

_LOOK_EVERY = 0.01
_LOOK_SHARE = 20


class Expiring(dict[K, V], Generic[K, V]):
    """A dict whose entries may expire: they are removed, then `on_expire(key, value)` is called.

    Remove an entry as from any dict (`pop`, `del`) and it won't expire. A key must not be added
    again with `add` while an earlier `add` of it may still expire: use keys that don't repeat.
    """

    __slots__ = ("_lanes", "_loop", "_on_expire")

    def __init__(self, loop: asyncio.AbstractEventLoop, on_expire: Callable[[K, V], None]) -> None:
        super().__init__()
        self._loop = loop
        self._on_expire = on_expire
        self._lanes: dict[float, _Lane[K, V]] = {}

    def add(self, key: K, value: V, delay: float) -> None:
        """Set an entry that expires `delay` seconds from now."""
        self[key] = value
        lane = self._lanes.get(delay)
        if lane is None:
            lane = self._new_lane(delay)
            delay = lane.delay
        queue = lane.queue
        while queue and queue[0][1] not in self:
            queue.popleft()
        queue.append((self._loop.time() + delay, key))
        if lane.timer is None:
            lane.arm()
        elif len(queue) > _COMPACT_ABOVE and len(queue) > 2 * len(self):
            lane.compact()

    def _new_lane(self, delay: float) -> _Lane[K, V]:
        if len(self._lanes) >= _EXACT_LANES:
            fraction, exponent = math.frexp(delay)
            delay = math.ldexp(math.ceil(fraction * 128), exponent - 7)
        lane = self._lanes.get(delay)
        if lane is None:
            lane = self._lanes[delay] = _Lane(self, self._loop, delay)
        return lane

    def expire(self, key: K) -> None:
        """Let an entry expire now; nothing happens if it is gone."""
        if key in self:
            self._on_expire(key, self.pop(key))

    def forget_lane(self, delay: float) -> None:
        """Drop a lane that ran empty."""
        self._lanes.pop(delay, None)

    def stop(self) -> None:
        """Cancel all timers; entries stay, and won't expire."""
        for lane in self._lanes.values():
            if lane.timer is not None:
                lane.timer.cancel()
        self._lanes.clear()


class _Lane(Generic[K, V]):
    """The entries of one delay, oldest first, and the timer for the first."""

    __slots__ = ("_loop", "_owner", "delay", "queue", "timer")

    def __init__(
        self, owner: Expiring[K, V], loop: asyncio.AbstractEventLoop, delay: float
    ) -> None:
        self._owner = owner
        self._loop = loop
        self.delay = delay
        self.queue: deque[tuple[float, K]] = deque()
        self.timer: asyncio.TimerHandle | None = None

    def arm(self) -> None:
        self.timer = self._loop.call_at(self.queue[0][0], self._fire)

    def compact(self) -> None:
        owner = self._owner
        self.queue = deque(entry for entry in self.queue if entry[1] in owner)

    def _fire(self) -> None:
        self.timer = None
        owner, now = self._owner, self._loop.time()
        while self.queue and (self.queue[0][0] <= now or self.queue[0][1] not in owner):
            owner.expire(self.queue.popleft()[1])
        if self.timer is not None:
            return
        if self.queue:
            self.arm()
        else:
            owner.forget_lane(self.delay)


class Due(dict[K, E], Generic[K, E]):
    """A dict of tuples that end with a deadline (`loop.time()`; infinity for none). Once it has
    passed, the entry is removed and `on_expire(key, entry)` called.

    Whoever sets an entry looks whether it is the next to expire:

        if deadline < due.next: due.watch(deadline)
        due[key] = (..., deadline)

    One timer, for the earliest deadline when it was set. Most entries are gone before: then a look
    at the few there are now finds the next. Looking takes at most a twentieth of the time, however
    many there are: an entry may expire late, by 10 ms, or by twenty such looks.
    """

    __slots__ = ("_loop", "_on_expire", "_timer", "next")

    def __init__(self, loop: asyncio.AbstractEventLoop, on_expire: Callable[[K, E], None]) -> None:
        super().__init__()
        self._loop = loop
        self._on_expire = on_expire
        self._timer: asyncio.TimerHandle | None = None
        self.next = math.inf

    def watch(self, deadline: float) -> None:
        """Look at `deadline` for what has expired."""
        if self._timer is not None:
            self._timer.cancel()
        self.next = deadline
        self._timer = self._loop.call_at(deadline, self._look)

    def _look(self) -> None:
        self._timer, self.next = None, math.inf
        start = self._loop.time()
        for key in [key for key, entry in self.items() if entry[-1] <= start]:
            if key in self:
                self._on_expire(key, self.pop(key))
        earliest = min((entry[-1] for entry in self.values()), default=math.inf)
        if earliest < self.next:
            end = self._loop.time()
            self.watch(max(earliest, end + max(_LOOK_EVERY, _LOOK_SHARE * (end - start))))

    def stop(self) -> None:
        """Stop looking; entries stay, and won't expire."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self.next = None, -math.inf


def check_timeout(timeout: float) -> None:
    """Refuse what is no positive number of seconds.

    Raises:
        BadTimeoutError: naming the value.
    """
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not timeout > 0:
        raise BadTimeoutError(f"timeout must be above 0 seconds, or None, not {timeout!r}")
