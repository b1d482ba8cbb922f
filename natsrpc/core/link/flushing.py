"""Flushes: waiting for the PONG behind all that was sent, also from one session to the next."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from logging import Logger, getLogger

from natsrpc.errors import ConnectionClosedError, NatsTimeoutError

from ..session import Session

log: Logger = getLogger("natsrpc.core")


class Flushes:
    """The flushes of one connection that wait for a session. Made and called by the link."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._parked: list[asyncio.Future[None]] = []

    async def flush(self, session: Session | None, timeout: float | None) -> None:
        """Wait for the PONG of a session; if there is none, for that of the next one.

        Raises:
            NatsTimeoutError: no answer came in time.
            FlushInterruptedError: the session was lost meanwhile.
            ConnectionClosedError: the connection was closed meanwhile.
        """
        waiter: asyncio.Future[None] = self._loop.create_future()
        if session is not None:
            session.ping(waiter)
        else:
            self._parked.append(waiter)
        timer = self._loop.call_later(timeout, _expire, waiter, timeout) if timeout else None
        try:
            await waiter
        finally:
            if timer is not None:
                timer.cancel()
            if waiter in self._parked:
                self._parked.remove(waiter)

    def resume(self, session: Session) -> None:
        """Send the PINGs of those that waited for a session."""
        parked, self._parked = self._parked, []
        for waiter in parked:
            session.ping(waiter)

    def fail(self, error: Exception) -> None:
        """Wake those that wait for a session: none will come."""
        for waiter in self._parked:
            if not waiter.done():
                waiter.set_exception(error)


async def all_answered(sessions: Iterable[Session]) -> None:
    """Wait until each of the sessions has answered a PING, or is lost."""
    loop = asyncio.get_running_loop()
    waiters: list[asyncio.Future[None]] = []
    for session in sessions:
        waiters.append(loop.create_future())
        session.ping(waiters[-1])
    try:
        for waiter in waiters:
            try:
                await waiter
            except ConnectionClosedError:
                log.debug("a session was lost while its PONG was awaited")
    finally:
        for waiter in waiters:
            waiter.cancel()


def _expire(waiter: asyncio.Future[None], timeout: float) -> None:
    if not waiter.done():
        waiter.set_exception(NatsTimeoutError(f"flush not answered within {timeout:g} s"))
