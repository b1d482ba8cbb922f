"""What the server denies to a running service, and how the service gets it back.

A server tells that it takes a permission away, and never that it gives it back: so a service whose
endpoint is denied asks again, at first after a second, then less and less often, and at once in a
new session. Meanwhile `RunningService` counts as unwell. What a service can do without (large
requests, cancels, discovery) does not count. It is asked for again in the same way if the service
had it once; what a service never had is asked for with its endpoints alone, for a service with
least privilege is denied it on purpose, and a server logs each denial.
"""

from __future__ import annotations

import asyncio
import logging
import random
import weakref
from collections.abc import Callable, Iterable

from natsrpc.core import AsyncError, Connection, ConnectionEvent, Reconnected, Subscription
from natsrpc.errors import NatsError, PermissionsError, ServerError

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
        self._had: weakref.WeakSet[Subscription] = weakref.WeakSet()
        self._taken: weakref.WeakSet[Subscription] = weakref.WeakSet()
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
        self._begin()

    def _begin(self) -> None:
        if self._task is None:
            self._connection.link.add_listener(self._hear)
            self._task = asyncio.ensure_future(self._regain())

    def _hear(self, event: ConnectionEvent) -> None:
        if isinstance(event, Reconnected):
            self._news.set()  # all was asked for again

    async def _regain(self) -> None:
        wait = FIRST_WAIT
        while self._missed or self._taken:
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
            await link.ask_again([*self._missed, *self._taken])
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
        self._welcome([one for one in self._taken if one.is_valid])

    def forget(self, subscriptions: Iterable[Subscription]) -> None:
        """Miss these no more: they are back, or their endpoint was removed."""
        for subscription in subscriptions:
            self._missed.pop(subscription, None)

    # what can be done without

    def accepted(self) -> None:
        """Take note that the server has answered for all that was asked for so far."""
        self._had.update(one for one in self._optional() if one.is_valid)

    def note_optional(self, error: ServerError, subscription: Subscription) -> None:
        """Collect what the server denies in a row: it tells of each subscription by itself. What
        was told once is not told again with each session."""
        if self._stopped:
            return
        is_taken_away = isinstance(error, PermissionsError) and error.sid is not None
        if is_taken_away or subscription in self._had:
            self._taken.add(subscription)
            self._begin()
        subject = subscription.subject
        if subject in self._told:
            return
        if not self._unwanted:
            self._connection.link.loop.call_later(TELLING, self._tell)
        self._told.add(subject)
        self._unwanted.append(subject)

    def _welcome(self, back: list[Subscription]) -> None:
        """What was taken away is there again; another denial is told anew."""
        for subscription in back:
            self._taken.discard(subscription)
            self._told.discard(subscription.subject)
        if back:
            subjects = ", ".join(repr(one.subject) for one in back)
            logger.warning("service %s has what comes to %s again", self._name, subjects)

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
