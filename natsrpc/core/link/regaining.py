"""Subscriptions of users that were taken away: the server is asked until it gives them back.

By a reload, or by the server of a new session that denies what an earlier one allowed.

A server tells that it takes a permission away, and never that it gives it back. So it is asked
again, at first after a second, then less and less often; each new session is asked at once. What it
still denies is told to nobody, for it was told before. Bare sinks are left to those who attached
them, by `Link.ask_again`.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Iterable
from typing import Protocol

from natsrpc.errors import NatsError

from ..subscriptions import Subscription, Subscriptions

FIRST_WAIT = 1.0
"""Seconds after a denial until the server is asked again; doubled with each further denial."""

LONGEST_WAIT = 30.0
"""Seconds between two attempts that are not exceeded."""


class RegainingHost(Protocol):
    """The link, as this file needs it."""

    loop: asyncio.AbstractEventLoop

    async def ask_again(self, subscriptions: Iterable[Subscription]) -> None:
        """Ask the server once more for those of them that it denied."""


class Regaining:
    """Asks for what was taken away. Made, told and stopped by `Refusals`."""

    def __init__(self, host: RegainingHost, subscriptions: Subscriptions) -> None:
        self._host = host
        self._subscriptions = subscriptions
        self._taken: list[Subscription] = []
        self._task: asyncio.Task[None] | None = None

    def note(self, taken: Subscription) -> None:
        """Ask for this one until it is given back, or has ended."""
        if taken not in self._taken:
            self._taken.append(taken)
        if self._task is None:
            self._task = self._host.loop.create_task(self._regain(), name="natsrpc denied")

    async def _regain(self) -> None:
        wait = FIRST_WAIT
        while self._taken:
            await asyncio.sleep(wait * random.uniform(0.75, 1.25))  # noqa: S311  jitter
            wait = min(2 * wait, LONGEST_WAIT)
            with contextlib.suppress(NatsError):  # the session is lost, and the next one is asked
                await self._host.ask_again(self._taken)
                self._taken = [sub for sub in self._taken if self._subscriptions.is_denied(sub)]
        self._task = None

    async def stop(self) -> None:
        """Ask no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
