"""`Enqueuing`: has streams store messages, for `Client.enqueue`.

A publish that finds only core subscribers is not answered at all: they take it, and say nothing. So
the first message of each subject does not wait in silence: after a moment it is asked whether any
stream has the subject. After the first ack it is known that one does.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import datetime

from natsrpc.core import Connection, decode
from natsrpc.errors import (
    JetStreamError,
    JetStreamNotEnabledError,
    NatsError,
    NatsTimeoutError,
    NoStreamResponseError,
)
from natsrpc.jetstream import JetStream, PubAck, nobody_stores

from .schedules import Schedules

SILENCE = 0.25
"""Seconds without an ack after which it is asked who stores a subject that is not known."""

MAX_KNOWN = 1024
"""Subjects that are known to be stored; beyond that they are forgotten, and found out anew."""


class Enqueuing:
    """What one client enqueues."""

    def __init__(self, connection: Connection) -> None:
        js = JetStream(connection)
        self._loop = connection.link.loop
        self._publish = js.publisher.publish
        self._storing = js.publisher.storing
        self._schedules = Schedules(js)
        self._known: set[bytes] = set()

    async def store(
        self,
        subject: bytes,
        data: bytes,
        block: bytes,
        *,
        msg_id: str,
        at: datetime | None,
        timeout: float,
    ) -> PubAck:
        """Have a stream store a message, now or, where `at` is given, when it is due.

        `block` has the header of `msg_id` already, if there is one.

        Raises:
            NoStreamResponseError: no stream has the subject, or its stream has no leader.
            JetStreamNotEnabledError: there is no JetStream.
            StreamFullError, JetStreamError: the stream refused it.
            NatsTimeoutError: no answer: it may be stored or not.
            PermissionsError, ConnectionClosedError, MaxPayloadError: as `Connection.request`.
        """
        try:
            if at is not None:
                return await self._later(subject, data, block, msg_id, at, timeout)
            if subject in self._known:
                return await self._publish(subject, data, block, timeout, has_id=bool(msg_id))
            return await self._first(subject, data, block, msg_id, timeout)
        except NatsTimeoutError:
            self._known.discard(subject)
            raise
        except NoStreamResponseError as error:
            self._known.discard(subject)
            if isinstance(error.__cause__, JetStreamNotEnabledError):
                raise error.__cause__ from None
            raise

    async def _later(
        self, subject: bytes, data: bytes, block: bytes, msg_id: str, at: datetime, timeout: float
    ) -> PubAck:
        """Store a schedule in the place of the message."""
        deadline = self._loop.time() + timeout
        try:
            async with asyncio.timeout_at(deadline):
                schedule = await self._schedules.schedule(subject, msg_id, at)
        except TimeoutError:
            text = decode(subject)
            why = f"no word of the stream of {text!r} within {timeout:g} s: nothing was stored"
            raise NatsTimeoutError(why, subject=text) from None
        left = max(deadline - self._loop.time(), 0.001)
        block = schedule.block(block)
        try:
            return await self._publish(schedule.subject, data, block, left, has_id=bool(msg_id))
        except JetStreamError:
            self._schedules.forget(subject)
            raise

    async def _first(
        self, subject: bytes, data: bytes, block: bytes, msg_id: str, timeout: float
    ) -> PubAck:
        """Store a message where it is not known that a stream has the subject."""
        watch = Watch(subject, self._storing.refusal)
        try:
            async with asyncio.timeout(None) as watch.scope:
                watch.begin(self._loop)
                ack = await self._publish(subject, data, block, timeout, has_id=bool(msg_id))
        except TimeoutError:
            if watch.refusal is None:
                raise
            raise nobody_stores(decode(subject), watch.refusal) from watch.refusal
        finally:
            watch.end()
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        self._known.add(subject)
        return ack


class Watch:
    """Looks who stores a subject while a message waits for its ack, and ends the wait if nobody
    does: `refusal` then tells why."""

    def __init__(
        self, subject: bytes, ask: Callable[[bytes], Awaitable[JetStreamError | None]]
    ) -> None:
        self.scope: asyncio.Timeout
        self.refusal: JetStreamError | None = None
        self._subject = subject
        self._ask = ask
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look once there was silence for a while."""
        self._timer = loop.call_later(SILENCE, self._begin, loop)

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        self._task = loop.create_task(self._look(loop))

    async def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        with contextlib.suppress(NatsError):  # the message itself is told
            self.refusal = await self._ask(self._subject)
        if self.refusal is not None:
            self.scope.reschedule(loop.time())

    def end(self) -> None:
        """Look no more."""
        for each in (self._timer, self._task):
            if each is not None:
                each.cancel()
