"""The long-lived connection to NATS: what users hold while sessions come and go.

States: CONNECTING → CONNECTED ⇄ RECONNECTING; CONNECTED → DRAINING_SUBS → DRAINING_PUBS → CLOSED; any → CLOSED.
Who moves them: `adopt` to CONNECTED, `session_lost` to RECONNECTING, `drain` to the draining ones, `_shut` to CLOSED.

Outbound, `_write` is where a frame goes in the present state: a session's transport, the reconnect buffer, or a refusal.
It is switched with the state, so `send` need not ask. A replay happens within one loop turn, before `_write` is
switched, so nothing newer overtakes what was buffered.

Inbound, a session calls the sinks registered in `sinks` by subscription number; they stay over reconnects.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from logging import getLogger
from typing import Any

from natsrpc.errors import (
    BadTimeoutError,
    ConfigError,
    ConfigTypeError,
    ConnectionClosedError,
    ConnectionDrainingError,
    ConnectionReconnectingError,
    DrainTimeoutError,
    HeadersNotSupportedError,
    InvalidMsgError,
    MaxPayloadError,
    NatsError,
    NatsTimeoutError,
    NoRespondersError,
    PermissionsError,
)
from natsrpc.version import __version__

from . import callbacks as told
from .callbacks import Callbacks, ConnectionEvent
from .inbox import new_inbox
from .mux import RequestMux
from .opening import Opening
from .options import DEFAULT_URL, Options
from .outbox import Outbox
from .request_many import read_replies
from .servers import Server
from .session import Session, Sink
from .stats import Statistics, Status
from .subscription import (
    PENDING_BYTES_LIMIT,
    PENDING_MSGS_LIMIT,
    MsgCallback,
    Subscription,
    check_max_msgs,
)
from .supervisor import Supervisor
from .wire import HeaderValues, Msg, ServerInfo, encode_headers, frames, payload_bytes
from .wire.subject import check_publish, check_queue_group, check_reply, check_subscribe

log = getLogger("natsrpc.core")

_CLOSE_CALLBACKS_TIMEOUT = 5.0
_FINAL_FLUSH_TIMEOUT = 5.0
_NO_LIMIT = 1 << 62


def connect(
    servers: str | Sequence[str] = DEFAULT_URL, *, options: Options | None = None, **settings: Any
) -> Opening[Connection]:
    """Connect to NATS: `nc = await connect(...)`, or `async with connect(...) as nc:`.

    Args:
        servers: one URL, several joined by commas, or a sequence of them.
        options: ready-made settings, instead of keyword arguments.
        **settings: the fields of `Options`.

    Raises:
        ConfigError: a setting was refused; nothing was dialed.
        AuthorizationError, TLSError, RemoteProtocolError, ServerError: the most telling failure, if any
            server gave one; its notes list all tries.
        NoServersError: no server could be reached; `attempts` tells each server and why.

    Ref: nats.go `Connect`.
    """
    if options is not None and settings:
        raise ConfigError("give either options or keyword arguments, not both")

    async def open_() -> Connection:
        checked = options or Options.of({"servers": servers, **settings})
        connection = Connection(checked)
        await connection._open()  # noqa: SLF001  the same file: this is the constructor's other half
        return connection

    return Opening(open_)


class Connection:
    """A connection to NATS, kept over any number of sessions. Made by `connect`."""

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

    def __repr__(self) -> str:
        where = self._session.server.address if self._session and self.is_connected else "-"
        return f"<natsrpc.core.Connection {self.options.name!r} {self._status.name} {where}>"

    async def __aenter__(self) -> Connection:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # publishing

    def send(self, subject: bytes, data: bytes, reply: bytes = b"", headers: bytes = b"") -> None:
        """Publish without checks and without waiting: the path that requests and replies take.

        `subject` and `reply` are checked and encoded, `headers` is an encoded block or `b""`. Who sends much
        should look at `congested` first.

        Raises:
            MaxPayloadError: headers and data are larger than the server's `max_payload`.
            ConnectionClosedError: the connection is closed, or draining and done with publishing.
            ReconnectBufferExceededError: there is no connection now, and no room to keep the message.
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

    async def publish(
        self,
        subject: str,
        data: bytes = b"",
        *,
        reply: str | None = None,
        headers: HeaderValues | None = None,
    ) -> None:
        """Publish a message. Waits only while the connection is congested.

        While reconnecting the message is kept, up to `reconnect_buffer_size`. Cancelling it may leave the message
        published.

        Raises:
            BadSubjectError: the subject or reply is malformed or holds a wildcard.
            BadHeaderError: a header cannot be sent.
            HeadersNotSupportedError: the server does not support headers.
            InvalidMsgError: `data` is not bytes-like.
            MaxPayloadError: headers and data are larger than the server's `max_payload`.
            ConnectionClosedError: the connection is closed, or drains and is done with publishing.
            ReconnectBufferExceededError: there is no connection now, and no room to keep the message.

        Ref: nats.go `Conn.PublishMsg`.
        """
        encoded = check_publish(subject)
        answer_to = check_reply(reply) if reply else b""
        if type(data) is not bytes:
            data = payload_bytes(data)
        block = self._block(headers) if headers else b""
        self.send(encoded, data, answer_to, block)
        session = self._session
        if session is not None and session.transport.is_congested:
            await session.transport.writable()

    async def publish_msg(self, msg: Msg) -> None:
        """Publish a message made by hand, or forward a received one to its own subject.

        Raises:
            InvalidMsgError: it is not a `Msg`.
            MaxPayloadError, ConnectionClosedError, ReconnectBufferExceededError: as `publish`.
        """
        if not isinstance(msg, Msg):
            raise InvalidMsgError(f"expected a Msg, not {msg!r}")
        await self.publish(
            msg.subject, msg.data, reply=msg.reply or None, headers=msg.headers or None
        )

    def _block(self, headers: HeaderValues) -> bytes:
        block = encode_headers(headers)
        if self._session is not None and not self._session.info.headers:
            raise HeadersNotSupportedError("the server does not support message headers")
        return block

    async def respond(self, subject: bytes, data: bytes, headers: bytes) -> None:
        """Publish an answer for `Msg.respond`, which has checked it.

        Raises:
            MaxPayloadError, ConnectionClosedError, ReconnectBufferExceededError: as `publish`.
        """
        self.send(subject, data, b"", headers)
        if self.congested:
            await self.writable()

    # requests

    async def request(
        self,
        subject: str,
        data: bytes = b"",
        *,
        timeout: float | None = 5.0,
        headers: HeaderValues | None = None,
    ) -> Msg:
        """Send a request; the first reply. Cancelling it leaves nothing behind.

        A request in flight when the connection drops goes on waiting: its inbox is restored.

        Args:
            subject: a literal subject.
            data: the payload.
            timeout: seconds in all, waiting for a lost connection included; None leaves it to an enclosing
                `asyncio.timeout`.
            headers: a mapping of names to a value or several values.

        Raises:
            NatsTimeoutError: no reply came in time.
            NoRespondersError: nobody is subscribed to the subject.
            PermissionsError: the server denied the request or the subscription to its reply.
            ConnectionClosedError: the connection is, or was meanwhile, closed.
            BadTimeoutError: `timeout` is not above 0.
            BadSubjectError, BadHeaderError, MaxPayloadError, ReconnectBufferExceededError: as `publish`.

        Ref: nats.go `Conn.RequestMsg`; ADR-4 for no responders.
        """
        encoded = check_publish(subject)
        if timeout is not None:
            check_timeout(timeout)
        if type(data) is not bytes:
            data = payload_bytes(data)
        block = self._block(headers) if headers else b""
        if self.options.old_style_requests:
            return await self._request_old_style(subject, encoded, data, block, timeout)
        try:
            return await self.mux.request(encoded, data, block, timeout)
        except NatsTimeoutError:
            raise NatsTimeoutError(f"no reply on {subject!r} within {timeout} s") from None

    async def _request_old_style(
        self, subject: str, encoded: bytes, data: bytes, block: bytes, timeout: float | None
    ) -> Msg:
        """One inbox and subscription for each request, both gone at its end."""
        self.check_open()
        inbox = self.new_inbox()
        sub = self._register(inbox, "", max_msgs=1)
        try:
            self.send_unsub(sub, 1)
            self.send(encoded, data, inbox.encode(), block)
            return await sub.next_msg(timeout)
        except NatsTimeoutError:
            raise NatsTimeoutError(f"no reply on {subject!r} within {timeout} s") from None
        except NoRespondersError:
            raise NoRespondersError(subject) from None
        finally:
            if sub.is_valid:
                await sub.unsubscribe()

    async def request_many(
        self,
        subject: str,
        data: bytes = b"",
        *,
        timeout: float = 5.0,
        stall: float | None = None,
        max_msgs: int | None = None,
        sentinel: Callable[[Msg], bool] | None = None,
        headers: HeaderValues | None = None,
    ) -> AsyncIterator[Msg]:
        """Send one request and iterate over its replies, as they come.

        Ends when `timeout` seconds are over in all, when `stall` seconds passed since the last reply, after
        `max_msgs` replies, or at the reply for which `sentinel(msg)` is true (which is not yielded; pass
        `lambda msg: not msg.data` for the usual empty one). Leaving the loop early ends the subscription.

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
        self.check_open()
        inbox = self.new_inbox()
        sub = self._register(inbox, "", max_msgs=limit)
        try:
            if limit is not None:
                self.send_unsub(sub, limit)
            self.send(encoded, payload_bytes(data), inbox.encode(), block)
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
        finally:
            if sub.is_valid:
                await sub.unsubscribe()

    def new_inbox(self) -> str:
        """A fresh subject for replies, under this connection's `inbox_prefix`."""
        return new_inbox(self.options.inbox_prefix)

    # subscribing

    async def subscribe(
        self,
        subject: str,
        *,
        queue_group: str = "",
        cb: MsgCallback | None = None,
        into: asyncio.Queue[Msg] | None = None,
        max_msgs: int | None = None,
        pending_msgs_limit: int | None = PENDING_MSGS_LIMIT,
        pending_bytes_limit: int | None = PENDING_BYTES_LIMIT,
        check: bool = False,
    ) -> Subscription:
        """Subscribe to a subject, which may hold wildcards.

        Args:
            subject: `*` stands for one token, `>` at the end for all that follow.
            queue_group: of all members of a group, one gets each message.
            cb: called for each message. An async function runs in one task, one message at a time, in order;
                a plain function is called in place from the socket read, and must not wait.
            into: a queue that messages are put into; one that is full drops them.
            max_msgs: end after so many messages.
            pending_msgs_limit: how many messages may wait to be handled; further ones are dropped, counted
                and reported to `on_error`. None or negative: no limit.
            pending_bytes_limit: as much in bytes of headers and payload.
            check: wait for the server's word that it accepts the subscription.

        Without `cb` and `into`, read with `async for` or `next_msg`. While reconnecting, the subscription is
        registered and takes effect with the next session.

        Raises:
            BadSubjectError, BadQueueNameError: a name is malformed.
            ConfigError: a limit is not above 0, or both `cb` and `into` were given.
            PermissionsError: with `check`, the server denied it.
            ConnectionClosedError, ConnectionDrainingError: no new subscriptions are taken.

        Ref: nats.go `Conn.Subscribe`.
        """
        if cb is not None and not callable(cb):
            raise ConfigTypeError(f"cb must be callable, not {cb!r}")
        if into is not None and not hasattr(into, "put_nowait"):
            raise ConfigTypeError(f"into must be an asyncio.Queue, not {into!r}")
        if cb is not None and into is not None:
            raise ConfigError("give either cb or into, not both")
        limit = None if max_msgs is None else check_max_msgs(max_msgs)
        self.check_open()
        sub = self._register(
            subject,
            queue_group,
            cb=cb,
            into=into,
            max_msgs=limit,
            pending_msgs_limit=pending_msgs_limit,
            pending_bytes_limit=pending_bytes_limit,
        )
        if limit is not None:
            self.send_unsub(sub, limit)
        if check:
            await self.flush()
            if not sub.is_valid and sub.end_error is not None:
                raise sub.end_error
        return sub

    def attach(self, subject: str, sink: Sink, *, queue_group: str = "") -> Subscription:
        """Subscribe a bare sink: it gets every message in place, uncounted. The path that services take.

        Raises:
            BadSubjectError, BadQueueNameError, ConnectionClosedError, ConnectionDrainingError: as `subscribe`.
        """
        self.check_open()
        sub = self._register(subject, queue_group, cb=sink)
        self.sinks[sub.raw_sid] = sink
        return sub

    def _register(self, subject: str, queue_group: str, **how: Any) -> Subscription:
        raw_subject, raw_group = check_subscribe(subject), check_queue_group(queue_group)
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
        """Forget a subscription."""
        self._subs.pop(sub.sid, None)
        self.sinks.pop(sub.raw_sid, None)

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

    # flushing

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

    async def rtt(self) -> float:
        """Seconds that a round trip to the server takes now.

        Raises:
            NatsTimeoutError, FlushInterruptedError, ConnectionClosedError: as `flush`.
        """
        start = self.loop.time()
        await self.flush()
        return self.loop.time() - start

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
        """Whether a buffered message is within this server's limit; else it is dropped, and told."""
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
        self._outbox.carry([])
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
        while not waiting.isdisjoint(self.mux.pending) and not old.is_lost:
            await asyncio.sleep(0.01)

    async def force_reconnect(self) -> None:
        """Drop the session now and reconnect; wakes a reconnect that is waiting.

        Raises:
            ConnectionClosedError: the connection is closed.
        """
        if self._status is Status.CLOSED:
            raise ConnectionClosedError
        if self._session is not None:
            self._session.lose(None)
        self._supervisor.hurry()

    # errors that no call can raise

    def report(self, error: Exception, sub: Subscription | None) -> None:
        """Tell `on_error`, or log; and remember as `last_error`."""
        self.last_error = error
        self._callbacks.tell(told.AsyncError(error, sub))

    def sink_failed(self, msg: Msg, error: Exception) -> None:
        """A callback called in place raised: told, and the session goes on."""
        try:
            sub = self._subs.get(int(msg.sid))
        except ValueError:
            sub = None
        self.report(error, sub)

    # the end

    def add_drain_hook(self, hook: Callable[[], Awaitable[None]]) -> None:
        """Have an async function awaited at the start of every drain: services end themselves there."""
        self._drain_hooks.append(hook)

    def remove_drain_hook(self, hook: Callable[[], Awaitable[None]]) -> None:
        """Undo `add_drain_hook`."""
        if hook in self._drain_hooks:
            self._drain_hooks.remove(hook)

    async def drain(self) -> None:
        """Close without losing anything that was received or published.

        Subscriptions end and what they received is handled; requests in flight are waited for; then all is
        flushed, and the connection closes. After `drain_timeout` seconds it closes anyway. A second call waits
        for the first. Called from a callback of a subscription, it does not wait for that callback.

        Raises:
            ConnectionClosedError: the connection is closed.
            ConnectionReconnectingError: there is no session to drain; the connection is now closed.
            DrainTimeoutError: not all ended in time; the connection is now closed.

        Ref: nats.go `Conn.Drain`.
        """
        if self._draining is None:
            if self._status is Status.CLOSED:
                raise ConnectionClosedError
            if self._session is None:
                await self.close()
                raise ConnectionReconnectingError("cannot drain while reconnecting: closed instead")
            self._draining = self.loop.create_task(self._drain(), name="natsrpc drain")
        await asyncio.shield(self._draining)

    async def _drain(self) -> None:
        error: DrainTimeoutError | None = None
        try:
            async with asyncio.timeout(self.options.drain_timeout):
                for hook in list(self._drain_hooks):
                    await hook()
                self._status = Status.DRAINING_SUBS
                await self._drain_subscriptions()
                await self.mux.idle()
        except TimeoutError:
            error = DrainTimeoutError(f"draining took over {self.options.drain_timeout:g} s")
            self.report(error, None)
        if self._status is not Status.CLOSED:
            self._status = Status.DRAINING_PUBS
            self._write = self._refuse_draining
            await self._final_flush()
            await self.close()
        if error is not None:
            raise error

    async def _drain_subscriptions(self) -> None:
        drains = [sub.drain() for sub in list(self._subs.values())]
        results = await asyncio.gather(*drains, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, NatsError):
                raise result

    async def _final_flush(self) -> None:
        try:
            await self.flush(_FINAL_FLUSH_TIMEOUT)
        except NatsError as error:
            log.warning("the last flush of a drain failed: %s", error)

    async def close(self) -> None:
        """Close now: waiting requests, reads and flushes end with `ConnectionClosedError`.

        What was published is still handed to the socket. Returns when the callbacks have run, except when called
        from one of them. Closing twice is harmless.
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
        for sub in list(self._subs.values()):
            sub.end_by_close(closed)
        self.sinks.clear()
        self._callbacks.tell(told.Closed(error))
        self._closed.set()

    async def wait_closed(self) -> None:
        """Wait until the connection is closed, by whomever."""
        await self._closed.wait()

    def _refuse(self, frame: bytes) -> None:
        raise ConnectionClosedError

    def _refuse_draining(self, frame: bytes) -> None:
        raise ConnectionDrainingError("the connection is draining: nothing more is published")

    # what it knows of itself

    @property
    def status(self) -> Status:
        """The state of the connection."""
        return self._status

    @property
    def is_connected(self) -> bool:
        """Whether a session stands (also while draining)."""
        return self._session is not None

    @property
    def is_closed(self) -> bool:
        """Whether the connection is closed for good."""
        return self._status is Status.CLOSED

    @property
    def is_reconnecting(self) -> bool:
        """Whether a session is being looked for."""
        return self._status is Status.RECONNECTING

    @property
    def is_draining(self) -> bool:
        """Whether `drain` is under way."""
        return self._status in (Status.DRAINING_SUBS, Status.DRAINING_PUBS)

    @property
    def server_info(self) -> ServerInfo | None:
        """The latest INFO of the server connected to; None if not connected."""
        return self._session.info if self._session is not None else None

    @property
    def connected_url(self) -> str | None:
        """The server connected to, credentials masked; None if not connected."""
        return self._session.server.url if self._session is not None else None

    @property
    def servers(self) -> list[str]:
        """The addresses of all servers known, without credentials."""
        return self._supervisor.pool.addresses()

    @property
    def discovered_servers(self) -> list[str]:
        """The addresses of the servers that the cluster named."""
        return self._supervisor.pool.addresses(discovered=True)

    @property
    def local_address(self) -> tuple[str, int] | None:
        """The socket's own address and port; None if not connected."""
        return self._session.transport.address("sockname") if self._session else None

    @property
    def server_address(self) -> tuple[str, int] | None:
        """The server's address and port; None if not connected."""
        return self._session.transport.address("peername") if self._session else None

    @property
    def buffered(self) -> int:
        """Bytes published and not yet with the operating system, the reconnect buffer included."""
        unsent = self._session.transport.buffered if self._session is not None else 0
        return unsent + self._outbox.size

    @property
    def subscriptions(self) -> list[Subscription]:
        """The user's live subscriptions."""
        return list(self._subs.values())

    def stats(self) -> Statistics:
        """A copy of the counters."""
        msgs, size, wire_in, wire_out = self._past
        if self._session is not None:
            more_msgs, more_size = self._session.messages_in
            msgs, size = msgs + more_msgs, size + more_size
            wire_in += self._session.bytes_in
            wire_out += self._session.transport.bytes_out
        return Statistics(
            in_msgs=msgs,
            out_msgs=self._out_msgs,
            in_bytes=size,
            out_bytes=self._out_bytes,
            wire_bytes_in=wire_in,
            wire_bytes_out=wire_out,
            reconnects=self._reconnects,
            attempts=self._supervisor.attempts,
            unmatched_replies=self.mux.unmatched,
        )

    def events(self) -> AsyncIterator[ConnectionEvent]:
        """What happens to the connection from now on, in order; ends when it is closed."""
        return self._callbacks.stream()

    def set_callback(self, name: str, callback: Callable[..., object] | None) -> None:
        """Replace (or with None remove) a callback, by its option's name, such as "on_error".

        Raises:
            ConfigError: there is no such callback.
            ConfigTypeError: it is not callable.
        """
        if name not in told.CALLBACK_NAMES:
            raise ConfigError(f"no callback {name!r}: expected {sorted(told.CALLBACK_NAMES)}")
        if callback is not None and not callable(callback):
            raise ConfigTypeError(f"{name} must be callable, not {callback!r}")
        self._callbacks.callbacks[name] = callback


def check_timeout(timeout: float) -> None:
    """Refuse what is no positive number of seconds.

    Raises:
        BadTimeoutError: naming the value.
    """
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not timeout > 0:
        raise BadTimeoutError(f"timeout must be above 0 seconds, or None, not {timeout!r}")


def _flush_expired(waiter: asyncio.Future[None], timeout: float) -> None:
    if not waiter.done():
        waiter.set_exception(NatsTimeoutError(f"flush not answered within {timeout:g} s"))


