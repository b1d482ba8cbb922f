"""Streams as pure state: sequence, credit, end. No clock, no I/O.

Every frame of a stream is a message to the other side's address (a reply subject of its own):

- an *item* has no headers; its reply subject is the sender's address with the item's number behind
  it, counted from 1. So an item costs no header, and the server answers 503 to the sender if the
  reader is gone.
- a *control* frame is empty but for one header, `Natsrpc-Frame: <word> <number>`:
  `open n` asks for a stream and allows n items; `credit n` allows items up to number n;
  `alive n` says that n items were sent so far; `end n` that n items were all; `stop 0` that no more
  are wanted.

Credit is absolute and `alive` carries the count, so either can be said again at any time, and a
frame lost with a connection is noticed.
"""

from __future__ import annotations

from collections import deque

from natsrpc.core import Headers
from natsrpc.errors import UnavailableError

FRAME = "Natsrpc-Frame"
FRAME_BYTES = FRAME.encode()

WINDOW = 128
"""Items a reader lets the other side be ahead."""

UNLIMITED = 1 << 62
"""The credit of a reader that knows nothing of credit."""


def control(word: str, number: int) -> bytes:
    """The header block of a control frame."""
    return b"NATS/1.0\r\n%b: %b %d\r\n\r\n" % (FRAME_BYTES, word.encode(), number)


def read_control(headers: Headers) -> tuple[str, int] | None:
    """The word and number of a control frame; None if it is none, or no sane one."""
    text = headers.get(FRAME)
    word, _, digits = (text or "").partition(" ")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 18):
        return None
    return word, int(digits)


class Reader:
    """The receiving half: items in order, and the credit to give for more."""

    __slots__ = ("buffer", "ended", "granted", "received", "taken", "window")

    def __init__(self, window: int = WINDOW) -> None:
        self.window = window
        self.granted = window
        self.received = 0
        self.taken = 0
        self.ended = False
        self.buffer: deque[bytes] = deque()

    def receive(self, number: int, data: bytes) -> None:
        """Take an item.

        Raises:
            UnavailableError: items before it were lost, or it goes beyond the credit given.
        """
        if number != self.received + 1:
            raise UnavailableError(f"stream broken: item {self.received + 1} was lost")
        if number > self.granted:
            raise UnavailableError("stream broken: the sender goes beyond its credit")
        self.received = number
        self.buffer.append(data)

    def check(self, number: int) -> None:
        """Hear how many items were sent so far.

        Raises:
            UnavailableError: some of them were lost.
        """
        if number > self.received:
            raise UnavailableError(f"stream broken: item {self.received + 1} was lost")

    def end(self, number: int) -> None:
        """Hear that there are no more than `number` items.

        Raises:
            UnavailableError: some of them were lost.
        """
        self.check(number)
        self.ended = True

    def took(self) -> int | None:
        """Note that an item was taken out of the buffer; the credit to announce, if that is due."""
        self.taken += 1
        wanted = self.taken + self.window
        if wanted - self.granted < self.window // 2 + 1:
            return None
        self.granted = wanted
        return wanted


class Writer:
    """The sending half: the numbers of items, within the credit received."""

    __slots__ = ("credit", "sent")

    def __init__(self, credit: int) -> None:
        self.credit = credit
        self.sent = 0

    @property
    def may_send(self) -> bool:
        """Whether the reader has room for one more."""
        return self.sent < self.credit

    def allow(self, credit: int) -> bool:
        """Hear a credit; whether there is room now and was none before."""
        was_full = self.sent >= self.credit
        self.credit = max(self.credit, credit)
        return was_full and self.sent < self.credit
