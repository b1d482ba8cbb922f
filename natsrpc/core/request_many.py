"""Several replies to one request (ADR-47)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from natsrpc.errors import (
    NatsTimeoutError,
    NoRespondersError,
)

from .subscription import Subscription
from .wire import Msg

MAX_BUFFERED = 65_536


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
