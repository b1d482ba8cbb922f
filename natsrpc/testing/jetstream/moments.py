"""Time as the server in memory tells it: nanoseconds since 1970, by the clock of the event loop.

So `natsrpc.testing.Clock` moves it. Moments that clients name are by their own wall clock, which no
test moves: they are taken for what they are away from now.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime

SECOND = 1_000_000_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_part = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_UNITS = {"h": 3600 * SECOND, "m": 60 * SECOND, "s": SECOND}
_UNITS |= {"ms": SECOND // 1000, "us": 1000, "µs": 1000, "ns": 1}


class Moments:
    """The time of the running loop, and timers on it."""

    def __init__(self) -> None:
        self._offset: int | None = None

    def now(self) -> int:
        """The time."""
        there = round(asyncio.get_running_loop().time() * SECOND)
        if self._offset is None:
            self._offset = time.time_ns() - there
        return self._offset + there

    def of_wall(self, moment: int) -> int:
        """A moment that a client names by its wall clock."""
        return self.now() + moment - time.time_ns()

    def call_at(self, moment: int, function: Callable[..., object], *args: object) -> Timer:
        """Call a function at that moment, or soon where it is past."""
        loop = asyncio.get_running_loop()
        self.now()
        assert self._offset is not None  # now() has set it
        return loop.call_at((moment - self._offset) / SECOND, function, *args)


Timer = asyncio.TimerHandle


def rfc3339(moment: int) -> str:
    """Nanoseconds as the server writes a time."""
    seconds, rest = divmod(moment, SECOND)
    text = datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat()
    return f"{text}.{rest:09}".rstrip("0").rstrip(".") + "Z"


def from_rfc3339(text: str) -> int:
    """A time on the wire as nanoseconds.

    Raises:
        ValueError: it is none, or has no zone.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no zone")
    whole = moment - _EPOCH
    fraction = re.search(r"\.(\d+)", text)
    ns = int(fraction[1][:9].ljust(9, "0")) if fraction else 0
    return (whole.days * 86400 + whole.seconds) * SECOND + ns


def to_datetime(moment: int) -> datetime:
    """Nanoseconds as a datetime, cut to microseconds."""
    seconds, rest = divmod(moment, SECOND)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // 1000)


def from_duration(text: str) -> int:
    """A duration of Go, such as `1m30s`, as nanoseconds.

    Raises:
        ValueError: it is none.
    """
    parts = _part.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is no duration")
    return sum(round(float(number) * _UNITS[unit]) for number, unit in parts)


def to_duration(ns: int) -> str:
    """Nanoseconds as Go writes a duration."""
    if ns < SECOND:
        return f"{ns / 1_000_000:g}ms"
    minutes, rest = divmod(ns, 60 * SECOND)
    seconds = f"{rest / SECOND:.9f}".rstrip("0").rstrip(".")
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours}h{minutes}m{seconds}s"
        if hours
        else (f"{minutes}m" if minutes else "") + (f"{seconds}s")
    )
