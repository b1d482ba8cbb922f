"""The machinery under a connection: sessions come and go, subscriptions and the way out stay.

States: CONNECTING → CONNECTED ⇄ RECONNECTING; CONNECTED → DRAINING_SUBS → DRAINING_PUBS → CLOSED;
any → CLOSED. Who moves them: `adopt` to CONNECTED, `session_lost` to RECONNECTING,
`Connection.drain` to the draining ones, `_shut` to CLOSED.

Outbound, `_write` is where a frame goes in the present state: a session's transport, the reconnect
buffer, or a refusal. It is switched with the state, so `send` need not ask. A replay happens within
one loop turn, before `_write` is switched, so nothing newer overtakes what was buffered.

Inbound, a session calls the sinks registered in `sinks` by subscription number; they stay over
reconnects.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from logging import getLogger
from typing import Any

from natsrpc.errors import (
    AuthorizationError,
    ConnectionClosedError,
    ConnectionDrainingError,
    MaxPayloadError,
    NatsError,
    NatsTimeoutError,
    PermissionsError,
)
from natsrpc.version import __version__

from . import callbacks as told
from .callbacks import Callbacks
from .mux import RequestMux
from .options import Options
from .outbox import Outbox
from .servers import Server
from .session import Session, Sink
from .stats import Status
from .subscription import Subscription
from .supervisor import Supervisor
from .timers import check_timeout
from .wire import Msg, ServerInfo, frames
from .wire.subject import check_fit, check_queue_group, check_subscribe

log = getLogger("natsrpc.core")

_CLOSE_CALLBACKS_TIMEOUT = 5.0
_NO_LIMIT = 1 << 62


class Link:
    """What a `Connection` is made of; users see the `Connection`."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.loop = asyncio.get_running_loop()
        self.read_at = 0.0
        self.sinks: dict[bytes, Sink] = {}
        self.max_payload = _NO_LIMIT
        self.last_error: Exception | None = None
        self._status = Status.CONNECTING
        self._session: Session | None = None
        self._subs: dict[int, Subscription] = {}
        self._finishing: set[Subscription] = set()
        self._last_sid = 0
        self._outbox = Outbox(options.reconnect_buffer_size)
        self._write: Callable[[bytes], None] = self._outbox.put
        self._parked_flushes: list[asyncio.Future[None]] = []
        self._was_connected = False
        self._out_msgs = self._out_bytes = 0
        self._past = [0, 0, 0, 0]
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

    async def _open(self) -> None:
        try:
            session = await self._supervisor.first_connect()
        except NatsError:
            if not self.options.retry_on_failed_connect:
                self._status = Status.CLOSED
                self._write = self._refuse
                self._closed.set()
                raise
            self._status = Status.RECONNECTING
            self._supervisor.start_reconnecting()
            return
        self.adopt(session)

    # sending

    def send(self, subject: bytes, data: bytes, reply: bytes = b"", headers: bytes = b"") -> None:
        """Publish without checks and without waiting: the path that requests and replies take.

        `subject` and `reply` are checked and encoded, `headers` is an encoded block or `b""`. Who
        sends much should look at `congested` first.

        Raises:
            MaxPayloadError: headers and data are larger than the server's `max_payload`.
            ConnectionClosedError: the connection is closed, or draining and done with publishing.
            ReconnectBufferExceededError: there is no connection now, and no room to keep the
                message.
        """
        size = len(data) + len(headers)
        if size > self.max_payload:
            raise MaxPayloadError(size, self.max_payload)
        if headers:
            self._write(frames.hpub(subject, headers, data, reply))
        else:
            self._write(frames.pub(subject, data, reply))
        self._out_msgs += 1
        self._out_bytes += size

    @property
    def congested(self) -> bool:
        """Whether so much is unsent that producers should wait for `writable`."""
        session = self._session
        return session is not None and session.transport.is_congested

    async def writable(self) -> None:
        """Wait until the socket takes more, or the session is lost."""
        if self._session is not None:
            await self._session.transport.writable()

    async def respond(self, subject: bytes, data: bytes, headers: bytes) -> None:
        """Publish an answer for `Msg.respond`, which has checked it.

        Raises:
            MaxPayloadError, ConnectionClosedError, ReconnectBufferExceededError: as `publish`.
        """
        self.send(subject, data, b"", headers)
        if self.congested:
            await self.writable()

    async def flush(self, timeout: float | None = 10.0) -> None:
        """Wait until the server has processed all that was sent so far.

        While reconnecting it waits for the new session. Cancelling it is safe.

        Raises:
            NatsTimeoutError: no answer came in time.
            FlushInterruptedError: the connection was lost meanwhile.
            ConnectionClosedError: the connection is closed.
            BadTimeoutError: `timeout` is not above 0.

        Ref: nats.go `Conn.FlushTimeout`.
        """
        if timeout is not None:
            check_timeout(timeout)
        if self._status is Status.CLOSED:
            raise ConnectionClosedError
        waiter: asyncio.Future[None] = self.loop.create_future()
        if self._session is not None:
            self._session.ping(waiter)
        else:
            self._parked_flushes.append(waiter)
        timer = self.loop.call_later(timeout, _flush_expired, waiter, timeout) if timeout else None
        try:
            await waiter
        finally:
            if timer is not None:
                timer.cancel()
            if waiter in self._parked_flushes:
                self._parked_flushes.remove(waiter)

    async def barrier(self) -> None:
        """As `flush`, for a subscription that ends; gives up early when the session is lost."""
        if self._session is not None:
            try:
                await self.flush(None)
            except ConnectionClosedError:
                log.debug("session lost while a subscription drained")

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
        self._write_if_live(frames.sub(raw_subject, raw_group, sub.raw_sid))
        return sub

    def start_mux(self, subject: bytes, sink: Sink) -> None:
        """Subscribe the request mux, in front of its first request."""
        self._last_sid += 1
        raw_sid = b"%d" % self._last_sid
        self._mux_sub = (subject, raw_sid)
        self.sinks[raw_sid] = sink
        self._write_if_live(frames.sub(subject, b"", raw_sid))

    def _write_if_live(self, frame: bytes) -> None:
        """SUB and UNSUB are never buffered: a new session is told the state of its time."""
        if self._session is not None:
            self._session.transport.write(frame)

    def send_unsub(self, sub: Subscription, max_msgs: int = 0) -> None:
        """Tell the server that a subscription ends, now or after so many messages."""
        self._write_if_live(frames.unsub(sub.raw_sid, max_msgs))

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
        for sub in list(self._subs.values()):
            self._resubscribe(sub, write)
        if self._mux_sub is not None:
            write(frames.sub(self._mux_sub[0], b"", self._mux_sub[1]))
        for frame in self._outbox.take():
            if self._fits(frame):
                write(frame)
        self._write = write
        flushes, self._parked_flushes = self._parked_flushes, []
        for waiter in flushes:
            session.ping(waiter)

    def _resubscribe(self, sub: Subscription, write: Callable[[bytes], None]) -> None:
        if sub.is_draining:
            return
        write(
            frames.sub(
                check_subscribe(sub.subject), check_queue_group(sub.queue_group), sub.raw_sid
            )
        )
        if sub.max_msgs is not None:
            write(frames.unsub(sub.raw_sid, sub.max_msgs - sub.received))

    def _fits(self, frame: bytes) -> bool:
        """Whether a buffered message is within this server's limit; else it is dropped, and
        told."""
        line = frame[: frame.index(b"\r\n")]
        size = int(line.rsplit(b" ", 1)[1])
        if size <= self.max_payload:
            return True
        self.report(MaxPayloadError(size, self.max_payload), None)
        return False

    def _note_info(self, info: ServerInfo) -> None:
        self.max_payload = info.max_payload or _NO_LIMIT

    def session_info(self, session: Session, info: ServerInfo) -> None:
        """A later INFO: limits, members of the cluster, lame duck."""
        if session is not self._session:
            return
        self._note_info(info)
        fresh = self._supervisor.update_pool(info, session.server)
        if fresh:
            self._callbacks.tell(told.ServersDiscovered(tuple(fresh)))
        if info.ldm:
            self._callbacks.tell(told.LameDuck(session.server.address))
            if self.options.lame_duck_reconnect and self.options.allow_reconnect:
                self._supervisor.leave(session)

    def session_error(self, session: Session, error: NatsError) -> None:
        """An `-ERR`, or another fault of the session's that does not end it by itself."""
        sub = None
        if isinstance(error, PermissionsError):
            self.mux.deny(error)
            sub = self._denied_subscription(error)
        elif isinstance(error, AuthorizationError):
            self._supervisor.note_failure(session.server, error)
        self.report(error, sub)
        if sub is not None:
            sub.end_by_error(error)

    def _denied_subscription(self, error: PermissionsError) -> Subscription | None:
        if error.operation != "subscribe":
            return None
        if error.sid is not None:
            return self._subs.get(error.sid)
        return next(
            (
                sub
                for sub in self._subs.values()
                if sub.subject == error.subject and sub.queue_group == error.queue_group
            ),
            None,
        )

    def session_lost(self, session: Session, error: Exception | None) -> None:
        """The physical connection is gone: buffer, and look for another."""
        if session is not self._session:
            return
        self._end_session()
        self.last_error = error or self.last_error
        self._outbox.carry(frames.publishes(session.transport.take_unsent()))
        if self._status is Status.CLOSED:
            return
        self._callbacks.tell(told.Disconnected(error))
        if not self.options.allow_reconnect or self.is_draining:
            self._shut(error or ConnectionClosedError("the server closed the connection"))
            return
        self._status = Status.RECONNECTING
        self._write = self._outbox.put
        self._supervisor.pool.retire_current()
        self._supervisor.start_reconnecting()

    def _end_session(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            self._note_past(session)

    def _note_past(self, session: Session) -> None:
        msgs, size = session.messages_in
        past = self._past
        past[0] += msgs
        past[1] += size
        past[2] += session.bytes_in
        past[3] += session.transport.bytes_out

    def reconnect_failed(self, server: Server, error: Exception) -> None:
        """One attempt at reconnecting failed."""
        self.last_error = error
        self._callbacks.tell(told.ReconnectFailed(server.address, error))

    def give_up(self, error: Exception) -> None:
        """No server is left to try."""
        self._shut(error)

    def move_to(self, session: Session, old: Session) -> None:
        """Make `session` the current one while `old` still reads."""
        if self._status is Status.CLOSED or self._session is not old:
            session.lose(None)
            return
        self._callbacks.tell(told.Disconnected(None))
        self._note_past(old)
        self._reconnects += 1
        self._use(session)
        self._callbacks.tell(told.Reconnected())
        session.go_live()

    async def retire(self, old: Session) -> None:
        """Let a session go that was moved away from, once nothing more is expected on it."""
        waiting = set(self.mux.pending)
        barrier = self.loop.create_future()
        old.ping(barrier)
        await barrier
        for sub in list(self._subs.values()):
            old.transport.write(frames.unsub(sub.raw_sid))
        barrier = self.loop.create_future()
        old.ping(barrier)
        await barrier
        await self.mux.answered(waiting)

    # errors that no call can raise

    def report(self, error: Exception, sub: Subscription | None) -> None:
        """Tell `on_error`, or log; and remember as `last_error`."""
        self.last_error = error
        self._callbacks.tell(told.AsyncError(error, sub))

    def sink_failed(self, msg: Msg, error: Exception) -> None:
        """A callback called in place raised: told, and the session goes on."""
        sub = msg.sub
        if sub is None and msg.sid.isdigit():
            sub = self._subs.get(int(msg.sid))
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
        self._write = self._refuse
        closed = ConnectionClosedError()
        if error is not None:
            self.last_error = error
            closed = ConnectionClosedError(f"connection is closed: {error}")
            closed.__cause__ = error
        session = self._session
        self._end_session()
        if session is not None:
            session.close()
            self._callbacks.tell(told.Disconnected(error))
        self._closing = self.loop.create_task(self._supervisor.stop(), name="natsrpc close")
        for waiter in self._parked_flushes:
            if not waiter.done():
                waiter.set_exception(closed)
        self.mux.stop(closed)
        for sub in [*self._subs.values(), *self._finishing]:
            sub.end_by_close(closed)
        self.sinks.clear()
        self._callbacks.tell(told.Closed(error))
        self._closed.set()

    def _refuse(self, frame: bytes) -> None:
        raise ConnectionClosedError

    def _refuse_draining(self, frame: bytes) -> None:
        raise ConnectionDrainingError("the connection is draining: nothing more is published")

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


def _flush_expired(waiter: asyncio.Future[None], timeout: float) -> None:
    if not waiter.done():
        waiter.set_exception(NatsTimeoutError(f"flush not answered within {timeout:g} s"))
