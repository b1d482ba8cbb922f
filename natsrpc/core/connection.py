"""The long-lived connection to NATS, as users hold it. `link.py` keeps it connected."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from logging import getLogger
from time import perf_counter
from types import TracebackType

from natsrpc.errors import (
    ConfigError,
    ConfigTypeError,
    ConnectionClosedError,
    ConnectionReconnectingError,
    DrainTimeoutError,
    InvalidMsgError,
    NatsError,
    NatsTimeoutError,
    PermissionsError,
)

from .asking import Requests
from .options import Options
from .session import HIGH_WATER, Sink
from .stats import Status
from .subscriptions import (
    PENDING_BYTES_LIMIT,
    PENDING_MSGS_LIMIT,
    MsgCallback,
    Subscription,
    check_max_msgs,
)
from .wire import (
    HeaderValues,
    Msg,
    Payload,
    check_fit,
    check_publish,
    check_reply,
    payload_bytes,
    published,
)

log = getLogger("natsrpc.core")

_FINAL_FLUSH_TIMEOUT = 5.0


async def opened(options: Options) -> Connection:
    """A connection that is open: what `connect` waits for."""
    connection = Connection(options)
    await connection._open()  # noqa: SLF001  the same file: this is the constructor's other half
    return connection


class Connection(Requests):
    """A connection to NATS, kept over any number of sessions. Made by `connect`."""

    async def __aenter__(self) -> Connection:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            await self.drained()
        await self.close()

    async def drained(self) -> None:
        """Wait for a drain that was begun in a callback, which could not; at once if none was."""
        if self._draining is not None:
            await asyncio.wait({self._draining})

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
            BadSubjectError: the subject or reply is malformed or holds a wildcard.
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
        size, transport = len(data), self.transport
        if reply or headers or transport is None or size > self._max_copied:
            self._publish(encoded, data, reply, headers)
        else:  # as `send` and `transport.write` do: each call would be a tenth of it
            frame = b"PUB %b %d\r\n%b\r\n" % (encoded, size, data)
            collected = transport.frames
            if not collected:
                transport.begin()
            collected.append(frame)
            transport.unsent = unsent = transport.unsent + len(frame)
            if unsent >= HIGH_WATER:
                transport.press(congested=True)
            self._out_msgs += 1
            self._out_bytes += size
        if self.congested:
            await self.writable()

    def _publish(
        self, subject: bytes, data: bytes, reply: str | None, headers: HeaderValues | None
    ) -> None:
        answer_to = b""
        if reply:
            answer_to = check_reply(reply)
            check_fit(subject, answer_to)
        self.send(subject, data, answer_to, self._block(headers) if headers else b"")

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
            cb: called for each message. An async function runs in one task, one message at a time,
                in order; a plain function is called in place from the socket read, and must not
                wait.
            into: a queue that messages are put into; one that is full drops them.
            max_msgs: end after so many messages.
            pending_msgs_limit: how many messages may wait to be handled; further ones are dropped,
                counted and reported to `on_error`. None or negative: no limit.
            pending_bytes_limit: as much in bytes of headers and payload.
            check: wait for the server's word that it accepts the subscription.

        Without `cb` and `into`, read with `async for` or `next_msg`. While reconnecting, the
        subscription is registered and takes effect with the next session.

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
            await self._check_accepted(sub)
        return sub

    async def _check_accepted(self, sub: Subscription) -> None:
        try:
            await self.flush()
        except BaseException:
            sub.discard()
            raise
        if isinstance(sub.end_error, PermissionsError):
            raise sub.end_error

    def attach(self, subject: str, sink: Sink, *, queue_group: str = "") -> Subscription:
        """Subscribe a bare sink: it gets every message in place, uncounted. The path that services
        take.

        Raises:
            BadSubjectError, BadQueueNameError, ConnectionClosedError, ConnectionDrainingError: as
                `subscribe`.
        """
        self.check_open()
        sub = self._register(subject, queue_group, cb=sink)
        self.sinks[sub.raw_sid] = sink
        return sub

    # flushing

    async def rtt(self) -> float:
        """Seconds that a round trip to the server takes now.

        Raises:
            NatsTimeoutError, FlushInterruptedError, ConnectionClosedError: as `flush`.
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
        """
        if self._status is Status.CLOSED:
            raise ConnectionClosedError
        if self._session is None:
            self._supervisor.hurry()
            return
        self._forced = True
        self.mux.fail_all(ConnectionClosedError("the connection was dropped by force_reconnect"))
        self._session.lose(None)

    # the end

    def add_drain_hook(self, hook: Callable[[], Awaitable[None]]) -> None:
        """Have an async function awaited at the start of every drain: services end themselves
        there."""
        self._drain_hooks.append(hook)

    def remove_drain_hook(self, hook: Callable[[], Awaitable[None]]) -> None:
        """Undo `add_drain_hook`."""
        if hook in self._drain_hooks:
            self._drain_hooks.remove(hook)

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
        if self._draining is None:
            if self._status is Status.CLOSED:
                raise ConnectionClosedError
            if self._session is None:
                await self.close()
                raise _reconnecting()
            self._draining = self.loop.create_task(self._drain(), name="natsrpc drain")
            self._draining.add_done_callback(_retrieve)
        task = asyncio.current_task()
        self._inflight.excuse(task)
        excused = [sub.excuse(task) for sub in (*self._subs.values(), *self._finishing)]
        if any(excused) or task is self._draining or self._callbacks.runs_in(task):
            return
        await asyncio.wait({self._draining})
        self._draining.result()

    async def _drain(self) -> None:
        try:
            async with asyncio.timeout(self.options.drain_timeout):
                await self._run_drain_hooks()
                self._start_draining()
                await self._drain_subscriptions()
                await self._inflight.idle()
                await self.mux.idle()
        except TimeoutError:
            if self._status is not Status.CLOSED:
                error = DrainTimeoutError(f"draining took over {self.options.drain_timeout:g} s")
                self.report(error, None)
                with contextlib.suppress(NatsError):
                    await self._finish_draining()
                raise error from None
        if self._status is Status.CLOSED:
            raise ConnectionClosedError("connection was closed before its drain was over")
        await self._finish_draining()

    async def _run_drain_hooks(self) -> None:
        for hook in list(self._drain_hooks):
            try:
                await hook()
            except Exception as error:
                self.report(error, None)

    def _start_draining(self) -> None:
        if self._status is Status.CLOSED:
            return
        if self._session is None:
            self._shut(None)
            raise _reconnecting()
        self._status = Status.DRAINING_SUBS

    async def _drain_subscriptions(self) -> None:
        """End what users subscribed; the inboxes of requests stay open for those still waiting."""
        waits = [sub.drain() for sub in self._subs.values() if not sub.is_inbox]
        waits += [sub.finished() for sub in self._finishing]
        for result in await asyncio.gather(*waits, return_exceptions=True):
            if isinstance(result, Exception) and not isinstance(result, NatsError):
                self.report(result, None)

    async def _finish_draining(self) -> None:
        self._status = Status.DRAINING_PUBS
        self._write_nowhere(self._refuse_draining)
        try:
            await self.flush(_FINAL_FLUSH_TIMEOUT)
        except NatsTimeoutError as timeout:
            error = DrainTimeoutError(f"at the end of a drain: {timeout}")
            self.report(error, None)
            raise error from None
        finally:
            await self.close()

    async def wait_closed(self) -> None:
        """Wait until the connection is closed, by whomever."""
        await self._closed.wait()


def _reconnecting() -> ConnectionReconnectingError:
    return ConnectionReconnectingError("cannot drain while reconnecting: closed instead")


def _retrieve(task: asyncio.Task[None]) -> None:
    """Take note of a drain's failure, though nobody may wait for it: it was told to `on_error`."""
    if not task.cancelled():
        task.exception()
