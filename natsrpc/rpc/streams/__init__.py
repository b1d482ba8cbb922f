"""Streams and large bodies: many messages that belong to one conversation."""

from .channel import Channel
from .large import (
    Allowance,
    is_head,
    large_bytes,
    large_subject,
    open_body,
    read_head,
    real_subject,
    receive_body,
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
    "Reader",
    "is_head",
    "large_bytes",
    "large_subject",
    "open_body",
    "read_head",
    "real_subject",
    "receive_body",
    "send_reply",
    "take_reply",
    "with_head",
]
