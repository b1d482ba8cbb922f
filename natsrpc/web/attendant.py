"""`Attendant`: ends the task of a request whose client leaves, or does not send what it began.

Nearly all requests are over within some milliseconds, and need none of this. So there is one timer
for all of them, `Attention`: only for a request that it finds a second time somebody looks at the
client.
"""

from __future__ import annotations

import asyncio

from starlette.types import Receive

__all__ = ["Attendant", "Attention"]

SOON = 0.05
"""Seconds after which somebody looks at the client; twice as many at most."""


MAX_ENDS = 3
"""How often a server may say that the request is here, before nobody listens to it any more."""


class Attention:
    """Turns to the requests that take a while.

    Args:
        patience: seconds in which the body of a request must come.
        loop: where the requests are served.
    """

    def __init__(self, patience: float, loop: asyncio.AbstractEventLoop) -> None:
        self.patience: float = patience
        self.loop: asyncio.AbstractEventLoop = loop
        self._new: list[Attendant] = []
        self._older: list[Attendant] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(self, attendant: Attendant) -> None:
        """Turn to a request soon, unless it has ended by then."""
        self._new.append(attendant)
        if self._timer is None:
            self._timer = self.loop.call_later(SOON, self._turn)

    def _turn(self) -> None:
        slow, self._older, self._new = self._older, self._new, []
        self._timer = self.loop.call_later(SOON, self._turn) if self._older else None
        for attendant in slow:
            if not attendant.is_over:
                attendant.turn()


class Attendant:
    """Looks after the task in which it is made, from its beginning to `end`.

    The request's body is being received until `received` is called. Then the attendant receives
    what comes of the client, which is no more than that it left.

    `is_slow` tells that the request has taken a while; `is_late` and `has_left` say why the task
    was cancelled.
    """

    __slots__ = ("_attention", "_begun", "_passes_on", "_receive", "_receiving", "_task", "_timer",
                 "_watching", "has_left", "is_late", "is_over", "is_slow")  # fmt: skip

    def __init__(self, receive: Receive, attention: Attention) -> None:
        task = asyncio.current_task()
        assert task is not None  # a request is served in one
        self._receive = receive
        self._attention = attention
        self._task = task
        self._begun = attention.loop.time()
        self._receiving = True
        self._passes_on = False
        self._timer: asyncio.TimerHandle | None = None
        self._watching: asyncio.Task[None] | None = None
        self.is_over: bool = False
        self.is_slow: bool = False
        self.is_late: bool = False
        self.has_left: bool = False
        attention.add(self)

    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return self._attention.loop.time() - self._begun

    def passes_on(self) -> None:
        """Take note that the body is passed on as it comes: who reads it looks after the client."""
        self._passes_on = True
        self._stop()

    def received(self) -> None:
        """Take note that all of the request is here."""
        self._receiving = False
        self._stop()
        if self.is_slow and not self.is_over and self._watching is None:
            self._watch()

    def forgive(self) -> None:
        """Go on with the task, which was cancelled from here."""
        self._task.uncancel()

    def end(self) -> None:
        """Look no more."""
        self.is_over = True
        self._stop()
        if self._watching is not None:
            self._watching.cancel()

    def turn(self) -> None:
        """Look at the client. Called by `Attention`, once."""
        self.is_slow = True
        if not self._receiving:
            self._watch()
        elif not self._passes_on:
            left = self._attention.patience - self.elapsed()
            self._timer = self._attention.loop.call_later(left, self._late)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        self.is_late = True
        self._task.cancel()

    def _watch(self) -> None:
        self._watching = self._attention.loop.create_task(self._look())

    async def _look(self) -> None:
        ends = 0
        while (message := await self._receive())["type"] != "http.disconnect":
            ends += not message.get("more_body", False)
            if ends > MAX_ENDS:
                return
        self.has_left = True
        self._task.cancel()
