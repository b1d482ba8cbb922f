"""The header of callers that take replies larger than a message: `Natsrpc-Max-Reply: <bytes>`."""

from __future__ import annotations

from natsrpc.core import Headers

MAX_REPLY = "Natsrpc-Max-Reply"


def max_reply_line(size: int) -> bytes:
    """The header's line, for a caller that takes replies of up to `size` bytes."""
    return b"%b: %d\r\n" % (MAX_REPLY.encode(), size)


def read_max_reply(headers: Headers) -> int:
    """The size up to which a reply may come in frames, in bytes; 0 if it may not."""
    text = (headers.get(MAX_REPLY) or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else 0
