"""Durations and times: seconds and aware datetimes here, nanoseconds and RFC 3339 on the wire.

The rule: a duration on the wire is always an int. The server refuses `1e9`.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime

NANOSECONDS = 1_000_000_000


def to_ns(seconds: float) -> int:
    """Seconds as whole nanoseconds."""
    return round(seconds * NANOSECONDS)


def to_seconds(ns: int) -> float:
    """Nanoseconds as seconds."""
    return ns / NANOSECONDS


def to_rfc3339(moment: datetime) -> str:
    """An aware datetime as the server reads it, in UTC."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def to_moment(text: str) -> datetime | None:
    """What the server wrote as a time, cut to microseconds; None for its word for none.

    Raises:
        ValueError: it is no time.
    """
    if text.startswith("0001-01-01T00:00:00"):
        return None
    return datetime.fromisoformat(text)


def from_ns(ns: int) -> datetime:
    """Nanoseconds since 1970 as a datetime, cut to microseconds."""
    seconds, rest = divmod(ns, NANOSECONDS)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // 1000)


def to_ttl(seconds: float) -> str:
    """A time to live as `Nats-TTL` says it. Infinity is never.

    The server takes whole seconds, or a Go duration; nothing below a second.
    """
    if seconds == math.inf:
        return "never"
    whole = int(seconds)
    return str(whole) if whole == seconds else f"{to_ns(seconds)}ns"
