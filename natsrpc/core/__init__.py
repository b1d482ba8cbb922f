"""The NATS client. It knows nothing of codecs, types or services."""

from .callbacks import (
    AsyncError,
    Closed,
    Connected,
    ConnectionEvent,
    Disconnected,
    LameDuck,
    Reconnected,
    ReconnectFailed,
    ServersDiscovered,
)
from .connection import Connection, connect
from .inbox import new_inbox, random_text
from .intake import SubscriptionKind
from .mux import is_no_responders
from .opening import Opening
from .options import DEFAULT_URL, Options
from .reply import Reply
from .session import Sink
from .stats import Statistics, Status
from .subscription import Subscription
from .timers import Due, clock
from .wire import Headers, HeaderValues, Msg, ServerInfo, encode_headers
from .wire.subject import (
    check_publish,
    check_queue_group,
    check_subscribe,
    join,
    matches,
    overlaps,
)

__all__ = [
    "DEFAULT_URL",
    "AsyncError",
    "Closed",
    "Connected",
    "Connection",
    "ConnectionEvent",
    "Disconnected",
    "Due",
    "HeaderValues",
    "Headers",
    "LameDuck",
    "Msg",
    "Opening",
    "Options",
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
    "check_publish",
    "check_queue_group",
    "check_subscribe",
    "clock",
    "connect",
    "encode_headers",
    "is_no_responders",
    "join",
    "matches",
    "new_inbox",
    "overlaps",
    "random_text",
]
