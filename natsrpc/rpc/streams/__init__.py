"""Streams and large bodies: many messages that belong to one conversation."""

from .channel import Channel
from .large import (
    Allowance,
    LargeBody,
    is_head,
    large_bytes,
    large_subject,
    real_subject,
    send_reply,
    take_reply,
    with_head,
)
from .state import MAX_BODY, UNLIMITED, Reader

__all__ = [
    "MAX_BODY",
    "UNLIMITED",
    "Allowance",
    "Channel",
    "LargeBody",
    "Reader",
    "is_head",
    "large_bytes",
    "large_subject",
    "real_subject",
    "send_reply",
    "take_reply",
    "with_head",
]
