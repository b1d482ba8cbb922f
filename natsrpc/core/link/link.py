"""The machinery under a connection: sessions come and go, subscriptions and the way out stay.

States: CONNECTING → CONNECTED ⇄ RECONNECTING; CONNECTED → DRAINING_SUBS → DRAINING_PUBS → CLOSED;
any → CLOSED. Who moves them: `adopt` to CONNECTED, `session_lost` to RECONNECTING,
`Connection.drain` to the draining ones, `_shut` to CLOSED.

Outbound (`outbound`), a replay happens within one loop turn, before what is sent goes to the new
session, so nothing newer overtakes what was buffered.

Inbound, a session calls the sinks registered in `sinks` by subscription number; they stay over
reconnects.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from logging import getLogger
from typing import Any

from natsrpc.errors import (
    AuthorizationError,
    ConnectionClosedError,
    ConnectionDrainingError,
    NatsError,
    PermissionsError,
    SubscriptionError,
)
from natsrpc.version import __version__

from .. import events as told
from ..events import Callbacks, Listener
from ..options import Options
from ..requests import RequestMux
from ..servers import Server
from ..session import Session, Sink
from ..stats import Counts, Status, add_counts
from ..subscriptions import Subscription, denied_subscription
from ..wire import Msg, ServerInfo, check_fit, check_queue_group, check_subscribe, frames
from .dialing import Supervisor
from .handover import Handover
from .outbound import NO_LIMIT, Outbound
from .replay import refusal, restore

log = getLogger("natsrpc.core")

_CLOSE_CALLBACKS_TIMEOUT = 5.0
_LINGER = 2.0


class Link(Outbound):
    """What a `Connection` is made of; users see the `Connection`."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.read_at = 0.0
        self.sinks: dict[bytes, Sink] = {}
        self.last_error: Exception | None = None
        self._subs: dict[int, Subscription] = {}
        self._finishing: set[Subscription] = set()
        self._last_sid = 0
        self._handovers: list[Handover] = []
        self._was_connected = False
        self._forced = False
        self._lame: Session | None = None
        self._past: Counts = (0, 0, 0, 0)
        self._reconnects = 0
        self._closed = asyncio.Event()
        self._closing: asyncio.Task[None] | None = None
        self._draining: asyncio.Task[None] | None = None
        self._drain_hooks: list[Callable[[], Awaitable[None]]] = []
        self._mux_sub: tuple[bytes, bytes] | None = None
        self._callbacks = Callbacks(
            self, {name: getattr(options, name) for name in told.CALLBACK_NAMES}
        )
        self.mux = RequestMux(self, options.inbox_prefix)
        self._supervisor = Supervisor(self, options, __version__)

    # the face for the rooms above core, while a connection is still its own link

    @property
    def link(self) -> Link:
        """What the rooms above core build on."""
        return self

    @property
    def outbound(self) -> Outbound:
        """The way out."""
        return self

    @property
    def requests(self) -> RequestMux:
        """The requests in flight."""
        return self.mux

    def add_listener(self, listener: Listener) -> None:
        """Hear each event of the connection at once, in place."""
        self._callbacks.add_listener(listener)

    def remove_listener(self, listener: Listener) -> None:
        """Undo `add_listener`."""
        self._callbacks.remove_listener(listener)

    async def _open(self) -> None:
        try:
            session = await self._supervisor.first_connect()
        except NatsError:
            if not self.options.retry_on_failed_connect:
                self._status = Status.CLOSED
                self._write_nowhere(self._refuse)
                self._closed.set()
                raise
            self._status = Status.RECONNECTING
            self._supervisor.start_reconnecting()
            return
        self.adopt(session)

    async def barrier(self) -> None:
        """As `flush`, for a subscription that ends; gives up early when the session is lost."""
        waiters: list[asyncio.Future[None]] = []
        for session in self._live_sessions():
            waiters.append(self.loop.create_future())
            session.ping(waiters[-1])
        try:
            for waiter in waiters:
                try:
                    await waiter
                except ConnectionClosedError:
                    log.debug("session lost while a subscription drained")
        finally:
            for waiter in waiters:
                waiter.cancel()

    # registering

    def check_open(self) -> None:
        """Raise if nothing new can be subscribed or requested any more.

        Raises:
            ConnectionClosedError: the connection is closed.
            ConnectionDrainingError: it is draining.
        """
        if self._status is Status.CLOSED:
            raise ConnectionClosedError
        if self.is_draining:
            raise ConnectionDrainingError("the connection is draining: no new subscriptions")

    def _register(self, subject: str, queue_group: str, **how: Any) -> Subscription:
        raw_subject, raw_group = check_subscribe(subject), check_queue_group(queue_group)
        if raw_group:
            check_fit(raw_subject, raw_group)
        sub = Subscription(self, self._last_sid + 1, subject, queue_group, **how)
        self._last_sid = sub.sid
        self._subs[sub.sid] = sub
        self.sinks[sub.raw_sid] = sub.sink
        # SUB and UNSUB are never buffered: a new session is told the state of its time
        if self._session is not None:
            self._session.transport.write(frames.sub(raw_subject, raw_group, sub.raw_sid))
        return sub

    def start_mux(self, subject: bytes, sink: Sink, session: Session | None = None) -> None:
        """Subscribe the request mux, in front of its first request."""
        self._last_sid += 1
        raw_sid = b"%d" % self._last_sid
        self._mux_sub = (subject, raw_sid)
        self.sinks[raw_sid] = sink
        if session := session or self._session:
            session.transport.write(frames.sub(subject, b"", raw_sid))

    def send_unsub(self, sub: Subscription, max_msgs: int = 0) -> None:
        """Tell the server that a subscription ends, now or after so many messages."""
        left = max_msgs and max(max_msgs - sub.received_before, 0)
        for session in self._live_sessions():
            session.transport.write(frames.unsub(sub.raw_sid, left))

    def _live_sessions(self) -> Iterator[Session]:
        """The current session, and those still read while they are left."""
        if self._session is not None:
            yield self._session
        for handover in self._handovers:
            if not handover.old.is_lost:
                yield handover.old

    def subscription_ended(self, sub: Subscription) -> None:
        """Deliver nothing more to it; a drain waits for what is still handled."""
        self._subs.pop(sub.sid, None)
        self.sinks.pop(sub.raw_sid, None)
        if sub.is_busy:
            self._finishing.add(sub)

    def subscription_finished(self, sub: Subscription) -> None:
        """Forget a subscription."""
        self._finishing.discard(sub)

    # sessions come and go

    def adopt(self, session: Session) -> None:
        """Use a session that stands: subscriptions, then what was buffered, then everybody else."""
        first = not self._was_connected
        self._was_connected = True
        self._use(session)
        if not first:
            self._reconnects += 1
        if self._status is not Status.CLOSED and not self.is_draining:
            self._status = Status.CONNECTED
        self._callbacks.tell(told.Connected() if first else told.Reconnected())
        session.go_live()

    def _use(self, session: Session) -> None:
        self.last_error = None
        self._session = session
        self._note_info(session.info)
        self.mux.allow_again()
        write = session.transport.write
        for frame in restore(self._subs.values()):
            write(frame)
        if self._mux_sub is not None:
            write(frames.sub(self._mux_sub[0], b"", self._mux_sub[1]))
        for frame in self._outbox.take():
            if error := refusal(frame, session.info):
                self.report(error, None)
            else:
                write(frame)
        self._write_to(session)
        flushes, self._parked_flushes = self._parked_flushes, []
        for waiter in flushes:
            session.ping(waiter)

    def restored(self, sids: Iterable[int]) -> list[bytes]:
        """The frames that restore those of the subscriptions that are still there."""
        return restore(self._subs[sid] for sid in sids if sid in self._subs)

    def _note_info(self, info: ServerInfo) -> None:
        self.max_payload = info.max_payload or NO_LIMIT

    def session_info(self, session: Session, info: ServerInfo) -> None:
        """A later INFO: limits, members of the cluster, lame duck."""
        if session is not self._session:
            return
        self._note_info(info)
        self._supervisor.update_pool(info, session.server)
        if info.ldm:
            if self._lame is not session:
                self._lame = session
                self._callbacks.tell(told.LameDuck(session.server.address))
            if not self.is_draining:
                self._supervisor.leave(session)

    def servers_discovered(self, addresses: list[str]) -> None:
        """The pool has servers that were never in it before."""
        if addresses and self._was_connected:
            self._callbacks.tell(told.ServersDiscovered(tuple(addresses)))

    def session_error(self, session: Session, error: NatsError) -> None:
        """An `-ERR`, or another fault of the session's that does not end it by itself."""
        sub = None
        if isinstance(error, PermissionsError):
            if not self.mux.deny(error):
                sub = denied_subscription(error, self._subs)
        elif isinstance(error, AuthorizationError):
            self._supervisor.note_failure(session.server, error)
        self.report(error, None if sub is None or sub.is_inbox else sub)
        if sub is not None:
            sub.end_by_error(error)

    def session_lost(self, session: Session, error: Exception | None) -> None:
        """The physical connection is gone: buffer, and look for another."""
        for handover in list(self._handovers):
            if session is handover.old:
                handover.old_is_lost()
            elif session is handover.new:
                handover.new_is_lost()
        if session is not self._session:
            return
        forced, self._forced = self._forced, False
        self._end_session()
        self._outbox.carry(frames.publishes(session.transport.take_unsent()))
        self._callbacks.tell(told.Disconnected(error))
        if self.is_draining or not (self.options.allow_reconnect or forced):
            self._shut(error or ConnectionClosedError("dropped by force_reconnect while draining"))
            return
        self.last_error = None
        self._status = Status.RECONNECTING
        self._write_nowhere(self._outbox.put)
        self._supervisor.pool.retire_current()
        self._supervisor.start_reconnecting(now=forced)

    def _end_session(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            self._past = add_counts(self._past, session.counts)

    def _counts(self) -> Counts:
        """Messages in and their bytes, bytes in and out of sockets, of all sessions so far."""
        counts = self._past
        if self._session is not None:
            counts = add_counts(counts, self._session.counts)
        for handover in self._handovers:
            counts = add_counts(counts, handover.old.counts)
        return counts

    def reconnect_failed(self, server: Server, error: Exception) -> None:
        """One attempt at reconnecting failed."""
        self.last_error = error
        self._callbacks.tell(told.ReconnectFailed(server.address, error))

    def give_up(self, error: Exception) -> None:
        """No server is left to try."""
        self._shut(error)

    def move_to(self, session: Session, old: Session) -> bool:
        """Make `session` the current one while `old` still reads; whether that was possible."""
        if self._status is not Status.CONNECTED or self._session is not old:
            return False
        mux_sid = self._mux_sub[1] if self._mux_sub is not None else None
        self._handovers.append(handover := Handover(self, old, session, mux_sid))
        if self._mux_sub is not None and mux_sid is not None:
            self.sinks[mux_sid] = handover.route_old
            self.start_mux(self._mux_sub[0], handover.route_new, session)
        handover.switch(self._subs.values(), echo=self.options.echo)
        self._callbacks.tell(told.Disconnected(None))
        self._session = session
        self._note_info(session.info)
        self.mux.allow_again()
        self._write_to(session)
        session.go_live()
        return True

    def settled(self) -> None:
        """A handover's new session does all the work from now on."""
        self._reconnects += 1
        self._callbacks.tell(told.Reconnected())

    def left(self, handover: Handover) -> None:
        """A handover's old session is closed."""
        self._handovers.remove(handover)
        self._past = add_counts(self._past, handover.old.counts)
        if handover.mux_sid is not None:
            self.sinks.pop(handover.mux_sid, None)
            if self._mux_sub and self.sinks.get(self._mux_sub[1]) == handover.route_new:
                self.sinks[self._mux_sub[1]] = self.mux.route

    # errors that no call can raise

    def report(self, error: Exception, sub: Subscription | None) -> None:
        """Tell `on_error`, or log; and remember as `last_error`."""
        self.last_error = error
        self._callbacks.tell(told.AsyncError(error, sub))

    def sink_failed(self, msg: Msg, error: BaseException) -> None:
        """A callback called in place raised: told, and the session goes on."""
        sub = msg.sub
        if sub is None and msg.sid.isdigit():
            sub = self._subs.get(int(msg.sid))
        if not isinstance(error, Exception):
            failure = SubscriptionError(f"callback for {msg.subject!r} raised {error!r}")
            failure.__cause__ = error
            error = failure
        self.report(error, sub)

    # the end

    async def close(self) -> None:
        """Close now: waiting requests, reads and flushes end with `ConnectionClosedError`.

        What was published is still handed to the socket. Returns when the callbacks have run,
        except when called from one of them. Closing twice is harmless.
        """
        self._shut(None)
        if self._closing is not None and self._closing is not asyncio.current_task():
            await asyncio.shield(self._closing)
        await self._callbacks.finish(_CLOSE_CALLBACKS_TIMEOUT)

    def _shut(self, error: Exception | None) -> None:
        """Move to CLOSED, once, and wake everybody who waits."""
        if self._status is Status.CLOSED:
            return
        self._status = Status.CLOSED
        self._write_nowhere(self._refuse)
        closed = ConnectionClosedError()
        if error is not None:
            self.last_error = error
            closed = ConnectionClosedError(f"connection is closed: {error}")
            closed.__cause__ = error
        session = self._session
        self._end_session()
        for waiter in self._parked_flushes:
            if not waiter.done():
                waiter.set_exception(closed)
        if session is not None:
            session.close(closed)
        self.mux.stop(closed)
        for sub in [*self._subs.values(), *self._finishing]:
            sub.end_by_close(closed)
        self.sinks.clear()
        if session is not None:
            self._callbacks.tell(told.Disconnected(error))
        self._callbacks.tell(told.Closed(error))
        self._closing = self.loop.create_task(self._let_go(session), name="natsrpc close")
        self._closed.set()

    async def _let_go(self, session: Session | None) -> None:
        """End all tasks, and see the sockets off."""
        await self._supervisor.stop()
        handovers = list(self._handovers)
        for handover in handovers:
            handover.task.cancel()
        await asyncio.gather(*(h.task for h in handovers), return_exceptions=True)
        ended = [handover.old for handover in handovers] + ([session] if session else [])
        await asyncio.gather(*(s.transport.gone(_LINGER) for s in ended))

    # states

    @property
    def is_closed(self) -> bool:
        """Whether the connection is closed for good."""
        return self._status is Status.CLOSED

    @property
    def is_connected(self) -> bool:
        """Whether a session stands (also while draining)."""
        return self._session is not None

    @property
    def is_draining(self) -> bool:
        """Whether `drain` is under way."""
        return self._status in (Status.DRAINING_SUBS, Status.DRAINING_PUBS)
