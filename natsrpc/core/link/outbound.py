"""The way out of a connection, which stays while sessions come and go.

Frames go to `transport`, the current session's, or where there is none to `_divert`: the reconnect
buffer, or a refusal. Both are switched with the state, so `send` need not ask.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from natsrpc.errors import (
    ConnectionClosedError,
    ConnectionDrainingError,
    MaxPayloadError,
    NatsTimeoutError,
)

from ..options import Options
from ..session import HIGH_WATER, Session, Transport
from ..stats import Status
from ..timers import check_timeout
from ..wire import frames
from .outbox import Outbox

NO_LIMIT = 1 << 62


class Outbound:
    """The part of a connection that sends.

    `congested` tells that so much is unsent that producers should wait for `writable`.
    """

    # A connection has more attributes than CPython keeps within an object (30): what every message
    # needs has slots.
    __slots__ = (
        "__dict__",
        "__weakref__",
        "_max_copied",
        "_out_bytes",
        "_out_msgs",
        "congested",
        "transport",
    )

    def __init__(self, options: Options) -> None:
        self.options = options
        self.loop = asyncio.get_running_loop()
        self.max_payload = NO_LIMIT
        self.congested = False
        self._status = Status.CONNECTING
        self._session: Session | None = None
        self._outbox = Outbox(options.reconnect_buffer_size)
        self.transport: Transport | None = None
        self._divert: Callable[[bytes], None] = self._outbox.put
        self._parked_flushes: list[asyncio.Future[None]] = []
        self._out_msgs = self._out_bytes = 0

    @property
    def max_payload(self) -> int:
        """How many bytes of headers and data the server takes in one message."""
        return self._max_payload

    @max_payload.setter
    def max_payload(self, size: int) -> None:
        self._max_payload = size
        self._max_copied = min(size, frames.LARGE)

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
        if size > self._max_copied:
            self._send_large(subject, data, reply, headers, size)
            return
        if headers:
            frame = frames.hpub(subject, headers, data, reply)
        elif reply:  # as `frames.pub` does; the call would be a tenth of a publish
            frame = b"PUB %b %b %d\r\n%b\r\n" % (subject, reply, size, data)
        else:
            frame = b"PUB %b %d\r\n%b\r\n" % (subject, size, data)
        transport = self.transport
        if transport is None:
            self._divert(frame)
        else:  # as `transport.write` does
            collected = transport.frames
            if not collected:
                transport.begin()
            collected.append(frame)
            transport.unsent = unsent = transport.unsent + len(frame)
            if unsent >= HIGH_WATER:
                transport.press(congested=True)
        self._out_msgs += 1
        self._out_bytes += size

    def _send_large(
        self, subject: bytes, data: bytes, reply: bytes, headers: bytes, size: int
    ) -> None:
        if size > self._max_payload:
            raise MaxPayloadError(size, self._max_payload)
        if type(data) is not bytes:  # a codec's: it could change before it is written
            data = bytes(data)
        frame = frames.large(subject, headers, data, reply)
        if self.transport is None:
            self._divert(bytes(frame))
        else:
            self.transport.write(frame)
        self._out_msgs += 1
        self._out_bytes += size

    def session_pressed(self, session: Session, congested: bool) -> None:
        """A session's output became congested, or is no longer."""
        if session is self._session:
            self.congested = congested

    def push(self) -> None:
        """Hand over to the socket what it takes of what was sent in this loop turn."""
        if self._session is not None:
            self._session.transport.write_out()

    async def writable(self) -> None:
        """Wait until the socket takes more, or the session is lost."""
        if self._session is not None:
            await self._session.transport.writable()

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

    # where it goes

    def _write_to(self, session: Session) -> None:
        """What is sent from now on goes to a session."""
        self.transport = session.transport
        self.congested = session.transport.is_congested

    def _write_nowhere(self, divert: Callable[[bytes], None]) -> None:
        """What is sent from now on goes to no session."""
        self.transport, self._divert = None, divert
        self.congested = False

    def _refuse(self, frame: bytes) -> None:
        raise ConnectionClosedError

    def _refuse_draining(self, frame: bytes) -> None:
        raise ConnectionDrainingError("the connection is draining: nothing more is published")


def _flush_expired(waiter: asyncio.Future[None], timeout: float) -> None:
    if not waiter.done():
        waiter.set_exception(NatsTimeoutError(f"flush not answered within {timeout:g} s"))
