"""Typed RPC and microservices on NATS.

Names are loaded when they are first used, so that `import natsrpc.core` brings in the NATS client
and nothing else (no pydantic, no msgpack). Loading any name of `natsrpc.rpc` this way also makes
services answer discovery, and `Service.test` serve in memory; the codecs, discovery and the broker
are loaded when they are first needed.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .errors import (
    AuthExpiredError,
    AuthorizationError,
    AuthRevokedError,
    BadHeaderError,
    BadQueueNameError,
    BadRequestError,
    BadSubjectError,
    BadSubscriptionError,
    BadTimeoutError,
    CallCancelledError,
    CodecError,
    ConfigError,
    ConfigTypeError,
    ConflictError,
    ConnectError,
    ConnectionClosedError,
    ConnectionDrainingError,
    ConnectionReconnectingError,
    ContractError,
    DeadlineExceededError,
    DecodeError,
    DrainTimeoutError,
    EncodeError,
    FlushInterruptedError,
    HeadersNotSupportedError,
    InternalError,
    InvalidMsgError,
    InvalidRequestError,
    LocalProtocolError,
    MaxConnectionsError,
    MaxMessagesError,
    MaxPayloadError,
    MaxSubscriptionsError,
    MsgError,
    MsgNoReplyError,
    MsgNotBoundError,
    NatsError,
    NatsRpcError,
    NatsTimeoutError,
    NoRespondersError,
    NoServersError,
    NotFoundError,
    OverloadedError,
    PermissionsError,
    ProtocolError,
    ReconnectBufferExceededError,
    RemoteProtocolError,
    ReplyTooLargeError,
    RequestTooLargeError,
    RpcError,
    SecureConnectionRequiredError,
    SecureConnectionUnavailableError,
    ServerClosedConnectionError,
    ServerError,
    ServerNotFoundError,
    ServerStartError,
    SlowConsumerError,
    StaleConnectionError,
    SubscriptionError,
    SubscriptionTypeError,
    SyncSubRequiredError,
    TLSError,
    UnavailableError,
    UnknownCodecError,
    UnsupportedCodecError,
)
from .version import __version__

if TYPE_CHECKING:
    from . import codecs
    from .codecs import Codec
    from .core import (
        Connection,
        ConnectionEvent,
        ConnectOptions,
        Headers,
        Msg,
        MsgCallback,
        Options,
        Payload,
        Statistics,
        Status,
        Subscription,
    )
    from .rpc import (
        Call,
        Client,
        Context,
        Depends,
        Embed,
        Encoded,
        EndpointContract,
        Group,
        Header,
        Lifespan,
        Middleware,
        Next,
        Policy,
        RunningService,
        Server,
        Service,
        ServiceContract,
        Token,
        connect,
        no_deadline,
        run,
    )


_HOMES = {
    "Codec": "natsrpc.codecs",
    **dict.fromkeys(
        (
            "ConnectOptions",
            "Connection",
            "ConnectionEvent",
            "Headers",
            "Msg",
            "MsgCallback",
            "Options",
            "Payload",
            "Statistics",
            "Status",
            "Subscription",
        ),
        "natsrpc.core",
    ),
    **dict.fromkeys(
        (
            "Call",
            "Client",
            "Context",
            "Depends",
            "Embed",
            "Encoded",
            "EndpointContract",
            "Group",
            "Header",
            "Lifespan",
            "Middleware",
            "Next",
            "Policy",
            "RunningService",
            "Server",
            "Service",
            "ServiceContract",
            "Token",
            "connect",
            "no_deadline",
            "run",
        ),
        "natsrpc.rpc",
    ),
}
_ROOMS = frozenset({"codecs", "core", "describe", "discovery", "rpc", "testing"})


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"natsrpc.{name}")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'natsrpc' has no attribute {name!r}")
    module = importlib.import_module(home)
    if home == "natsrpc.rpc":
        module.before_start[:] = [_attach_discovery]
        module.kits[:] = [_serve_in_memory]
    value = globals()[name] = getattr(module, name)
    return value


def _attach_discovery() -> None:
    """With the first service that starts, unless it was attached before: what only calls does
    without it."""
    discovery = importlib.import_module("natsrpc.discovery")
    if discovery.Discovery not in importlib.import_module("natsrpc.rpc").attachments:
        discovery.attach(schema=importlib.import_module("natsrpc.describe").schema)


def _serve_in_memory(*services: Any, **options: Any) -> Any:
    return importlib.import_module("natsrpc.testing").serve_in_memory(*services, **options)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_ROOMS})


__all__ = [
    "AuthExpiredError",
    "AuthRevokedError",
    "AuthorizationError",
    "BadHeaderError",
    "BadQueueNameError",
    "BadRequestError",
    "BadSubjectError",
    "BadSubscriptionError",
    "BadTimeoutError",
    "Call",
    "CallCancelledError",
    "Client",
    "Codec",
    "CodecError",
    "ConfigError",
    "ConfigTypeError",
    "ConflictError",
    "ConnectError",
    "ConnectOptions",
    "Connection",
    "ConnectionClosedError",
    "ConnectionDrainingError",
    "ConnectionEvent",
    "ConnectionReconnectingError",
    "Context",
    "ContractError",
    "DeadlineExceededError",
    "DecodeError",
    "Depends",
    "DrainTimeoutError",
    "Embed",
    "EncodeError",
    "Encoded",
    "EndpointContract",
    "FlushInterruptedError",
    "Group",
    "Header",
    "Headers",
    "HeadersNotSupportedError",
    "InternalError",
    "InvalidMsgError",
    "InvalidRequestError",
    "Lifespan",
    "LocalProtocolError",
    "MaxConnectionsError",
    "MaxMessagesError",
    "MaxPayloadError",
    "MaxSubscriptionsError",
    "Middleware",
    "Msg",
    "MsgCallback",
    "MsgError",
    "MsgNoReplyError",
    "MsgNotBoundError",
    "NatsError",
    "NatsRpcError",
    "NatsTimeoutError",
    "Next",
    "NoRespondersError",
    "NoServersError",
    "NotFoundError",
    "Options",
    "OverloadedError",
    "Payload",
    "PermissionsError",
    "Policy",
    "ProtocolError",
    "ReconnectBufferExceededError",
    "RemoteProtocolError",
    "ReplyTooLargeError",
    "RequestTooLargeError",
    "RpcError",
    "RunningService",
    "SecureConnectionRequiredError",
    "SecureConnectionUnavailableError",
    "Server",
    "ServerClosedConnectionError",
    "ServerError",
    "ServerNotFoundError",
    "ServerStartError",
    "Service",
    "ServiceContract",
    "SlowConsumerError",
    "StaleConnectionError",
    "Statistics",
    "Status",
    "Subscription",
    "SubscriptionError",
    "SubscriptionTypeError",
    "SyncSubRequiredError",
    "TLSError",
    "Token",
    "UnavailableError",
    "UnknownCodecError",
    "UnsupportedCodecError",
    "__version__",
    "codecs",
    "connect",
    "no_deadline",
    "run",
]
