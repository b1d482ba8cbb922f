"""Streams: made, found, read and purged, and their consumers made."""

from .buckets import BucketStreams, not_found
from .manager import StreamManager
from .stored import StoredMsg, from_direct, get, get_last
from .stream import Stream

__all__ = [
    "BucketStreams",
    "StoredMsg",
    "Stream",
    "StreamManager",
    "from_direct",
    "get",
    "get_last",
    "not_found",
]
