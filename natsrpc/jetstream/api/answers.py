"""Answers of the server: JSON objects, or errors, told apart by `err_code` alone (texts vary)."""

from __future__ import annotations

import json
import re
from typing import Any

from natsrpc.core import decode
from natsrpc.errors import (
    ConsumerNameInUseError,
    ConsumerNotFoundError,
    JetStreamError,
    JetStreamNotEnabledError,
    MsgNotFoundError,
    StreamFullError,
    StreamNameInUseError,
    StreamNotFoundError,
    WrongLastSequenceError,
)

CONSUMER_GONE = (ConsumerNotFoundError, StreamNotFoundError)

_CLASSES: dict[int, type[JetStreamError]] = {
    10013: ConsumerNameInUseError,
    10014: ConsumerNotFoundError,
    10037: MsgNotFoundError,
    10039: JetStreamNotEnabledError,
    10058: StreamNameInUseError,
    10059: StreamNotFoundError,
    10071: WrongLastSequenceError,
    10076: JetStreamNotEnabledError,
    10148: ConsumerNameInUseError,
    10149: ConsumerNotFoundError,
    10164: WrongLastSequenceError,
}

_STORE_FAILED = 10077
"""The stream could not store a message: it is full, where the text begins with "maximum"."""

_last_seq = re.compile(r"wrong last sequence: (\d+)").search


def parse(data: bytes, subject: bytes | str) -> dict[str, Any]:
    """Return the JSON object that was answered on `subject`, whether it is an error or not.

    Raises:
        JetStreamError: it is no JSON object.
    """
    try:
        answer = json.loads(data)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        text = decode(subject) if isinstance(subject, bytes) else subject
        raise JetStreamError(f"the answer on {text!r} is no JSON object: {data[:80]!r}")
    return answer


def error_of(error: Any, subject: bytes | str) -> JetStreamError:
    """The exception for the `error` of an answer."""
    fields = error if isinstance(error, dict) else {}
    code, number = _number(fields.get("code")), _number(fields.get("err_code"))
    description = str(fields.get("description", error if not fields else ""))
    text = decode(subject) if isinstance(subject, bytes) else subject
    message = f"{description} (on {text!r}, code {code}, err_code {number})"
    class_ = _CLASSES.get(number, JetStreamError)
    if number == _STORE_FAILED and description.startswith("maximum "):
        class_ = StreamFullError
    exception = class_(message, code=code, err_code=number, description=description)
    if isinstance(exception, WrongLastSequenceError) and (found := _last_seq(description)):
        exception.last_seq = int(found[1])
    return exception


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0
