"""Messages that a stream keeps until they are due: message schedules of the server.

A schedule is a message on a subject of its own, in the stream that has the target's subject; when
it is due, the server stores it under the target, and the schedule is gone. A second one on the same
subject takes the place of the first, so each job has a subject of its own; and consumers would be
given a schedule on the subjects that they filter, so these subjects are declared: the stream's
metadata names them, as in `StreamConfig(metadata={"natsrpc.schedules": "shop.schedules.*"})`.

Ref: ADR-51.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import NamedTuple

from natsrpc.core import (
    check_literal,
    decode,
    encode_headers,
    matches,
    overlaps,
    random_text,
)
from natsrpc.errors import BadSubjectError, ConfigError, JetStreamError, StreamNotFoundError
from natsrpc.jetstream import JetStream, StreamConfig, lacking, nobody_stores

SCHEDULES = "natsrpc.schedules"
"""The key in a stream's metadata that names the subjects of its schedules."""

LEVEL = 2
"""The API level of servers that know schedules."""

FRESH = 60.0
"""Seconds for which a stream is taken to be as it was found."""

MAX_PLACES = 1024
"""Subjects whose stream is remembered."""

_FIRST_LINE = b"NATS/1.0\r\n"
_TOKEN = 32
_HOW = (
    f'declare it with allow_msg_schedules=True and metadata={{"{SCHEDULES}": "shop.schedules.*"}}, '
    "where that subject is one of its own and of no consumer"
)


class Schedule(NamedTuple):
    """A message that is due later: its subject, and the header lines that say when and where to."""

    subject: bytes
    lines: bytes

    def block(self, block: bytes) -> bytes:
        """The header block of the message with these lines."""
        return block[:-2] + self.lines


class Place(NamedTuple):
    """Where the schedules for a subject go. `keeps` is for how many seconds the stream keeps them;
    0 is for ever. It is asked anew after `until`, in seconds of the loop."""

    stream: str
    prefix: str
    keeps: float
    until: float


class Schedules:
    """The schedules that one client makes."""

    def __init__(self, js: JetStream) -> None:
        self._js = js
        self._time = js.connection.link.loop.time
        self._places: dict[bytes, Place] = {}

    async def schedule(self, target: bytes, msg_id: str, at: datetime) -> Schedule:
        """A message for `target` that is due at a time; those of one id have one subject.

        Raises:
            JetStreamError: the stream of the target takes no schedules, or the server is too old;
                or the stream would drop it before it is due.
            NoStreamResponseError: no stream has the subject.
            NatsTimeoutError, PermissionsError, ConnectionClosedError: as any call.
        """
        place = self._places.get(target)
        if place is None or place.until < self._time():
            place = await self._find(target)
        left = (at - datetime.now(UTC)).total_seconds()
        if 0 < place.keeps <= left:
            raise JetStreamError(
                f"stream {place.stream!r} keeps a message for {place.keeps:g} s, and this one is "
                f"due in {left:.0f} s: it would be dropped before; give the stream a longer max_age"
            )
        token = _token(target, msg_id) if msg_id else random_text(_TOKEN).decode()
        lines = encode_headers(
            {
                "Nats-Schedule": f"@at {_rfc3339(at)}",
                "Nats-Schedule-Target": decode(target),
            }
        )
        return Schedule(check_literal(f"{place.prefix}{token}"), lines[len(_FIRST_LINE) :])

    def forget(self, target: bytes) -> None:
        """Ask anew for the stream of a subject, which is not as it was found."""
        self._places.pop(target, None)

    async def _find(self, target: bytes) -> Place:
        subject = decode(target)
        try:
            name = await self._js.stream_name_by_subject(subject)
        except StreamNotFoundError as error:
            raise nobody_stores(subject, error) from None
        stream = await self._js.stream(name)
        config = stream.cached_info.config
        prefix = schedules_of(config)
        keeps = config.max_age or 0.0
        if len(self._places) >= MAX_PLACES:
            self._places.clear()
        place = self._places[target] = Place(name, prefix, keeps, self._time() + FRESH)
        return place


def schedules_of(config: StreamConfig) -> str:
    """What the subjects of a stream's schedules begin with; the last dot included.

    Raises:
        JetStreamError: the stream takes none, and why.
    """
    metadata = config.metadata or {}
    if not config.allow_msg_schedules:
        if _level(metadata.get("_nats.level", "")) < LEVEL:
            raise lacking("enqueue(delay=...) or enqueue(at=...)", LEVEL)
        raise JetStreamError(f"stream {config.name!r} takes no schedules: {_HOW}")
    if config.retention == "interest":
        raise JetStreamError(
            f"stream {config.name!r} has retention 'interest', which drops a schedule that no "
            "consumer waits for: expected 'limits' or 'workqueue'"
        )
    declared = metadata.get(SCHEDULES)
    if declared is None:
        raise JetStreamError(f"stream {config.name!r} declares no subject for schedules: {_HOW}")
    prefix, _, last = declared.rpartition(".")
    probe = f"{prefix}.x"
    try:
        check_literal(probe)
    except BadSubjectError:
        last = ""
    if last not in ("*", ">"):
        raise JetStreamError(
            f"stream {config.name!r} has the metadata {SCHEDULES}={declared!r}: expected a subject "
            "that ends in a wildcard, as 'shop.schedules.*'"
        )
    if not any(matches(each, probe) for each in config.subjects or ()):
        raise JetStreamError(
            f"stream {config.name!r} has the metadata {SCHEDULES}={declared!r}, and no such "
            f"subject; it has: {', '.join(config.subjects or ()) or 'none'}"
        )
    return f"{prefix}."


def check_apart(where: str, config: StreamConfig, subject: str) -> None:
    """Refuse a consumer of the subjects of schedules: it would be given jobs before they are due.

    Raises:
        ConfigError: naming both subjects.
    """
    declared = (config.metadata or {}).get(SCHEDULES)
    if config.allow_msg_schedules and declared and overlaps(declared, subject):
        raise ConfigError(
            f"{where} handles {subject!r}, and stream {config.name!r} keeps its schedules on "
            f"{declared!r}: it would be given jobs that are not due; give the schedules a subject "
            "of their own"
        )


def _level(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def _token(target: bytes, msg_id: str) -> str:
    """The token of a job's own subject: that of its id, for the job's target."""
    whole = b"%b\n%b" % (target, msg_id.encode())
    return hashlib.sha256(whole).hexdigest()[:_TOKEN]


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
