"""The tasks that handle what a subscription received: a drain waits for them.

They are the worker, which runs an async callback, and the readers, which wait in `next_msg` or are
in the body of an `async for`. A plain callback handles its messages in the socket read, so its
subscription has no `Handling`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, cast

from natsrpc.errors import SubscriptionError

from ..wire import Msg
from .pending import Pending
from .sinks import Intake

_NOBODY: frozenset[asyncio.Task[Any]] = frozenset()  # one for all: empty, it takes 216 bytes


class HandlingHost(Protocol):
    """The subscription's interest, as its handling needs it."""

    @property
    def is_valid(self) -> bool:
        """Whether more may be received."""
        ...

    @property
    def is_closed(self) -> bool:
        """Whether the connection is closed for good."""
        ...

    def discard(self) -> None:
        """End it now, and tell the server."""

    def note_idle(self) -> None:
        """A task handles no more."""

    def report(self, error: Exception) -> None:
        """Tell an error that no call can raise."""


class Handling:
    """The worker and the readers of one subscription."""

    __slots__ = ("_excused", "_host", "_idle", "_loop", "_readers", "_watchers", "_worker")

    def __init__(self, host: HandlingHost, loop: asyncio.AbstractEventLoop) -> None:
        self._host = host
        self._loop = loop
        self._worker: asyncio.Task[None] | None = None
        self._readers: list[asyncio.Task[Any]] = []
        self._excused = _NOBODY
        self._idle: asyncio.Future[None] | None = None
        self._watchers = 0

    # the worker

    def start_worker(self, intake: Intake, pending: Pending, name: str) -> None:
        """Run the async callback, in a task of its own, for one message after the other."""
        self._worker = self._loop.create_task(self._work(intake, pending), name=name)

    async def _work(self, intake: Intake, pending: Pending) -> None:
        callback = cast("Callable[[Msg], Awaitable[object]]", intake.cb)
        try:
            while True:
                while pending.msgs:
                    msg = pending.take()
                    intake.handed += 1
                    try:
                        await callback(msg)
                    except Exception as error:
                        self._host.report(error)
                    except asyncio.CancelledError as error:
                        self._check_own_cancel(error, intake)
                if not self._host.is_valid:
                    return
                if self._idle is not None:  # somebody waits until all is handled
                    self.wake()
                await pending.wait()
        except BaseException:
            self._host.discard()
            raise
        finally:
            self._worker = None
            self._host.note_idle()

    def _check_own_cancel(self, error: asyncio.CancelledError, intake: Intake) -> None:
        """End the worker if it was cancelled itself; otherwise the callback failed, for it let
        through the cancellation of something that it awaited."""
        if cast("asyncio.Task[None]", self._worker).cancelling():
            raise error
        failure = SubscriptionError(f"callback of {intake.sub!r}: what it awaited was cancelled")
        failure.__cause__ = error
        self._host.report(failure)

    @property
    def has_worker(self) -> bool:
        """Whether the callback's task runs."""
        return self._worker is not None

    # readers

    def enter(self) -> asyncio.Task[Any]:
        """Note that the current task reads."""
        reader = cast("asyncio.Task[Any]", asyncio.current_task())
        self._readers.append(reader)
        return reader

    def leave(self, reader: asyncio.Task[Any]) -> None:
        """Undo one `enter`."""
        self._readers.remove(reader)
        self._host.note_idle()

    async def catch_up(
        self, intake: Intake, pending: Pending, asking: asyncio.Task[Any] | None
    ) -> None:
        """Wait until the worker has handled all that is pending now, or the connection is closed.
        What comes meanwhile is not waited for, nor is anything if the worker itself is asking."""
        last = intake.handed + len(pending.msgs)
        if asking is self._worker:
            return
        self._watchers += 1
        if self._watchers == 1:
            pending.watch(self._note_taken)
        try:
            # a message behind the last one is taken only when the last one is handled
            while self._worker and intake.handed <= last and not self._host.is_closed:
                if pending.is_awaited and not pending.msgs:
                    return
                await self.changed()
        finally:
            self._watchers -= 1
            if not self._watchers:
                pending.unwatch()

    def _note_taken(self, left: int) -> None:
        self.wake()

    # drains

    @property
    def is_busy(self) -> bool:
        """Whether a task still handles, or is about to handle, what was received."""
        return self._worker is not None or any(map(self._is_awaited, self._readers))

    def _is_awaited(self, reader: asyncio.Task[Any]) -> bool:
        return not reader.done() and reader not in self._excused

    def excuse(self, task: asyncio.Task[Any] | None) -> bool:
        """Let no drain wait for `task`, which is about to wait for one.

        True if it is the worker: then it must not wait at all, for the pending messages need it.
        """
        if task in self._readers:
            self._excused |= {task}
            self._host.note_idle()
        return task is not None and task is self._worker

    async def changed(self) -> None:
        """Wait until `wake` is called, or a reader's task is done."""
        if self._idle is None or self._idle.done():
            self._idle = self._loop.create_future()
        readers = {reader for reader in self._readers if self._is_awaited(reader)}
        await asyncio.wait({self._idle, *readers}, return_when=asyncio.FIRST_COMPLETED)

    def wake(self) -> None:
        """Wake the drains that wait."""
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)
