"""Asking: the part of a connection that sends requests."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator

from natsrpc.errors import (
    BadTimeoutError,
    HeadersNotSupportedError,
    NatsTimeoutError,
    NoRespondersError,
)

from .facts import Facts
from .options import Options
from .requests import MAX_BUFFERED, Inflight, is_no_responders, new_inbox, read_replies
from .subscriptions import Subscription, check_max_msgs
from .timers import check_timeout
from .wire import (
    HeaderValues,
    Msg,
    Payload,
    check_publish,
    encode_headers,
    payload_bytes,
    published,
)


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
                text = f"no reply on {subject!r} within {timeout} s"
                raise NatsTimeoutError(text, subject=subject) from None
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
