"""Acks: the words that clients say about deliveries, on the reply subject of each.

    $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>

They go by the stream's sequence alone, so a word about an older delivery hits the present one.

Ref: ADR-15.
"""

from __future__ import annotations

import json
from typing import Any

from .consumer import Consumer

PREFIX = "$JS.ACK."
_TOKENS = 9


def place_of(subject: str) -> tuple[str, str, int] | None:
    """Stream, consumer and stream sequence of an ack subject; None if it is none."""
    tokens = subject.split(".")
    if len(tokens) != _TOKENS or not tokens[5].isdecimal():
        return None
    return tokens[2], tokens[3], int(tokens[5])


def say(consumer: Consumer, seq: int, word: bytes) -> bytes | None:
    """Note a word; what a `+NXT` asks for as its next pull, else None."""
    kind, _, rest = word.partition(b" ")
    if word.startswith(b"-NAK"):
        consumer.nak(seq, _delay(word[4:]))
    elif kind in (b"", b"+ACK", b"+OK"):
        consumer.ack(seq)
    elif kind == b"+WPI":
        consumer.progress(seq)
    elif kind == b"+TERM":
        consumer.term(seq, rest.decode("utf-8", "replace"))
    elif word.startswith(b"+NXT"):
        consumer.ack(seq)
        return word[4:].strip()
    return None


def _delay(text: bytes) -> int:
    """The delay of a nak in nanoseconds; what is no JSON object with a whole one means none."""
    try:
        options: Any = json.loads(text) if text.strip() else {}
    except (ValueError, RecursionError):
        return 0
    delay = options.get("delay", 0) if isinstance(options, dict) else 0
    return delay if type(delay) is int and delay > 0 else 0
