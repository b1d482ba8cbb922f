"""The answer to a publish: which stream stored the message, and where.

An answer may come from elsewhere: a service on the same subject answers too. So it is a PubAck only
if it names a stream and a sequence.

Ref: ADR-22.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from natsrpc.core import decode
from natsrpc.errors import JetStreamError

from ..api import error_of

_decode = json.JSONDecoder().raw_decode

IN_PROCESS = 10158
"""Another message with the same id is being stored now, and may yet fail."""

NOT_READY = 10163
"""The stream is not ready yet."""


class PubAck(NamedTuple):
    """The server's word that a message is stored.

    `duplicate`: one with the same id was stored before, and `seq` is that one's. `domain` is the
    stream's, "" if it has none. `value` is the counter's, where the stream counts.
    """

    stream: str
    seq: int
    duplicate: bool = False
    domain: str = ""
    value: str = ""


def ack_of(data: bytes, subject: bytes) -> PubAck:
    """The PubAck in an answer.

    Raises:
        JetStreamError: the server refused the message, or the answer is no PubAck.
    """
    try:
        answer, _ = _decode(data.decode())
        stream, seq = answer["stream"], answer["seq"]
        if "error" not in answer and type(seq) is int and type(stream) is str:
            if len(answer) == 2:
                return PubAck(stream, seq)
            return PubAck(
                stream,
                seq,
                bool(answer.get("duplicate", False)),
                str(answer.get("domain", "")),
                str(answer.get("val", "")),
            )
    except (ValueError, KeyError, TypeError, RecursionError):
        answer = answer_or_none(data)
    if isinstance(answer, dict) and "error" in answer:
        raise error_of(answer["error"], subject)
    raise JetStreamError(
        f"the answer on {decode(subject)!r} is not a PubAck: {data[:80]!r}; somebody else answers "
        "requests on that subject"
    )


def answer_or_none(data: bytes) -> object:
    """The JSON of an answer; None if it is none."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def is_passing(ack: PubAck | None, error: JetStreamError | None) -> bool:
    """Whether the same publish may have another answer in a moment."""
    if error is not None:
        return error.err_code in (IN_PROCESS, NOT_READY)
    return ack is not None and ack.seq == 0  # an old server's word for `IN_PROCESS`
