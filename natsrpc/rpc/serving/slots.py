"""`Gate` and `Lane`: the slots that bound how many requests run and wait. On the fast path they are
counters and nothing else.

A `Gate` bounds what a service runs at once, a `Lane` what one endpoint runs and keeps waiting. Both
exist once per *depth* of the call chain: a request made from inside a handler is admitted at a
depth one higher, by slots of its own. A handler waiting for a nested call therefore never holds a
slot that this call needs, so services that call each other (and themselves) cannot deadlock; the
depth is bounded, so the sum is too.

Who may move the counters: `Endpoint.accept` and `Lane.start_next` take the two slots of a request,
the end of `Endpoint._run` gives them back, and calls `Gate.attend` if
anybody waits or drains.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from natsrpc.core import Msg


class Admitted:
    """One request that an endpoint has taken, from its admission to the end of its handler.

    Made and moved by `Endpoint` alone, which sets all but `run`. There is no constructor: it would
    be a tenth of what a request takes here.

    - `msg`: the message to answer; None once it is answered for by another than its handler.
    - `lane`: the lane that it waits in, or whose slot (and whose gate's) it holds; None when it has
      given them back.
    - `task`: runs the handler; None before.
    - `run`: of a request that waits: makes the coroutine for its task, given the request. It does
      not hold the request: that cycle would stay until the garbage collector runs.
    """

    __slots__ = ("lane", "msg", "run", "task")

    lane: Lane | None
    msg: Msg | None
    run: Callable[[Admitted], Coroutine[Any, Any, None]]
    task: asyncio.Task[None] | None


class Gate:
    """The slots of one service at one depth.

    `attention` is true while an ending handler has something to do here: requests wait, or
    somebody waits for the last one to end.
    """

    __slots__ = ("_attending", "attention", "free", "hungry", "limit", "waiters")

    def __init__(self, limit: int) -> None:
        self.limit: int = limit
        self.free: int = limit
        self.hungry: deque[Lane] = deque()
        self.waiters: list[Callable[[], None]] = []
        self.attention: bool = False
        self._attending = False

    def attend(self) -> None:
        """Start the requests that may start now, the lanes taking turns; then call the waiters.

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
        # what was started here may have ended here, so look anew
        self.attention = bool(self.hungry or self.waiters)
        if self.free == self.limit and not self.hungry:
            for waiter in self.waiters:
                waiter()

    def _start_waiting(self) -> None:
        passed_over = 0  # lanes in a row that have no slot of their own: one round ends the search
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

    Waiting requests are bounded in number and in bytes; one that does not fit is refused.

    Args:
        gate: the service's slots at this depth.
        limit: requests that run at once.
        max_waiting: requests that wait.
        start: runs a request that waited and now has its slots.
    """

    MAX_WAITING_BYTES = 64 * 1024 * 1024

    __slots__ = (
        "_start",
        "free",
        "gate",
        "hungry",
        "limit",
        "max_waiting",
        "waiting",
        "waiting_bytes",
    )

    def __init__(
        self, gate: Gate, limit: int, max_waiting: int, start: Callable[[Admitted], None]
    ) -> None:
        self.gate: Gate = gate
        self.limit: int = limit
        self.free: int = limit
        self.max_waiting: int = max_waiting
        self.waiting: dict[Admitted, int] = {}  # their sizes; the first has waited longest
        self.waiting_bytes: int = 0
        self.hungry: bool = False
        self._start = start

    def put(self, admitted: Admitted, size: int) -> bool:
        """Let a request of so many bytes wait; false if there is no room."""
        full = len(self.waiting) >= self.max_waiting
        if full or self.waiting_bytes + size > self.MAX_WAITING_BYTES:
            return False
        self.waiting[admitted] = size
        self.waiting_bytes += size
        if not self.hungry:
            self.hungry = True
            self.gate.hungry.append(self)
            self.gate.attention = True
        return True

    def remove(self, admitted: Admitted) -> None:
        """Take a request that waits out of the row."""
        self.waiting_bytes -= self.waiting.pop(admitted)
        if not self.waiting:
            self.gate.attend()

    def start_next(self) -> None:
        """Start the request that has waited longest."""
        admitted = next(iter(self.waiting))
        self.waiting_bytes -= self.waiting.pop(admitted)
        self.free -= 1
        self.gate.free -= 1
        self._start(admitted)
