"""Headers that only pass through: they name a request to those who trace it, and tell a service
nothing of how to serve it.

They differ with each request. The books of header blocks (`TermsBook`, `Codings`) look a block up
without them, so that a traced request costs them no more than one that is like all others.
"""

from __future__ import annotations

import re

PASSING = frozenset(("traceparent", "tracestate", "baggage", "x-request-id", "nats-request-info"))
"""Their names, in small letters. The last is the server's: who calls through an import."""

# A value with a lone CR is left in its place: what is a line of a block is decided by CR LF alone.
_LINES = re.compile(
    rb"\r\n(?:" + b"|".join(name.encode() for name in sorted(PASSING)) + rb"):[^\r]*(?=\r\n)",
    re.IGNORECASE,
)


def lasting(block: bytes) -> bytes:
    """A header block without the lines that only pass through."""
    return _LINES.sub(b"", block)
