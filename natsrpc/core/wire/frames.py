"""Frames from client to server, each as one `bytes`.

The arguments are trusted: whoever calls has checked subjects and encoded headers. Every frame
carries its payload, so that frames can be joined, counted and dropped as wholes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

PING = b"PING\r\n"
PONG = b"PONG\r\n"


def connect(fields: Mapping[str, Any]) -> bytes:
    """`CONNECT` with its JSON object."""
    return b"CONNECT " + json.dumps(fields, separators=(",", ":")).encode() + b"\r\n"


def pub(subject: bytes, data: bytes, reply: bytes = b"") -> bytes:
    """`PUB`: a message without headers."""
    if reply:
        return b"PUB %b %b %d\r\n%b\r\n" % (subject, reply, len(data), data)
    return b"PUB %b %d\r\n%b\r\n" % (subject, len(data), data)


def hpub(subject: bytes, headers: bytes, data: bytes, reply: bytes = b"") -> bytes:
    """`HPUB`: a message with an encoded header block."""
    size = len(headers)
    total = size + len(data)
    if reply:
        return b"HPUB %b %b %d %d\r\n%b%b\r\n" % (subject, reply, size, total, headers, data)
    return b"HPUB %b %d %d\r\n%b%b\r\n" % (subject, size, total, headers, data)


def sub(subject: bytes, queue_group: bytes, sid: bytes) -> bytes:
    """`SUB`: interest in a subject, alone or as a member of a queue group."""
    if queue_group:
        return b"SUB %b %b %b\r\n" % (subject, queue_group, sid)
    return b"SUB %b %b\r\n" % (subject, sid)


def unsub(sid: bytes, max_msgs: int = 0) -> bytes:
    """`UNSUB`: at once, or after `max_msgs` deliveries counted from the SUB."""
    if max_msgs:
        return b"UNSUB %b %d\r\n" % (sid, max_msgs)
    return b"UNSUB %b\r\n" % sid


def is_publish(frame: bytes) -> bool:
    """Whether a frame carries a message (PUB or HPUB)."""
    return frame.startswith((b"PUB ", b"HPUB "))


def publishes(frames: Iterable[bytes]) -> list[bytes]:
    """Those of the frames that carry a message, in order."""
    return [frame for frame in frames if is_publish(frame)]
