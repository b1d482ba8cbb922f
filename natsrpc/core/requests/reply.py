"""The reply to one request, as something that a task awaits.

It is future-like in the sense of `asyncio.isfuture`: it speaks the protocol by which a task waits
for what is not an `asyncio.Future` (`_asyncio_future_blocking`, `add_done_callback`, `cancel`). A
future costs a loop callback and its handle for every reply; here all replies of one chunk wake
their tasks from one callback, in order, in the loop turn in which futures would. Measured for a
request (CPython 3.11 / 3.13): 0.5 / 0.6 us less, and no entry beside the future.

One task awaits it, once, in the turn in which it was made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextvars import Context
from typing import Any, Protocol

from ..wire import Msg


class Waiting(Protocol):
    """Where replies are awaited."""

    def forget(self, inbox: bytes) -> bool:
        """Wait no more; whether this one was still waited for."""

    def fail(self, reply: Reply, error: BaseException) -> None:
        """Raise `error` in the task that awaits it."""


class Reply:
    """The reply to the request with the reply subject `inbox`; made by `RequestMux.begin`, which
    sets all but what is set here.

    `msg` is there once it was awaited. `deadline` is in `loop.time()`; `subject` and `timeout` are
    those of the request, for the error that tells that it expired. `resume` continues the task that
    awaits it, in `context`, with a future that says how the wait ended.
    """

    __slots__ = (
        "_asyncio_future_blocking",
        "_loop",
        "context",
        "deadline",
        "inbox",
        "msg",
        "resume",
        "subject",
        "timeout",
        "waiting",
    )

    _asyncio_future_blocking: bool
    _loop: asyncio.AbstractEventLoop
    context: Context
    deadline: float
    inbox: bytes
    msg: Msg
    resume: Callable[[asyncio.Future[None]], object]
    subject: bytes
    timeout: float | None
    waiting: Waiting

    def __await__(self) -> Generator[Any, None, None]:
        return iter((self,))  # type: ignore[return-value]  # any iterator will do

    def __repr__(self) -> str:
        return f"<Reply to a request on {self.subject!r}>"

    # what a task calls

    def add_done_callback(
        self, fn: Callable[[asyncio.Future[None]], object], *, context: Context
    ) -> None:
        """Keep what resumes the task."""
        self.resume = fn
        self.context = context

    def cancel(self, msg: object = None) -> bool:
        """End the wait, because the task is cancelled."""
        if not self.waiting.forget(self.inbox):
            return False
        error = asyncio.CancelledError() if msg is None else asyncio.CancelledError(msg)
        self.waiting.fail(self, error)
        return True
