"""The reply to one request, as something that a task awaits.

It is future-like in the sense of `asyncio.isfuture`: the protocol by which a task waits for what is
not an `asyncio.Future` (`_asyncio_future_blocking`, `add_done_callback`, `result`, `cancel`). A
future costs a loop callback and its handle for every reply; here all replies of one chunk wake
their tasks from one callback, in order, in the loop turn in which futures would. Measured for a
request (CPython 3.11 / 3.13): 0.4 / 0.5 us less, and no entry beside the future.

One task awaits it, once, in the turn in which it was made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextvars import Context
from typing import Any, Protocol

from .wire import Msg


class Waiting(Protocol):
    """Where replies are awaited."""

    loop: asyncio.AbstractEventLoop

    def forget(self, inbox: bytes) -> bool:
        """Wait no more; whether this one was still waited for."""

    def wake(self, reply: Reply) -> None:
        """Resume the task that awaits it, in the next turn of the loop."""


class Reply:
    """The reply to the request with the reply subject `inbox`.

    `msg` is there once it was awaited. `deadline` is in `loop.time()`; `subject` and `timeout` are
    those of the request, for the error that tells that it expired.
    """

    __slots__ = (
        "_asyncio_future_blocking",
        "_error",
        "_loop",
        "_waiting",
        "callback",
        "context",
        "deadline",
        "inbox",
        "msg",
        "subject",
        "timeout",
    )

    msg: Msg
    callback: Callable[[Reply], object]
    context: Context

    def __init__(
        self,
        waiting: Waiting,
        inbox: bytes,
        subject: bytes,
        timeout: float | None,
        deadline: float,
    ) -> None:
        self._asyncio_future_blocking = True
        self._loop = waiting.loop
        self._waiting = waiting
        self._error: BaseException | None = None
        self.inbox = inbox
        self.subject = subject
        self.timeout = timeout
        self.deadline = deadline

    def __await__(self) -> Generator[Any, None, None]:
        return iter((self,))  # type: ignore[return-value]  # any iterator will do

    def __repr__(self) -> str:
        return f"<Reply to a request on {self.subject!r}>"

    def fail(self, error: BaseException) -> None:
        """End the wait with an error."""
        self._error = error
        self._waiting.wake(self)

    # what a task calls

    def add_done_callback(self, fn: Callable[[Reply], object], *, context: Context) -> None:
        """Keep what resumes the task."""
        self.callback = fn
        self.context = context

    def result(self) -> None:
        """Raise the error that ended the wait, if one did."""
        if self._error is not None:
            raise self._error.with_traceback(None)

    def cancel(self, msg: object = None) -> bool:
        """End the wait, because the task is cancelled."""
        if not self._waiting.forget(self.inbox):
            return False
        self.fail(asyncio.CancelledError() if msg is None else asyncio.CancelledError(msg))
        return True
