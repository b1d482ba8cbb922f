"""The link: what stays of a connection while sessions come and go.

States: CONNECTING → CONNECTED ⇄ RECONNECTING; CONNECTED → DRAINING_SUBS → DRAINING_PUBS → CLOSED;
any → CLOSED. Only this file moves them: `adopt` to CONNECTED, `session_lost` to RECONNECTING,
`end_subscribing` and `end_publishing` (called by the drain) to the draining ones, `shut` to CLOSED.

The rule: a new session is told everything within one loop turn, before what is sent goes to it. So
nothing newer overtakes what was buffered, and no part of the connection sees a half-restored one.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from logging import Logger, getLogger
from typing import Any

from natsrpc.errors import (
    AuthorizationError,
    ConnectionClosedError,
    ConnectionDrainingError,
    FlushInterruptedError,
    NatsError,
    PermissionsError,
    ServerError,
    SubscriptionError,
    UnsentMessagesError,
)
from natsrpc.version import __version__

from .. import events as told
from ..events import Callbacks, Listener
from ..options import Options
from ..requests import InboxRequests, RequestMux
from ..servers import PoolServer, ServerPool
from ..session import Session
from ..stats import Counts, Statistics, Status, add_counts
from ..subscriptions import Subscription, Subscriptions
from ..timers import check_timeout
from ..wire import Msg, ServerInfo, Sink
from .dialing import Connector
from .draining import Draining
from .flushing import Flushes, all_answered
from .handover import Handover
from .outbound import Outbound, Send
from .outbox import Revise as Renew
from .refusals import Refusals, names_none
from .stalls import Stalls

log: Logger = getLogger("natsrpc.core")

_CLOSE_CALLBACKS_TIMEOUT = 5.0
_LINGER = 2.0


class Link:
    """The parts of a connection and its state; `connection.link` to the rooms above core.

    They build on these names, which are kept as those of `Connection` are: `loop`, `read_at` (the
    `loop.time()` of the latest chunk), `send`, `attach`, `detach`, `congested`, `writable`, `push`,
    `max_payload`, `outbound` and `requests` (the parts themselves, for hot paths),
    `add_drain_hook`, `remove_drain_hook`, `is_drained_by`, `add_listener`, `remove_listener`,
    `flush`, `drained`,
    `is_closed`, `is_connected`, `report`, `interrupted_at` (the `loop.time()` at which a session
    was last lost, or replaced by another), `stalls`, and `renew`: a function that gives the header
    block of a request which waited in the reconnect buffer, from its reply subject and the block
    that it had, or None if it is not to be sent. All other names are between the parts of core.
    """

    def __init__(self, options: Options, callbacks: Callbacks) -> None:
        self._options = options
        self._callbacks = callbacks
        self._handovers: list[Handover] = []
        self._was_connected = False
        self._forced = False
        self._lame: Session | None = None
        self._past: Counts = (0, 0, 0, 0)
        self._reconnects = 0
        self._closed = asyncio.Event()
        self._closing: asyncio.Task[None] | None = None
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self._flushes = Flushes(self.loop)
        self.read_at: float = 0.0
        self.status: Status = Status.CONNECTING
        self.session: Session | None = None
        self.last_error: Exception | None = None
        self.outbound: Outbound = Outbound(options.reconnect_buffer_size, self._revise)
        self.renew: Renew | None = None
        self.interrupted_at: float = -math.inf
        self.stalls: Stalls = Stalls(self)
        self.stall_at: float = math.inf
        # bound here: a method of ours would be one more call
        self.send: Send = self.outbound.send
        self.subscriptions: Subscriptions = Subscriptions(
            self, ping_interval=options.ping_interval, inbox_prefix=options.inbox_prefix
        )
        self.sinks: dict[bytes, Sink] = self.subscriptions.sinks
        self.requests: RequestMux = RequestMux(
            self.outbound, self.subscriptions.listen, options.inbox_prefix
        )
        self.inbox_requests: InboxRequests = InboxRequests(
            self.subscriptions, self.outbound, options.inbox_prefix
        )
        self.draining: Draining = Draining(
            self,
            subscriptions=self.subscriptions,
            requests=self.requests,
            inbox_requests=self.inbox_requests,
            callbacks=callbacks,
            timeout=options.drain_timeout,
        )
        self._refusals = Refusals(self, self.subscriptions, self.requests)
        self._connector = Connector(self, options, __version__)

    # for the rooms above core

    @property
    def congested(self) -> bool:
        """Whether so much is unsent that a producer should await `writable`."""
        return self.outbound.congested

    async def writable(self) -> None:
        """Wait until the socket takes more, or the session is lost."""
        await self.outbound.writable()

    def push(self) -> None:
        """Hand over to the socket what it takes of what was sent in this loop turn."""
        self.outbound.push()

    @property
    def max_payload(self) -> int:
        """How many bytes of headers and data the server takes in one message."""
        return self.outbound.max_payload

    def attach(
        self,
        subject: str,
        sink: Sink,
        *,
        queue_group: str = "",
        on_denied: Callable[[Any], object] | None = None,
    ) -> Subscription:
        """Subscribe a bare sink: it gets every message in place, uncounted. It must not wait.

        For a subscription that can be done without: if the server denies it, `on_denied` is called
        with the `PermissionsError` (or `MaxSubscriptionsError`), and nobody else is told.

        A denied one stays: each new session is asked for it, and `ask_again` does so at once.
        `detach` ends it.

        Raises:
            BadSubjectError, BadQueueNameError: a name is malformed.
            ConnectionClosedError, ConnectionDrainingError: no new subscriptions are taken.
        """
        return self.subscriptions.attach(subject, sink, queue_group, on_denied)

    def detach(self, subscription: Subscription) -> None:
        """End a subscription now, without waiting; nothing happens if it has ended."""
        self.subscriptions.discard(subscription)

    def add_listener(self, listener: Listener) -> None:
        """Call a plain function with each event of the connection, in the loop turn in which it
        happens. It must neither wait nor raise."""
        self._callbacks.add_listener(listener)

    def remove_listener(self, listener: Listener) -> None:
        """Undo `add_listener`; nothing happens if it was not added."""
        self._callbacks.remove_listener(listener)

    def add_drain_hook(self, hook: Callable[[], Awaitable[None]]) -> None:
        """Have an async function awaited at the start of every drain: services end themselves
        there."""
        self.draining.add_hook(hook)

    def remove_drain_hook(self, hook: Callable[[], Awaitable[None]]) -> None:
        """Undo `add_drain_hook`; nothing happens if it was not added."""
        self.draining.remove_hook(hook)

    def is_drained_by(self, task: asyncio.Task[object] | None) -> bool:
        """Whether a task waits for the drain: a drain hook must not wait for what it does."""
        return self.draining.is_awaited_by(task)

    async def drained(self) -> None:
        """Wait for a drain that was begun in a callback, which could not; at once if none was."""
        await self.draining.wait()

    def _revise(self, reply: bytes, headers: bytes) -> bytes | None:
        """What a buffered request says now; None if nobody waits for its reply."""
        if self.requests.is_forgotten(reply) or reply in self.inbox_requests.over:
            return None
        return headers if self.renew is None else self.renew(reply, headers)

    def report(self, error: Exception, sub: Subscription | None) -> None:
        """Tell `on_error` and the listeners an error that no call can raise, or log it; remember it
        as `last_error`."""
        self.last_error = error
        self._callbacks.tell(told.AsyncError(error, sub))

    # states

    @property
    def is_closed(self) -> bool:
        """Whether the connection is closed for good."""
        return self.status is Status.CLOSED

    @property
    def is_connected(self) -> bool:
        """Whether a session stands (also while draining)."""
        return self.session is not None

    @property
    def is_draining(self) -> bool:
        """Whether the connection drains."""
        return self.status in (Status.DRAINING_SUBS, Status.DRAINING_PUBS)

    def check_open(self) -> None:
        """Raise if nothing new can be subscribed or requested any more.

        Raises:
            ConnectionClosedError: the connection is closed.
            ConnectionDrainingError: it is draining.
        """
        if self.status is Status.CLOSED:
            raise ConnectionClosedError
        if self.is_draining:
            raise ConnectionDrainingError("the connection is draining: no new subscriptions")

    # facts

    @property
    def pool(self) -> ServerPool:
        """The servers known."""
        return self._connector.pool

    @property
    def buffered(self) -> int:
        """Bytes published and not yet with the operating system, the reconnect buffer included."""
        unsent = self.session.transport.buffered if self.session is not None else 0
        return unsent + self.outbound.buffered

    def stats(self) -> Statistics:
        """A copy of the counters."""
        msgs, size, wire_in, wire_out = self._counts()
        return Statistics(
            in_msgs=msgs,
            out_msgs=self.outbound.sent_msgs,
            in_bytes=size,
            out_bytes=self.outbound.sent_bytes,
            wire_bytes_in=wire_in,
            wire_bytes_out=wire_out,
            reconnects=self._reconnects,
            attempts=self._connector.attempts,
            unmatched_replies=self.requests.unmatched,
        )

    def _counts(self) -> Counts:
        """Messages in and their bytes, bytes in and out of sockets, of all sessions so far."""
        counts = self._past
        if self.session is not None:
            counts = add_counts(counts, self.session.counts)
        for handover in self._handovers:
            counts = add_counts(counts, handover.old.counts)
        return counts

    # the beginning

    async def open(self) -> None:
        """Connect for the first time. Called once, by `connect`."""
        try:
            session = await self._connector.first_connect()
        except NatsError:
            if not self._options.retry_on_failed_connect:
                self.status = Status.CLOSED
                self.outbound.refuse(ConnectionClosedError)
                self._closed.set()
                raise
            self.status = Status.RECONNECTING
            self._connector.start_reconnecting()
            return
        self.adopt(session)

    # writing to sessions

    def write(self, frame: bytes) -> None:
        """Send a frame to the current session, if there is one."""
        if self.session is not None:
            self.session.transport.write(frame)

    def write_to_all(self, frame: bytes) -> None:
        """Send a frame to the current session, and to those that are being left."""
        for session in self._live_sessions():
            session.transport.write(frame)

    def _live_sessions(self) -> Iterator[Session]:
        """The current session, and those still read while they are left."""
        if self.session is not None:
            yield self.session
        for handover in self._handovers:
            if not handover.old.is_lost:
                yield handover.old

    def pause_reading(self) -> None:
        """Read nothing more from any session: a subscription is full, and is to block."""
        for session in self._live_sessions():
            session.transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        for session in self._live_sessions():
            session.transport.resume_reading()

    async def flush(self, timeout: float | None = 10.0) -> None:
        """Wait for a PONG behind all that was sent: as `Connection.flush`, which describes it."""
        if timeout is not None:
            check_timeout(timeout)
        if self.status is Status.CLOSED:
            raise ConnectionClosedError
        await self._flushes.flush(self.session, timeout)

    async def check_accepted(self, *subscriptions: Subscription) -> None:
        """Wait for the server's word on new subscriptions; those without its word are ended.

        If the session is lost meanwhile, the next one is asked for them, and its word counts.

        Raises:
            PermissionsError: the server denied one of them.
            MaxSubscriptionsError, ServerError: the server refused something before it answered,
                and names no subject.
            NatsTimeoutError, ConnectionClosedError: as `flush`.
        """
        refusals: list[ServerError] = []

        def hear(event: told.ConnectionEvent) -> None:
            error = event.error if isinstance(event, told.AsyncError) else None
            if isinstance(error, ServerError) and names_none(error):
                refusals.append(error)
            elif isinstance(event, told.Disconnected):
                refusals.clear()

        self.add_listener(hear)
        try:
            await self.subscribed()
            for subscription in subscriptions:
                if isinstance(subscription.end_error, PermissionsError):
                    raise subscription.end_error
            if refusals:
                raise refusals[0]
            self._refusals.settle()
        except BaseException:
            for subscription in subscriptions:
                self.detach(subscription)
            raise
        finally:
            self.remove_listener(hear)

    async def subscribed(self) -> None:
        """Wait until the server knows all subscriptions; the next one, where it is lost meanwhile.

        Raises:
            NatsTimeoutError, ConnectionClosedError: as `flush`.
        """
        deadline = self.loop.time() + 10.0
        while True:
            with contextlib.suppress(FlushInterruptedError):
                return await self.flush(max(deadline - self.loop.time(), 0.001))

    async def ask_again(self, subscriptions: Iterable[Subscription]) -> None:
        """Ask the server once more for those of the subscriptions that it denied: it does not tell
        when a permission is given back. On return their `is_valid` tells; another denial is told to
        nobody.

        Raises:
            NatsTimeoutError, FlushInterruptedError, ConnectionClosedError: as `flush`.
        """
        await self.subscriptions.ask_again(subscriptions, self.flush)

    async def barrier(self) -> None:
        """As `flush`, for a subscription that ends; gives up early when the session is lost."""
        await all_answered(self._live_sessions())

    # sessions come and go: called by the connector and by sessions

    def adopt(self, session: Session) -> None:
        """Use a session that stands: subscriptions, then what was buffered, then everybody else."""
        first = not self._was_connected
        self._was_connected = True
        self._use(session)
        self.interrupted_at = self.loop.time()
        if not first:
            self._reconnects += 1
        if self.status is not Status.CLOSED and not self.is_draining:
            self.status = Status.CONNECTED
        self._callbacks.tell(told.Connected() if first else told.Reconnected())
        session.go_live()
        if self.subscriptions.blockade.is_active:
            session.transport.pause_reading()

    def _use(self, session: Session) -> None:
        self.last_error = None
        self.session = session
        self.outbound.note_info(session.info)
        self.requests.allow_again()
        self._refusals.new_session()
        for frame in self.subscriptions.restore():
            session.transport.write(frame)
        for error, reply in self.outbound.replay(session.transport, session.info):
            if not (
                self.requests.fail_one(reply, error) or self.subscriptions.fail_inbox(reply, error)
            ):
                self.report(error, None)
        self.inbox_requests.over.clear()
        self.outbound.write_to(session.transport)
        self._flushes.resume(session)

    def session_info(self, session: Session, info: ServerInfo) -> None:
        """A later INFO: limits, members of the cluster, lame duck."""
        if session is not self.session:
            return
        self.outbound.note_info(info)
        self._connector.update_pool(info, session.server)
        if info.ldm:
            if self._lame is not session:
                self._lame = session
                self._callbacks.tell(told.LameDuck(session.server.address))
            if not self.is_draining:
                self._connector.leave(session)

    def session_error(self, session: Session, error: NatsError) -> None:
        """An `-ERR`, or another fault of the session's that does not end it by itself."""
        if isinstance(error, PermissionsError) and not self.requests.deny(error):
            self._refusals.note_denial(error)
            return
        if isinstance(error, ServerError) and names_none(error) and self._refusals.note(error):
            return
        if isinstance(error, AuthorizationError):
            self._connector.note_failure(session.server, error)
        self.report(error, None)

    def session_pressed(self, session: Session, congested: bool) -> None:
        """A session's output became congested, or is no longer."""
        self.outbound.note_pressure(session.transport, congested=congested)

    def session_lost(self, session: Session, error: Exception | None) -> None:
        """The physical connection is gone: buffer, and look for another."""
        for handover in list(self._handovers):
            if session is handover.old:
                handover.old_is_lost()
            elif session is handover.new:
                handover.new_is_lost()
        if session is not self.session:
            return
        forced, self._forced = self._forced, False
        self._end_session()
        self.outbound.carry(session.transport.take_unsent())
        self.interrupted_at = self.loop.time()
        self._callbacks.tell(told.Disconnected(error))
        if self.is_draining or not (self._options.allow_reconnect or forced):
            error = error or ConnectionClosedError("dropped by force_reconnect while draining")
            self.shut(error, lost=session)
            return
        self.last_error = None
        self.status = Status.RECONNECTING
        self.outbound.keep()
        self.pool.retire_current()
        self._connector.start_reconnecting(now=forced)

    def _end_session(self) -> None:
        session, self.session = self.session, None
        if session is not None:
            self._past = add_counts(self._past, session.counts)

    def reconnect_failed(self, server: PoolServer, error: Exception) -> None:
        """One attempt at reconnecting failed."""
        self.last_error = error
        self._callbacks.tell(told.ReconnectFailed(server.address, error))

    def give_up(self, error: Exception) -> None:
        """No server is left to try."""
        self.shut(error)

    def servers_discovered(self, addresses: list[str]) -> None:
        """The pool has servers that were never in it before."""
        if addresses and self._was_connected:
            self._callbacks.tell(told.ServersDiscovered(tuple(addresses)))

    def sink_failed(self, msg: Msg, error: BaseException) -> None:
        """A callback called in place raised: told, and the session goes on."""
        sub = msg.sub or self.subscriptions.find(msg.sid)
        if not isinstance(error, Exception):
            failure = SubscriptionError(f"callback for {msg.subject!r} raised {error!r}")
            failure.__cause__ = error
            error = failure
        self.report(error, sub)

    def set_servers(self, servers: str | Sequence[str]) -> None:
        """Use other servers: as `Connection.set_servers`, which describes it."""
        if self.status is Status.CLOSED:
            raise ConnectionClosedError
        self._connector.set_servers(servers)

    def force_reconnect(self) -> None:
        """Drop the session now and reconnect: as `Connection.force_reconnect`, which describes
        it."""
        if self.status is Status.CLOSED:
            raise ConnectionClosedError
        if self.session is None:
            self._connector.hurry()
            return
        self._forced = True
        dropped = ConnectionClosedError("the connection was dropped by force_reconnect")
        self.requests.fail_all(dropped)
        self.session.lose(None)

    # from a lame duck to another server: called by the connector and by handovers

    def move_to(self, session: Session, old: Session) -> bool:
        """Make `session` the current one while `old` still reads; whether that was possible."""
        if self.status is not Status.CONNECTED or self.session is not old:
            return False
        handover = Handover(
            self, old, session, subscriptions=self.subscriptions, requests=self.requests
        )
        self._handovers.append(handover)
        handover.switch(echo=self._options.echo)
        self._callbacks.tell(told.Disconnected(None))
        self.session = session
        self.outbound.note_info(session.info)
        self.requests.allow_again()
        self.outbound.write_to(session.transport)
        session.go_live()
        if self.subscriptions.blockade.is_active:
            session.transport.pause_reading()
        return True

    def settled(self, *, lossless: bool) -> None:
        """A handover's new session does all the work from now on."""
        self._reconnects += 1
        if not lossless:
            self.interrupted_at = self.loop.time()
        self._callbacks.tell(told.Reconnected(is_handover=lossless))

    def left(self, handover: Handover) -> None:
        """A handover's old session is closed."""
        self._handovers.remove(handover)
        self._past = add_counts(self._past, handover.old.counts)

    # the end

    def end_subscribing(self) -> None:
        """Take no more subscriptions: those there are drain."""
        self.status = Status.DRAINING_SUBS

    def end_publishing(self) -> None:
        """Publish nothing more: what was published is flushed."""
        self.status = Status.DRAINING_PUBS
        self.outbound.refuse(_draining)

    async def close(self) -> None:
        """Close now: as `Connection.close`, which describes it."""
        self.shut(None)
        if self._closing is not None and self._closing is not asyncio.current_task():
            await asyncio.shield(self._closing)
        await self._callbacks.finish(_CLOSE_CALLBACKS_TIMEOUT)

    async def wait_closed(self) -> None:
        """Wait until the connection is closed."""
        await self._closed.wait()

    def shut(self, error: Exception | None, *, lost: Session | None = None) -> None:
        """Move to CLOSED, once, and wake everybody who waits. `lost` is the session whose loss is
        the reason."""
        if self.status is Status.CLOSED:
            return
        self.status = Status.CLOSED
        self.outbound.refuse(ConnectionClosedError)
        closed = ConnectionClosedError()
        if error is not None:
            self.last_error = error
            closed = ConnectionClosedError(f"connection is closed: {error}")
            closed.__cause__ = error
        session = self.session
        self._end_session()
        self._flushes.fail(closed)
        if session is not None:
            session.close(closed)
        self.requests.stop(closed)
        self.subscriptions.close(closed)
        if session is not None:
            self._callbacks.tell(told.Disconnected(error))
        self._tell_lost(*self.outbound.abandon(self._is_told))
        self._callbacks.tell(told.Closed(error))
        self._closing = self.loop.create_task(self._let_go(session or lost), name="natsrpc close")
        self._closed.set()

    async def _let_go(self, session: Session | None) -> None:
        """End all tasks, and see the sockets off."""
        await self._connector.stop()
        await self._refusals.stop()
        handovers = list(self._handovers)
        for handover in handovers:
            handover.task.cancel()
        await asyncio.gather(*(h.task for h in handovers), return_exceptions=True)
        ended = [handover.old for handover in handovers] + ([session] if session else [])
        left = await asyncio.gather(*(s.transport.gone(_LINGER) for s in ended))
        self._tell_lost(0, sum(left))

    def _is_told(self, reply: bytes) -> bool:
        """Whether a message with this reply subject is a request: its caller hears of the end."""
        asked = self.inbox_requests
        return self.requests.is_own(reply) or reply in asked.deadlines or reply in asked.over

    def _tell_lost(self, msgs: int, size: int) -> None:
        """Tell what was accepted, and cannot be sent any more."""
        if size:
            self._callbacks.tell(told.AsyncError(UnsentMessagesError(msgs, size)))


def _draining() -> ConnectionDrainingError:
    return ConnectionDrainingError("the connection is draining: nothing more is published")
