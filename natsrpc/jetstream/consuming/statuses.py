"""What the server says to a pull in place of messages: statuses, and what each means for the pull.

Texts of 409 are compared in lower case and by a part of them, as the server's versions differ.

Ref: ADR-13, ADR-37, ADR-42.
"""

from __future__ import annotations

import enum
import re

from natsrpc.errors import (
    ConsumerDeletedError,
    ConsumerLeadershipChangedError,
    JetStreamError,
)


class Verdict(enum.Enum):
    """What a status means."""

    ALIVE = "the pull lives on"
    OVER = "the pull is over, and nothing is wrong"
    TOO_LARGE = "the next message does not fit what is left of max_bytes"
    MOVED = "the pull is void, and the consumer is elsewhere now, or will be"
    LIMITED = "the pull asks for more than the consumer allows, or there are too many"
    NOBODY = "there is no such consumer, or it has no leader"
    UNPINNED = "another client of the priority group is served"
    DELETED = "the consumer is gone"
    REFUSED = "no pull like this will ever be served"
    UNKNOWN = "a status that this version does not know"


_CODES = {
    100: Verdict.ALIVE,
    404: Verdict.OVER,
    408: Verdict.OVER,
    423: Verdict.UNPINNED,
    503: Verdict.NOBODY,
    400: Verdict.REFUSED,
    412: Verdict.REFUSED,
}
_CONFLICTS = (
    ("batch completed", Verdict.OVER),
    ("message size exceeds maxbytes", Verdict.TOO_LARGE),
    ("leadership change", Verdict.MOVED),
    ("server shutdown", Verdict.MOVED),
    ("consumer deleted", Verdict.DELETED),
    ("push based", Verdict.REFUSED),
    ("exceeded", Verdict.LIMITED),
)

_limit = re.compile(r"exceeded (maxrequestbatch|maxrequestexpires|maxrequestmaxbytes) of (\S+)")
_part = re.compile(r"([\d.]+)(h|ms|m|us|µs|ns|s)")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


def verdict_of(code: int | None, text: str) -> Verdict:
    """What a status means for its pull."""
    if code == 409:
        lower = text.lower()
        for part, verdict in _CONFLICTS:
            if part in lower:
                return verdict
        return Verdict.UNKNOWN
    return _CODES.get(code or 0, Verdict.UNKNOWN)


def error_of_status(code: int | None, text: str, consumer: str) -> JetStreamError:
    """The exception that tells a status."""
    verdict = verdict_of(code, text)
    class_: type[JetStreamError] = JetStreamError
    if verdict is Verdict.DELETED or verdict is Verdict.NOBODY:
        class_ = ConsumerDeletedError
    elif verdict is Verdict.MOVED:
        class_ = ConsumerLeadershipChangedError
    told = text or verdict.value
    return class_(f"consumer {consumer}: {told} ({code})", code=code or 0, description=text)


def limit_in(text: str) -> tuple[str, float] | None:
    """The limit that a status names: "maxrequestbatch", "maxrequestexpires" (in seconds) or
    "maxrequestmaxbytes", and its value."""
    found = _limit.search(text.lower())
    if found is None:
        return None
    name, value = found.groups()
    if name == "maxrequestexpires":
        seconds = sum(float(number) * _UNITS[unit] for number, unit in _part.findall(value))
        return (name, seconds) if seconds else None
    return (name, float(value)) if value.isdigit() else None
