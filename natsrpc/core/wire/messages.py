"""The objects that the parser makes of frames from the server: `Msg`, `Info`, `Err` and others.

A `Msg` is handed to the user as it is: there is no second object for one message. Its fields stay
the bytes received until they are read as text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final, Protocol, TypeAlias, final

from natsrpc.errors import InvalidMsgError, MsgNoReplyError, MsgNotBoundError

from .headers import Headers, HeaderValues, encode_headers, status_of
from .subject import check_publish, check_reply, decode

Payload: TypeAlias = bytes | bytearray | memoryview
"""What is taken as the data of a message."""


class Responder(Protocol):
    """The sender of a message's reply: the part of a connection that `Msg.respond` needs."""

    def send(self, subject: bytes, data: bytes, reply: bytes = b"", headers: bytes = b"") -> None:
        """Publish `data` under the raw subject, with an encoded header block or `b""`."""

    @property
    def congested(self) -> bool:
        """Whether a sender should now wait for `writable`."""
        ...

    async def writable(self) -> None:
        """Wait until the write buffer has room again."""


class Msg:
    """One message, received or made to be published. A room above core may give what it received
    another class, with the same fields: a JetStream message is one with more methods.

    `data` is the payload. `raw_subject`, `raw_reply` and `raw_headers` are bytes as on the wire
    (`b""` if absent); `subject`, `reply` and `headers` are the same as text. `sid` is the number of
    the subscription on the wire, `sub` the subscription that it was delivered to; both are empty in
    a message made by hand.
    """

    __slots__ = (
        "data",
        "decoded",
        "raw_headers",
        "raw_reply",
        "raw_subject",
        "responder",
        "sid",
        "sub",
    )

    raw_subject: bytes
    sid: bytes
    raw_reply: bytes
    data: bytes
    raw_headers: bytes
    responder: Responder | None
    sub: Any
    decoded: Headers | None

    def __init__(
        self,
        subject: str,
        data: Payload = b"",
        reply: str = "",
        headers: HeaderValues | None = None,
    ) -> None:
        """Make a message to publish.

        Raises:
            BadSubjectError: the subject or reply is malformed.
            BadHeaderError: a header cannot be sent.
            InvalidMsgError: `data` is not bytes-like.
        """
        self.raw_subject = check_publish(subject)
        self.raw_reply = check_reply(reply) if reply else b""
        self.data = payload_bytes(data)
        self.raw_headers = encode_headers(headers) if headers else b""
        self.sid = b""
        self.responder = None
        self.sub = None
        self.decoded = None

    @property
    def subject(self) -> str:
        """The subject that the message was published to."""
        return decode(self.raw_subject)

    @property
    def reply(self) -> str:
        """The subject on which an answer is expected; "" if none is expected."""
        return decode(self.raw_reply)

    @property
    def headers(self) -> Headers:
        """The headers, decoded on first use; empty if there are none, or if they are malformed
        (`headers.malformed` tells)."""
        headers = self.decoded
        if headers is None:
            headers = self.decoded = (
                Headers.decode(self.raw_headers) if self.raw_headers else Headers()
            )
        return headers

    @property
    def status(self) -> int | None:
        """The status of a message from the server itself (503: no responders), else None.

        Only an empty message can be one: a status line in front of a payload was written by a peer.
        """
        return None if self.data or not self.raw_headers else status_of(self.raw_headers)[0]

    @property
    def status_text(self) -> str:
        """The description beside `status`, often empty."""
        return "" if self.data or not self.raw_headers else status_of(self.raw_headers)[1]

    async def respond(self, data: Payload = b"", headers: HeaderValues | None = None) -> None:
        """Publish an answer to `reply`. The request's headers are not copied into it.

        The answer is on its way when this is called; afterwards it waits, if the connection is
        congested, until the write buffer has room again. Cancelled meanwhile, the answer is sent.

        Args:
            data: the payload.
            headers: headers of the answer.

        Raises:
            MsgNoReplyError: the message expects no answer.
            MsgNotBoundError: the message did not come from a connection.
            InvalidMsgError: `data` is not bytes-like.
            BadHeaderError: a header cannot be sent.
            MaxPayloadError, ConnectionClosedError: as `Connection.publish`.
        """
        self.respond_nowait(data, headers)
        if self.responder.congested:  # type: ignore[union-attr]  # it has just sent
            await self.responder.writable()  # type: ignore[union-attr]  # likewise

    def respond_nowait(self, data: Payload = b"", headers: HeaderValues | None = None) -> None:
        """Publish an answer as `respond` does, but never wait: for callbacks that are plain
        functions. A connection that is congested takes the answer, too, into its write buffer.

        Raises:
            MsgNoReplyError, MsgNotBoundError, InvalidMsgError, BadHeaderError, MaxPayloadError,
                ConnectionClosedError: as `respond`.
        """
        responder = self.responder
        if responder is None:
            raise MsgNotBoundError(
                "a message made by hand cannot be answered: it has no connection"
            )
        if not self.raw_reply:
            raise MsgNoReplyError(f"message on {self.subject!r} has no reply subject")
        if type(data) is not bytes:
            data = payload_bytes(data)
        responder.send(self.raw_reply, data, b"", encode_headers(headers) if headers else b"")

    async def respond_msg(self, msg: Msg) -> None:
        """Publish an answer with the data and headers of another message, as `respond` does.

        Raises:
            InvalidMsgError: `msg` is not a `Msg`.
            MsgNoReplyError, MsgNotBoundError, BadHeaderError, MaxPayloadError,
                ConnectionClosedError: as `respond`.
        """
        if not isinstance(msg, Msg):
            raise InvalidMsgError(f"expected a Msg, not {msg!r}")
        await self.respond(msg.data, msg.headers or None)

    def __repr__(self) -> str:
        reply = f" reply={self.reply!r}" if self.raw_reply else ""
        headers = f" headers={len(self.raw_headers)}B" if self.raw_headers else ""
        return f"<Msg {self.subject!r}{reply}{headers} data={len(self.data)}B>"


def payload_bytes(data: Payload) -> bytes:
    """Return a payload as `bytes`, copied unless it is `bytes` already.

    Raises:
        InvalidMsgError: the payload is not bytes-like. A str is not: the caller must encode it.
    """
    if type(data) is bytes:
        return data
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    try:
        return memoryview(data).tobytes()
    except TypeError as error:
        raise InvalidMsgError(
            f"payload must be bytes, bytearray or memoryview, not {type(data).__name__}"
        ) from error


Sink: TypeAlias = Callable[[Msg], None]
"""Takes one message, at once: it runs in the socket read, so it never waits."""


@final
class Info:
    """`INFO`: the server's description of itself, as JSON text; `ServerInfo.parse` reads it."""

    __slots__ = ("json",)
    sid: ClassVar[bytes] = b""

    def __init__(self, json: bytes) -> None:
        self.json: Final = json


@final
class Err:
    """`-ERR`: an error of the server. `text` is without the quotes."""

    __slots__ = ("text",)
    sid: ClassVar[bytes] = b""

    def __init__(self, text: str) -> None:
        self.text: Final = text


@final
class Ping:
    """`PING`: the server expects a PONG."""

    __slots__ = ()
    sid: ClassVar[bytes] = b""


@final
class Pong:
    """`PONG`: the answer to our oldest unanswered PING."""

    __slots__ = ()
    sid: ClassVar[bytes] = b""


@final
class Ok:
    """`+OK`: an acknowledgement, which the server sends in verbose mode only."""

    __slots__ = ()
    sid: ClassVar[bytes] = b""


Event: TypeAlias = Msg | Info | Err | Ping | Pong | Ok
