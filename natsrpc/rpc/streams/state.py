"""Streams as pure state: sequence, credit, end. No clock, no I/O.

Every frame of a stream is a message to the other side's address (a reply subject of its own):

- an *item* has no headers; its reply subject is the sender's address with the item's number behind
  it, counted from 1. So an item costs no header, and the server answers 503 to the sender if the
  reader is gone.
- a *control* frame is empty but for one header, `Natsrpc-Frame: <word> <number>`:
  `open n` asks for a stream and allows n items; `credit n` allows items up to number n;
  `alive n` says that n items were sent so far; `end n` that n items were all; `stop 0` that no more
  are wanted.
- a *part* is an item with the header `Natsrpc-Frame: part <bytes left>`: the beginning of a value
  that does not fit one message. It ends with the next item that has no header.

Parts have numbers and need credit as items do. What a reader keeps is therefore bounded by its
window (fewer items where they are large: `AHEAD` bytes), and by its `limit` for the one value that
it puts together: parts are given credit for at once if nothing waits to be taken before them, else
when it is taken.

Credit is absolute and `alive` carries the count, so either can be said again at any time, and a
frame lost with a connection is noticed.
"""

from __future__ import annotations

from collections import deque

from natsrpc.errors import ReplyTooLargeError, RpcError, UnavailableError

WINDOW = 128
"""Items that a reader lets the other side be ahead, at most."""

START = 32
"""Items that a reader allows before it knows how large they are."""

AHEAD = 8 * 1024 * 1024
"""Bytes that a reader lets the other side be ahead, once it knows how large items are."""

PART = 128 * 1024
"""Bytes in one part of a value that does not fit one message."""

MAX_BODY = 64 * 1024 * 1024
"""Bytes of a value that comes in parts, if nothing else is said."""

UNLIMITED = 1 << 62
"""The credit given to a writer whose reader takes all at once, or knows nothing of credit."""


class Reader:
    """The receiving half: items in order, and the credit to give for more."""

    __slots__ = (
        "_ahead",
        "_begun",
        "_bytes",
        "_counted",
        "_due_at",
        "_owed",
        "_too_large",
        "buffer",
        "ended",
        "granted",
        "limit",
        "received",
        "taken",
        "window",
    )

    def __init__(
        self,
        window: int = WINDOW,
        *,
        limit: int = MAX_BODY,
        too_large: type[RpcError] = ReplyTooLargeError,
    ) -> None:
        self.window: int = window
        self.limit: int = limit
        self._too_large = too_large
        self._begun = bytearray()  # the parts of the value that is put together
        self._owed = 0  # parts received, for which `taken` was not raised yet
        self._bytes = self._counted = 0  # bytes since the last look at sizes; items before it
        self._ahead = window
        self.granted: int = min(window, START)
        # Credit is announced when half of it is used up: a sender that is as quick as its reader
        # never waits, and one control frame does for half a window of items.
        self._due_at = self.granted // 2 + 1
        self.received: int = 0
        self.taken: int = 0
        self.ended: bool = False
        self.buffer: deque[bytes] = deque()

    def receive(self, number: int, data: bytes) -> None:
        """Take item number `number`.

        Raises:
            UnavailableError: items before it were lost, or it goes beyond the credit given.
            RpcError: with the parts before it, it is too large.
        """
        if number != self.received + 1 or number > self.granted:
            raise self._broken(number)
        self.received = number
        self._bytes += len(data)
        if self._begun:  # this item is the last part of a value
            self._add(data, 0)
            data = bytes(self._begun)
            self._begun = bytearray()
        self.buffer.append(data)

    def receive_part(self, number: int, data: bytes, left: int) -> int | None:
        """Take a part, after which `left` bytes of the value follow; the credit to announce.

        Raises:
            UnavailableError: as `receive`.
            RpcError: the whole is larger than `limit`.
        """
        if number != self.received + 1 or number > self.granted:
            raise self._broken(number)
        self.received = number
        self._bytes += len(data)
        self._add(data, left)
        # A part that stands behind whole items keeps its credit until they are taken, so that the
        # sender cannot fill memory behind a reader that takes nothing.
        self._owed += 1
        return None if self.buffer else self._settle()

    def _add(self, data: bytes, left: int) -> None:
        size = len(self._begun) + len(data) + left
        if size > self.limit:
            raise self._too_large(f"a value of {size} bytes: at most {self.limit} are taken")
        self._begun += data

    def _broken(self, number: int) -> UnavailableError:
        if number != self.received + 1:
            return UnavailableError(f"stream broken: item {self.received + 1} was lost")
        return UnavailableError("stream broken: the sender goes beyond its credit")

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
        if self._begun:
            raise UnavailableError("stream broken: it ends in the middle of an item")
        self.ended = True

    def took(self) -> int | None:
        """Note that an item was taken out of the buffer; the credit to announce, if that is due."""
        self.taken += 1
        if self._owed and not self.buffer:
            return self._settle()
        return None if self.taken < self._due_at else self._grant()

    def _settle(self) -> int | None:
        """Give credit for the parts received: nothing is kept before them."""
        self.taken += self._owed
        self._owed = 0
        return None if self.taken < self._due_at else self._grant()

    def _grant(self) -> int | None:
        """Give credit for as many items as fit `AHEAD`, at the size they lately had."""
        if count := self.received - self._counted:
            fit = AHEAD * count // max(1, self._bytes)
            self._ahead = max(1, min(self.window, fit))
            self._counted, self._bytes = self.received, 0
        ahead = self._ahead
        self._due_at = self.taken + ahead // 2 + 1
        if self.taken + ahead <= self.granted:  # items have grown: credit is not taken back
            return None
        self.granted = self.taken + ahead
        return self.granted


class Writer:
    """The sending half: the numbers of items, within the credit received."""

    __slots__ = ("credit", "sent")

    def __init__(self, credit: int) -> None:
        self.credit: int = credit
        self.sent: int = 0

    def allow(self, credit: int) -> bool:
        """Hear a credit; whether there is room now and was none before."""
        was_full = self.sent >= self.credit
        self.credit = max(self.credit, credit)
        return was_full and self.sent < self.credit
