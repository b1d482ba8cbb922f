"""The request mux: one wildcard subscription for the replies to all requests of a connection.

A request publishes with an inbox of its own as the reply subject, `<prefix>.<token>`. A message
that arrives there is routed to the `Reply` in `pending`. The rule: the first of reply, timeout,
cancellation, denial and close takes it out of `pending`, so nothing is resolved twice and nothing
stays behind. The mux has no pending limits: it queues nothing.

Several replies to one token (streams) go to a sink in `streams`.

Ref: ADR-4 (no responders); nats.go `respMux`.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Collection
from logging import Logger, getLogger
from operator import attrgetter
from typing import Any, Protocol

from natsrpc.errors import NatsTimeoutError, NoRespondersError, PermissionsError, ServerError

from ..timers import Due, clock
from ..wire import NO_RESPONDERS, Msg, Sink, decode
from .inbox import INBOX_SIZE, TOKEN_SIZE, new_tokens, random_text
from .reply import Reply

log: Logger = getLogger("natsrpc.core")


class Corkable(Protocol):
    """The way to the socket, as the mux needs it to write together what resumed callers ask."""

    frames: list[Any]
    is_corked: bool

    def write_out(self) -> None:
        """Hand over what was collected."""


class Output(Protocol):
    """The way out of the connection, as the mux needs it: `link.Outbound` is one."""

    @property
    def transport(self) -> Corkable | None:
        """The current session's way to its socket."""
        ...

    @property
    def congested(self) -> bool:
        """Whether a new request should wait for `writable`."""
        ...

    def push(self) -> None:
        """Hand over to the socket what it takes of what was sent in this loop turn."""

    async def writable(self) -> None:
        """Wait until there is room to write."""

    def send(self, subject: bytes, data: bytes, reply: bytes = b"", headers: bytes = b"") -> None:
        """Publish, without waiting."""


class RequestMux:
    """All requests of one connection. Made by the link; the rooms above core have it as
    `connection.link.requests`.

    `subscribe(subject, sink)` is called in front of the first request. `pending` are the requests
    in flight, `streams` the sinks of several replies to one token, by that token. `unmatched`
    counts replies that nobody waited for. `denied` is why the server lets nothing reach us, if it
    does not: `on_refused` are called with it once, for the streams, and `ask_again` for each
    request that fails by it later.
    """

    def __init__(
        self,
        output: Output,
        subscribe: Callable[[bytes, Sink], None],
        inbox_prefix: str,
    ) -> None:
        self._output = output
        self._subscribe = subscribe
        self._loop = asyncio.get_running_loop()
        self._prefix = f"{inbox_prefix}.".encode() + random_text(INBOX_SIZE) + b"."
        self._cut = len(self._prefix)
        self._inboxes: list[bytes] = []
        self._ready: list[Reply] = []
        self._arrived: asyncio.Future[None] = self._loop.create_future()
        self._arrived.set_result(None)
        self._time = clock(self._loop)
        self._send = output.send
        self._started = False
        self.denied: ServerError | None = None
        self.ask_again: Callable[[], None] | None = None
        self.on_refused: list[Callable[[ServerError], object]] = []
        self._listening = False
        self._watchers: list[asyncio.Future[None]] = []
        self.pending: Due[bytes, Reply] = Due(self._loop, self._expired, attrgetter("deadline"))
        self.streams: dict[bytes, Sink] = {}
        self.stray: Sink | None = None
        self.unmatched: int = 0

    @property
    def subject(self) -> str:
        """The wildcard subject of all replies."""
        return decode(self._prefix) + "*"

    def _new_inboxes(self) -> list[bytes]:
        """Some hundred reply subjects, to be taken one by one."""
        self._inboxes = [self._prefix + token for token in new_tokens()]
        return self._inboxes

    def new_token(self) -> bytes:
        """A token for a stream of replies, that no other has; a request's never begins so."""
        inbox = (self._inboxes or self._new_inboxes()).pop()
        token = b"-" + inbox[self._cut + 1 :]
        return token if token not in self.streams else self.new_token()

    def reply_subject(self, token: bytes) -> bytes:
        """The reply subject that leads back to `token`; the mux is listening after the call.

        Raises:
            PermissionsError, MaxSubscriptionsError: the server denied the subscription to the
                replies.
        """
        self._listen()
        return self._prefix + token

    def _listen(self) -> None:
        """Subscribe, unless that was done, or denied."""
        if self.denied is not None:
            if self.ask_again is not None:
                self.ask_again()
            raise self.denied.with_traceback(None)
        if not self._started:
            self._started = True
            self._subscribe(self._prefix + b"*", self.route)
        self._listening = True

    async def request(
        self,
        subject: bytes,
        data: bytes,
        headers: bytes = b"",
        timeout: float | None = 5.0,
        abandoned: Callable[[Reply, BaseException], None] | None = None,
    ) -> Msg:
        """Send a request and wait for its first reply. Cancelling it leaves nothing behind.

        The arguments are trusted: an encoded subject, and an encoded header block or `b""`.
        `abandoned` is called with the reply, and the error, when it times out or is cancelled.

        Raises:
            NatsTimeoutError: no reply came within `timeout` seconds (None: no limit of its own).
            NoRespondersError: nobody is subscribed to the subject.
            PermissionsError: the server denied the request or the subscription to its reply.
            ConnectionClosedError: the connection is, or was meanwhile, closed.
        """
        if self._output.congested:
            timeout = await self.room(timeout)
        reply = self.begin(subject, data, headers, timeout)
        try:
            await reply
        except BaseException as error:
            self.abandon(reply)
            if abandoned is not None and isinstance(
                error, (asyncio.CancelledError, NatsTimeoutError)
            ):
                abandoned(reply, error)
            raise
        msg = reply.msg
        if msg.raw_headers and is_no_responders(msg):
            raise NoRespondersError(decode(subject))
        return msg

    # the steps of a request, for callers that cannot afford one more coroutine (0.3 us)

    def begin(self, subject: bytes, data: bytes, headers: bytes, timeout: float | None) -> Reply:
        """Send a request. Its reply is to be awaited at once, and given to `abandon` if that fails.

        Raises:
            PermissionsError, MaxSubscriptionsError: the server denied the subscription to the
                replies.
            MaxPayloadError, ConnectionClosedError, ReconnectBufferExceededError: as `send`.
        """
        if not self._listening:
            self._listen()
        pending = self.pending
        inbox = (self._inboxes or self._new_inboxes()).pop()
        while inbox in pending:  # 8 characters: two in flight may draw the same
            inbox = (self._inboxes or self._new_inboxes()).pop()
        self._send(subject, data, inbox, headers)
        deadline = math.inf if timeout is None else self._time() + timeout
        if deadline < pending.next:
            pending.watch(deadline)
        # The frame is only collected so far: its reply comes in a later turn, and finds the entry.
        reply = Reply()  # set here in place of a constructor, which would be a call (0.2 us)
        reply._asyncio_future_blocking = True  # noqa: SLF001
        reply._loop = self._loop  # noqa: SLF001
        reply.waiting = self
        reply.inbox = inbox
        reply.subject = subject
        reply.timeout = timeout
        reply.deadline = deadline
        pending[inbox] = reply
        return reply

    def abandon(self, reply: Reply) -> None:
        """Forget a request whose caller waits no more."""
        self.forget(reply.inbox)

    def forget(self, inbox: bytes) -> bool:
        """Wait no more for a reply; whether it was waited for."""
        found = self.pending.pop(inbox, None) is not None
        if self._watchers:
            self._tell_news()
        return found

    async def room(self, timeout: float | None) -> float | None:
        """Wait for room to write; what is left of `timeout`."""
        # Thousands of requests made in one turn fill what is collected, not yet the socket.
        self._output.push()
        if not self._output.congested:
            return timeout
        start = self._loop.time()
        try:
            async with asyncio.timeout(timeout):
                await self._output.writable()
        except TimeoutError:
            raise NatsTimeoutError(
                f"request not sent within {timeout:g} s: the connection is congested"
            ) from None
        return None if timeout is None else timeout - (self._loop.time() - start)

    def route(self, msg: Msg) -> None:
        """The sink of the mux's subscription."""
        reply = self.pending.pop(msg.raw_subject, None)
        if reply is not None:
            reply.msg = msg
            ready = self._ready
            if not ready:  # one callback of the loop for all replies of a chunk
                self._loop.call_soon(self._resume)
            ready.append(reply)
        else:
            self._route_other(msg)

    def is_own(self, reply: bytes) -> bool:
        """Whether a reply subject leads here."""
        return reply.startswith(self._prefix)

    def is_forgotten(self, inbox: bytes) -> bool:
        """Whether a reply subject is one of ours that nobody waits at any more."""
        if not inbox.startswith(self._prefix):
            return False
        return inbox not in self.pending and self.token_in(inbox) not in self.streams

    def _resume(self) -> None:
        """Resume the tasks whose replies are there, each in its own context."""
        ready, self._ready = self._ready, []
        if self._watchers:
            self._tell_news()
        each, arrived = iter(ready), self._arrived
        transport = self._output.transport
        if transport is not None:
            transport.is_corked = True  # what they ask next leaves at once, together
        try:
            for reply in each:
                reply.context.run(reply.resume, arrived)
        except BaseException:
            # Only KeyboardInterrupt and SystemExit, which end the loop, come out of a task. Should
            # the loop be run again, the others must still be resumed.
            left = list(each)
            if left:
                self._ready[:0] = left
                self._loop.call_soon(self._resume)
            raise
        finally:
            if transport is not None:
                transport.is_corked = False
                if transport.frames:
                    transport.write_out()

    def fail(self, reply: Reply, error: BaseException) -> None:
        """Raise `error` in the task that awaits a reply, in the next turn of the loop."""
        failed: asyncio.Future[None] = self._loop.create_future()
        if isinstance(error, asyncio.CancelledError):
            failed.cancel(*error.args)
        else:
            failed.set_exception(error)
        self._loop.call_soon(reply.resume, failed, context=reply.context)

    def _route_other(self, msg: Msg) -> None:
        if msg.raw_subject.startswith(self._prefix):
            sink = self.streams.get(msg.raw_subject[self._cut : self._cut + TOKEN_SIZE])
            if sink is not None:
                sink(msg)
                return
            if self.stray is not None:
                self.stray(msg)
        elif len(self.pending) == 1:
            # A server's subject mapping rewrote the reply: with one request waiting, it is that
            # one's.
            _, reply = self.pending.popitem()
            reply.msg = msg
            self._loop.call_soon(reply.resume, self._arrived, context=reply.context)
            return
        self.unmatched += 1

    def _expired(self, inbox: bytes, reply: Reply) -> None:
        subject = decode(reply.subject)
        text = f"no reply on {subject!r} within {reply.timeout:g} s"
        self.fail(reply, NatsTimeoutError(text, subject=subject))

    # while two sessions carry replies

    def token_of(self, msg: Msg) -> bytes:
        """The token that a reply is for."""
        return self.token_in(msg.raw_subject)

    def token_in(self, reply: bytes) -> bytes:
        """The token of a reply subject that leads here."""
        return reply[self._cut : self._cut + TOKEN_SIZE]

    # what happens to the connection

    def deny(self, error: PermissionsError) -> bool:
        """Take a permission error that concerns requests; whether it did."""
        if error.operation == "subscribe" and error.subject == self.subject:
            self.refuse(error)
            return True
        if error.operation != "publish":
            return False
        for inbox, reply in self.pending.items():
            subject = decode(reply.subject)
            if error.reply == decode(inbox) or (error.subject and error.subject == subject):
                return self.fail_one(inbox, error)
        return False

    def fail_one(self, inbox: bytes, error: Exception) -> bool:
        """Fail the request with this reply subject; whether one is waiting."""
        reply = self.pending.pop(inbox, None)
        if reply is None:
            return False
        self.fail(reply, error)
        return True

    def refuse(self, error: ServerError) -> None:
        """The server does not let us listen: nobody's reply will come."""
        self.denied, self._listening = error, False
        self.fail_all(error)
        for refused in self.on_refused:
            refused(error)

    def allow_again(self) -> None:
        """What was denied is allowed, or a new session may allow it."""
        self.denied = None

    def fail_all(self, error: Exception) -> None:
        """Wake every waiting request with `error`."""
        replies = list(self.pending.values())
        self.pending.clear()
        for reply in replies:
            self.fail(reply, error)
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

    async def answered(self, inboxes: Collection[bytes]) -> None:
        """Wait until none of the requests with these inboxes is waiting for its reply."""
        while any(inbox in self.pending for inbox in inboxes):
            watcher = self._loop.create_future()
            self._watchers.append(watcher)
            await watcher


def is_no_responders(msg: Msg) -> bool:
    """Whether a reply is the server's word that nobody is subscribed."""
    return not msg.data and msg.raw_headers.startswith(NO_RESPONDERS) and msg.status == 503
