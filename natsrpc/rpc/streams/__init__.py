"""Conversations: streams and large bodies, many messages between one caller and one worker."""

from .channel import PATIENCE, Channel, Patience
from .conversations import Conversations, conversations_of
from .large import LARGE, Receiving, head_size, is_head, large_subject, send_reply, take_reply
from .state import MAX_BODY, UNLIMITED, Writer

__all__ = [
    "LARGE",
    "MAX_BODY",
    "PATIENCE",
    "UNLIMITED",
    "Channel",
    "Conversations",
    "Patience",
    "Receiving",
    "Writer",
    "conversations_of",
    "head_size",
    "is_head",
    "large_subject",
    "send_reply",
    "take_reply",
]
