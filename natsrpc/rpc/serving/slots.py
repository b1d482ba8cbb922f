"""`Gate` and `Lane`: the slots that bound how many requests run and wait. On the fast path they are
counters and nothing else.

A `Gate` bounds what a service runs at once, a `Lane` what one endpoint runs and keeps waiting. A
service has a gate for calls from outside and one for calls made inside handlers, the *reserve*: a
handler that waits for a nested call never holds a slot which that call needs. Where the reserve is
used up, each level of a chain of calls may still run one request at a time: so services that call
each other, and themselves, cannot deadlock, and whatever depth a caller claims, the sum is bounded.

Under overload a row of requests is old before it is served. So what cannot finish in its time any
more is refused unrun; and where the oldest has waited for more than half of its time the newest is
started first: it is answered in time, where in order all would come too late (measured at ten times
the capacity: 40 % of what was run was for nobody, now 1 %). Where callers give unequal times, every
second slot is for one of the newest, that with the least time left: in order those with little time
would only ever expire behind those with much.

Messages without a reply subject wait in a row of their own, which is longer, so that a burst of
them takes no request's place. The two rows are served by age; where requests are in need, in turns.

Who may move the counters: `Endpoint.accept` and `Lane.start_next` take the two slots of a request,
the end of `Endpoint._run` gives them back, and calls `Gate.attend` if anybody waits or drains.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from itertools import islice
from typing import Any, NamedTuple, Protocol

from natsrpc.core import Link, Msg
from natsrpc.errors import RpcError

RESERVE = 16
"""Slots for nested calls, at least; a quarter of the service's, if that is more."""

MAX_WAITING_BYTES = 64 * 1024 * 1024
"""Bytes that wait in one row, at most."""

MAX_EVENTS = 65_536
"""Messages without a reply subject that wait in their row: nobody could be told to try again."""

LOOK_BACK = 8
"""Newest requests among which the one with the least time left is looked for."""

_HELD = 1 << 40


class Admitted:
    """One request that an endpoint has taken, from its admission to the end of its handler.

    Made and moved by `Endpoint` alone, which sets all but `run`, `since`, `why`, `failure` and
    `ended`. There is no constructor: it would be a tenth of what a request takes here.

    - `msg`: the message to answer; None once it is answered for by another than its handler.
    - `lane`: the lane that it waits in, or whose slot (and whose gate's) it holds; None when it has
      given them back.
    - `task`: runs the handler; None before.
    - `run`: of a request that waits: makes the coroutine for its task.
    - `why`: set with `msg` to None: the error that it was answered with while it waited or ran.
    - `since`: of a request that waits: when it was read (`loop.time()`).
    - `failure`: set with `msg` to None, for an observer: what its handler, or sending its answer,
      ended with.
    - `ended`: of a request with work for after its answer: when it was answered, in
      `perf_counter_ns()`.
    - `key`, `deadline`: of its entry in `Endpoint.taken`; the key is None before it is there.
    """

    __slots__ = (
        "deadline",
        "ended",
        "failure",
        "key",
        "lane",
        "msg",
        "run",
        "since",
        "task",
        "why",
    )

    deadline: float
    key: object
    lane: Lane | None
    msg: Msg | None
    run: Callable[[Admitted], Coroutine[Any, Any, None]]
    task: asyncio.Task[None] | None
    why: RpcError
    since: float
    ended: int
    failure: BaseException


class Hungry(Protocol):
    """What waits at a gate for slots: a `Lane`, or a subscriber's `Backlog`."""

    hungry: bool
    """Whether it stands in `Gate.hungry`."""

    @property
    def waiting(self) -> int:
        """How many wait in it."""
        ...

    @property
    def may_start(self) -> bool:
        """Whether the next one that waits has its slots."""
        ...

    def start_next(self) -> None:
        """Start the next one; called where `may_start`."""


class Gate:
    """The slots of one service for one kind of requests, or for its events.

    `attention` is true while an ending handler has something to do here: requests wait, or
    somebody waits for one of them to end.
    """

    __slots__ = (
        "_attending",
        "_link",
        "_writable",
        "attention",
        "free",
        "hungry",
        "is_held",
        "limit",
        "waiters",
    )

    def __init__(self, link: Link, limit: int) -> None:
        self.limit: int = limit
        self.free: int = limit
        self.is_held: bool = False
        self.hungry: deque[Hungry] = deque()
        self.waiters: list[Callable[[], None]] = []
        self.attention: bool = False
        self._link = link
        self._attending = False
        self._writable: asyncio.Task[None] | None = None

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
        for waiter in self.waiters:
            waiter()

    def _start_waiting(self) -> None:
        passed_over = 0
        while not self.is_held and passed_over < len(self.hungry):
            if self._link.outbound.congested:
                self.go_on_when_writable()
                return
            lane = self.hungry.popleft()
            if lane.may_start:
                passed_over = 0
                lane.start_next()
            else:
                passed_over += 1
            if lane.waiting:
                self.hungry.append(lane)
            else:
                lane.hungry = False

    def go_on_when_writable(self) -> None:
        """Attend again once the connection's output is congested no more."""
        if self._writable is None:
            self._writable = asyncio.ensure_future(self._wait_writable())

    async def _wait_writable(self) -> None:
        try:
            await self._link.writable()
        finally:
            self._writable = None
        self.attend()

    def hold(self) -> None:
        """Start nothing until `release`: what is read meanwhile waits."""
        if not self.is_held:
            self.is_held = True
            self.free -= _HELD

    def release(self) -> None:
        """Undo `hold`."""
        if self.is_held:
            self.is_held = False
            self.free += _HELD
            self.attend()

    def watch(self, waiter: Callable[[], None]) -> None:
        """Call `waiter` whenever a request has ended here, and none was started in its place."""
        self.waiters.append(waiter)
        self.attention = True

    def unwatch(self, waiter: Callable[[], None]) -> None:
        """Undo `watch`."""
        self.waiters.remove(waiter)

    async def emptied(self) -> None:
        """Wait until nothing runs and nothing waits. Cancelling it is safe."""
        event = asyncio.Event()
        self.watch(event.set)
        try:
            while not self.idle:
                event.clear()
                await event.wait()
        finally:
            self.unwatch(event.set)

    @property
    def spare(self) -> int:
        """Slots that are free although requests wait: for the gate is held, or the output is
        congested."""
        if self.is_held:
            return self.free + _HELD
        return self.free if self._link.outbound.congested else 0

    @property
    def idle(self) -> bool:
        """Whether nothing runs and nothing waits."""
        free = self.free + _HELD if self.is_held else self.free
        return free == self.limit and not any(each.waiting for each in self.hungry)


class Waiting(NamedTuple):
    """A request in a row: its bytes, when it came, and when its time is over (`loop.time()`)."""

    size: int
    since: float
    deadline: float


class Row:
    """Requests that wait, the oldest first: so many, and so many bytes, at most."""

    __slots__ = ("_is_mixed", "_is_turn", "_latest", "entries", "most", "size")

    def __init__(self, most: int) -> None:
        self.most: int = most
        self.size: int = 0
        self.entries: dict[Admitted, Waiting] = {}
        self._latest = 0.0
        self._is_mixed = False  # whether one has less time left than one before it
        self._is_turn = False

    def put(self, admitted: Admitted, entry: Waiting, more: int = 0) -> bool:
        """Add a request; false if there is no room. `more`: room for so many beyond `most`."""
        if len(self.entries) >= self.most + more or self.size + entry.size > MAX_WAITING_BYTES:
            return False
        self.entries[admitted] = entry
        self.size += entry.size
        if entry.deadline < self._latest:
            self._is_mixed = True
        else:
            self._latest = entry.deadline
        return True

    def remove(self, admitted: Admitted) -> bool:
        """Take a request out; false if it is not here."""
        entry = self.entries.pop(admitted, None)
        if entry is None:
            return False
        self.size -= entry.size
        if not self.entries:
            self._latest, self._is_mixed = 0.0, False
        return True

    def oldest(self) -> Waiting:
        """The first of them; there is one."""
        return next(iter(self.entries.values()))

    def is_old(self, now: float) -> bool:
        """Whether the oldest has waited for half of its time; there is one."""
        oldest = self.oldest()
        return oldest.deadline - now < now - oldest.since

    def take(self, now: float, expected: float) -> tuple[Admitted, bool]:
        """The request to start next, and whether it cannot finish in its time."""
        admitted, entry = next(iter(self.entries.items()))
        if entry.deadline - now >= expected:
            if self.is_old(now):
                admitted, entry = next(reversed(self.entries.items()))
            elif self._is_mixed:
                self._is_turn = not self._is_turn
                if self._is_turn:
                    admitted, entry = self._shortest()
        self.remove(admitted)
        return admitted, entry.deadline - now < expected

    def _shortest(self) -> tuple[Admitted, Waiting]:
        """Of the newest few, the one with the least time left."""
        newest = islice(reversed(self.entries.items()), LOOK_BACK)
        return min(newest, key=lambda item: item[1].deadline)


class RowHost(Protocol):
    """The endpoint, as its rows need it."""

    def start(self, admitted: Admitted) -> None:
        """Run a request that waited, and now has its slots."""

    def shed(self, admitted: Admitted) -> None:
        """Refuse a request that cannot finish in its time any more."""

    def expected(self) -> float:
        """Seconds that a handler takes, as far as is known."""
        ...

    def now(self) -> float:
        """`loop.time()`."""
        ...


class Lane:
    """The slots and the bounded rows of one endpoint at one level of a chain of calls.

    Args:
        gate: the service's slots for such requests.
        limit: requests that run at once.
        max_waiting: requests that wait; of messages without a reply subject, `MAX_EVENTS` if that
            is more.
        host: the endpoint.
        is_owed: tells whether a request may run although the gate has no slot; None for never.
    """

    __slots__ = (
        "_host",
        "_is_owed",
        "_was_event",
        "events",
        "free",
        "gate",
        "hungry",
        "limit",
        "requests",
    )

    def __init__(
        self,
        gate: Gate,
        limit: int,
        max_waiting: int,
        host: RowHost,
        is_owed: Callable[[], bool] | None = None,
    ) -> None:
        self.gate: Gate = gate
        self.limit: int = limit
        self.free: int = limit
        self.requests: Row = Row(max_waiting)
        self.events: Row = Row(max(max_waiting, MAX_EVENTS))
        self.hungry: bool = False
        self._was_event = False
        self._host = host
        self._is_owed = is_owed

    @property
    def waiting(self) -> int:
        """How many wait, in both rows."""
        return len(self.requests.entries) + len(self.events.entries)

    @property
    def running(self) -> int:
        """Requests that hold its slots."""
        return self.limit - self.free

    def take(self) -> None:
        """Take a slot of this lane, and one of its gate."""
        self.free -= 1
        self.gate.free -= 1

    def give_back(self) -> None:
        """Undo `take`, and let others have the slots."""
        self.free += 1
        gate = self.gate
        gate.free += 1
        if gate.attention:
            gate.attend()

    @property
    def may_start(self) -> bool:
        """Whether the next one that waits has its slots."""
        if self.free <= 0 or not self.waiting:
            return False
        return self.gate.free > 0 or (self._is_owed is not None and self._is_owed())

    def put(self, admitted: Admitted, entry: Waiting, *, is_event: bool = False) -> bool:
        """Let a request wait; false if there is no room. `is_event`: it has no reply subject.

        What waits only because its gate is held, or the output is congested, has slots that are
        free: these make room beyond the row's own.
        """
        row = self.events if is_event else self.requests
        if not row.put(admitted, entry, max(0, min(self.free, self.gate.spare))):
            return False
        if not self.hungry:
            self.hungry = True
            self.gate.hungry.append(self)
            self.gate.attention = True
        return True

    def remove(self, admitted: Admitted) -> bool:
        """Take a request that waits out of its row; false if it does not wait."""
        if not (self.requests.remove(admitted) or self.events.remove(admitted)):
            return False
        if not self.waiting:
            self.gate.attend()
        return True

    def start_next(self) -> None:
        """Start one request, if any can still finish in its time; refuse those that cannot."""
        host = self._host
        now, expected = host.now(), host.expected()
        while self.waiting:
            admitted, is_late = self._next_row(now).take(now, expected)
            if is_late:
                host.shed(admitted)
                continue
            self.take()
            host.start(admitted)
            return

    def _next_row(self, now: float) -> Row:
        """The row whose turn it is; there is one that is not empty."""
        requests, events = self.requests, self.events
        if not requests.entries or not events.entries:
            return requests if requests.entries else events
        if requests.is_old(now):
            self._was_event = not self._was_event
            return events if self._was_event else requests
        return events if events.oldest().since <= requests.oldest().since else requests
