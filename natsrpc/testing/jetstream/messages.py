"""The messages of one stream, by sequence and by subject. It knows nothing of limits or time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from natsrpc.core import matches

from .moments import Timer


@dataclass(slots=True, eq=False)
class Stored:
    """One message as the stream holds it. `time` is nanoseconds since 1970, `headers` the block as
    on the wire, `ttl` nanoseconds (0: it has none of its own, below 0: it never goes by age)."""

    seq: int
    subject: str
    data: bytes
    headers: bytes
    time: int
    size: int
    ttl: int = 0
    timer: Timer | None = None


class Messages:
    """What a stream holds."""

    def __init__(self, first_seq: int = 0) -> None:
        self.by_seq: dict[int, Stored] = {}
        self.by_subject: dict[str, dict[int, Stored]] = {}
        self.bytes: int = 0
        self.first_seq: int = first_seq
        self.last_seq: int = max(first_seq - 1, 0)
        self.last_time: int = 0

    def __len__(self) -> int:
        return len(self.by_seq)

    def add(self, message: Stored) -> None:
        """Add a message with the next sequence."""
        self.by_seq[message.seq] = message
        self.by_subject.setdefault(message.subject, {})[message.seq] = message
        self.bytes += message.size
        self.last_seq = message.seq
        self.last_time = message.time
        if len(self.by_seq) == 1:
            self.first_seq = message.seq

    def skip(self, seq: int) -> None:
        """Give a sequence to a message that is not kept."""
        self.last_seq = seq
        if not self.by_seq:
            self.first_seq = seq + 1

    def remove(self, seq: int) -> Stored:
        """Remove a message that is there."""
        message = self.by_seq.pop(seq)
        of_subject = self.by_subject[message.subject]
        del of_subject[seq]
        if not of_subject:
            del self.by_subject[message.subject]
        self.bytes -= message.size
        if seq == self.first_seq:
            self._move_first()
        return message

    def _move_first(self) -> None:
        self.first_seq += 1
        while self.first_seq <= self.last_seq and self.first_seq not in self.by_seq:
            self.first_seq += 1

    @property
    def first(self) -> Stored | None:
        """The oldest message."""
        return self.by_seq.get(self.first_seq)

    def last_of(self, pattern: str) -> Stored | None:
        """The newest message on a subject, which may have wildcards."""
        newest = [
            next(reversed(found.values())) for subject, found in self._subjects(pattern) if found
        ]
        return max(newest, key=lambda message: message.seq, default=None)

    def lasts_of(self, patterns: list[str]) -> list[int]:
        """The sequence of the newest message of each subject that one of the patterns matches."""
        return sorted(
            next(reversed(found))
            for subject, found in self.by_subject.items()
            if not patterns or any(matches(pattern, subject) for pattern in patterns)
        )

    def next_of(self, pattern: str, seq: int) -> Stored | None:
        """The oldest message from `seq` on, on a subject that may have wildcards."""
        return next((each for each in self.matching(pattern) if each.seq >= seq), None)

    def matching(self, pattern: str = "") -> Iterator[Stored]:
        """The messages on a subject that may have wildcards, or all, in order."""
        if not pattern or pattern == ">":
            yield from list(self.by_seq.values())
            return
        found = [each for _, some in self._subjects(pattern) for each in some.values()]
        yield from sorted(found, key=lambda message: message.seq)

    def counts(self, pattern: str) -> dict[str, int]:
        """How many messages each subject has that the pattern matches."""
        return {subject: len(found) for subject, found in sorted(self._subjects(pattern))}

    def _subjects(self, pattern: str) -> list[tuple[str, dict[int, Stored]]]:
        if "*" not in pattern and ">" not in pattern:
            found = self.by_subject.get(pattern)
            return [(pattern, found)] if found else []
        return [each for each in self.by_subject.items() if matches(pattern, each[0])]

    def deleted(self) -> list[int]:
        """The sequences that are missing between the first and the last."""
        return [seq for seq in range(self.first_seq, self.last_seq + 1) if seq not in self.by_seq]
