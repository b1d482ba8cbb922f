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
│  └─ MsgError                         MsgNotBoundError, MsgNoReplyError
├─ CodecError                          EncodeError, UnknownCodecError (LookupError)
│  └─ DecodeError                      ContractError
└─ RpcError                            one for each code: see `errors/rpc.py`
```
"""

from .codec import (
    CodecError,
    ContractError,
    DecodeError,
    EncodeError,
    UnknownCodecError,
)
from .nats import (
    AuthExpiredError,
    AuthorizationError,
    AuthRevokedError,
    BadHeaderError,
    BadQueueNameError,
    BadSubjectError,
    BadSubscriptionError,
    BadTimeoutError,
    ConnectError,
    ConnectionClosedError,
    ConnectionDrainingError,
    ConnectionReconnectingError,
    DrainTimeoutError,
    FlushInterruptedError,
    HeadersNotSupportedError,
    InvalidMsgError,
    LocalProtocolError,
    MaxConnectionsError,
    MaxMessagesError,
    MaxPayloadError,
    MaxSubscriptionsError,
    MsgError,
    MsgNoReplyError,
    MsgNotBoundError,
    NatsError,
    NatsTimeoutError,
    NoRespondersError,
    NoServersError,
    PermissionsError,
    ProtocolError,
    ReconnectBufferExceededError,
    RemoteProtocolError,
    SecureConnectionRequiredError,
    SecureConnectionUnavailableError,
    ServerClosedConnectionError,
    ServerError,
    SlowConsumerError,
    StaleConnectionError,
    SubscriptionError,
    SubscriptionTypeError,
    SyncSubRequiredError,
    TLSError,
)
from .root import (
    ConfigError,
    ConfigTypeError,
    NatsRpcError,
    ServerNotFoundError,
    ServerStartError,
)
from .rpc import (
    BadRequestError,
    CallCancelledError,
    ConflictError,
    DeadlineExceededError,
    InternalError,
    InvalidRequestError,
    NotFoundError,
    OverloadedError,
    ReplyTooLargeError,
    RequestTooLargeError,
    RpcError,
    UnavailableError,
    UnsupportedCodecError,
)

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
    "CallCancelledError",
    "CodecError",
    "ConfigError",
    "ConfigTypeError",
    "ConflictError",
    "ConnectError",
    "ConnectionClosedError",
    "ConnectionDrainingError",
    "ConnectionReconnectingError",
    "ContractError",
    "DeadlineExceededError",
    "DecodeError",
    "DrainTimeoutError",
    "EncodeError",
    "FlushInterruptedError",
    "HeadersNotSupportedError",
    "InternalError",
    "InvalidMsgError",
    "InvalidRequestError",
    "LocalProtocolError",
    "MaxConnectionsError",
    "MaxMessagesError",
    "MaxPayloadError",
    "MaxSubscriptionsError",
    "MsgError",
    "MsgNoReplyError",
    "MsgNotBoundError",
    "NatsError",
    "NatsRpcError",
    "NatsTimeoutError",
    "NoRespondersError",
    "NoServersError",
    "NotFoundError",
    "OverloadedError",
    "PermissionsError",
    "ProtocolError",
    "ReconnectBufferExceededError",
    "RemoteProtocolError",
    "ReplyTooLargeError",
    "RequestTooLargeError",
    "RpcError",
    "SecureConnectionRequiredError",
    "SecureConnectionUnavailableError",
    "ServerClosedConnectionError",
    "ServerError",
    "ServerNotFoundError",
    "ServerStartError",
    "SlowConsumerError",
    "StaleConnectionError",
    "SubscriptionError",
    "SubscriptionTypeError",
    "SyncSubRequiredError",
    "TLSError",
    "UnavailableError",
    "UnknownCodecError",
    "UnsupportedCodecError",
]
