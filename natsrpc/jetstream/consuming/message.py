"""A message of a stream, as a consumer hands it out: what it is, and the word about its handling.

The rule: ack, nak and term are said once. The message is marked before the word is sent, so of two
tasks one wins; the mark goes if it could not be sent.
"""

from __future__ import annotations

from typing import Protocol

from natsrpc.core import Connection, Headers, Msg, check_timeout, decode
from natsrpc.errors import (
    ConfigError,
    ConsumerNotFoundError,
    MsgAlreadyAckedError,
    NatsTimeoutError,
    NoRespondersError,
)

from ..api import to_ns
from .reply import Metadata, metadata_of


class Out(Protocol):
    """The way out of the connection: `link.outbound` is one."""

    congested: bool

    def send(self, subject: bytes, data: bytes, reply: bytes = b"", headers: bytes = b"") -> None:
        """Publish, without waiting."""

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


class JsMsg:
    """A message from a consumer. `data` is its payload.

    Say what became of it by one of `ack`, `double_ack`, `nak` and `term`; `in_progress` asks for
    more time, as often as needed. What gets no word within the consumer's `ack_wait` is delivered
    again.
    """

    __slots__ = ("_msg", "_origin", "data")

    def __init__(self, msg: Msg, origin: Origin) -> None:
        self._msg = msg
        self._origin: Origin | None = origin  # None once the word was said
        self.data: bytes = msg.data

    def __repr__(self) -> str:
        return f"<JsMsg {self.subject!r} {self.reply!r} data={len(self.data)}B>"

    @property
    def subject(self) -> str:
        """The subject that it was published to."""
        return decode(self._msg.raw_subject)

    @property
    def reply(self) -> str:
        """The subject for the word about its handling."""
        return decode(self._msg.raw_reply)

    @property
    def headers(self) -> Headers:
        """Its headers, decoded on first use."""
        return self._msg.headers

    @property
    def metadata(self) -> Metadata:
        """Where it stands in its stream and consumer, read anew each time.

        Raises:
            JetStreamError: its reply subject is not of JetStream's form.
        """
        return metadata_of(self._msg.raw_reply)

    @property
    def is_done(self) -> bool:
        """Whether it was acked, nakked or terminated."""
        return self._origin is None

    async def ack(self) -> None:
        """Say that it is handled. Nothing is waited for but room to write.

        Raises:
            MsgAlreadyAckedError: the word about it was said before.
            ConnectionClosedError: the connection is closed.
            ReconnectBufferExceededError: there is no connection now, and no room to keep the word.
        """
        origin = self._origin
        if origin is None:
            raise self._said()
        self._origin = None
        out = origin.out
        try:
            out.send(self._msg.raw_reply, b"+ACK")
        except BaseException:
            self._origin = origin
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
        origin = self._origin
        if origin is None:
            raise self._said()
        self._origin = None
        try:
            await origin.request(self._msg.raw_reply, b"+ACK", timeout)
        except NoRespondersError as error:
            self._origin = origin
            raise ConsumerNotFoundError(
                f"nobody takes the ack on {self.reply!r}: the consumer is gone, or takes none",
                code=503,
            ) from error
        except NatsTimeoutError:
            self._origin = origin
            raise NatsTimeoutError(
                f"the ack of {self.subject!r} was not confirmed within {timeout:g} s",
                subject=self.reply,
            ) from None
        except BaseException:
            self._origin = origin
            raise

    async def nak(self, delay: float | None = None) -> None:
        """Give it back: it is delivered again, at once or after `delay` seconds.

        It counts as a delivery. Without `delay` it comes back at once even if the consumer has a
        `backoff`.

        Raises:
            ConfigError: `delay` is not 0 or more seconds.
            MsgAlreadyAckedError, ConnectionClosedError, ReconnectBufferExceededError: as `ack`.
        """
        word = b"-NAK"
        if delay is not None:
            if isinstance(delay, bool) or not isinstance(delay, (int, float)) or not delay >= 0:
                raise ConfigError(f"nak(delay=...) must be 0 or more seconds, not {delay!r}")
            word = b'-NAK {"delay": %d}' % to_ns(delay)
        await self._say(word)

    async def term(self, reason: str | None = None) -> None:
        """Say that it must not be delivered again. The reason goes into the server's advisory.

        Raises:
            MsgAlreadyAckedError, ConnectionClosedError, ReconnectBufferExceededError: as `ack`.
        """
        await self._say(b"+TERM " + reason.encode() if reason else b"+TERM")

    async def in_progress(self) -> None:
        """Ask for more time: the consumer's `ack_wait` begins anew.

        Raises:
            MsgAlreadyAckedError, ConnectionClosedError, ReconnectBufferExceededError: as `ack`.
        """
        origin = self._origin
        if origin is None:
            raise self._said()
        out = origin.out
        out.send(self._msg.raw_reply, b"+WPI")
        if out.congested:
            await out.writable()

    async def _say(self, word: bytes) -> None:
        origin = self._origin
        if origin is None:
            raise self._said()
        self._origin = None
        out = origin.out
        try:
            out.send(self._msg.raw_reply, word)
        except BaseException:
            self._origin = origin
            raise
        if out.congested:
            await out.writable()

    def _said(self) -> MsgAlreadyAckedError:
        return MsgAlreadyAckedError(
            f"message {self.reply!r} was acked, nakked or terminated before: that is said once"
        )
