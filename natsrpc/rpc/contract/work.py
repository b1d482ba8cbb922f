"""What a worker is held to, as data: its stream and consumer, its retries, its dead letters."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Any

from natsrpc.errors import ConfigError

_FACTORS = (1.0, 100.0)
_MOST_DELAY = 10 * 365 * 86400.0
_REFUSED = frozenset(".*>/\\")


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often a worker tries a message, and how long it waits in between.

    The first wait is `wait` seconds; each further one is `factor` times as long, up to `max_wait`.
    `jitter` makes each up to that part shorter or longer, so that what failed together does not
    come back together.

    Args:
        attempts: how often a message is delivered, the first time included; None for no limit.
            A delivery that ended with its process counts, too.
        wait: seconds before the second attempt.
        max_wait: the longest wait, in seconds.
        factor: by how much each wait is longer than the one before.
        jitter: 0 to 1.

    Raises:
        ConfigError: one of them cannot be.
    """

    attempts: int | None = 5
    wait: float = 1.0
    max_wait: float = 60.0
    factor: float = 2.0
    jitter: float = 0.1

    def __post_init__(self) -> None:
        attempts = self.attempts
        if attempts is not None and (type(attempts) is not int or attempts < 1):
            raise ConfigError(
                f"Retry(attempts={attempts!r}): expected a whole number of at least 1, or None"
            )
        for name, (least, most) in {
            "wait": (0.0, _MOST_DELAY),
            "max_wait": (0.0, _MOST_DELAY),
            "factor": _FACTORS,
            "jitter": (0.0, 1.0),
        }.items():
            value = getattr(self, name)
            if not _is_number(value) or not least <= value <= most:
                raise ConfigError(f"Retry({name}={value!r}): expected {least:g} to {most:g}")
        if self.max_wait < self.wait:
            raise ConfigError(
                f"Retry(wait={self.wait!r}, max_wait={self.max_wait!r}): the first wait is longer "
                "than the longest"
            )

    def delay(self, attempt: int) -> float:
        """Seconds to wait after that attempt has failed, counted from 1."""
        growth = min(attempt - 1, 1000) * math.log(self.factor)
        most = math.log(self.max_wait / self.wait) if self.wait else 0.0
        delay = self.max_wait if growth >= most and self.wait else self.wait * math.exp(growth)
        if self.jitter:
            delay *= random.uniform(1 - self.jitter, 1 + self.jitter)  # noqa: S311  no secret
        return delay

    def is_last(self, attempt: int) -> bool:
        """Whether no attempt follows that one."""
        return self.attempts is not None and attempt >= self.attempts


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerContract:
    """The part of an `EndpointContract` that only a worker has.

    `stream` is where its messages are, `durable` the consumer by which its instances share them.
    `ack_wait` is how long the server waits for a word about one. `dead_letter` is "" for none.
    With `batch` its handler takes so many messages at once, which are waited for up to `batch_wait`
    seconds after the first; 0 for one at a time.
    """

    stream: str
    durable: str
    retry: Retry
    ack_wait: float
    dead_letter: str = ""
    batch: int = 0
    batch_wait: float = 0.0


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def check_asset(kind: str, name: Any) -> str:
    """Refuse what cannot name a stream or a consumer.

    Raises:
        ConfigError: naming the character that is refused.
    """
    if not isinstance(name, str) or not name:
        raise ConfigError(f"{kind} is {name!r}: expected a name")
    for character in name:
        if character in _REFUSED or character.isspace() or not character.isprintable():
            raise ConfigError(f"{kind} name {name!r} has {character!r}, which no name may have")
    return name
