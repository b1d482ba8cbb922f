"""The reply to one request: an awaitable that costs less than an `asyncio.Future`.

It is future-like in the sense of `asyncio.isfuture`: it has the four names by which a task waits
for an object that is not a `Future` (`_asyncio_future_blocking`, `_loop`, `add_done_callback`,
`cancel`). A future costs a callback of the loop, and its handle, for every reply. Here all replies
of one chunk resume their tasks from one callback, in order, in the loop turn in which futures would
do so. Measured for a request (CPython 3.11 / 3.13): 0.5 / 0.6 us less, and no entry beside the
future.

The rule: one task awaits it, once, in the turn in which it was made. `RequestMux` alone ends the
wait, by `resume`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextvars import Context
from typing import Any, Protocol

from ..wire import Msg


class Waiting(Protocol):
    """The request mux, as a reply needs it when its task is cancelled."""

    def forget(self, inbox: bytes) -> bool:
        """Wait no more; whether this one was still waited for."""
        ...

    def fail(self, reply: Reply, error: BaseException) -> None:
        """Raise `error` in the task that awaits it."""


class Reply:
    """The reply to the request with the reply subject `inbox`.

    `RequestMux.begin` makes it and sets all fields but three: the task that awaits it sets `resume`
    and `context`, and the mux sets `msg` when it is there. `resume` continues that task, in
    `context`, with a future that says how the wait ended. `deadline` is in `loop.time()`; `subject`
    and `timeout` are those of the request, for the error that tells that it expired.
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
        # Yields itself to the task, once. A generator of ours would be a frame for every request.
        return iter((self,))  # type: ignore[return-value]  # any iterator will do

    def __repr__(self) -> str:
        return f"<Reply to a request on {self.subject!r}>"

    # what a task calls

    def add_done_callback(
        self, fn: Callable[[asyncio.Future[None]], object], *, context: Context
    ) -> None:
        """Keep the function that resumes the task. The task calls it when it begins to wait."""
        self.resume = fn
        self.context = context

    def cancel(self, msg: object = None) -> bool:
        """End the wait, because the task is cancelled; False if it is over already."""
        if not self.waiting.forget(self.inbox):
            return False
        error = asyncio.CancelledError() if msg is None else asyncio.CancelledError(msg)
        self.waiting.fail(self, error)
        return True
