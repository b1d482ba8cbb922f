"""Single messages read from a stream: by the API, and directly.

Ref: ADR-31.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from natsrpc.errors import JetStreamError

from .configs import GET, known
from .headers import appended, status
from .messages import Stored
from .moments import rfc3339
from .refusals import lacking, refused
from .stream import Stream


def wanted(stream: Stream, request: dict[str, Any]) -> Stored:
    """The message that a `STREAM.MSG.GET` asks for.

    Raises:
        JetStreamError: there is none, or the request cannot be.
    """
    request = known(request, GET)
    if any(name in request for name in ("batch", "multi_last", "start_time", "max_bytes")):
        raise lacking("direct gets of several messages")
    seq, last, following = (request.get(name) for name in ("seq", "last_by_subj", "next_by_subj"))
    if bool(last) == bool(seq or following):
        raise refused(10003)
    messages = stream.messages
    found: Stored | None
    if last == ">":
        found = messages.by_seq.get(messages.last_seq)  # on a server, too, not the last one left
    elif last:
        found = messages.last_of(last)
    elif following:
        found = messages.next_of(following, seq or 0)
    else:
        found = messages.by_seq.get(seq or 0)
    if found is None:
        raise refused(10037)
    return found


def as_json(message: Stored) -> dict[str, Any]:
    """A message as the API tells it."""
    facts: dict[str, Any] = {"subject": message.subject, "seq": message.seq}
    if message.headers:
        facts["hdrs"] = base64.b64encode(message.headers).decode()
    if message.data:
        facts["data"] = base64.b64encode(message.data).decode()
    return {**facts, "time": rfc3339(message.time)}


def direct(stream: Stream, subject: str, data: bytes) -> tuple[bytes, bytes]:
    """The header block and payload that a direct get is answered with."""
    try:
        if subject:
            if data.strip():
                return status(408, "Bad Request"), b""
            request = {"last_by_subj": subject}
        elif not data.strip():
            return status(408, "Empty Request"), b""
        else:
            request = json.loads(data)
            if not isinstance(request, dict):
                return status(408, "Malformed Request"), b""
            if not any(request.values()):
                return status(408, "Empty Request"), b""
        message = wanted(stream, request)
    except JetStreamError as error:
        if error.err_code == 10037:
            return status(404, "Message Not Found"), b""
        return status(408, "Bad Request" if error.err_code else error.description), b""
    except (ValueError, RecursionError):
        return status(408, "Malformed Request"), b""
    facts = [
        ("Nats-Stream", stream.name),
        ("Nats-Subject", message.subject),
        ("Nats-Sequence", message.seq),
        ("Nats-Time-Stamp", rfc3339(message.time)),
    ]
    return appended(message.headers, facts), message.data
