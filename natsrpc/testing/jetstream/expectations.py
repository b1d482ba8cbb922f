"""What a publish asks of its stream in headers, and the refusals where that does not hold.

Ref: ADR-22, ADR-43.
"""

from __future__ import annotations

from typing import NamedTuple

from .headers import value
from .messages import Messages
from .moments import SECOND, from_duration
from .refusals import lacking, refused

_LACKING = {"Nats-Incr": "counters", "Nats-Batch-Id": "atomic batches"}


class Expected(NamedTuple):
    """What the headers of one publish say."""

    msg_id: str | None = None
    stream: str | None = None
    last_seq: int | None = None
    last_subject_seq: int | None = None
    subject: str | None = None
    last_msg_id: str | None = None
    ttl: int = 0
    rollup: str | None = None


NOTHING = Expected()


def expected(block: bytes) -> Expected:
    """Read the headers of a publish.

    Raises:
        JetStreamError: one of them cannot be, or not here.
    """
    if not block:
        return NOTHING
    for name, what in _LACKING.items():
        if value(block, name) is not None:
            raise lacking(what)
    return Expected(
        msg_id=value(block, "Nats-Msg-Id") or None,
        stream=value(block, "Nats-Expected-Stream"),
        last_seq=_seq(value(block, "Nats-Expected-Last-Sequence")),
        last_subject_seq=_seq(value(block, "Nats-Expected-Last-Subject-Sequence")),
        subject=value(block, "Nats-Expected-Last-Subject-Sequence-Subject"),
        last_msg_id=value(block, "Nats-Expected-Last-Msg-Id"),
        ttl=ttl_of(value(block, "Nats-TTL")),
        rollup=value(block, "Nats-Rollup"),
    )


def _seq(text: str | None) -> int | None:
    if text is None:
        return None
    return int(text) if text.isdecimal() else -1  # which no sequence is


def ttl_of(text: str | None) -> int:
    """A time to live in nanoseconds: 0 for none, -1 for never.

    Raises:
        JetStreamError: it is none.
    """
    if not text:
        return 0
    if text == "never":
        return -1
    try:
        ttl = int(text) * SECOND if text.isdecimal() else from_duration(text)
    except ValueError:
        ttl = 0
    if ttl < SECOND:
        raise refused(10165)
    return ttl


def check(asked: Expected, subject: str, messages: Messages, last_msg_id: str) -> None:
    """Compare with what the stream holds.

    Raises:
        JetStreamError: it is otherwise.
    """
    if asked.last_seq is not None and asked.last_seq != messages.last_seq:
        raise refused(10071, seq=messages.last_seq)
    if asked.last_subject_seq is not None:
        last = messages.last_of(asked.subject or subject)
        seq = last.seq if last is not None else 0
        if seq != asked.last_subject_seq:
            raise refused(10071, seq=seq)
    if asked.last_msg_id is not None and asked.last_msg_id != last_msg_id:
        raise refused(10070, id=last_msg_id)
