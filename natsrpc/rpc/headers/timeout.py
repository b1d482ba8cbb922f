"""The header that says how long a request may take: `Natsrpc-Timeout: <milliseconds>`, relative.

Callers write it, the endpoint reads it; inside a process a deadline is an absolute `loop.time()`.
"""

from __future__ import annotations

import re

from natsrpc.core import Headers

TIMEOUT = "Natsrpc-Timeout"

MAX_TIMEOUT_MS = 10**9
"""Larger values on the wire are read as this (eleven days)."""


GRACE = 0.1
"""Seconds a caller waits beyond the deadline it gave the worker: the worker's answer that the
deadline passed (504) comes first, so that a plain timeout means a lost network or process."""

_LINE = re.compile(rb"\r\n%b:([^\r\n]*)" % TIMEOUT.encode(), re.IGNORECASE)


def timeout_line(seconds: float) -> bytes:
    """The header's line, for that many seconds; at least a millisecond."""
    milliseconds = max(1, min(seconds * 1000, MAX_TIMEOUT_MS))
    return b"%b: %d\r\n" % (TIMEOUT.encode(), milliseconds)


def read_timeout(headers: Headers) -> float | None:
    """The seconds that a request or a reply names; None for none."""
    text = headers.get(TIMEOUT)
    return None if text is None else parse_timeout(text)


def parse_timeout(text: str) -> float | None:
    """Seconds of a `Natsrpc-Timeout` value; None (no deadline) for what is not a whole number."""
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        return None
    return min(int(text), MAX_TIMEOUT_MS) / 1000


def with_time_left(block: bytes, left: float) -> bytes | None:
    """The header block of a request that was not sent at once: it says how many seconds are left
    now. None if none are; a block that names no time stays as it is."""
    found = _LINE.search(block)
    told = None if found is None else parse_timeout(found[1].decode("latin-1"))
    if found is None or told is None:
        return block
    if left <= 0:
        return None
    return block[: found.start() + 2] + timeout_line(min(told, left)) + block[found.end() + 2 :]
