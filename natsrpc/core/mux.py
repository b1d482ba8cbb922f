"""The request mux: one wildcard subscription for the replies to all requests of a connection.

A request publishes with the reply subject `<prefix>.<token>`. The reply is routed by its token, cut
off the subject, to the future in `pending`; whichever comes first of reply, timeout, cancellation
and close removes the entry, so nothing is resolved twice and nothing stays behind. The mux has no
pending limits: it queues nothing.

Several replies to one token (streams) go to a sink in `streams`.

Ref: ADR-4 (no responders); nats.go `respMux`.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Collection
from functools import partial
from logging import getLogger
from typing import Protocol, TypeAlias

from natsrpc.errors import NatsTimeoutError, NoRespondersError, PermissionsError

from .inbox import INBOX_SIZE, TOKEN_SIZE, new_tokens, random_text
from .timers import Due
from .wire import Msg
from .wire.headers import NO_RESPONDERS
from .wire.subject import decode

log = getLogger("natsrpc.core")


class Sender(Protocol):
    """What the mux needs of its connection."""

    loop: asyncio.AbstractEventLoop

    @property
    def congested(self) -> bool:
        """Whether a new request should wait for `writable`."""

    def push(self) -> None:
        """Hand over to the socket what it takes of what was sent in this loop turn."""

    async def writable(self) -> None:
        """Wait until there is room to write."""

    def send(self, subject: bytes, data: bytes, reply: bytes = b"", headers: bytes = b"") -> None:
        """Publish, without waiting."""

    def start_mux(self, subject: bytes, sink: Callable[[Msg], None]) -> None:
        """Subscribe to the replies, in front of the first request."""


Entry: TypeAlias = "tuple[asyncio.Future[Msg], bytes, float | None, float]"
"""A waiting request: where its reply goes, its subject, its timeout and its deadline."""


class RequestMux:
    """All requests of one connection."""

    def __init__(self, sender: Sender, inbox_prefix: str) -> None:
        self._sender = sender
        self._loop = sender.loop
        self._prefix = f"{inbox_prefix}.".encode() + random_text(INBOX_SIZE) + b"."
        self._cut = len(self._prefix)
        self._tokens: list[bytes] = []
        # what `create_future` does, without its call
        self._new_future = partial(asyncio.Future[Msg], loop=self._loop)
        self._time = self._loop.time
        self._started = False
        self._denied: PermissionsError | None = None
        self._watchers: list[asyncio.Future[None]] = []
        self.pending: Due[bytes, Entry] = Due(self._loop, self._expired)
        self.streams: dict[bytes, Callable[[Msg], None]] = {}
        self.unmatched = 0

    @property
    def subject(self) -> str:
        """The wildcard subject of all replies."""
        return decode(self._prefix) + "*"

    def _start(self) -> None:
        self._started = True
        self._sender.start_mux(self._prefix + b"*", self.route)

    def new_token(self) -> bytes:
        """A token that no pending request uses."""
        if not self._tokens:
            self._tokens = new_tokens()
        token = self._tokens.pop()
        return token if token not in self.pending else self.new_token()

    def reply_subject(self, token: bytes) -> bytes:
        """The reply subject that leads back to `token`; the mux is listening after the call.

        Raises:
            PermissionsError: the server denied the subscription to the replies.
        """
        if self._denied is not None:
            raise self._denied.with_traceback(None)
        if not self._started:
            self._start()
        return self._prefix + token

    async def request(
        self,
        subject: bytes,
        data: bytes,
        headers: bytes = b"",
        timeout: float | None = 5.0,
        abandoned: Callable[[bytes], None] | None = None,
    ) -> Msg:
        """Send a request and wait for its first reply. Cancelling it leaves nothing behind.

        The arguments are trusted: an encoded subject, and an encoded header block or `b""`.
        `abandoned` is called with the reply subject when the wait is cancelled.

        Raises:
            NatsTimeoutError: no reply came within `timeout` seconds (None: no limit of its own).
            NoRespondersError: nobody is subscribed to the subject.
            PermissionsError: the server denied the request or the subscription to its reply.
            ConnectionClosedError: the connection is, or was meanwhile, closed.
        """
        if self._sender.congested:
            timeout = await self.room(timeout)
        token, future = self.begin(subject, data, headers, timeout)
        try:
            msg = await future
        except BaseException as error:
            self.abandon(token)
            if abandoned is not None and isinstance(error, asyncio.CancelledError):
                abandoned(self._prefix + token)
            raise
        if msg.raw_headers and is_no_responders(msg):
            raise NoRespondersError(decode(subject))
        return msg

    # the steps of a request, for whoever cannot afford to wait for one that is a coroutine (0.3 us)

    def begin(
        self, subject: bytes, data: bytes, headers: bytes, timeout: float | None
    ) -> tuple[bytes, asyncio.Future[Msg]]:
        """Send a request; its token and the future of its reply.

        Raises:
            PermissionsError: the server denied the subscription to the replies.
            MaxPayloadError, ConnectionClosedError, ReconnectBufferExceededError: as `send`.
        """
        if self._denied is not None:
            raise self._denied.with_traceback(None)
        if not self._started:
            self._start()
        pending = self.pending
        token = self._tokens.pop() if self._tokens else self.new_token()
        if token in pending:
            token = self.new_token()
        self._sender.send(subject, data, self._prefix + token, headers)
        deadline = math.inf if timeout is None else self._time() + timeout
        if deadline < pending.next:
            pending.watch(deadline)
        future: asyncio.Future[Msg] = self._new_future()
        pending[token] = (future, subject, timeout, deadline)
        return token, future

    def abandon(self, token: bytes) -> None:
        """Forget a request that nobody waits for any more."""
        self.pending.pop(token, None)
        if self._watchers:
            self._tell_news()

    async def room(self, timeout: float | None) -> float | None:
        """Wait for room to write; what is left of `timeout`."""
        # Thousands of requests made in one turn fill what is collected, not yet the socket.
        self._sender.push()
        if not self._sender.congested:
            return timeout
        start = self._loop.time()
        try:
            async with asyncio.timeout(timeout):
                await self._sender.writable()
        except TimeoutError:
            raise NatsTimeoutError(
                f"request not sent within {timeout:g} s: the connection is congested"
            ) from None
        return None if timeout is None else timeout - (self._loop.time() - start)

    def route(self, msg: Msg) -> None:
        """The sink of the mux's subscription."""
        entry = self.pending.pop(msg.raw_subject[self._cut :], None)
        if entry is not None:
            if not entry[0].done():
                entry[0].set_result(msg)
            if self._watchers:
                self._tell_news()
        else:
            self._route_other(msg)

    def _route_other(self, msg: Msg) -> None:
        if msg.raw_subject.startswith(self._prefix):
            sink = self.streams.get(msg.raw_subject[self._cut : self._cut + TOKEN_SIZE])
            if sink is not None:
                sink(msg)
                return
        elif len(self.pending) == 1:
            # A server's subject mapping rewrote the reply: with one request waiting, it is that
            # one's.
            _, (future, *_) = self.pending.popitem()
            if not future.done():
                future.set_result(msg)
            return
        self.unmatched += 1

    def _expired(self, token: bytes, entry: Entry) -> None:
        future, subject, timeout, _ = entry
        if not future.done():
            text = f"no reply on {decode(subject)!r} within {timeout:g} s"
            future.set_exception(NatsTimeoutError(text))

    # while two sessions carry replies

    def token_of(self, msg: Msg) -> bytes:
        """The token that a reply is for."""
        return msg.raw_subject[self._cut : self._cut + TOKEN_SIZE]

    # what happens to the connection

    def deny(self, error: PermissionsError) -> bool:
        """Take a permission error that concerns requests; whether it did."""
        if error.operation == "subscribe" and error.subject == self.subject:
            self._denied = error
            self.fail_all(error)
            return True
        if error.operation != "publish":
            return False
        for token, (future, subject, *_) in self.pending.items():
            reply = decode(self._prefix + token)
            if error.reply == reply or (error.subject and error.subject == decode(subject)):
                del self.pending[token]
                if not future.done():
                    future.set_exception(error)
                return True
        return False

    def allow_again(self) -> None:
        """A new session may allow what the last one denied."""
        self._denied = None

    def fail_all(self, error: Exception) -> None:
        """Wake every waiting request with `error`."""
        entries = list(self.pending.values())
        self.pending.clear()
        for future, *_ in entries:
            if not future.done():
                future.set_exception(error)
        self._tell_news()

    def stop(self, error: Exception) -> None:
        """The connection is closed for good."""
        self.fail_all(error)
        self.pending.stop()

    def _tell_news(self) -> None:
        watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            if not watcher.done():
                watcher.set_result(None)

    async def idle(self) -> None:
        """Wait until no request is waiting for its reply."""
        await self.answered(self.pending)

    async def answered(self, tokens: Collection[bytes]) -> None:
        """Wait until none of these requests is waiting for its reply."""
        while any(token in self.pending for token in tokens):
            watcher = self._loop.create_future()
            self._watchers.append(watcher)
            await watcher


def is_no_responders(msg: Msg) -> bool:
    """Whether a reply is the server's word that nobody is subscribed."""
    return not msg.data and msg.raw_headers.startswith(NO_RESPONDERS) and msg.status == 503
