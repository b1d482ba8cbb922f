"""The two halves of a conversation as pure state: numbers, credit, parts, the end. No clock.

A *writer* numbers its items from 1 and never goes beyond its credit, of items and of bytes. A
*reader* takes them in order, puts values together that come in parts, and gives credit as they are
taken: as many items as its window, as many bytes as its share of the connection's window and, for
parts, as the account has room for. Credit is absolute, so it can be said again at any time, and a
frame that was lost with a connection is noticed by its number.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from natsrpc.errors import ReplyTooLargeError, RpcError, UnavailableError

from .account import Account, Body
from .window import LEAST, START, START_ITEMS, WINDOW, Share

PART = 128 * 1024
"""Bytes in one part of a value that does not fit one message."""

MAX_BODY = 8 * 1024 * 1024
"""Bytes of a value that comes in parts, if nothing else is said."""

UNLIMITED = 1 << 62
"""The credit given to a writer whose reader takes all at once, or knows nothing of credit."""

Credit = tuple[int, int]
"""Up to which number items are taken, and how many bytes in all."""


class Whole:
    """A value that was put together; its room in the account goes when it is taken."""

    __slots__ = ("body", "data")

    def __init__(self, data: bytes, body: Body) -> None:
        self.data: bytes = data
        self.body: Body = body


class Reader:
    """The receiving half.

    Args:
        share: its part of the connection's window.
        account: where values that come in parts are entered.
        on_room: called when such a value got room: credit is to be given.
        limit: bytes of the largest value taken.
        too_large: the error of a larger one.
    """

    __slots__ = (
        "_account",
        "_begun",
        "_body",
        "_due_at",
        "_due_bytes",
        "_looked_at",
        "_moved",
        "_on_room",
        "_share",
        "_too_large",
        "allowed",
        "buffer",
        "ended",
        "granted",
        "is_whole",
        "limit",
        "received",
        "received_bytes",
        "taken",
        "taken_bytes",
    )

    def __init__(
        self,
        share: Share,
        account: Account,
        on_room: Callable[[], object],
        *,
        limit: int = MAX_BODY,
        too_large: type[RpcError] = ReplyTooLargeError,
    ) -> None:
        self.limit: int = limit
        self._share = share
        self._account = account
        self._on_room = on_room
        self._too_large = too_large
        self._begun: bytearray | None = None
        self._body: Body | None = None
        self._looked_at: Body | None = None
        self._moved = 0
        self.received: int = 0
        self.received_bytes: int = 0
        self.taken: int = 0
        self.taken_bytes: int = 0
        self.granted: int = START_ITEMS
        self.allowed: int = share.grow(START)
        self._note_due()
        self.ended: bool = False
        self.is_whole: bool = False
        self.buffer: deque[bytes | Whole] = deque()

    @property
    def credit(self) -> Credit:
        """What was allowed so far."""
        return self.granted, self.allowed

    @property
    def is_putting_together(self) -> bool:
        """Whether a value has begun that is not whole."""
        return self._begun is not None

    @property
    def is_held_back(self) -> bool:
        """Whether such a value lacks room in the account: its sender cannot go on."""
        return self._body is not None and self._body.room < self._body.total

    @property
    def room(self) -> int:
        """Bytes that a value which is put together may have; 0 without one."""
        return 0 if self._body is None else self._body.room

    @property
    def total(self) -> int:
        """Bytes of the value that is put together; 0 without one."""
        return 0 if self._body is None else self._body.total

    @property
    def is_going_on(self) -> bool:
        """Whether the value that is put together now is the one that was at the last look, and its
        sender may go on."""
        before, self._looked_at = self._looked_at, self._body
        return before is not None and before is self._body and not self.is_held_back

    # receiving

    def receive(self, number: int, data: bytes) -> None:
        """Take item number `number`.

        Raises:
            UnavailableError: items before it were lost, or it goes beyond the credit given.
        """
        size = self.received_bytes + len(data)
        if number != self.received + 1 or number > self.granted or size > self.allowed:
            raise self._broken(number)
        self.received = number
        self.received_bytes = size
        if self._begun is None:
            self.buffer.append(data)
        else:
            self._finish(data)

    def receive_part(self, number: int, data: bytes, left: int) -> None:
        """Take a part of a value, of which `left` bytes are to follow.

        Raises:
            UnavailableError: as `receive`, or the parts do not add up.
            RpcError: the whole is larger than `limit`.
        """
        size = self.received_bytes + len(data)
        if number != self.received + 1 or number > self.granted or size > self.allowed:
            raise self._broken(number)
        if self._begun is None:
            self.begin(len(data) + left)
        self.received = number
        self.received_bytes = size
        self._add(data, left)

    def begin(self, total: int) -> None:
        """Hear that a value of `total` bytes comes in parts.

        Raises:
            RpcError: it is larger than `limit`.
        """
        if total > self.limit:
            raise self._too_large(f"a value of {total} bytes: at most {self.limit} are taken")
        self._begun = bytearray()
        self._body = self._account.enter(total, self._on_room)
        self._moved = 0

    def _add(self, data: bytes, left: int) -> None:
        begun, body = self._begun, self._body
        assert begun is not None and body is not None  # `begin` made them
        begun += data
        if len(begun) + left != body.total:
            raise UnavailableError("stream broken: the parts of a value do not add up")
        self.taken += 1
        self._account.moves += 1
        self.move()

    def move(self) -> None:
        """Move bytes of a value that is put together from the window to the account."""
        begun, body = self._begun, self._body
        if begun is not None and body is not None:
            moved = min(len(begun), body.room) - self._moved
            self._moved += moved
            self._took_bytes(moved)

    def _finish(self, data: bytes) -> None:
        self._add(data, 0)
        begun, body = self._begun, self._body
        assert begun is not None and body is not None
        self._took_bytes(len(begun) - self._moved)  # it waits whole, and is taken soon
        self._begun = self._body = None
        self.buffer.append(Whole(bytes(begun), body))

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
        """Hear that there are `number` items and no more.

        Raises:
            UnavailableError: some of them were lost, or more came.
        """
        self.check(number)
        if number < self.received or self._begun is not None:
            raise UnavailableError("stream broken: it ends where it should go on")
        self.finish()

    def finish(self) -> None:
        """All is here: what happens to the other side from now on does not matter."""
        self.ended = self.is_whole = True

    # taking

    def take(self) -> bytes | None:
        """The next value if it is here; look at `is_due` behind it."""
        if not self.buffer:
            return None
        value = self.buffer.popleft()
        if type(value) is bytes:
            self.taken += 1
            self._took_bytes(len(value))
            return value
        assert isinstance(value, Whole)
        value.body.close()
        return value.data

    def take_whole(self) -> Whole | None:
        """As `take`, for a value that was put together and stays in the account for a while."""
        return self.buffer.popleft() if self.buffer else None  # type: ignore[return-value]

    def _took_bytes(self, size: int) -> None:
        self.taken_bytes += size
        self._share.shrink(size)

    @property
    def is_due(self) -> bool:
        """Whether enough was taken for the other side to be told."""
        return self.taken >= self._due_at or self.taken_bytes >= self._due_bytes

    def grant(self) -> Credit | None:
        """The credit to announce now; None if there is none to add."""
        items = self.taken + WINDOW
        bytes_ = self.allowed + self._share.grow(self._wanted())
        more = items > self.granted or bytes_ > self.allowed
        self.granted = max(items, self.granted)
        self.allowed = bytes_
        self._note_due()
        return self.credit if more else None

    def _wanted(self) -> int:
        """How many bytes more are of use: for a value in parts, what it has room for."""
        if self._body is None or not self.is_held_back:
            return UNLIMITED
        begun = len(self._begun or b"")
        on_its_way = self.allowed - self.received_bytes
        return max(0, self._body.room - begun - on_its_way)

    def _note_due(self) -> None:
        """Tell the other side when half of what it may send is used up, and not for every item."""
        self._due_at = self.taken + max(1, (self.granted - self.taken) // 2)
        self._due_bytes = self.taken_bytes + max(LEAST // 4, self._share.held // 2)

    def close(self) -> None:
        """Give everything back."""
        if self._body is not None:
            self._body.close()
        for value in self.buffer:
            if isinstance(value, Whole):
                value.body.close()
        self.buffer.clear()
        self._share.close()


class Writer:
    """The sending half: the numbers of items, within the credit received."""

    __slots__ = ("allowed", "credit", "sent", "sent_bytes")

    def __init__(self, credit: int = 0, allowed: int = 0) -> None:
        self.credit: int = credit
        self.allowed: int = allowed
        self.sent: int = 0
        self.sent_bytes: int = 0

    def room(self) -> int:
        """Bytes that may be sent now; 0 if no item may."""
        return 0 if self.sent >= self.credit else max(0, self.allowed - self.sent_bytes)

    def allow(self, credit: int, allowed: int) -> bool:
        """Hear a credit; whether it is more than before."""
        more = credit > self.credit or allowed > self.allowed
        self.credit = max(self.credit, credit)
        self.allowed = max(self.allowed, allowed)
        return more
