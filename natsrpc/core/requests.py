"""Requests with an inbox of their own: those for several replies (ADR-47), and old-style ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from types import TracebackType

from natsrpc.errors import NatsTimeoutError, NoRespondersError

from .subscription import Subscription
from .wire import Msg

MAX_BUFFERED = 65_536
"""How many replies to one request may wait for its reader."""


class Inflight:
    """How many requests are under way, counted with `with`; a drain waits for them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._watcher: asyncio.Future[None] | None = None
        self.count = 0

    def __enter__(self) -> None:
        self.count += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.count -= 1
        if not self.count and self._watcher is not None and not self._watcher.done():
            self._watcher.set_result(None)

    async def idle(self) -> None:
        """Wait until there is none. For one waiter at a time."""
        while self.count:
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
) -> AsyncIterator[Msg]:
    """Yield replies arriving on an inbox until one of the limits ends the read.

    The time a consumer spends between two replies does not count against `stall`.
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
            return
        except NoRespondersError:
            if count == 0:
                raise NoRespondersError(subject) from None
            return
        if sentinel is not None and sentinel(msg):
            return
        count += 1
        yield msg
