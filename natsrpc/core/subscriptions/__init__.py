"""Subscriptions: what is done with messages that arrive."""

from .pending import PENDING_BYTES_LIMIT, PENDING_MSGS_LIMIT, limits_of
from .registry import Subscriptions
from .sinks import MsgCallback, SubscriptionKind, check_consumer, check_max_msgs
from .subscription import Subscription

__all__ = [
    "PENDING_BYTES_LIMIT",
    "PENDING_MSGS_LIMIT",
    "MsgCallback",
    "Subscription",
    "SubscriptionKind",
    "Subscriptions",
    "check_consumer",
    "check_max_msgs",
    "limits_of",
]
