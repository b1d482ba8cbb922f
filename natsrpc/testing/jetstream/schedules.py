"""Message schedules: messages that are stored, and published again to their target when due.

`@at` and `@every` are here; a real server also takes cron expressions. A schedule is the one
message of its subject: the next one replaces it.

Ref: ADR-51.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from natsrpc.core import check_literal, matches
from natsrpc.errors import JetStreamError, NatsError

from .expectations import ttl_of
from .headers import appended, value, without
from .messages import Stored
from .moments import SECOND, Moments, Timer, from_duration, from_rfc3339, rfc3339
from .refusals import lacking, refused

_DROPPED = ("Nats-Schedule", "Nats-Expected-", "Nats-Rollup", "Nats-Msg-Id", "Nats-TTL")
_CRON_WORDS = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")


class Pattern(NamedTuple):
    """When: at a moment of the publisher's wall clock, or again and again. Nanoseconds."""

    at: int = 0
    every: int = 0


def pattern_of(text: str) -> Pattern:
    """Read a `Nats-Schedule`.

    Raises:
        JetStreamError: it is none, or not here.
    """
    word, _, rest = text.partition(" ")
    try:
        if word == "@at":
            return Pattern(at=from_rfc3339(rest))
        if word == "@every":
            every = from_duration(rest)
            if every >= SECOND:
                return Pattern(every=every)
    except ValueError:
        raise refused(10189) from None
    if word in _CRON_WORDS or len(text.split()) == 6:
        raise lacking("cron expressions as schedules")
    raise refused(10189)


def check(
    block: bytes, subject: str, subjects: list[str], *, is_on: bool, takes_ttl: bool
) -> bytes:
    """The headers of a publish as they are stored, its schedule checked.

    Raises:
        JetStreamError: the schedule cannot be.
    """
    text = value(block, "Nats-Schedule")
    if text is None:
        return block
    if not is_on:
        raise refused(10188)
    for header in ("Nats-Schedule-Source", "Nats-Schedule-Time-Zone", "Nats-Schedule-Rollup"):
        if value(block, header) is not None:
            raise lacking(f"schedules with {header}")
    pattern_of(text)
    _check_ttl(value(block, "Nats-Schedule-TTL"), takes_ttl=takes_ttl)
    target = value(block, "Nats-Schedule-Target") or ""
    if target == subject or not _is_literal(target) or not _is_in(subjects, target):
        raise refused(10190)
    return appended(without(block, "Nats-Rollup".__eq__), [("Nats-Rollup", "sub")])


def _check_ttl(text: str | None, *, takes_ttl: bool) -> None:
    try:
        ttl_of(text)
    except JetStreamError:
        raise refused(10191) from None
    if text and not takes_ttl:
        raise refused(10166)


def _is_literal(subject: str) -> bool:
    try:
        check_literal(subject)
    except NatsError:
        return False
    return True


def _is_in(patterns: list[str], subject: str) -> bool:
    return any(matches(pattern, subject) for pattern in patterns)


class Schedules:
    """The schedules of one stream, with a timer each.

    Args:
        moments: the time.
        fire: called with the schedule's message and the headers of what is due.
    """

    def __init__(self, moments: Moments, fire: Callable[[Stored, bytes, bool], None]) -> None:
        self._moments = moments
        self._fire = fire
        self._timers: dict[int, Timer] = {}

    def add(self, message: Stored) -> None:
        """Take in a message that was stored, if it is one."""
        text = value(message.headers, "Nats-Schedule")
        if text is None:
            return
        pattern = pattern_of(text)
        due = self._moments.now() + pattern.every
        if pattern.at:
            due = self._moments.of_wall(pattern.at)
        self._set(message, pattern, due)

    def remove(self, seq: int) -> None:
        """Forget a message that is no longer stored."""
        timer = self._timers.pop(seq, None)
        if timer is not None:
            timer.cancel()

    def _set(self, message: Stored, pattern: Pattern, due: int) -> None:
        self._timers[message.seq] = self._moments.call_at(due, self._due, message, pattern, due)

    def _due(self, message: Stored, pattern: Pattern, due: int) -> None:
        del self._timers[message.seq]
        then = "purge"
        if pattern.every:
            following = due + pattern.every
            then = rfc3339(following)
            self._set(message, pattern, following)
        block = without(message.headers, lambda name: name.startswith(_DROPPED))
        facts = [("Nats-Scheduler", message.subject), ("Nats-Schedule-Next", then)]
        ttl = value(message.headers, "Nats-Schedule-TTL")
        if ttl:
            facts.append(("Nats-TTL", ttl))
        self._fire(message, appended(block, facts), not pattern.every)
