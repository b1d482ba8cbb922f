"""Refused subscriptions that the server does not name, and the inbox of requests that it denied.

`-ERR 'maximum subscriptions exceeded'` tells not of which. Whoever is refused would be deaf: a
request would wait for its whole time, an endpoint for ever. So the server is asked for each
subscription that it may have meant once more, one by one, between two PINGs: an error between their
PONGs is about that one. It is taken back first, for servers count one that they have as one more.
Those that were there before the last `settle` are left alone.

A server does not tell either when it gives a permission back, so a request that fails because its
inbox was denied has it asked for again, once a second at most. What users subscribed and was
taken away is asked for by `Regaining`.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable
from typing import NamedTuple, Protocol

from natsrpc.errors import (
    ConnectionClosedError,
    MaxConnectionsError,
    PermissionsError,
    ServerClosedConnectionError,
    ServerError,
)

from ..requests import RequestMux
from ..session import Session
from ..subscriptions import Subscriptions
from ..wire import frames
from .regaining import Regaining, RegainingHost

_ASK_EVERY = 1.0


class RefusalsHost(RegainingHost, Protocol):
    """The link, as this file needs it."""

    session: Session | None


class Asked(NamedTuple):
    """One subscription that the server is asked for again, and the PONGs around its answer."""

    before: asyncio.Future[None]
    after: asyncio.Future[None]
    errors: list[ServerError]


class Refusals:
    """Finds out what the server refused. Made and told by the link."""

    def __init__(
        self, host: RefusalsHost, subscriptions: Subscriptions, requests: RequestMux
    ) -> None:
        self._host = host
        self._subscriptions = subscriptions
        self._requests = requests
        self._settled = 0
        self._is_unclear = False  # a refusal came that nobody looks into yet
        self._asked: Asked | None = None
        self._task: asyncio.Task[None] | None = None
        self._asked_at = -math.inf
        self._regaining = Regaining(host, subscriptions)
        requests.ask_again = self.ask_for_inbox

    def new_session(self) -> None:
        """All subscriptions were asked for anew."""
        self._settled = 0
        self._is_unclear = False

    def settle(self) -> None:
        """The server accepted all subscriptions there are."""
        self._settled = self._subscriptions.last_sid

    def note(self, error: ServerError) -> bool:
        """Take a refusal that names no subscription; True if it is the answer to what was asked
        here, which nobody else needs to hear."""
        asked = self._asked
        if asked is not None and asked.before.done() and not asked.after.done():
            asked.errors.append(error)
            return True
        self._is_unclear = True
        self._look()
        return False

    def _look(self) -> None:
        """Look into what was refused, unless the server is being asked something: then next."""
        session = self._host.session
        if self._is_unclear and self._task is None and session is not None:
            self._is_unclear = False
            self._task = self._host.loop.create_task(self._find(session), name="natsrpc refusals")

    def note_denial(self, error: PermissionsError) -> None:
        """Take a denial that is not about the requests that wait for replies."""
        taken = self._subscriptions.deny(error)
        if taken is not None:
            self._regaining.note(taken)

    async def _find(self, session: Session) -> None:
        registry = self._subscriptions
        try:
            await self._answered(session)  # all of a row of refusals is here
            after, self._settled = self._settled, registry.last_sid
            inbox = registry.request_inbox
            if inbox is not None and int(inbox.raw_sid) > after:
                again = frames.sub(inbox.subject, b"", inbox.raw_sid)
                errors = await self._ask(session, [frames.unsub(inbox.raw_sid), again])
                if errors:
                    self._requests.refuse(errors[0])
            for interest in registry.unheard(after):
                again_all = registry.restore_some([interest.sid])
                if not again_all:
                    continue  # it has ended meanwhile
                errors = await self._ask(session, [frames.unsub(interest.raw_sid), *again_all])
                if errors:
                    registry.refuse(interest, errors[0])
        except ConnectionClosedError:
            return  # the next session is asked for all of them
        finally:
            self._task = None
            self._look()

    async def _ask(self, session: Session, words: Iterable[bytes]) -> list[ServerError]:
        """Send frames between two PINGs: the refusals between their PONGs."""
        loop = self._host.loop
        self._asked = asked = Asked(loop.create_future(), loop.create_future(), [])
        try:
            session.ping(asked.before)
            for frame in words:
                session.transport.write(frame)
            session.ping(asked.after)
            await asyncio.gather(asked.before, asked.after)
        finally:
            self._asked = None
        return asked.errors

    async def _answered(self, session: Session) -> None:
        waiter = self._host.loop.create_future()
        session.ping(waiter)
        await waiter

    # the inbox of requests

    def ask_for_inbox(self) -> None:
        """Ask the server once more for the inbox that it denied, unless that was just done."""
        session, now = self._host.session, self._host.loop.time()
        inbox = self._subscriptions.request_inbox
        if session is None or inbox is None or self._task is not None:
            return
        if now >= self._asked_at + _ASK_EVERY:
            self._asked_at = now
            again = frames.sub(inbox.subject, b"", inbox.raw_sid)
            self._task = self._host.loop.create_task(
                self._regain_inbox(session, again), name="natsrpc inbox"
            )

    async def _regain_inbox(self, session: Session, again: bytes) -> None:
        denied = self._requests.denied
        try:
            errors = await self._ask(session, [again])
        except ConnectionClosedError:
            return
        finally:
            self._task = None
            self._look()
        if not errors and self._requests.denied is denied:
            self._requests.allow_again()

    async def stop(self) -> None:
        """Ask no more."""
        await self._regaining.stop()
        task = self._task
        if task is not None and task is not asyncio.current_task():
            task.cancel()
            await asyncio.wait([task])


def names_none(error: Exception) -> bool:
    """Whether an error is the refusal of a subscription that it does not name."""
    others = (PermissionsError, ServerClosedConnectionError, MaxConnectionsError)
    if isinstance(error, others) or not isinstance(error, ServerError):
        return False
    return "publish" not in error.text.lower()
