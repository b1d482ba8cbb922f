"""What tests see of a stream in memory: its messages, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from natsrpc.core import Headers

from .messages import Stored
from .moments import to_datetime
from .stream import Stream


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message that a stream in memory holds. `time` is by the clock of the event loop, which
    `natsrpc.testing.Clock` moves."""

    subject: str
    seq: int
    data: bytes
    headers: Headers = field(repr=False)
    time: datetime = field(repr=False)


class StoredStream:
    """A stream in memory, to be looked at by a test: `Broker.stream` gives it."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    @property
    def name(self) -> str:
        """Its name."""
        return self._stream.name

    def messages(self, subject: str = ">") -> list[StoredMessage]:
        """Return the messages that it holds, the oldest first.

        Args:
            subject: only those on this subject, which may have wildcards.
        """
        return [_shown(message) for message in self._stream.messages.matching(subject)]

    def __repr__(self) -> str:
        return f"<StoredStream {self.name!r}, {len(self._stream.messages)} messages>"


def _shown(message: Stored) -> StoredMessage:
    headers = Headers.decode(message.headers) if message.headers else Headers()
    return StoredMessage(
        message.subject, message.seq, message.data, headers, to_datetime(message.time)
    )
