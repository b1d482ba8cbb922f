"""Every exception natsrpc raises on purpose, one tree; beside a branch stand its leaves.

```
NatsRpcError                           ServerNotFoundError (FileNotFoundError), ServerStartError
├─ ConfigError (ValueError)            ConfigTypeError (TypeError)
├─ NatsError                           ConnectionDrainingError, ConnectionReconnectingError,
│  │                                   ReconnectBufferExceededError, NoRespondersError,
│  │                                   SlowConsumerError
│  ├─ NatsTimeoutError (TimeoutError)  DrainTimeoutError
│  ├─ ConnectError (ConnectionError)   NoServersError
│  │  ├─ TLSError                      SecureConnectionRequiredError,
│  │  │                                SecureConnectionUnavailableError
│  │  └─ AuthorizationError            AuthExpiredError, AuthRevokedError
│  ├─ ConnectionClosedError (ConnectionError)   FlushInterruptedError, StaleConnectionError
│  ├─ ProtocolError                    RemoteProtocolError
│  │  └─ LocalProtocolError (ValueError)   BadHeaderError, BadQueueNameError, BadSubjectError,
│  │        BadTimeoutError, HeadersNotSupportedError, InvalidMsgError, MaxPayloadError
│  ├─ ServerError                      PermissionsError, ServerClosedConnectionError,
│  │                                   MaxConnectionsError, MaxSubscriptionsError
│  ├─ SubscriptionError                BadSubscriptionError, MaxMessagesError,
│  │                                   SubscriptionTypeError, SyncSubRequiredError (TypeErrors)
│  └─ MsgError                         MsgNotBoundError, MsgNoReplyError, MsgAlreadyRespondedError
├─ CodecError                          EncodeError, UnknownCodecError (LookupError)
│  └─ DecodeError                      ContractError
└─ RpcError                            one for each code, at the end of this file
```
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar


class NatsRpcError(Exception):
    """The root of everything natsrpc raises on purpose."""


class ConfigError(NatsRpcError, ValueError):
    """An argument was refused before anything was sent or registered."""


class ConfigTypeError(ConfigError, TypeError):
    """An argument of the wrong type was refused before anything was sent or registered."""


class NatsError(NatsRpcError):
    """The root of the NATS client's errors."""


class NatsTimeoutError(NatsError, TimeoutError):
    """The time allowed for a flush, request, read or drain ran out."""


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

    `attempts` holds one `(server, error)` pair per try, in order.
    """

    def __init__(self, message: str, *, attempts: Sequence[tuple[str, BaseException]] = ()) -> None:
        super().__init__(message)
        self.attempts = tuple(attempts)


class TLSError(ConnectError):
    """The TLS handshake, or the verification of the server's name or chain, failed."""


class SecureConnectionRequiredError(TLSError):
    """The server requires TLS, and it was ruled out by `tls=False`."""


class SecureConnectionUnavailableError(TLSError):
    """TLS was asked for, and the server does not offer it."""


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


class ConnectionDrainingError(NatsError):
    """The connection is draining and takes no new work of this kind."""


class ConnectionReconnectingError(NatsError):
    """Not possible while reconnecting."""


class ReconnectBufferExceededError(NatsError):
    """The buffer for publishes made while reconnecting is full (or switched off)."""


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
        self.text = text or message


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
    """Nobody is subscribed to the request's subject. `subject` is that subject."""

    def __init__(self, subject: str) -> None:
        super().__init__(f"no responders: nobody is subscribed to {subject!r}")
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


class MsgAlreadyRespondedError(MsgError):
    """The message was answered before."""


class CodecError(NatsRpcError):
    """The root of the codecs' errors."""


class EncodeError(CodecError):
    """A value cannot be encoded."""


class DecodeError(CodecError):
    """Bytes cannot be decoded into the type asked for.

    `errors` lists `{"path": "a.0.b", "reason": "…"}`; it is empty when the bytes are not the
    codec's format at all (`malformed` is then true). Input values never appear in it.
    """

    def __init__(
        self,
        message: str,
        *,
        errors: Sequence[Mapping[str, str]] = (),
        malformed: bool = False,
    ) -> None:
        super().__init__(message)
        self.errors = tuple(dict(e) for e in errors)
        self.malformed = malformed


class ContractError(DecodeError):
    """A reply does not fit the type that its caller expects: the two keep different contracts.

    `subject` is what was called; `errors` names the fields.
    """

    def __init__(
        self,
        message: str,
        *,
        subject: str,
        errors: Sequence[Mapping[str, str]] = (),
        malformed: bool = False,
    ) -> None:
        super().__init__(message, errors=errors, malformed=malformed)
        self.subject = subject


class UnknownCodecError(CodecError, LookupError):
    """No codec of that name or content type is registered."""


class ServerNotFoundError(NatsRpcError, FileNotFoundError):
    """No nats-server executable is at hand."""


class ServerStartError(NatsRpcError):
    """A nats-server ended, or did not become ready. `log` is what it had written."""

    def __init__(self, message: str, *, log: str = "") -> None:
        super().__init__(message)
        self.log = log


class RpcError(NatsRpcError):
    """What a handler raises and its caller catches, same class.

    A subclass states its code as a class keyword and its fields as annotations; the fields become
    keyword arguments and attributes, and travel as the JSON body of the reply:

        class OutOfStock(RpcError, code=409):
            sku: str

        raise OutOfStock("none left", sku="A-7")

    Where no class of that name is known, a plain `RpcError` with `code`, `name` and `details`
    arrives. Class keyword `name` replaces the class's own name on the wire, `retryable` lets a
    caller's policy send again. Without fields, `details` (anything JSON can express) is the body.
    """

    default_code: ClassVar[int] = 500
    retryable: ClassVar[bool] = False
    wire_name: ClassVar[str] = "RpcError"
    registered: ClassVar[dict[str, list[type[RpcError]]]] = {}
    _fields: ClassVar[dict[str, Any]]
    name: str = "RpcError"

    def __init_subclass__(
        cls, *, code: int | None = None, name: str = "", retryable: bool | None = None, **kw: Any
    ) -> None:
        super().__init_subclass__(**kw)
        cls.retryable = cls.retryable if retryable is None else retryable
        if code is not None:
            if isinstance(code, bool) or not isinstance(code, int) or not 100 <= code <= 9999:
                raise ConfigError(f"code of {cls.__name__!r} is {code!r}: expected 100 to 9999")
            cls.default_code = code
        taken = {"args", "code", "details", "message"} & inspect.get_annotations(cls).keys()
        if taken:
            raise ConfigError(f"{cls.__name__!r} cannot have a field named {min(taken)!r}")
        cls.wire_name = name or cls.__name__
        if "name" not in cls.fields():
            cls.name = cls.wire_name
        others = RpcError.registered.get(cls.wire_name, [])
        place = (cls.__module__, cls.__qualname__)  # a class defined again replaces itself
        kept = [each for each in others if (each.__module__, each.__qualname__) != place]
        RpcError.registered[cls.wire_name] = [cls, *kept]

    def __init__(
        self, message: str = "", *, code: int | None = None, details: Any = None, **fields: Any
    ) -> None:
        cls = type(self)
        self.message = message or cls.__name__
        super().__init__(self.message)
        self.code = self.default_code if code is None else code
        for key in cls.fields():
            if key not in fields:
                owner = next((base for base in cls.__mro__ if key in vars(base)), RpcError)
                if owner is RpcError:
                    raise TypeError(f"{cls.__name__}() needs the keyword argument {key!r}")
                fields[key] = vars(owner)[key]
            setattr(self, key, fields[key])
        for key in fields.keys() - cls.fields().keys():
            raise TypeError(f"{cls.__name__}() has no field {key!r}")
        self.details: Any = fields if details is None and fields else details

    @classmethod
    def fields(cls) -> dict[str, Any]:
        """The names and types of the fields this class declares, base classes first."""
        if "_fields" not in vars(cls):
            cls._fields = {}
            for base in reversed(cls.__mro__):
                if issubclass(base, RpcError) and base is not RpcError:
                    cls._fields.update(_annotated(base))
        return cls._fields

    @classmethod
    def rebuild(cls, message: str, code: int, details: Any, fields: Mapping[str, Any]) -> RpcError:
        """Make an instance from what came over the wire, whatever `__init__` a subclass has."""
        error = cls.__new__(cls)
        RpcError.__init__(error, message, code=code, details=details, **fields)
        return error

    def __reduce__(self) -> tuple[Any, ...]:
        fields = {key: getattr(self, key) for key in self.fields()}
        return type(self).rebuild, (self.message, self.code, self.details, fields)


def _annotated(cls: type) -> dict[str, Any]:
    """The fields annotated in one class body, resolved where that can be done."""
    try:
        hints = typing.get_type_hints(cls, include_extras=True)
    except Exception:  # a name that only exists inside a function: the field is then untyped
        hints = {}
    return {
        key: hints.get(key, Any)
        for key, hint in inspect.get_annotations(cls).items()
        if not str(hint).removeprefix("typing.").startswith("ClassVar")
    }


class BadRequestError(RpcError, code=400):
    """The service could not decode the request's body."""


class NotFoundError(RpcError, code=404):
    """What was asked for does not exist."""


class ConflictError(RpcError, code=409):
    """The request does not fit the present state."""


class ReplyTooLargeError(RpcError, code=413):
    """The reply is larger than its caller takes, or than a message may be."""


class RequestTooLargeError(RpcError, code=413):
    """The request is larger than the service takes."""


class UnsupportedCodecError(RpcError, code=415):
    """The service does not know the codec the request's `Content-Type` names."""


class InvalidRequestError(RpcError, code=422):
    """The request's body was decoded, and does not fit the handler's types.

    `details` lists `{"path": "a.0.b", "reason": "…"}`.
    """


class OverloadedError(RpcError, code=429):
    """The service is at its limits and refused the request at once, unrun."""


class CallCancelledError(RpcError, code=499):
    """The caller cancelled the call, and the handler was stopped."""


class InternalError(RpcError, code=500):
    """The handler failed. `details["error_id"]` finds the traceback in the service's log."""


class UnavailableError(RpcError, code=503):
    """The service is stopping, and did not run or did not finish the request."""


class DeadlineExceededError(RpcError, NatsTimeoutError, code=504):
    """The deadline passed before the handler ended; it was not run, or was cancelled."""
