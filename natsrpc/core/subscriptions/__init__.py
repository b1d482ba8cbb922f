"""Subscriptions: what is done with messages that arrive."""

from .interest import SubscriptionStatus
from .pending import PENDING_BYTES_LIMIT, PENDING_MSGS_LIMIT, limits_of
from .registry import Subscriptions
from .sinks import (
    MsgCallback,
    OnFull,
    SubscriptionKind,
    check_consumer,
    check_max_msgs,
    check_on_full,
)
from .subscription import Subscription

__all__ = [
    "PENDING_BYTES_LIMIT",
    "PENDING_MSGS_LIMIT",
    "MsgCallback",
    "OnFull",
    "Subscription",
    "SubscriptionKind",
    "SubscriptionStatus",
    "Subscriptions",
    "check_consumer",
    "check_max_msgs",
    "check_on_full",
    "limits_of",
]
