"""Where a new consumer begins in its stream, by its deliver policy."""

from __future__ import annotations

from typing import NamedTuple

from .configs import Raw, filters_of
from .messages import Messages
from .moments import from_rfc3339


class Start(NamedTuple):
    """What comes first: the messages in `firsts`, then all from `seq` on."""

    seq: int
    firsts: tuple[int, ...] = ()

    @property
    def done(self) -> int:
        """The last sequence that it has nothing to do with."""
        return (self.firsts[0] if self.firsts else self.seq) - 1


def start_of(messages: Messages, config: Raw) -> Start:
    """Where a consumer with this configuration begins."""
    filters = filters_of(config)
    first, after = max(messages.first_seq, 1), messages.last_seq + 1
    match config["deliver_policy"]:
        case "all":
            return Start(first)
        case "by_start_sequence":
            return Start(min(max(config["opt_start_seq"], first), after))
        case "by_start_time":
            since = from_rfc3339(config["opt_start_time"])
            there = (each.seq for each in messages.by_seq.values() if each.time >= since)
            return Start(next(there, after))
        case "last":
            lasts = [messages.last_of(each) for each in filters or [">"]]
            return Start(max((last.seq for last in lasts if last is not None), default=after))
        case "last_per_subject":
            return Start(after, tuple(messages.lasts_of(filters)))
        case _:
            return Start(after)
