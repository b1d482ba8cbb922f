"""Errors of the NATS client."""

from __future__ import annotations

from collections.abc import Sequence

from .root import NatsRpcError


class NatsError(NatsRpcError):
    """The root of the NATS client's errors."""


class NatsTimeoutError(NatsError, TimeoutError):
    """The time allowed for a flush, request, read or drain ran out.

    `subject` is that of the request; empty where it was no request that took too long.
    """

    def __init__(self, message: str = "", *, subject: str = "") -> None:
        super().__init__(message)
        self.subject = subject


class DrainTimeoutError(NatsTimeoutError):
    """Draining did not finish within `drain_timeout`; the connection was closed anyway."""


class ConnectError(NatsError, ConnectionError):
    """One attempt to connect to one server failed.

    `server` is the redacted address that was tried.
    """

    def __init__(self, message: str, *, server: str = "") -> None:
        super().__init__(message)
        self.server = server


class NoServersError(ConnectError):
    """No server of the pool could be reached.

    `attempts` holds one `(server, error)` pair per try, in order; of tries to reconnect the latest
    of each server.
    """

    def __init__(self, message: str, *, attempts: Sequence[tuple[str, BaseException]] = ()) -> None:
        super().__init__(message)
        self.attempts: tuple[tuple[str, BaseException], ...] = tuple(attempts)


class ConnectTimeoutError(ConnectError, NatsTimeoutError):
    """One attempt to connect to one server was not over within `connect_timeout`."""

    def __init__(self, message: str, *, server: str = "") -> None:
        ConnectError.__init__(self, message, server=server)
        self.subject = ""


class NoServersTimeoutError(NoServersError, NatsTimeoutError):
    """No server of the pool answered in time: each attempt timed out."""

    def __init__(self, message: str, *, attempts: Sequence[tuple[str, BaseException]] = ()) -> None:
        NoServersError.__init__(self, message, attempts=attempts)
        self.subject = ""


class TLSError(ConnectError):
    """The TLS handshake, or the verification of the server's name or chain, failed."""


class SecureConnectionRequiredError(TLSError):
    """The server requires TLS, and it was ruled out by `tls=False`."""


class SecureConnectionUnavailableError(TLSError):
    """TLS was asked for, and the server does not offer it."""


class WebSocketError(ConnectError):
    """A server, or a proxy in front of it, did not open a WebSocket.

    `status` is the HTTP status that it answered instead.
    """

    def __init__(self, message: str, *, server: str = "", status: int = 0) -> None:
        super().__init__(message, server=server)
        self.status = status


class AuthorizationError(ConnectError):
    """The server refused the credentials."""


class AuthExpiredError(AuthorizationError):
    """The user's or account's credentials expired while connected."""


class AuthRevokedError(AuthorizationError):
    """The user's credentials were revoked while connected."""


class ConnectionClosedError(NatsError, ConnectionError):
    """The connection is closed, or was closed during the wait."""

    def __init__(self, message: str = "connection is closed") -> None:
        super().__init__(message)


class FlushInterruptedError(ConnectionClosedError):
    """The physical connection was lost while a flush waited for its PONG."""


class StaleConnectionError(ConnectionClosedError):
    """The server left more than `max_pings_out` PINGs unanswered."""


class WebSocketClosedError(ConnectionClosedError):
    """The server closed the WebSocket. `code` and `reason` are those of its close frame."""

    def __init__(self, message: str, *, code: int = 1005, reason: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason


class ConnectionDrainingError(NatsError):
    """The connection is draining and takes no new work of this kind."""


class ConnectionReconnectingError(NatsError):
    """Not possible while reconnecting."""


class ReconnectBufferExceededError(NatsError):
    """The buffer for publishes made while reconnecting is full (or switched off)."""


class UnsentMessagesError(NatsError):
    """Messages that were accepted were not sent, for the connection ended before they could be.

    Told to `on_error`, or logged. `msgs` of them were in the reconnect buffer, with `size` bytes;
    `msgs` is 0 where they were with the socket, which counts bytes alone. Requests are not among
    them: they fail by themselves.
    """

    def __init__(self, msgs: int, size: int) -> None:
        what = f"{msgs} messages ({size} bytes)" if msgs else f"up to {size} bytes of messages"
        super().__init__(f"{what} that were published are lost: the connection ended before")
        self.msgs = msgs
        self.size = size


class ProtocolError(NatsError):
    """The NATS protocol would be, or was, broken."""


class LocalProtocolError(ProtocolError, ValueError):
    """Refused here, before a byte was written."""


class BadSubjectError(LocalProtocolError):
    """A subject is empty or malformed. `subject` is the value refused."""

    def __init__(self, message: str, *, subject: object = "") -> None:
        super().__init__(message)
        self.subject = subject


class BadQueueNameError(LocalProtocolError):
    """A queue group's name is malformed."""


class BadHeaderError(LocalProtocolError):
    """A header's name or value cannot be sent, or a received block cannot be read."""


class BadTimeoutError(LocalProtocolError):
    """A timeout is not a positive number of seconds."""


class MaxPayloadError(LocalProtocolError):
    """Headers plus payload are larger than the server's `max_payload`.

    `size` and `max_payload` are in bytes.
    """

    def __init__(self, size: int, max_payload: int) -> None:
        super().__init__(
            f"message of {size} bytes (headers included) exceeds the server's "
            f"max_payload of {max_payload} bytes"
        )
        self.size = size
        self.max_payload = max_payload


class InvalidMsgError(LocalProtocolError):
    """What was passed as a message is not one."""


class HeadersNotSupportedError(LocalProtocolError):
    """The server does not support message headers."""


class RemoteProtocolError(ProtocolError):
    """The server sent something that is not the NATS protocol."""


class ServerError(NatsError):
    """The server reported an error with `-ERR`. `text` is its text as received."""

    def __init__(self, message: str, *, text: str = "") -> None:
        super().__init__(message)
        self.text: str = text or message


class PermissionsError(ServerError):
    """The server denied a publish or a subscription.

    `operation` is "publish" or "subscribe"; `subject` and `queue_group` keep their case.
    `sid` is the subscription's number where the server named it, `reply` the reply subject where
    that is what was denied.
    """

    def __init__(
        self,
        message: str,
        *,
        operation: str = "",
        subject: str = "",
        queue_group: str = "",
        sid: int | None = None,
        reply: str = "",
        text: str = "",
    ) -> None:
        super().__init__(message, text=text)
        self.reply = reply
        self.operation = operation
        self.subject = subject
        self.queue_group = queue_group
        self.sid = sid


class MaxConnectionsError(ServerError):
    """The server or account takes no more connections."""


class MaxSubscriptionsError(ServerError):
    """The account or connection takes no more subscriptions."""


class ServerClosedConnectionError(ServerError):
    """The server closed the connection with an `-ERR` of no more particular kind."""


class NoRespondersError(NatsError):
    """Nobody is subscribed to the request's subject.

    `subject` is that subject; `hint` says what else may be the cause, where there is anything.
    """

    def __init__(self, subject: str, hint: str = "") -> None:
        text = f"no responders: nobody is subscribed to {subject!r}"
        super().__init__(f"{text}; {hint}" if hint else text)
        self.hint = hint
        self.subject = subject


class SlowConsumerError(NatsError):
    """A subscription's pending limit was reached and messages were dropped.

    `subject`, `sid` and `dropped` (messages dropped so far) tell which and how much.
    """

    def __init__(self, subject: str, *, sid: int = 0, dropped: int = 0) -> None:
        super().__init__(
            f"slow consumer: subscription {sid} on {subject!r} has dropped {dropped} messages"
        )
        self.subject = subject
        self.sid = sid
        self.dropped = dropped


class SubscriptionError(NatsError):
    """The root of errors about the use of one subscription."""


class BadSubscriptionError(SubscriptionError):
    """The subscription has ended."""


class MaxMessagesError(SubscriptionError):
    """The subscription received all of its `max_msgs`."""


class SubscriptionTypeError(SubscriptionError, TypeError):
    """This kind of subscription does not offer that."""


class SyncSubRequiredError(SubscriptionError, TypeError):
    """`next_msg` and iteration need a subscription made without `cb` and `into`."""


class MsgError(NatsError):
    """The root of errors about the use of one message."""


class MsgNotBoundError(MsgError):
    """The message did not come from a connection, so it cannot be answered."""


class MsgNoReplyError(MsgError):
    """The message carries no reply subject, so it cannot be answered."""
