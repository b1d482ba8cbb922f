"""`Attendant`: ends the task of a request whose client leaves, or does not send what it began.

Nearly all requests are over within some milliseconds, and need none of this. So a request costs one
timer, which is set and cancelled; only where it fires somebody looks at the client.
"""

from __future__ import annotations

import asyncio

from starlette.types import Receive

__all__ = ["Attendant"]

SOON = 0.05
"""Seconds after which somebody looks at the client."""


class Attendant:
    """Looks after the task in which it is made, from its beginning to `end`.

    The request's body is being received until `received` is called. Then the attendant receives
    what comes of the client, which is no more than that it left.

    `is_slow` tells that the request has taken a while; `is_late` and `has_left` say why the task
    was cancelled.
    """

    __slots__ = ("_begun", "_loop", "_passes_on", "_patience", "_receive", "_receiving", "_task",
                 "_timer", "_watching", "has_left", "is_late", "is_slow")  # fmt: skip

    def __init__(self, receive: Receive, patience: float, loop: asyncio.AbstractEventLoop) -> None:
        task = asyncio.current_task(loop)
        assert task is not None  # a request is served in one
        self._receive = receive
        self._patience = patience
        self._loop = loop
        self._task = task
        self._begun = loop.time()
        self._receiving = True
        self._passes_on = False
        self._watching: asyncio.Task[None] | None = None
        self._timer = loop.call_later(SOON, self._soon)
        self.is_slow: bool = False
        self.is_late: bool = False
        self.has_left: bool = False

    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return self._loop.time() - self._begun

    def passes_on(self) -> None:
        """Take note that the body is passed on as it comes: who reads it looks after the client."""
        self._passes_on = True
        self._timer.cancel()
        self._timer = self._loop.call_later(SOON, self._soon)

    def received(self) -> None:
        """Take note that all of the request is here."""
        self._receiving = False
        if self.is_slow:
            self._timer.cancel()
            self._watch()

    def forgive(self) -> None:
        """Go on with the task, which was cancelled from here."""
        self._task.uncancel()

    def end(self) -> None:
        """Look no more."""
        self._timer.cancel()
        if self._watching is not None:
            self._watching.cancel()

    def _soon(self) -> None:
        self.is_slow = True
        if self._passes_on and self._receiving:
            return
        if self._receiving:
            self._timer = self._loop.call_later(self._patience, self._late)
        else:
            self._watch()

    def _late(self) -> None:
        self.is_late = True
        self._task.cancel()

    def _watch(self) -> None:
        self._watching = self._loop.create_task(self._look())

    async def _look(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.has_left = True
        self._task.cancel()
