"""The header that says how long a request may take: `Natsrpc-Timeout: <milliseconds>`, relative.

Callers write it, the endpoint reads it; inside a process a deadline is an absolute `loop.time()`.
"""

from __future__ import annotations

from natsrpc.core import Headers

TIMEOUT = "Natsrpc-Timeout"

MAX_TIMEOUT_MS = 10**9
"""Larger values on the wire are read as this (eleven days)."""


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
