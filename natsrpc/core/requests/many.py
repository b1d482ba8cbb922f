"""Requests with an inbox of their own: those that want several replies (ADR-47), and all requests
of a connection with `old_style_requests`.

Each has a subscription, which ends with it. A drain waits for the tasks that are in one.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Protocol

from natsrpc.errors import BadTimeoutError, NatsTimeoutError, NoRespondersError

from ..subscriptions import PENDING_BYTES_LIMIT, Subscription, check_max_msgs, limits_of
from ..timers import check_timeout
from ..wire import HeaderValues, Msg, Payload, check_publish, decode, payload_bytes
from .inbox import new_inbox

MAX_BUFFERED = 65_536
"""How many replies to one request may wait for its reader."""

_LIMITS = limits_of(MAX_BUFFERED, PENDING_BYTES_LIMIT)


class Inboxes(Protocol):
    """The registry of subscriptions, as these requests need it."""

    def add(
        self, subject: str, *, max_msgs: int | None, limits: tuple[float, float], asks: str
    ) -> Subscription:
        """Subscribe the inbox of one request to the subject `asks`."""
        ...

    def discard(self, sub: Subscription) -> None:
        """End a subscription; nothing happens if it has ended."""


class Publisher(Protocol):
    """The way out of the connection, as these requests need it."""

    @property
    def transport(self) -> object | None:
        """The current session's way to its socket; None without a connection."""

    def send(self, subject: bytes, data: bytes, reply: bytes = b"", headers: bytes = b"") -> None:
        """Publish, without waiting."""

    def encode(self, headers: HeaderValues) -> bytes:
        """Headers as a block for `send`."""
        ...


class InboxRequests:
    """Asks, for one connection, with an inbox for each request. Made by the link, called by
    `Connection`.

    `deadlines` holds, by inbox, when the time of what is asked is over (`loop.time()`); `over` the
    inboxes of what ended without a session, until there is one.
    """

    def __init__(self, inboxes: Inboxes, publisher: Publisher, inbox_prefix: str) -> None:
        self._inboxes = inboxes
        self._publisher = publisher
        self._prefix = inbox_prefix
        self.deadlines: dict[bytes, float] = {}
        self.over: set[bytes] = set()
        self.inflight: Inflight = Inflight()

    async def request(
        self, subject: bytes, data: bytes, headers: bytes, timeout: float | None
    ) -> Msg:
        """One request in the old style; the arguments are trusted, as those of the request mux.

        Raises:
            NatsTimeoutError, NoRespondersError, PermissionsError, ConnectionClosedError: as
                `RequestMux.request`.
        """
        with self._asked(subject, data, headers, max_msgs=1, timeout=timeout) as sub:
            try:
                return await sub.next_msg(timeout)
            except NatsTimeoutError:
                asked = decode(subject)
                text = f"no reply on {asked!r} within {timeout} s"
                raise NatsTimeoutError(text, subject=asked) from None
            except NoRespondersError:
                raise NoRespondersError(decode(subject)) from None

    async def request_many(
        self,
        subject: str,
        data: Payload,
        *,
        timeout: float,
        stall: float | None,
        max_msgs: int | None,
        sentinel: Callable[[Msg], bool] | None,
        headers: HeaderValues | None,
    ) -> AsyncIterator[Msg]:
        """The replies to one request: as `Connection.request_many`, which describes it.

        The time that the consumer spends between two replies does not count against `stall`.
        """
        encoded = check_publish(subject)
        check_timeout(timeout)
        if stall is not None and (
            isinstance(stall, bool) or not isinstance(stall, (int, float)) or not stall >= 0
        ):
            raise BadTimeoutError(f"stall must be 0 or more seconds, or None, not {stall!r}")
        limit = None if max_msgs is None else check_max_msgs(max_msgs)
        block = self._publisher.encode(headers) if headers else b""
        data = payload_bytes(data)
        asked_on = self._publisher.transport
        with self._asked(encoded, data, block, max_msgs=limit, timeout=timeout) as sub:
            time = asyncio.get_running_loop().time
            deadline, count = time() + timeout, 0
            while limit is None or count < limit:
                left = deadline - time()
                wait = min(stall, left) if stall and count else left
                msg = await _next_reply(sub, wait, subject, is_first=not count)
                if msg is None and not count and self._was_lost(asked_on):
                    text = f"no reply on {subject!r} within {timeout:g} s: the connection was lost"
                    raise NatsTimeoutError(text)
                if msg is None or (sentinel is not None and sentinel(msg)):
                    return
                count += 1
                yield msg

    def _was_lost(self, asked_on: object | None) -> bool:
        """Whether replies to a request may be missing through the connection's fault. One that
        waited in the reconnect buffer was sent on the session that followed."""
        now = self._publisher.transport
        return now is None or asked_on not in (None, now)

    @contextlib.contextmanager
    def _asked(
        self,
        subject: bytes,
        data: bytes,
        headers: bytes,
        *,
        max_msgs: int | None,
        timeout: float | None,
    ) -> Iterator[Subscription]:
        """Send a request with an inbox of its own, which lives as long as the block.

        Allowed while subscriptions drain: handlers that are still running may ask others.
        """
        inbox = new_inbox(self._prefix)
        reply = inbox.encode()
        now = asyncio.get_running_loop().time()
        with self.inflight.counted():
            sub = self._inboxes.add(inbox, max_msgs=max_msgs, limits=_LIMITS, asks=decode(subject))
            self.deadlines[reply] = math.inf if timeout is None else now + timeout
            try:
                self._publisher.send(subject, data, reply, headers)
                try:
                    yield sub
                finally:
                    if self._publisher.transport is None:
                        self.over.add(reply)
            finally:
                del self.deadlines[reply]
                self._inboxes.discard(sub)


async def _next_reply(
    sub: Subscription, wait: float, subject: str, *, is_first: bool
) -> Msg | None:
    """The next reply; None when the time is over, or nobody goes on answering."""
    try:
        if wait <= 0 and not sub.pending_msgs:
            return None
        return await sub.next_msg(max(wait, 0.001))
    except NatsTimeoutError:
        return None
    except NoRespondersError:
        if is_first:
            raise NoRespondersError(subject) from None
        return None


class Inflight:
    """The tasks that wait for replies on inboxes of their own; a drain waits for them."""

    def __init__(self) -> None:
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
        """Wait until there is none, or only excused ones. For one drain at a time."""
        while any(asker not in self._excused for asker in self._askers):
            self._watcher = asyncio.get_running_loop().create_future()
            await self._watcher
