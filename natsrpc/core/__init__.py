"""The NATS client. It knows nothing of codecs, types or services."""

from .connecting import ConnectOptions, connect
from .connection import Connection
from .events import (
    AsyncError,
    Closed,
    Connected,
    ConnectionEvent,
    Disconnected,
    LameDuck,
    Listener,
    Reconnected,
    ReconnectFailed,
    ServersDiscovered,
)
from .link import Link
from .opening import Opening
from .options import DEFAULT_URL, Options
from .requests import Reply, is_no_responders, new_inbox, random_text
from .session import HIGH_WATER, find_creds
from .stats import Statistics, Status
from .subscriptions import MsgCallback, OnFull, Subscription, SubscriptionKind, SubscriptionStatus
from .throttle import Throttle
from .timers import Due, check_timeout, clock
from .wire import (
    Headers,
    HeaderValues,
    Msg,
    Payload,
    ServerInfo,
    Sink,
    check_literal,
    check_publish,
    check_queue_group,
    check_reply,
    check_subscribe,
    decode,
    encode_headers,
    join,
    matches,
    overlaps,
    payload_bytes,
)

__all__ = [
    "DEFAULT_URL",
    "HIGH_WATER",
    "AsyncError",
    "Closed",
    "ConnectOptions",
    "Connected",
    "Connection",
    "ConnectionEvent",
    "Disconnected",
    "Due",
    "HeaderValues",
    "Headers",
    "LameDuck",
    "Link",
    "Listener",
    "Msg",
    "MsgCallback",
    "OnFull",
    "Opening",
    "Options",
    "Payload",
    "ReconnectFailed",
    "Reconnected",
    "Reply",
    "ServerInfo",
    "ServersDiscovered",
    "Sink",
    "Statistics",
    "Status",
    "Subscription",
    "SubscriptionKind",
    "SubscriptionStatus",
    "Throttle",
    "check_literal",
    "check_publish",
    "check_queue_group",
    "check_reply",
    "check_subscribe",
    "check_timeout",
    "clock",
    "connect",
    "decode",
    "encode_headers",
    "find_creds",
    "is_no_responders",
    "join",
    "matches",
    "new_inbox",
    "overlaps",
    "payload_bytes",
    "random_text",
]
