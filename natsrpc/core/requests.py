"""Asking: one reply over the mux, or over an inbox of the request's own (old style, and several
replies, ADR-47)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from natsrpc.errors import (
    BadTimeoutError,
    HeadersNotSupportedError,
    NatsTimeoutError,
    NoRespondersError,
)

from .facts import Facts
from .inbox import new_inbox
from .intake import check_max_msgs
from .mux import is_no_responders
from .options import Options
from .subscription import Subscription
from .timers import check_timeout
from .wire import HeaderValues, Msg, Payload, encode_headers, payload_bytes
from .wire.subject import check_publish, published

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


class Requests(Facts):
    """The part of a `Connection` that asks."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._inflight = Inflight(self.loop)

    def _block(self, headers: HeaderValues) -> bytes:
        block = encode_headers(headers)
        if self._session is not None and not self._session.info.headers:
            raise HeadersNotSupportedError("the server does not support message headers")
        return block

    async def request(
        self,
        subject: str,
        data: Payload = b"",
        *,
        timeout: float | None = 5.0,
        headers: HeaderValues | None = None,
    ) -> Msg:
        """Send a request; the first reply. Cancelling it leaves nothing behind.

        A request in flight when the connection drops goes on waiting: its inbox is restored.

        Args:
            subject: a literal subject.
            data: the payload.
            timeout: seconds in all, waiting for a lost connection included; None leaves it to an
                enclosing `asyncio.timeout`.
            headers: a mapping of names to a value or several values.

        Raises:
            NatsTimeoutError: no reply came in time.
            NoRespondersError: nobody is subscribed to the subject.
            PermissionsError: the server denied the request or the subscription to its reply.
            ConnectionClosedError: the connection is, or was meanwhile, closed.
            BadTimeoutError: `timeout` is not above 0.
            BadSubjectError, BadHeaderError, MaxPayloadError, ReconnectBufferExceededError,
            ConnectionDrainingError: as `publish`.

        Ref: nats.go `Conn.RequestMsg`; ADR-4 for no responders.
        """
        try:
            encoded = published[subject]
        except TypeError:  # it cannot even be hashed
            encoded = check_publish(subject)
        if timeout is not None and (type(timeout) is not float or not timeout > 0):
            check_timeout(timeout)
        if type(data) is not bytes:
            data = payload_bytes(data)
        block = self._block(headers) if headers else b""
        if self.options.old_style_requests:
            return await self._request_old_style(subject, encoded, data, block, timeout)
        # As `mux.request` does, which would be one more coroutine.
        mux = self.mux
        if self.congested:
            timeout = await mux.room(timeout)
        reply = mux.begin(encoded, data, block, timeout)
        try:
            await reply
        except BaseException:
            mux.abandon(reply)
            raise
        msg = reply.msg
        if msg.raw_headers and is_no_responders(msg):
            raise NoRespondersError(subject)
        return msg

    async def _request_old_style(
        self, subject: str, encoded: bytes, data: bytes, block: bytes, timeout: float | None
    ) -> Msg:
        """One inbox and subscription for each request, both gone at its end."""
        with self._inbox_for(subject, encoded, data, block, max_msgs=1) as sub:
            try:
                return await sub.next_msg(timeout)
            except NatsTimeoutError:
                raise NatsTimeoutError(f"no reply on {subject!r} within {timeout} s") from None
            except NoRespondersError:
                raise NoRespondersError(subject) from None

    @contextlib.contextmanager
    def _inbox_for(
        self, subject: str, encoded: bytes, data: bytes, block: bytes, *, max_msgs: int | None
    ) -> Iterator[Subscription]:
        """Send a request with an inbox of its own, which lives as long as the block.

        Allowed while subscriptions drain: handlers that are still running may ask others.
        """
        inbox = self.new_inbox()
        with self._inflight.counted():
            sub = self._register(
                inbox, "", max_msgs=max_msgs, pending_msgs_limit=MAX_BUFFERED, asks=subject
            )
            try:
                if max_msgs is not None:
                    self.send_unsub(sub, max_msgs)
                self.send(encoded, data, inbox.encode(), block)
                yield sub
            finally:
                sub.discard()

    async def request_many(
        self,
        subject: str,
        data: Payload = b"",
        *,
        timeout: float = 5.0,
        stall: float | None = None,
        max_msgs: int | None = None,
        sentinel: Callable[[Msg], bool] | None = None,
        headers: HeaderValues | None = None,
    ) -> AsyncIterator[Msg]:
        """Send one request and iterate over its replies, as they come.

        Ends when `timeout` seconds are over in all, when `stall` seconds passed since the last
        reply, after `max_msgs` replies, or at the reply for which `sentinel(msg)` is true (which is
        not yielded; pass `lambda msg: not msg.data` for the usual empty one). Leaving the loop
        early ends the subscription.

        Raises:
            NoRespondersError: nobody is subscribed to the subject.
            ConnectionClosedError: the connection was closed before the end.
            SlowConsumerError: replies were dropped because too many were waiting.
            BadTimeoutError, BadSubjectError, BadHeaderError, MaxPayloadError: as `request`.

        Ref: ADR-47.
        """
        encoded = check_publish(subject)
        check_timeout(timeout)
        if stall is not None and stall < 0:
            raise BadTimeoutError(f"stall must be 0 or more seconds, not {stall!r}")
        limit = None if max_msgs is None else check_max_msgs(max_msgs)
        block = self._block(headers) if headers else b""
        data = payload_bytes(data)
        with self._inbox_for(subject, encoded, data, block, max_msgs=limit) as sub:
            async for msg in read_replies(
                sub,
                self.loop,
                subject,
                timeout=timeout,
                stall=stall,
                max_msgs=limit,
                sentinel=sentinel,
            ):
                yield msg

    def new_inbox(self) -> str:
        """A fresh subject for replies, under this connection's `inbox_prefix`."""
        return new_inbox(self.options.inbox_prefix)
