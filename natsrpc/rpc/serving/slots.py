"""How many requests may run and wait: counters, nothing else on the fast path.

A `Gate` bounds what a service runs at once, a `Lane` what one endpoint runs and keeps waiting. Both
exist once per *depth* of the call chain: a request made from inside a handler is admitted at a
depth one higher, by slots of its own. A handler waiting for a nested call therefore never holds a
slot that this call needs, so services that call each other (and themselves) cannot deadlock; the
depth is bounded, so the sum is too.

Who may move the counters: `Endpoint.accept` takes a slot, the end of a handler gives it back and
calls `Gate.attend` if anybody waits or drains.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from natsrpc.core import Msg

Start = Callable[[], None]
"""Runs a request for which slots were just taken."""


class Gate:
    """The slots of one service at one depth.

    `attention` is true while an ending handler has something to do here: requests wait, or
    somebody waits for the last one to end.
    """

    __slots__ = ("_attending", "attention", "free", "hungry", "limit", "waiters")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.free = limit
        self.hungry: deque[Lane] = deque()
        self.waiters: list[Callable[[], None]] = []
        self.attention = False
        self._attending = False

    def attend(self) -> None:
        """Start what may start now, the lanes taking turns; tell who waits for the end.

        A handler started here may end here as well (eager tasks), and come back for more: the
        outermost call does all of it.
        """
        if self._attending:
            return
        self._attending = True
        try:
            self._start_waiting()
        finally:
            self._attending = False
        self.attention = bool(self.hungry or self.waiters)
        if self.free == self.limit and not self.hungry:
            for waiter in self.waiters:
                waiter()

    def _start_waiting(self) -> None:
        passed_over = 0
        while self.free > 0 and passed_over < len(self.hungry):
            lane = self.hungry.popleft()
            if lane.free > 0 and lane.waiting:
                passed_over = 0
                lane.start_next()
            else:
                passed_over += 1
            if lane.waiting:
                self.hungry.append(lane)
            else:
                lane.hungry = False

    def watch(self, waiter: Callable[[], None]) -> None:
        """Call `waiter` whenever nothing runs and nothing waits here any more."""
        self.waiters.append(waiter)
        self.attention = True

    @property
    def idle(self) -> bool:
        """Whether nothing runs and nothing waits."""
        return self.free == self.limit and not self.hungry


class Lane:
    """The slots and the bounded waiting row of one endpoint at one depth.

    What waits is bounded in number and in bytes; whoever does not fit is refused.
    """

    MAX_WAITING_BYTES = 64 * 1024 * 1024

    __slots__ = ("free", "gate", "hungry", "limit", "max_waiting", "waiting", "waiting_bytes")

    def __init__(self, gate: Gate, limit: int, max_waiting: int) -> None:
        self.gate = gate
        self.limit = limit
        self.free = limit
        self.max_waiting = max_waiting
        self.waiting: dict[Msg, Start] = {}
        self.waiting_bytes = 0
        self.hungry = False

    def put(self, msg: Msg, start: Start) -> bool:
        """Let a request wait; false if there is no room."""
        size = len(msg.data) + len(msg.raw_headers)
        full = len(self.waiting) >= self.max_waiting
        if full or self.waiting_bytes + size > self.MAX_WAITING_BYTES:
            return False
        self.waiting[msg] = start
        self.waiting_bytes += size
        if not self.hungry:
            self.hungry = True
            self.gate.hungry.append(self)
            self.gate.attention = True
        return True

    def remove(self, msg: Msg) -> bool:
        """Take a request out of the row; false if it does not wait any more."""
        if self.waiting.pop(msg, None) is None:
            return False
        self.waiting_bytes -= len(msg.data) + len(msg.raw_headers)
        if not self.waiting:
            self.gate.attend()
        return True

    def start_next(self) -> None:
        """Start the request that has waited longest."""
        msg = next(iter(self.waiting))
        start = self.waiting.pop(msg)
        self.waiting_bytes -= len(msg.data) + len(msg.raw_headers)
        self.free -= 1
        self.gate.free -= 1
        start()
