"""The ack subject of a message: where it came from, told in its tokens.

    $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>
    $JS.ACK.<domain>.<account hash>.<stream>.<consumer>. ... .<pending>[.<more>]

Nine tokens, or eleven and more; the domain `_` is none.

Ref: ADR-15.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from natsrpc.core import decode
from natsrpc.errors import JetStreamError

from ..api import from_ns

PREFIX = b"$JS.ACK."
PREFIX_END = b"$JS.ACK/"
"""Ack subjects stand between the two: a comparison is half of what cutting the prefix takes."""


class Metadata(NamedTuple):
    """Where a message stands in its stream and consumer.

    `num_delivered` counts this delivery, `num_pending` what is still to come for the consumer.
    """

    stream: str
    consumer: str
    stream_seq: int
    consumer_seq: int
    num_delivered: int
    num_pending: int
    timestamp: datetime
    domain: str


def tokens_of(reply: bytes) -> list[bytes]:
    """The seven tokens from the stream's name on.

    Raises:
        JetStreamError: it is no ack subject.
    """
    tokens = reply.split(b".")
    if len(tokens) == 9:
        return tokens[2:]
    if len(tokens) >= 11 and reply.startswith(PREFIX):
        return tokens[4:11]
    raise JetStreamError(f"{decode(reply)!r} is not the ack subject of a JetStream message")


def metadata_of(reply: bytes) -> Metadata:
    """What an ack subject tells.

    Raises:
        JetStreamError: it is no ack subject.
    """
    stream, consumer, delivered, stream_seq, consumer_seq, time, pending = tokens_of(reply)
    domain = reply.split(b".", 3)[2] if reply.count(b".") > 8 else b""
    try:
        return Metadata(
            decode(stream),
            decode(consumer),
            int(stream_seq),
            int(consumer_seq),
            int(delivered),
            int(pending),
            from_ns(int(time)),
            "" if domain == b"_" else decode(domain),
        )
    except (ValueError, OverflowError, OSError):
        text = f"{decode(reply)!r} is not the ack subject of a JetStream message"
        raise JetStreamError(text) from None
