"""`Backlog`: the slots of one subscriber, and the bounded row of the events that wait for one.

Events wait in the order in which they came, and start in it. There is nobody who would give up, so
nothing in the row has a deadline, and a row is a deque of the messages themselves.

Who may move the counters: `Subscriber` takes the two slots of an event when it starts it, and gives
them back at its end, where it calls `Gate.attend` if anybody waits or drains.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from natsrpc.core import Msg

from ..contract import Limits
from .slots import Gate


class Backlog:
    """The slots of one subscriber, and the events that wait for one.

    `times` are when those came that wait, where somebody counts them; `since` is when the one came
    that was taken last.

    Args:
        gate: the service's slots for events.
        limits: how many events run at once, and how many, and how many bytes, may wait.
        start: takes the slots of the next event, and starts it.
    """

    __slots__ = (
        "_most",
        "_most_bytes",
        "_start",
        "free",
        "gate",
        "hungry",
        "limit",
        "msgs",
        "since",
        "size",
        "times",
    )

    def __init__(self, gate: Gate, limits: Limits, start: Callable[[Msg], None]) -> None:
        self.gate: Gate = gate
        self.limit: int = limits.max_concurrency
        self.free: int = limits.max_concurrency
        self.hungry: bool = False
        self.msgs: deque[Msg] = deque()
        self.size: int = 0
        self.times: deque[float] = deque()
        self.since: float = 0.0
        self._most = limits.max_waiting
        self._most_bytes = limits.max_waiting_bytes
        self._start = start

    @property
    def waiting(self) -> int:
        """How many events wait."""
        return len(self.msgs)

    @property
    def running(self) -> int:
        """How many events run."""
        return self.limit - self.free

    @property
    def may_start(self) -> bool:
        """Whether the next event has its slots."""
        return self.free > 0 and self.gate.free > 0 and bool(self.msgs)

    def put(self, msg: Msg) -> bool:
        """Let an event wait; false if there is no room. Slots that are free while the gate is held
        make room, too."""
        size = self.size + len(msg.data) + len(msg.raw_headers)
        if (
            len(self.msgs) >= self._most and len(self.msgs) >= self._room()
        ) or size > self._most_bytes:
            return False
        self.msgs.append(msg)
        self.size = size
        if not self.hungry:
            self.hungry = True
            self.gate.hungry.append(self)
            self.gate.attention = True
        return True

    def _room(self) -> int:
        return self._most + max(0, min(self.free, self.gate.spare))

    def start_next(self) -> None:
        """Start the event that has waited longest; there is one."""
        self._start(self._take())

    def take_all(self) -> list[Msg]:
        """Take out all that wait: they will not run."""
        found = [self._take() for _ in range(len(self.msgs))]
        self.gate.attend()
        return found

    def _take(self) -> Msg:
        msg = self.msgs.popleft()
        if self.times:
            self.since = self.times.popleft()
        self.size -= len(msg.data) + len(msg.raw_headers)
        return msg
