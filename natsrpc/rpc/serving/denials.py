"""What the server denies to a running service, and how the service gets it back.

A server tells that it takes a permission away, and never that it gives it back: so a service whose
endpoint is denied asks again, at first after a second, then less and less often, and at once in a
new session. Meanwhile `RunningService` counts as unwell. What a service can do without (large
requests, cancels, discovery) is asked for again with its endpoints, and is never missed.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable

from natsrpc.core import AsyncError, Connection, ConnectionEvent, Reconnected, Subscription
from natsrpc.errors import NatsError, ServerError

logger: logging.Logger = logging.getLogger("natsrpc.rpc")

TELLING = 0.1
"""Seconds within which denied subscriptions are collected for one log line."""

FIRST_WAIT = 1.0
"""Seconds after a denial until the server is asked again; doubled with each further denial."""

LONGEST_WAIT = 30.0
"""Seconds between two attempts that are not exceeded."""


class Denials:
    """The denied subscriptions of one running service. Made and told by it.

    `subjects` are those of the endpoints that cannot be reached.
    """

    def __init__(
        self, connection: Connection, name: str, optional: Callable[[], Iterable[Subscription]]
    ) -> None:
        self._connection = connection
        self._name = name
        self._optional = optional
        self._missed: dict[Subscription, None] = {}
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._unwanted: list[str] = []
        self._told: set[str] = set()
        self._stopped = False

    @property
    def subjects(self) -> list[str]:
        """The subjects of the endpoints that the server denies."""
        return [subscription.subject for subscription in self._missed]

    # endpoints

    def note(self, event: AsyncError) -> None:
        """Take note that the subscription of an endpoint is denied."""
        is_denial = isinstance(event.error, ServerError)
        if self._stopped or not is_denial or event.subscription in self._missed:
            return
        logger.error(
            "service %s cannot be reached on %r, and asks the server again until it can: %s",
            self._name,
            event.subscription.subject,
            event.error,
        )
        self._missed[event.subscription] = None
        if self._task is None:
            self._connection.link.add_listener(self._hear)
            self._task = asyncio.ensure_future(self._regain())

    def _hear(self, event: ConnectionEvent) -> None:
        if isinstance(event, Reconnected):
            self._news.set()  # all was asked for again

    async def _regain(self) -> None:
        wait = FIRST_WAIT
        while self._missed:
            self._news.clear()
            try:
                async with asyncio.timeout(wait * random.uniform(0.75, 1.25)):  # noqa: S311  jitter
                    await self._news.wait()
                wait = FIRST_WAIT
            except TimeoutError:
                wait = min(2 * wait, LONGEST_WAIT)
            await self._ask()
        self._connection.link.remove_listener(self._hear)
        self._task = None

    async def _ask(self) -> None:
        link = self._connection.link
        try:
            await link.ask_again(self._missed)
            back = [one for one in self._missed if one.is_valid]
            if back:
                await link.ask_again(self._optional())
        except NatsError:
            return  # the session is lost: the next one is asked
        for subscription in back:
            logger.warning(
                "service %s can be reached on %r again", self._name, subscription.subject
            )
        self.forget(back)

    def forget(self, subscriptions: Iterable[Subscription]) -> None:
        """Miss these no more: they are back, or their endpoint was removed."""
        for subscription in subscriptions:
            self._missed.pop(subscription, None)

    # what can be done without

    def note_optional(self, error: ServerError, subject: str) -> None:
        """Collect what the server denies in a row: it tells of each subscription by itself. What
        was told once is not told again with each session."""
        if subject in self._told:
            return
        if not self._unwanted:
            self._connection.link.loop.call_later(TELLING, self._tell)
        self._told.add(subject)
        self._unwanted.append(subject)

    def _tell(self) -> None:
        denied, self._unwanted = self._unwanted, []
        logger.warning(
            "service %s does without what comes to %s (large requests, cancels, discovery): the "
            "server denied these subscriptions",
            self._name,
            ", ".join(map(repr, denied)),
        )

    # the end

    async def stop(self) -> None:
        """Ask no more."""
        self._stopped = True
        if self._task is not None:
            self._connection.link.remove_listener(self._hear)
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
