"""Outbound: the way of every published message to the current session, or to the reconnect buffer.

One `Outbound` lives as long as its connection. The link points it at a session (`write_to`), at the
buffer (`keep`) or at a refusal (`refuse`) in the loop turn in which the state of the connection
changes, so `send` need not look at that state. The rule: `transport` is the current session's, or
None; only where it is None a frame goes to `_divert`.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Protocol

from natsrpc.errors import HeadersNotSupportedError, MaxPayloadError, NatsError

from ..session import HIGH_WATER, Transport
from ..wire import HeaderValues, ServerInfo, encode_headers, frames
from .outbox import Outbox, Revise, refusal, reply_of, revised

NO_LIMIT = 1 << 62

_PURGE_SHARE = 20  # a full buffer is looked through for a twentieth of the time at most


class Send(Protocol):
    """The type of `Outbound.send`."""

    def __call__(
        self, subject: bytes, data: bytes, reply: bytes = b"", headers: bytes = b""
    ) -> None:
        """Publish without checks and without waiting."""


class Outbound:
    """Sends messages for one connection, and counts them. Made by the link.

    `Connection.publish`, the request mux, `Msg.respond` and the rooms above core (as
    `connection.link.outbound`) call it. `congested` tells that so much is unsent that a producer
    should await `writable`.
    """

    __slots__ = (
        "__weakref__",
        "_divert",
        "_max_payload",
        "_outbox",
        "_purge_after",
        "_revise",
        "congested",
        "max_copied",
        "sent_bytes",
        "sent_msgs",
        "takes_headers",
        "transport",
    )

    def __init__(self, buffer_size: int, revise: Revise) -> None:
        self._outbox = Outbox(buffer_size)
        self._revise = revise
        self._purge_after = 0.0
        self._divert: Callable[[bytes], None] = self._buffer
        self.transport: Transport | None = None
        self.congested: bool = False
        self.takes_headers: bool = True
        self.max_payload = NO_LIMIT
        self.sent_msgs: int = 0
        self.sent_bytes: int = 0

    @property
    def max_payload(self) -> int:
        """How many bytes of headers and data the server takes in one message."""
        return self._max_payload

    @max_payload.setter
    def max_payload(self, size: int) -> None:
        self._max_payload = size
        # One comparison tells that a message is neither too large nor worth a frame without a copy.
        self.max_copied: int = min(size, frames.LARGE)

    # sending

    def send(self, subject: bytes, data: bytes, reply: bytes = b"", headers: bytes = b"") -> None:
        """Publish without checks and without waiting: the path that requests and replies take.

        `subject` and `reply` are checked and encoded, `headers` is an encoded block or `b""`. A
        caller that sends much should look at `congested` first.

        Raises:
            MaxPayloadError: headers and data are larger than the server's `max_payload`.
            ConnectionClosedError: the connection is closed.
            ConnectionDrainingError: the connection drains, and publishes nothing more.
            ReconnectBufferExceededError: there is no connection now, and no room to keep the
                message.
        """
        size = len(data) + len(headers)
        if size > self.max_copied:
            self._send_large(subject, data, reply, headers, size)
            return
        if headers:
            frame = frames.hpub(subject, headers, data, reply)
        elif reply:
            frame = b"PUB %b %b %d\r\n%b\r\n" % (subject, reply, size, data)
        else:
            frame = b"PUB %b %d\r\n%b\r\n" % (subject, size, data)
        transport = self.transport
        if transport is None:
            self._divert(frame)
        else:
            # The body of `Transport.write`: its call would be a tenth of a publish. `publish` has
            # it once more; tests/core/test_copies.py holds the three equal.
            collected = transport.frames
            if not collected:
                transport.begin()
            collected.append(frame)
            transport.unsent = unsent = transport.unsent + len(frame)
            if unsent >= HIGH_WATER:
                transport.press(congested=True)
        self.sent_msgs += 1
        self.sent_bytes += size

    def put(self, frame: bytes, size: int) -> None:
        """Publish a frame that the caller has built, with `size` bytes of data: `send` for the acks
        of JetStream, whose frames differ in one field.

        Raises:
            ConnectionClosedError, ConnectionDrainingError, ReconnectBufferExceededError: as `send`.
        """
        transport = self.transport
        if transport is None:
            self._divert(frame)
        else:
            collected = transport.frames
            if not collected:
                transport.begin()
            collected.append(frame)
            transport.unsent = unsent = transport.unsent + len(frame)
            if unsent >= HIGH_WATER:
                transport.press(congested=True)
        self.sent_msgs += 1
        self.sent_bytes += size

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
        self.sent_msgs += 1
        self.sent_bytes += size

    def encode(self, headers: HeaderValues) -> bytes:
        """Headers as a block for `send`.

        Raises:
            BadHeaderError: a name or value cannot be sent.
            HeadersNotSupportedError: the current server does not support headers.
        """
        block = encode_headers(headers)
        if not self.takes_headers:
            raise HeadersNotSupportedError("the server does not support message headers")
        return block

    def push(self) -> None:
        """Hand over to the socket what it takes of what was sent in this loop turn."""
        if self.transport is not None:
            self.transport.write_out()

    async def writable(self) -> None:
        """Wait until the socket takes more, or the session is lost."""
        if self.transport is not None:
            await self.transport.writable()

    # where frames go: called by the link, when its state changes

    def write_to(self, transport: Transport) -> None:
        """Send to a session from now on."""
        self.transport = transport
        self.congested = transport.is_congested

    def keep(self) -> None:
        """Keep what is sent from now on for the next session."""
        self._write_nowhere(self._buffer)

    def refuse(self, error: Callable[[], NatsError]) -> None:
        """Raise `error()` for all that is sent from now on."""

        def refuse(frame: bytes) -> None:
            raise error()

        self._write_nowhere(refuse)

    def _write_nowhere(self, divert: Callable[[bytes], None]) -> None:
        self.transport, self._divert = None, divert
        self.congested = False
        self.takes_headers = True  # the next server may

    def note_info(self, info: ServerInfo) -> None:
        """Keep to the limits that the current server names."""
        self.max_payload = info.max_payload or NO_LIMIT
        self.takes_headers = info.headers

    def note_pressure(self, transport: Transport, *, congested: bool) -> None:
        """Take note that a transport became congested, or is no longer."""
        if transport is self.transport:
            self.congested = congested

    # the reconnect buffer

    @property
    def buffered(self) -> int:
        """Bytes in the reconnect buffer."""
        return self._outbox.size

    def _buffer(self, frame: bytes) -> None:
        if self._outbox.is_full and self._purge_after <= (began := monotonic()):
            self._outbox.purge(self._revise)
            ended = monotonic()
            self._purge_after = ended + _PURGE_SHARE * (ended - began)
        self._outbox.put(frame)

    def carry(self, unsent: list[bytes]) -> None:
        """Put the messages that a lost session never wrote in front of the buffer."""
        self._outbox.carry(frames.publishes(unsent))

    def abandon(self, is_told: Callable[[bytes], bool]) -> tuple[int, int]:
        """Forget what is buffered: as `Outbox.abandon`, which describes it."""
        return self._outbox.abandon(is_told)

    def replay(self, transport: Transport, info: ServerInfo) -> list[tuple[NatsError, bytes]]:
        """Write what is buffered to a new session; why some of it cannot be, with the reply subject
        of each."""
        refused = []
        for buffered in self._outbox.take():
            frame = revised(buffered, self._revise)
            if frame is None:
                continue
            if error := refusal(frame, info):
                refused.append((error, reply_of(frame)))
            else:
                transport.write(frame)
        return refused
