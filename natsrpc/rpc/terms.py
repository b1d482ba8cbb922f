"""What a request's header block asks for, read once per distinct block.

Most requests of a caller carry the same bytes (same codec, same timeout), so an endpoint keeps what
they mean in a small table keyed by the block itself and reads no header twice.
"""

from __future__ import annotations

import math

from natsrpc import codecs
from natsrpc.core import Headers

from .admission import Lane
from .deadline import DEPTH_HEADER, TIMEOUT_HEADER, parse_depth, parse_timeout

TIMEOUT = TIMEOUT_HEADER.decode()
DEPTH = DEPTH_HEADER.decode()

COARSE = 0.010
"""Deadlines are enforced by timers of this grain, so that few distinct timers exist."""


class Terms:
    """The terms of a request: its time, its depth, its codec, and the lane it is admitted by.

    `timeout` is in seconds from the socket read, None without a deadline; `timer` is the same
    rounded up to the grain of the timers. `reply_headers` goes with a successful reply.
    """

    __slots__ = ("codec", "decode", "depth", "encode", "lane", "reply_headers", "timeout", "timer")

    def __init__(
        self,
        lane: Lane,
        codec: codecs.Codec,
        request: codecs.Bound,
        response: codecs.Bound,
        *,
        timeout: float | None,
        depth: int,
        reply_headers: bytes,
    ) -> None:
        self.lane = lane
        self.codec = codec
        self.decode = request.decode
        self.encode = response.encode
        self.timeout = timeout
        self.timer = 0.0 if timeout is None else math.ceil(timeout / COARSE) * COARSE
        self.depth = depth
        self.reply_headers = reply_headers


def read_timeout(headers: Headers, own: float | None) -> float | None:
    """The shorter of what the request asks for and what the handler allows; None if neither."""
    text = headers.get(TIMEOUT)
    asked = None if text is None else parse_timeout(text)
    if asked is None or own is None:
        return own if asked is None else asked
    return min(asked, own)


def read_depth(headers: Headers) -> int:
    """How many handlers stand above this request."""
    text = headers.get(DEPTH)
    return 0 if text is None else parse_depth(text)
