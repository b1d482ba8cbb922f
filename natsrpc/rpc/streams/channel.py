"""One side of a conversation on a connection: drives a `Reader` and a `Writer` with real frames.

Both sides are made of this; who opened shows only in what ends it. A channel owns a token of the
connection's request mux from its making to `close`. Its states:

    unheard ──any frame──► heard ──a second one──► open ──► ended (`error` is set, or all was read)

Only a caller's channel counts as unheard; a worker's has heard the opening. Two clocks run on the
ticks of `Conversations`. *Presence*: any valid frame shows that the other side exists. *Progress*:
a value or an upload that has begun moves, items that wait for credit get it. Each side says that
it is there once a second while it has nothing else to say; that frame has a reply subject, so the
server answers 503, or the other process `gone`, if nobody is.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from natsrpc.core import Msg
from natsrpc.errors import (
    CallCancelledError,
    ConfigError,
    MaxPayloadError,
    NatsError,
    PermissionsError,
    ReplyTooLargeError,
    RpcError,
    UnavailableError,
)

from ..headers import (
    ITEM,
    NO_DEADLINE,
    frame,
    is_frame,
    item_frame,
    item_number,
    may_answer,
    read_frame,
)
from .conversations import TICK, Conversations
from .early import Early
from .state import MAX_BODY, PART, Credit, Reader, Writer

HEADER_ROOM = 128
"""Bytes kept free for the header of a part."""

SECOND = 2
"""Ticks within which a second frame must follow the first."""

SLOWEST = 16 * 1024
"""Bytes a second at which a value in parts must come, beyond the time for progress."""

SMALLEST = 16 * 1024
"""Bytes for which a part is worth its frame, where more is to follow."""

_NO_RESPONDERS = b"NATS/1.0 503"

ONE_ANSWER = (
    "only one answer of the other side came through: where accounts lie between, the export needs "
    "`response_type: stream`; where permissions answer for it, `allow_responses` needs a `max`"
)

NO_ANSWERS = (
    "the server denied a frame to %r, the other side of the stream: permissions to "
    "publish there are missing, or `allow_responses` ran out, and needs a higher `max` (-1 is any "
    "number) or a longer `expires`"
)

UNOPENED = (
    "that is all that a plain request gets of a stream: open it with the header "
    "`Natsrpc-Frame: open <items> <bytes>`"
)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the other side of a conversation is waited for, in seconds.

    `opening`: for the first word of a worker. `presence`: for any frame at all. `progress`: for a
    value or an upload to move, and for credit.

    Raises:
        ConfigError: one of them is not a positive number; it is named as the option that sets it.
    """

    opening: float = 5.0
    presence: float = 6.0
    progress: float = 30.0

    def __post_init__(self) -> None:
        for name in ("opening", "presence", "progress"):
            value = getattr(self, name)
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not (is_number and 0 < value < math.inf):
                option = "open_timeout" if name == "opening" else f"{name}_timeout"
                raise ConfigError(f"{option} is {value!r}: expected a positive number of seconds")


PATIENCE = Patience()
"""What holds where nothing else is said."""


class Word(NamedTuple):
    """What is done with a frame of one word, how many numbers it has, and whether it has a body.
    `after`, added to its first number, is how many items come before it, where that matters."""

    take: Callable[..., None]
    numbers: int
    has_body: bool = False
    after: int | None = None


class Channel:
    """One side of a conversation.

    Args:
        all_: the conversations of the connection.
        peer: the other side's address; `b""` as long as it is not known.
        on_stop: called once, when the other side wants no more, or is gone, with the error that
            stands for this.
        on_reply: takes a message that is no frame: the unary answer, an error, a stranger's item;
            none is due if it is not given, and such a message ends the conversation.
        writer: the credit that the opening gave.
        limit: bytes of the largest value taken.
        too_large: the error of a larger one.
        patience: how long the other side is waited for.
        asks: whether this side asked for the conversation, and has not heard of the worker yet.
        absent: the error where nobody serves what was asked.
        frames: whether the other side speaks in frames; else it gets plain messages.
        request: the request, whose reply subject is kept the newest, for its answer.
        promised: credit that counts once the other side was heard at this side's address.
        admits: which addresses are sent to.
    """

    def __init__(
        self,
        all_: Conversations,
        peer: bytes,
        *,
        on_stop: Callable[[RpcError], object],
        on_reply: Callable[[Msg], None] | None = None,
        writer: Writer | None = None,
        limit: int = MAX_BODY,
        too_large: type[RpcError] = ReplyTooLargeError,
        patience: Patience = PATIENCE,
        asks: bool = False,
        absent: Exception | None = None,
        frames: bool = True,
        request: Msg | None = None,
        promised: Credit | None = None,
        admits: Callable[[bytes], bool] = may_answer,
    ) -> None:
        self._all = all_
        self._link = all_.link
        self._out = all_.link.outbound
        self.address: bytes
        self._token, self.address = all_.new_address()
        self.peer: bytes = peer
        self.asked: bytes = b""
        """The subject of the opening, on the side that sends it."""
        self.reader: Reader = Reader(
            all_.window.share(), all_.account, self._on_room, limit=limit, too_large=too_large
        )
        self.writer: Writer = writer or Writer()
        self.reads: bool = False
        self.writes: bool = False
        self.uploads = False
        self.error: Exception | None = None
        self.deadline: float = NO_DEADLINE
        """The time (`loop.time()`) that the opening from here names."""
        self._is_buffered = False
        self._patience = patience
        self._on_stop = on_stop
        self._on_reply = on_reply
        self._waiter: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._asks = asks
        self._absent = absent
        self._speaks_frames = frames
        self._request = request
        self._promised = promised
        self._admits = admits
        self._frames = 1 if peer and not asks else 0
        self._since_first = 0
        self._silent = self._still = 0
        self._seen = 0, 0, 0, 0
        self._moves_seen = self._sent_seen = -1
        self._under_way = 0
        self._quiet = 0
        self._early: Early | None = None
        self._stopped = self._closed = self._has_ended = False
        all_.add(self._token, self)

    @property
    def _is_in_doubt(self) -> bool:
        """Whether a first frame came and no second: perhaps only one answer comes through."""
        return self._asks and self._frames == 1

    @property
    def _is_of_a_stranger(self) -> bool:
        """Whether items go to who opened no stream: nobody can tell whether he is there."""
        return self.writes and not (self._asks or self._speaks_frames)

    # inbound

    def receive(self, msg: Msg) -> None:
        """Take a message to this side's address. The sink of the mux's token."""
        raw = msg.raw_headers
        if raw.startswith(ITEM):
            self._silent = 0
            self._take_item(item_number(raw), msg)
        elif raw.startswith(_NO_RESPONDERS) and not msg.data:
            self.gone()
        elif is_frame(raw):
            self._take_frame(msg)
        else:
            self._take_other(msg)

    def _take_item(self, number: int, msg: Msg) -> None:
        self._frames += 1
        try:
            self.reader.receive(number, msg.data)
        except RpcError as error:
            self._not_taken(error, number - 1, msg)
        if self._early is not None:
            self._take_early(self._early)
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _take_frame(self, msg: Msg) -> None:
        found = read_frame(msg.headers)
        if found is None:
            self._broken("a frame without a number")
            return
        word, numbers = found
        if word == "open":  # a stranger that copies the headers of a request into its answers
            self._take_other(msg)
            return
        known = self._words.get(word)
        if known is None:
            return  # of a later version
        if len(numbers) < known.numbers:
            self._broken(f"a frame `{word}` without its numbers")
        elif msg.data and not known.has_body:
            self._broken(f"a body on a frame `{word}`")
        else:
            self._silent = 0
            self._frames += 1
            # a head leads to a conversation of its own
            if msg.raw_reply and word != "large" and not self._moved_to(msg.raw_reply):
                self._broken("an address that nothing is sent to")
                return
            try:
                if self._promised is not None:
                    promised, self._promised = self._promised, None
                    self._take_credit(msg, *promised)
                known.take(self, msg, *numbers[: known.numbers])
            except RpcError as error:
                self._not_taken(error, 0 if known.after is None else numbers[0] + known.after, msg)
            if self._early is not None:
                self._take_early(self._early)

    def _not_taken(self, error: RpcError, after: int, msg: Msg) -> None:
        """End the conversation by a frame that cannot be taken, unless it came before some of the
        `after` items in front of it: then it waits."""
        reader = self.reader
        if self.error is None and reader.received < after <= reader.granted:
            self._early = self._early or Early()
            items, size = reader.granted - reader.received, reader.allowed - reader.received_bytes
            if self._early.keep(after, msg, items=items, size=size):
                return
        self.fail(error)
        self._stop()

    def _take_early(self, early: Early) -> None:
        """Take what waited for the items that are here now."""
        self._early = None  # what is taken now comes by here, too
        while self.error is None and (due := early.due(self.reader.received)):
            for msg in due:
                self.receive(msg)
        if early.count and self.error is None:
            self._early = early

    def _moved_to(self, address: bytes) -> bool:
        """Hear the other side's newest address; whether it may be sent to."""
        if address != self.peer:
            if not self._admits(address):
                return False
            self.peer = address
            if self._request is not None:
                self._request.raw_reply = address
        return True

    def _take_other(self, msg: Msg) -> None:
        if self._on_reply is None:
            self._broken("a message that is no frame")
        else:
            self._silent = 0
            if self._frames < SECOND:  # a stranger: nothing is said of more than one answer
                self._frames = SECOND
                self._speaks_frames = False
            self._on_reply(msg)

    def _broken(self, what: str) -> None:
        self.fail(UnavailableError(f"stream broken: {what} came"))
        self._stop()

    # the frames, by their words

    def _take_part(self, msg: Msg, number: int, left: int) -> None:
        self.reader.receive_part(number, msg.data, left)
        if self.reader.is_due:
            self.give_credit()

    def _take_whole(self, msg: Msg, number: int) -> None:
        """An item whose header block is not spelled as ours are."""
        self.reader.receive(number, msg.data)
        self.wake()

    def _take_ack(self, msg: Msg, number: int) -> None:
        if self._asks:
            self._wake_room()
        else:  # a stranger that sends back what it gets
            self._broken("a frame `ack`, which workers send,")

    def _take_alive(self, msg: Msg, number: int) -> None:
        self.reader.check(number)

    def _take_credit(self, msg: Msg, items: int, bytes_: int) -> None:
        if self.writer.allow(items, bytes_):
            self._still = 0
            self._wake_room()

    def _take_end(self, msg: Msg, number: int) -> None:
        self.reader.end(number)
        self.wake()

    def _take_stop(self, msg: Msg, number: int) -> None:
        self._stop()

    def _take_gone(self, msg: Msg, number: int) -> None:
        self.gone()

    def _take_large(self, msg: Msg, size: int) -> None:
        if self._on_reply is None:
            self._broken("a head that nobody asked for")
        else:
            self._on_reply(msg)

    def _take_only(self, msg: Msg, number: int) -> None:
        """The one value of an endpoint that gives no stream."""
        self.reader.finish()
        if self._on_reply is None:
            self._broken("an answer that nobody asked for")
        else:
            self._on_reply(msg)

    _words: ClassVar = {
        "item": Word(_take_whole, 1, has_body=True, after=-1),
        "part": Word(_take_part, 2, has_body=True, after=-1),
        "ack": Word(_take_ack, 1),
        "alive": Word(_take_alive, 1, after=0),
        "credit": Word(_take_credit, 2),
        "end": Word(_take_end, 1, after=0),
        "stop": Word(_take_stop, 1),
        "gone": Word(_take_gone, 1),
        "large": Word(_take_large, 1),
        "only": Word(_take_only, 1, has_body=True),
    }

    # the end

    def gone(self) -> None:
        """The other side is not there any more, or never was."""
        error: Exception = UnavailableError("the other side of the stream is gone")
        if not self._frames and self._absent is not None:
            error = self._absent
        elif self._is_in_doubt:
            error = UnavailableError(ONE_ANSWER)
        self.fail(error)
        self._stop()

    def _stop(self) -> None:
        if not self._closed and not self._stopped:
            self._stopped = True
            failed = self.error if isinstance(self.error, RpcError) else None
            self._on_stop(failed or CallCancelledError("the caller cancelled the call"))

    def denied(self, error: PermissionsError) -> None:
        """The server denied something: the opening, a frame, or what is none of ours."""
        if error.operation == "subscribe":
            return
        subject, reply = error.subject.encode(), error.reply.encode()
        if reply == self.address or (subject and not self._frames and subject == self.asked):
            self.fail(error)
        elif subject and subject == self.peer:
            self.fail(self._told_of(error))
        else:
            return
        self._stop()

    def _told_of(self, error: PermissionsError) -> Exception:
        """The error of a denied frame: it names the line to write. A worker's caller cannot be
        told, so there it is logged."""
        text = NO_ANSWERS % error.subject
        if self._asks:
            operation, subject = error.operation, error.subject
            return PermissionsError(text, operation=operation, subject=subject, text=error.text)
        if not self._stopped:
            self._all.warn(text)
        return UnavailableError(text)

    def fail(self, error: Exception) -> None:
        """End reading, after what is buffered, with `error`; writing at once."""
        if self.error is None:
            self.error = error
        self.reader.ended = True
        self.wake()
        if self._room is not None and not self._room.done():
            self._room.set_exception(self.error)

    def wake(self) -> None:
        """Wake the reader that waits for an item: it looks again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _wake_room(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    # reading

    async def items(self, decode: Callable[[bytes], Any]) -> AsyncIterator[Any]:
        """The items as they come; credit is given as they are taken.

        Raises:
            RpcError: what the stream ended with, after the items before it.
            DecodeError: an item is not of the type expected.
        """
        take = self.take
        while True:
            while (data := take()) is not None:
                yield decode(data)
            if not await self.more():
                return

    def take(self) -> bytes | None:
        """The next item if it is here; credit is given for it."""
        reader = self.reader
        data = reader.take()
        if data is not None and reader.is_due:
            self.give_credit()
        return data

    async def more(self) -> bool:
        """Wait until there may be an item to take; false when there are no more.

        Raises:
            RpcError: what the stream ended with.
        """
        self.reads = True
        reader = self.reader
        if reader.ended:
            if self.error is not None and not reader.is_whole:
                raise self.error
            return False
        self._waiter = self._link.loop.create_future()
        await self._waiter
        return True

    def open_credit(self) -> None:
        """Tell the other side this side's address and how much it may send."""
        self.reads = True
        self._say("credit", *self.reader.credit)

    def give_credit(self) -> None:
        """Allow more, if there is more to allow."""
        credit = self.reader.grant()
        if credit is not None:
            self._say("credit", *credit)

    def _on_room(self) -> None:
        """A value that comes in parts got room in the account."""
        self.reader.move()
        self.give_credit()

    # writing

    def acknowledge(self) -> None:
        """Answer an opening: it is here. Two frames, for the caller to see whether more than one
        comes through."""
        self._say("ack", 0)
        self._say("alive", 0)

    def put(self, data: bytes) -> bool:
        """Send one item now; false, and nothing is done, if that takes waiting or parts."""
        writer, out = self.writer, self._out
        number, size = writer.sent + 1, writer.sent_bytes + len(data)
        if number > writer.credit or size > writer.allowed or out.congested or not self.peer:
            return False
        try:
            if self._speaks_frames:
                out.send(self.peer, data, b"", item_frame(number))
            else:
                out.send(self.peer, data, self.address)
        except MaxPayloadError:
            return False
        writer.sent = number
        writer.sent_bytes = size
        return True

    async def send(self, data: bytes) -> None:
        """Send one item, once the reader has room and the connection is not congested.

        Raises:
            UnavailableError: the reader is gone, or takes nothing.
            ReplyTooLargeError: the reader opened no stream, and gets no more than so much.
        """
        while not self.put(data):
            if not self._speaks_frames:
                if not self._out.congested:
                    raise ReplyTooLargeError(UNOPENED)
                await self._link.writable()
                if self.error is not None:
                    raise self.error
                continue
            room = await self._may_send(min(len(data), SMALLEST))
            if room < len(data) or len(data) + HEADER_ROOM > self._link.max_payload:
                await self._send_parts(data)
                return

    async def _may_send(self, least: int) -> int:
        """Wait until the reader takes an item of `least` bytes, and the connection has room; how
        many bytes it takes."""
        writer = self.writer
        while (
            not self.peer
            or writer.sent >= writer.credit
            or writer.allowed - writer.sent_bytes < least
        ):
            if self.error is not None:
                raise self.error
            self._room = self._link.loop.create_future()
            try:
                await self._room
            finally:
                self._room = None
        if self.error is not None:
            raise self.error
        if self._out.congested:
            await self._link.writable()
        return writer.allowed - writer.sent_bytes

    async def _send_parts(self, data: bytes) -> None:
        """Send an item in parts: it does not fit one message, or what its reader takes."""
        start = 0
        while start < len(data):
            left = len(data) - start
            room = await self._may_send(min(left, SMALLEST, self._largest()))
            size = min(left, self._largest(), room)
            left -= size
            number = self.writer.sent + 1
            block = frame("part", number, left) if left else item_frame(number)
            self._out.send(self.peer, data[start : start + size], b"", block)
            self.writer.sent = number
            self.writer.sent_bytes += size
            start += size
            self._still = 0
            if left:
                await self._give_way()

    def _largest(self) -> int:
        """Bytes of the largest part. A server may take less after a reconnect than before it."""
        return max(1, min(PART, self._link.max_payload - HEADER_ROOM))

    async def _give_way(self) -> None:
        """Wait until the server has the last part, so that others may write in between.

        A connection that is kept congested by one large value refuses all requests meanwhile: 64
        MiB were sent at 100 MB/s and small calls answered 429; so it is 180 MB/s, and they take
        0.9 ms.
        """
        with contextlib.suppress(NatsError):  # if the connection is lost, `send` says so
            await self._link.flush()

    async def ready(self) -> None:
        """Wait until the other side gives credit, or the conversation ends."""
        while not self.writer.credit and self.error is None:
            self._room = self._link.loop.create_future()
            try:
                await self._room
            finally:
                self._room = None

    def end(self) -> None:
        """Tell the other side that all items were sent; it is told again until it answers, for this
        frame, too, may be lost with a connection."""
        self._has_ended = True
        self._out.send(self.peer, b"", b"", frame("end", self.writer.sent))

    def stop(self) -> bool:
        """Tell the other side that no more items are wanted; false if it is not known."""
        if not self.peer:
            return False
        with contextlib.suppress(NatsError):  # without a connection the other side notices
            self._out.send(self.peer, b"", b"", frame("stop", 0))
        return True

    def _say(self, word: str, *numbers: int) -> None:
        """Send a frame that wants an answer."""
        if self.peer and self._speaks_frames:
            self._quiet = 0
            with contextlib.suppress(NatsError):  # said again at the next tick
                self._out.send(self.peer, b"", self.address, frame(word, *numbers))

    # the clocks

    def note_buffered(self) -> None:
        """The opening is in the reconnect buffer: it was not lost with a session."""
        self._is_buffered = True

    def reconnected(self) -> None:
        """Ask whether the other side is still there; without an address of it nobody can tell."""
        buffered, self._is_buffered = self._is_buffered, False
        if buffered and not self.peer:
            self._silent = 0  # it was sent just now
        elif self.peer:
            if self._is_in_doubt:  # the second frame may have been lost with the session
                self._frames = SECOND
            self._say_how_things_stand()
        elif self.error is None and not self.reader.ended:
            self.fail(UnavailableError("the connection was lost before the worker answered"))
            self._stop()

    def tick(self) -> None:
        """Look how things stand: has the other side been heard, does anything move?"""
        if self.error is not None or not self._link.is_connected:
            return
        late = self._lateness()
        if late:
            self.fail(UnavailableError(late))
            self._stop()
            return
        self._quiet += 1
        if self._quiet >= SECOND and not self._is_in_doubt:
            self._say_how_things_stand()

    def _lateness(self) -> str:
        """What the other side is late with, in words."""
        patience = self._patience
        if self._early is not None and self._early.is_late():
            return f"stream broken: item {self.reader.received + 1} was lost"
        self._silent += 1
        if not self._frames:
            if self._silent * TICK > patience.opening:
                return f"no worker answered within {patience.opening:g} s"
            return ""
        if self._is_in_doubt and not self.reader.ended:
            self._since_first += 1
            if self._since_first >= SECOND:
                return ONE_ANSWER
        silence = patience.presence if self._speaks_frames else patience.progress
        if self._silent * TICK > silence and (self._asks or self._speaks_frames):
            return f"nothing was heard of the other side for {silence:g} s"
        self._still = 0 if self._moves() else self._still + 1
        if self._still * TICK > patience.progress:
            if self._is_of_a_stranger:
                return f"no item came for {patience.progress:g} s: {UNOPENED}"
            return f"the other side did not go on for {patience.progress:g} s"
        self._under_way = self._under_way + 1 if self.reader.is_going_on else 0
        if self._under_way * TICK > patience.progress + self.reader.total / SLOWEST:
            return f"a value of {self.reader.total} bytes did not come in time"
        return ""

    def _moves(self) -> bool:
        """Whether all is well with what should move."""
        reader, writer = self.reader, self.writer
        before = self._seen
        self._seen = reader.received, reader.room, writer.credit, writer.allowed
        if self._is_of_a_stranger:  # of whom nothing is heard: what was sent is all that moves
            sent, self._sent_seen = self._sent_seen, writer.sent
            return sent != writer.sent
        if before != self._seen:
            return True
        if reader.is_held_back:  # behind others, as long as these go on
            moves, self._moves_seen = self._moves_seen, self._all.account.moves
            return moves != self._moves_seen
        if self._room is not None:
            return False
        due = reader.is_putting_together or self.uploads
        return not due or bool(reader.buffer) or reader.ended

    def _say_how_things_stand(self) -> None:
        if self.reads and not self.reader.ended:
            self.reader.grant()
            self._say("credit", *self.reader.credit)
        if self.writes or not self.reads or self.reader.ended:
            self._say("alive", self.writer.sent)
        if self._has_ended and self.peer:
            with contextlib.suppress(NatsError):  # said again at the next tick
                self.end()

    def close(self) -> None:
        """Give the token back, and what was reserved. Nothing more is received."""
        if not self._closed:
            self._closed = True
            self._early = None
            self._all.remove(self._token)
            self.reader.close()
