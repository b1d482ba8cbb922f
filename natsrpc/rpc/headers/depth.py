"""The header that counts the handlers above a request in a chain of calls: `Natsrpc-Depth: <n>`."""

from __future__ import annotations

from natsrpc.core import Headers

DEPTH = "Natsrpc-Depth"

MAX_DEPTH = 16
"""Calls deeper than this in one chain are taken for a loop and refused."""


def depth_line(depth: int) -> bytes:
    """The header's line."""
    return b"%b: %d\r\n" % (DEPTH.encode(), depth)


def read_depth(headers: Headers) -> int:
    """The number of handlers above this request, which waits for them."""
    text = headers.get(DEPTH)
    return 0 if text is None else parse_depth(text)


def parse_depth(text: str) -> int:
    """The depth of a call chain; 0 for what is not a whole number."""
    text = text.strip()
    return min(int(text), 10**6) if text.isascii() and text.isdigit() and len(text) <= 18 else 0
