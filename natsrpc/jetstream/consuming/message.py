"""A message of a stream, as a consumer hands it out: what it is, and the word about its handling.

The rule: ack, nak and term are said once. The message is marked before the word is sent, so of two
tasks one wins; the mark goes if it could not be sent.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, cast

from natsrpc.core import (
    HIGH_WATER,
    Connection,
    HeaderValues,
    Msg,
    Payload,
    check_timeout,
    decode,
)
from natsrpc.errors import (
    ConfigTypeError,
    ConsumerNotFoundError,
    MsgAlreadyAckedError,
    MsgNoReplyError,
    NatsTimeoutError,
    NoRespondersError,
)

from ..api import check_seconds, to_ns
from .reply import Metadata, metadata_of


class Out(Protocol):
    """The way out of the connection: `link.outbound` is one."""

    congested: bool
    transport: Any
    sent_msgs: int
    sent_bytes: int

    def send(self, subject: bytes, data: bytes, reply: bytes = b"", headers: bytes = b"") -> None:
        """Publish, without waiting."""

    def put(self, frame: bytes, size: int) -> None:
        """Publish a frame with `size` bytes of data, without waiting."""

    async def writable(self) -> None:
        """Wait until there is room to write."""


class Origin:
    """The connection that messages came by: one for all messages of a consumer."""

    __slots__ = ("_connection", "out")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.out: Out = connection.link.outbound

    async def request(self, subject: bytes, data: bytes, timeout: float) -> Msg:
        """Send a request, and wait for its answer.

        Raises:
            NoRespondersError, NatsTimeoutError, ConnectionClosedError: as `Connection.request`.
        """
        if self._connection.options.old_style_requests:
            return await self._connection.request(decode(subject), data, timeout=timeout)
        # Not by the connection: each ack subject would take a place among those it has checked.
        return await self._connection.link.requests.request(subject, data, b"", timeout)


class JsMsg(Msg):
    """A message from a consumer: a `natsrpc.core.Msg` with the word about its handling.

    Say what became of it by one of `ack`, `double_ack`, `nak` and `term`; `in_progress` asks for
    more time, as often as needed. What gets no word within the consumer's `ack_wait` is delivered
    again.

    It is the received message itself, in another class: a second object for each would be a fifth
    of the work. `sub` is its consumer's `Origin`, and None once the word was said.
    """

    __slots__ = ()

    sub: Any

    def __repr__(self) -> str:
        return f"<JsMsg {self.subject!r} {self.reply!r} data={len(self.data)}B>"

    @property
    def metadata(self) -> Metadata:
        """Where it stands in its stream and consumer, read anew each time.

        Raises:
            JetStreamError: its reply subject is not of JetStream's form.
        """
        return metadata_of(self.raw_reply)

    @property
    def is_done(self) -> bool:
        """Whether it was acked, nakked or terminated."""
        return self.sub is None

    async def ack(self) -> None:
        """Say that it is handled. Nothing is waited for but room to write.

        Raises:
            MsgAlreadyAckedError: the word about it was said before.
            ConnectionClosedError: the connection is closed.
            ReconnectBufferExceededError: there is no connection now, and no room to keep the word.
        """
        origin: Origin | None = self.sub
        if origin is None:
            raise self._said()
        self.sub = None
        out = origin.out
        frame = b"PUB %b 4\r\n+ACK\r\n" % self.raw_reply
        transport = out.transport
        try:
            if transport is None:
                out.put(frame, 4)
            else:
                # `Outbound.put` in place: its call would be a fiftieth of all that a message takes.
                # tests/core/test_copies.py holds both equal.
                collected = transport.frames
                if not collected:
                    transport.begin()
                collected.append(frame)
                transport.unsent = unsent = transport.unsent + len(frame)
                if unsent >= HIGH_WATER:
                    transport.press(congested=True)
                out.sent_msgs += 1
                out.sent_bytes += 4
        except BaseException:
            self.sub = origin
            raise
        if out.congested:
            await out.writable()

    async def double_ack(self, timeout: float = 5.0) -> None:
        """Say that it is handled, and wait until the server has noted it. If that fails, the word
        may be said again.

        Raises:
            MsgAlreadyAckedError: the word about it was said before.
            ConsumerNotFoundError: the consumer is gone, or takes no acks.
            NatsTimeoutError: no answer came within `timeout` seconds: it may be noted or not.
            ConnectionClosedError: the connection is closed.
        """
        check_timeout(timeout)
        origin: Origin | None = self.sub
        if origin is None:
            raise self._said()
        self.sub = None
        try:
            await origin.request(self.raw_reply, b"+ACK", timeout)
        except NoRespondersError as error:
            self.sub = origin
            raise ConsumerNotFoundError(
                f"nobody takes the ack on {self.reply!r}: the consumer is gone, or takes none",
                code=503,
            ) from error
        except NatsTimeoutError:
            self.sub = origin
            raise NatsTimeoutError(
                f"the ack of {self.subject!r} was not confirmed within {timeout:g} s",
                subject=self.reply,
            ) from None
        except BaseException:
            self.sub = origin
            raise

    async def nak(self, delay: float | None = None) -> None:
        """Give it back: it is delivered again, at once or after `delay` seconds.

        It counts as a delivery. Without `delay` it comes back at once even if the consumer has a
        `backoff`.

        Raises:
            ConfigError, ConfigTypeError: `delay` is not 0 or more seconds, or more than 9e9, which
                is all that servers can count.
            MsgAlreadyAckedError, ConnectionClosedError, ReconnectBufferExceededError: as `ack`.
        """
        word = b"-NAK"
        if delay is not None:
            word = b'-NAK {"delay": %d}' % to_ns(check_seconds("nak(delay=...)", delay))
        await self._say(word)

    async def term(self, reason: str | None = None) -> None:
        """Say that it must not be delivered again. The reason goes into the server's advisory.

        Raises:
            ConfigTypeError: the reason is no str.
            MsgAlreadyAckedError, ConnectionClosedError, ReconnectBufferExceededError: as `ack`.
        """
        if reason is not None and not isinstance(reason, str):
            raise ConfigTypeError(f"term(reason=...) must be a str, not {reason!r}")
        await self._say(b"+TERM " + reason.encode(errors="replace") if reason else b"+TERM")

    async def in_progress(self) -> None:
        """Ask for more time: the consumer's `ack_wait` begins anew.

        Raises:
            MsgAlreadyAckedError, ConnectionClosedError, ReconnectBufferExceededError: as `ack`.
        """
        origin: Origin | None = self.sub
        if origin is None:
            raise self._said()
        out = origin.out
        out.send(self.raw_reply, b"+WPI")
        if out.congested:
            await out.writable()

    async def _say(self, word: bytes) -> None:
        origin: Origin | None = self.sub
        if origin is None:
            raise self._said()
        self.sub = None
        out = origin.out
        try:
            out.send(self.raw_reply, word)
        except BaseException:
            self.sub = origin
            raise
        if out.congested:
            await out.writable()

    def _said(self) -> MsgAlreadyAckedError:
        return MsgAlreadyAckedError(
            f"message {self.reply!r} was acked, nakked or terminated before: that is said once"
        )

    def respond_nowait(self, data: Payload = b"", headers: HeaderValues | None = None) -> None:
        """Refused: the reply subject takes the word about the message, and nothing else.

        Raises:
            MsgNoReplyError: always.
        """
        raise MsgNoReplyError(f"message on {self.subject!r} is from a stream: it is acked")


def handed_out(msgs: Iterable[Msg], origin: Origin) -> list[JsMsg]:
    """Received messages as users get them."""
    for msg in msgs:
        msg.__class__ = JsMsg
        msg.sub = origin
    return cast("list[JsMsg]", msgs)
