"""The connection to NATS as users hold it.

A `Connection` checks what it is given and describes what it does; its parts do it. The `Link` owns
them all and keeps it connected.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from time import perf_counter
from types import TracebackType

from natsrpc.errors import InvalidMsgError, NatsTimeoutError, NoRespondersError

from .events import CALLBACK_NAMES, Callbacks, ConnectionEvent
from .link import Link
from .options import Options
from .requests import is_no_responders, new_inbox
from .session import HIGH_WATER
from .stats import Statistics, Status
from .subscriptions import (
    PENDING_BYTES_LIMIT,
    PENDING_MSGS_LIMIT,
    MsgCallback,
    OnFull,
    Subscription,
    check_consumer,
    check_max_msgs,
    check_on_full,
    limits_of,
)
from .timers import check_timeout
from .wire import (
    HeaderValues,
    Msg,
    Payload,
    ServerInfo,
    check_fit,
    check_publish,
    check_reply,
    payload_bytes,
    published,
)


async def opened(options: Options) -> Connection:
    """A connection that is open: what `connect` waits for."""
    connection = Connection(options)
    await connection.link.open()
    return connection


class Connection:
    """A connection to NATS, kept over any number of sessions. Made by `connect`."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self._callbacks = Callbacks(self, {name: getattr(options, name) for name in CALLBACK_NAMES})
        self._link = Link(options, self._callbacks)
        self._outbound = self._link.outbound
        self._mux = self._link.requests
        self._old_style = options.old_style_requests

    def __repr__(self) -> str:
        link = getattr(self, "_link", None)  # None in a traceback of its making
        where = link.session.server.address if link is not None and link.session else "-"
        status = "NEW" if link is None else self.status.name
        return f"<natsrpc.core.Connection {self.options.name!r} {status} {where}>"

    async def __aenter__(self) -> Connection:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            await self._link.drained()
        await self.close()

    @property
    def link(self) -> Link:
        """What libraries build on that answer or ask by the thousand: sending without checks, bare
        sinks, drain hooks, a listener that hears events in place. Most programs need none of it."""
        return self._link

    # publishing

    async def publish(
        self,
        subject: str,
        data: Payload = b"",
        *,
        reply: str | None = None,
        headers: HeaderValues | None = None,
    ) -> None:
        """Publish a message. Waits only while the connection is congested.

        While reconnecting the message is kept, up to `reconnect_buffer_size`. Cancelling it may
        leave the message published.

        Raises:
            BadSubjectError: the subject or reply is malformed.
            BadHeaderError: a header cannot be sent.
            HeadersNotSupportedError: the server does not support headers.
            InvalidMsgError: `data` is not bytes-like.
            MaxPayloadError: headers and data are larger than the server's `max_payload`.
            ConnectionClosedError: the connection is closed.
            ConnectionDrainingError: it drains, and is done with publishing.
            ReconnectBufferExceededError: there is no connection now, and no room to keep the
                message.

        Ref: nats.go `Conn.PublishMsg`.
        """
        try:
            encoded = published[subject]
        except TypeError:  # it cannot even be hashed
            encoded = check_publish(subject)
        if type(data) is not bytes:
            data = payload_bytes(data)
        outbound = self._outbound
        size, transport = len(data), outbound.transport
        if reply or headers or transport is None or size > outbound.max_copied:
            self._publish(encoded, data, reply, headers)
        else:
            # `Outbound.send` in place: its call is a tenth of this. test_copies holds both equal.
            frame = b"PUB %b %d\r\n%b\r\n" % (encoded, size, data)
            collected = transport.frames
            if not collected:
                transport.begin()
            collected.append(frame)
            transport.unsent = unsent = transport.unsent + len(frame)
            if unsent >= HIGH_WATER:
                transport.press(congested=True)
            outbound.sent_msgs += 1
            outbound.sent_bytes += size
        if outbound.congested:
            await outbound.writable()

    def _publish(
        self, subject: bytes, data: bytes, reply: str | None, headers: HeaderValues | None
    ) -> None:
        answer_to = b""
        if reply:
            answer_to = check_reply(reply)
            check_fit(subject, answer_to)
        block = self._outbound.encode(headers) if headers else b""
        self._outbound.send(subject, data, answer_to, block)

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

    # requests

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
            subject: where it is sent; `*` and `>` in it are sent as they are.
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
        block = self._outbound.encode(headers) if headers else b""
        if self._old_style:
            return await self._link.inbox_requests.request(encoded, data, block, timeout)
        # `RequestMux.request` in place, a coroutine less. test_copies holds both equal.
        mux = self._mux
        if self._outbound.congested:
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

    def request_many(
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
        early ends the subscription. The request is sent when the first reply is asked for.

        Raises:
            NoRespondersError: nobody is subscribed to the subject.
            NatsTimeoutError: no reply came, and there is no connection, or it was lost meanwhile:
                nobody can say that there are none.
            PermissionsError: the server denied the request or the subscription to its replies.
            ConnectionClosedError: the connection was closed before the end.
            SlowConsumerError: replies were dropped because too many were waiting.
            BadTimeoutError, BadSubjectError, BadHeaderError, MaxPayloadError: as `request`.

        Ref: ADR-47.
        """
        return self._link.inbox_requests.request_many(
            subject,
            data,
            timeout=timeout,
            stall=stall,
            max_msgs=max_msgs,
            sentinel=sentinel,
            headers=headers,
        )

    def new_inbox(self) -> str:
        """A fresh subject for replies, under this connection's `inbox_prefix`.

        Ref: nats.go `Conn.NewInbox`.
        """
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
        on_full: OnFull = "drop_new",
        check: bool = False,
    ) -> Subscription:
        """Subscribe to a subject, which may hold wildcards.

        Args:
            subject: `*` stands for one token, `>` at the end for all that follow.
            queue_group: of all members of a group, one gets each message.
            cb: called for each message. An async function runs in one task, one message at a time,
                in order; a plain function is called in place from the socket read, and must not
                wait.
            into: a queue that messages are put into.
            max_msgs: end after so many messages.
            pending_msgs_limit: how many messages may wait to be handled; None or negative: no
                limit.
            pending_bytes_limit: as much in bytes of headers and payload.
            on_full: what to do with a message beyond these limits, or that finds `into` full.
                "drop_new" drops it, "drop_old" the oldest ones in its place: both are counted, and
                reported to `on_error`. "error" ends the subscription; once what is pending is
                read, `SlowConsumerError` is raised. "block" drops nothing and has the socket read
                no more until half of the room is free again: everything on this connection waits,
                replies as well, so that it is not for a subscription with `cb` or `into`. After
                `ping_interval`, or 8 s if that is less, it drops new messages instead, until there
                is room.
            check: wait for the server's word that it accepts the subscription.

        Without `cb` and `into`, read with `async for` or `next_msg`. While reconnecting, the
        subscription is registered and takes effect with the next session.

        Raises:
            BadSubjectError, BadQueueNameError: a name is malformed.
            ConfigError: a limit is not above 0, both `cb` and `into` were given, or `on_full` is
                none of these, or contradicts the way in which messages are consumed.
            PermissionsError: with `check`, the server denied it.
            NatsTimeoutError: with `check`, there was no answer within 10 s; it is then ended.
            ConnectionClosedError, ConnectionDrainingError: no new subscriptions are taken.

        Ref: nats.go `Conn.Subscribe`.
        """
        check_consumer(cb, into)
        check_on_full(on_full, cb, into)
        if max_msgs is not None:
            check_max_msgs(max_msgs)
        limits = limits_of(pending_msgs_limit, pending_bytes_limit)
        self._link.check_open()
        sub = self._link.subscriptions.add(
            subject,
            queue_group,
            cb=cb,
            into=into,
            max_msgs=max_msgs,
            limits=limits,
            on_full=on_full,
        )
        if check:
            await self._link.check_accepted(sub)
        return sub

    @property
    def subscriptions(self) -> list[Subscription]:
        """The user's live subscriptions."""
        return self._link.subscriptions.of_user()

    # flushing and reconnecting

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
        await self._link.flush(timeout)

    async def barrier(self, timeout: float | None = 10.0) -> None:
        """Wait until the callbacks have handled all messages that were received before this call.

        A plain function has handled each when it was received; this waits for async ones, each of
        which handles one message at a time. Messages that come meanwhile are not waited for, nor
        are those which nobody has a callback for. With `flush` in front of it, all that the server
        had for us is handled. Called from a callback, it does not wait for that one. Cancelling it
        is safe.

        Raises:
            NatsTimeoutError: it took longer than `timeout` seconds.
            ConnectionClosedError: the connection is closed, or was closed meanwhile.
            BadTimeoutError: `timeout` is not above 0.

        Ref: nats.go `Conn.Barrier`.
        """
        if timeout is not None:
            check_timeout(timeout)
        try:
            async with asyncio.timeout(timeout):
                await self._link.subscriptions.catch_up()
        except TimeoutError:
            raise NatsTimeoutError(f"callbacks were still busy after {timeout:g} s") from None

    async def rtt(self) -> float:
        """Seconds that a round trip to the server takes now.

        Raises:
            NatsTimeoutError, FlushInterruptedError, ConnectionClosedError: as `flush`.

        Ref: nats.go `Conn.RTT`.
        """
        start = perf_counter()  # the loop's own clock may count whole milliseconds
        await self.flush()
        return perf_counter() - start

    async def force_reconnect(self) -> None:
        """Drop the session now and reconnect, without waiting; wakes a reconnect that waits.

        Requests and flushes in flight end with `ConnectionClosedError`. It works with
        `allow_reconnect=False` too.

        Raises:
            ConnectionClosedError: the connection is closed.

        Ref: nats.go `Conn.ForceReconnect`.
        """
        self._link.force_reconnect()

    def set_servers(self, servers: str | Sequence[str]) -> None:
        """Use these servers from the next reconnect on, in place of those known so far, the
        discovered ones included. The session that stands goes on, whatever its server is;
        `force_reconnect` leaves it. The next INFO adds the members of its cluster again, unless
        `ignore_discovered_servers` is set.

        Args:
            servers: as for `connect`; of the same scheme.

        Raises:
            ConfigError: one is no server's URL, there are none, or the scheme is another.
            ConnectionClosedError: the connection is closed.

        Ref: nats.go `Conn.SetServerPool`.
        """
        self._link.set_servers(servers)

    # the end

    async def drain(self) -> None:
        """Close without losing anything that was received or published.

        Subscriptions end and what they received is handled; requests in flight are waited for; then
        all is flushed, and the connection closes. After `drain_timeout` seconds it closes anyway. A
        second call waits for the first. Cancelling it leaves the drain to go on.

        Called from a callback (of a subscription, or of the connection) it returns at once, for the
        drain needs the callback to end; called from the body of an `async for` over a subscription
        or over replies, it waits for everything but that.

        Raises:
            ConnectionClosedError: the connection is closed, or was before all was handled and sent.
            ConnectionReconnectingError: there is no session to drain; the connection is now closed.
            DrainTimeoutError: not all ended in time; the connection is now closed.

        Ref: nats.go `Conn.Drain`.
        """
        await self._link.draining.drain()

    async def close(self) -> None:
        """Close now: waiting requests, reads and flushes end with `ConnectionClosedError`.

        What was published is still handed to the socket. Returns when the callbacks have run,
        except when called from one of them. Closing twice is harmless.

        Ref: nats.go `Conn.Close`.
        """
        await self._link.close()

    async def wait_closed(self) -> None:
        """Wait until the connection is closed, for whatever reason."""
        await self._link.wait_closed()

    # states and facts

    @property
    def status(self) -> Status:
        """The state of the connection."""
        return self._link.status

    @property
    def is_closed(self) -> bool:
        """Whether the connection is closed for good."""
        return self._link.is_closed

    @property
    def is_connected(self) -> bool:
        """Whether a session stands (also while draining)."""
        return self._link.is_connected

    @property
    def is_draining(self) -> bool:
        """Whether `drain` is under way."""
        return self._link.is_draining

    @property
    def is_reconnecting(self) -> bool:
        """Whether a session is being looked for."""
        return self._link.status is Status.RECONNECTING

    @property
    def server_info(self) -> ServerInfo | None:
        """The latest INFO of the server connected to; None if not connected."""
        session = self._link.session
        return None if session is None else session.info

    @property
    def connected_server_id(self) -> str | None:
        """The id of the server connected to; None if not connected."""
        session = self._link.session
        return None if session is None else session.info.server_id

    @property
    def connected_url(self) -> str | None:
        """The server connected to, credentials masked; None if not connected."""
        session = self._link.session
        return None if session is None else session.server.url

    @property
    def servers(self) -> list[str]:
        """The addresses of all servers known, without credentials."""
        return self._link.pool.addresses()

    @property
    def discovered_servers(self) -> list[str]:
        """The addresses of the servers that the cluster named."""
        return self._link.pool.addresses(discovered=True)

    @property
    def local_address(self) -> tuple[str, int] | None:
        """The socket's own address and port; None if not connected."""
        session = self._link.session
        return None if session is None else session.transport.address("sockname")

    @property
    def server_address(self) -> tuple[str, int] | None:
        """The server's address and port; None if not connected."""
        session = self._link.session
        return None if session is None else session.transport.address("peername")

    @property
    def max_payload(self) -> int:
        """How many bytes of headers and data the server takes in one message."""
        return self._outbound.max_payload

    @property
    def buffered(self) -> int:
        """Bytes published and not yet with the operating system, the reconnect buffer included."""
        return self._link.buffered

    def stats(self) -> Statistics:
        """A copy of the counters."""
        return self._link.stats()

    # events and errors

    def events(self) -> AsyncIterator[ConnectionEvent]:
        """What happens to the connection from now on, in order; ends when it is closed."""
        return self._callbacks.stream()

    def set_callback(self, name: str, callback: Callable[..., object] | None) -> None:
        """Replace (or with None remove) a callback, by its option's name, such as "on_error".

        Raises:
            ConfigError: there is no such callback.
            ConfigTypeError: it is not callable.
        """
        self._callbacks.set(name, callback)

    @property
    def last_error(self) -> Exception | None:
        """The latest error that no call could raise, or why it closed; None in a new session."""
        return self._link.last_error
