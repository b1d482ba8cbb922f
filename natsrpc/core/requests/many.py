"""Asking: one reply over the mux, or over an inbox of the request's own (old style, and several
replies, ADR-47)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from natsrpc.errors import (
    NatsTimeoutError,
    NoRespondersError,
)

from ..subscriptions import Subscription
from ..wire import (
    Msg,
)

MAX_BUFFERED = 65_536
"""How many replies to one request may wait for its reader."""


class Inflight:
    """The tasks that wait for replies on inboxes of their own; a drain waits for them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._askers: list[asyncio.Task[Any] | None] = []
        self._excused: set[asyncio.Task[Any] | None] = set()
        self._watcher: asyncio.Future[None] | None = None

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        """Count the current task, for the time of a block."""
        asker = asyncio.current_task()
        self._askers.append(asker)
        try:
            yield
        finally:
            self._askers.remove(asker)
            self._tell_news()

    def excuse(self, task: asyncio.Task[Any] | None) -> None:
        """Let no drain wait for `task`, which is about to wait for one."""
        self._excused.add(task)
        self._tell_news()

    def _tell_news(self) -> None:
        if self._watcher is not None and not self._watcher.done():
            self._watcher.set_result(None)

    async def idle(self) -> None:
        """Wait until there is none, or only excused ones. For one waiter at a time."""
        while any(asker not in self._excused for asker in self._askers):
            self._watcher = self._loop.create_future()
            await self._watcher


async def read_replies(
    sub: Subscription,
    loop: asyncio.AbstractEventLoop,
    subject: str,
    *,
    timeout: float,
    stall: float | None,
    max_msgs: int | None,
    sentinel: Callable[[Msg], bool] | None,
    was_lost: Callable[[], bool],
) -> AsyncIterator[Msg]:
    """Yield replies arriving on an inbox until one of the limits ends the read.

    The time a consumer spends between two replies does not count against `stall`. Where no reply
    came in time, `was_lost` says whether that may be the connection's fault.

    Raises:
        NatsTimeoutError: no reply came, and it may.
        NoRespondersError: nobody is subscribed to the subject.
    """
    deadline = loop.time() + timeout
    count = 0
    while max_msgs is None or count < max_msgs:
        left = deadline - loop.time()
        wait = min(stall, left) if stall and count else left
        try:
            if wait <= 0 and not sub.pending_msgs:
                return
            msg = await sub.next_msg(max(wait, 0.001))
        except NatsTimeoutError:
            if not count and was_lost():
                text = f"no reply on {subject!r} within {timeout:g} s: the connection was lost"
                raise NatsTimeoutError(text) from None
            return
        except NoRespondersError:
            if count == 0:
                raise NoRespondersError(subject) from None
            return
        if sentinel is not None and sentinel(msg):
            return
        count += 1
        yield msg
