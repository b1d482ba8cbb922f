"""Recognising the acknowledgement of a JetStream stream where the answer of a service is expected.

A stream that stores the subject of a call answers each request as well, with `{"stream":"ORDERS",
"seq":1}`, and mostly before the service does. The caller's one answer is then not the service's.
`BoundCall` asks here, for replies that do not fit; for types that any mapping fits the decoder
itself is made to look, and all others decode as before, without a look.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from natsrpc.core import Throttle
from natsrpc.errors import SubjectStoredError

Decode = Callable[[bytes], Any]

_SAMPLE = b'{"stream":"S","seq":1}'
_STARTS = b'{"stream":', b'{"error":', b'{"type":"io.nats.jetstream.api.'
_KEYS = frozenset(
    {"stream", "seq", "domain", "duplicate", "error", "type", "val", "batch", "count"}
)
_LONGEST = 4096


def stored(data: bytes, subject: str) -> SubjectStoredError | None:
    """The error of a reply that is no service's answer, but a stream's acknowledgement."""
    if not data.startswith(_STARTS) or len(data) > _LONGEST:
        return None
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    stream = found.get("stream")
    if not isinstance(stream, str) or not isinstance(found.get("seq"), int) or found.keys() - _KEYS:
        return None
    error = found.get("error")
    reason = str(error.get("description", "")) if isinstance(error, dict) else ""
    return SubjectStoredError(subject, stream=stream, reason=reason)


def watch(decode: Decode, subject: str, log: Throttle) -> Decode:
    """The decoder for the replies of a subject: it looks for acknowledgements where they fit.

    A type that says no more than that a mapping or bytes come may be meant to read them: there they
    are logged, and given. One that has fields of these names is made for them. For any other type
    that an acknowledgement fits, such as a model whose fields all have defaults, it is an error.
    """
    try:
        sample = decode(_SAMPLE)
    except Exception:  # the codec may be a user's own; what does not fit is looked at when it comes
        return decode
    if hasattr(sample, "stream") and hasattr(sample, "seq"):
        return decode
    is_open = isinstance(sample, (Mapping, bytes, str))

    def look(data: bytes) -> Any:
        if data.startswith(_STARTS):
            error = stored(data, subject)
            if error is not None and not is_open:
                raise error
            if error is not None:
                log.warning("stored", "%s", error)
        return decode(data)

    return look
