"""Subscriptions: what is done with messages that arrive."""

from .sinks import (
    PENDING_BYTES_LIMIT,
    PENDING_MSGS_LIMIT,
    MsgCallback,
    SubscriptionKind,
    check_max_msgs,
)
from .subscription import Subscription, denied_subscription

__all__ = [
    "PENDING_BYTES_LIMIT",
    "PENDING_MSGS_LIMIT",
    "MsgCallback",
    "Subscription",
    "SubscriptionKind",
    "check_max_msgs",
    "denied_subscription",
]
