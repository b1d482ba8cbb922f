"""One side of a stream on a connection: drives a `Reader` and a `Writer` with real frames.

Both sides are made of this; who opened the stream shows only in what ends it. A channel owns a
token of the connection's request mux until `close`, and a timer that tells the other side, while
nothing else does, how things stand. That message is answered 503 by the server if the other side
is gone, however it went; so neither side waits for the dead.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from natsrpc.core import Connection, Msg
from natsrpc.errors import (
    ConnectionClosedError,
    MaxPayloadError,
    NatsError,
    NatsTimeoutError,
    ReplyTooLargeError,
    RpcError,
    UnavailableError,
)

from ..headers import FRAME_BYTES, control, read_control
from .state import PART, Reader, Writer

TICK = 0.4
"""Seconds between two looks; after one to two of silence the other side is told how things stand,
so that its death is noticed within a second."""

PATIENCE = 75
"""Ticks without a sign of life after which the other side is taken for lost."""

HEADER_ROOM = 64
"""Bytes kept free for the header of a part."""

_NO_RESPONDERS = b"NATS/1.0 503"


class Channel:
    """One side of a stream.

    Args:
        connection: the connection that carries it.
        peer: the other side's address; `b""` as long as it is not known.
        credit: how many items the other side takes at first.
        on_stop: called once, when the other side wants no more, or is gone.
        on_reply: takes a message that is no frame of this stream: the unary answer, or an error.
        reader: the receiving state; `Reader()` if not given.
        splits: whether items that do not fit one message are sent in parts.
    """

    def __init__(
        self,
        connection: Connection,
        peer: bytes,
        *,
        credit: int,
        on_stop: Callable[[], object],
        on_reply: Callable[[Msg], None],
        reader: Reader | None = None,
        splits: bool = True,
    ) -> None:
        self._connection = connection
        self._link = link = connection.link
        self._outbound = link.outbound
        self._token = link.requests.new_token()
        self.address: bytes = link.requests.reply_subject(self._token)
        self.peer: bytes = peer
        self.reader: Reader = reader or Reader()
        self.writer: Writer = Writer(credit)
        self.reads: bool = False
        self.writes: bool = False
        self.error: Exception | None = None
        self._splits = splits
        self._on_stop = on_stop
        self._on_reply = on_reply
        self._waiter: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._quiet = True
        self._silent_ticks = 0
        self._closed = False
        link.requests.streams[self._token] = self._receive
        self._timer = link.loop.call_later(TICK, self._tick)

    # inbound

    def _receive(self, msg: Msg) -> None:
        """Take a message to this side's address. The sink of the mux's token."""
        self._silent_ticks = 0
        raw = msg.raw_headers
        if not raw and msg.raw_reply:  # most messages by far: an item costs no header
            self._take_item(msg)
        elif raw.startswith(_NO_RESPONDERS) and not msg.data:
            self.gone()
        elif FRAME_BYTES in raw:
            self._take_control(msg)
        else:
            self._on_reply(msg)

    def _take_item(self, msg: Msg) -> None:
        reader = self.reader
        if not self.peer:
            self._learn(msg)
        try:
            # the reply subject is the sender's address with the item's number behind it
            reader.receive(int(msg.raw_reply[len(self.peer) :]), msg.data)
        except (RpcError, ValueError) as error:
            self.fail(error)
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _take_control(self, msg: Msg) -> None:
        found = read_control(msg.headers)
        if found is None:
            return
        word, number = found
        # Frames may come in any order before the other side's address is known; the first one that
        # names it will do. A part's reply subject has its number behind the address.
        if msg.raw_reply and not self.peer:
            if word == "part":
                self._learn(msg)
            else:
                self.peer = msg.raw_reply
        try:
            if word == "credit":
                if self.writer.allow(number) and self._room is not None and not self._room.done():
                    self._room.set_result(None)
            elif word == "part":
                self._take_part(msg, number)
            elif word == "large":
                self._on_reply(msg)
            elif word == "alive":
                self.reader.check(number)
            elif word == "end":
                self.reader.end(number)
                self.wake()
            elif word == "stop":
                self._stop()
        except RpcError as error:
            self.fail(error)

    def _learn(self, msg: Msg) -> None:
        """Learn the other side's address from its first item."""
        self.peer = msg.raw_reply[: -len(b"%d" % (self.reader.received + 1))]

    def _take_part(self, msg: Msg, left: int) -> None:
        digits = msg.raw_reply[len(self.peer) :]
        credit = self.reader.receive_part(int(digits) if digits.isdigit() else 0, msg.data, left)
        if credit is not None:
            self._send_control("credit", credit)

    def gone(self) -> None:
        """The other side is not there any more."""
        self.fail(UnavailableError("the other side of the stream is gone"))
        self._stop()

    def _stop(self) -> None:
        if not self._closed:  # what closed it has said so already
            self._on_stop()

    def fail(self, error: Exception) -> None:
        """End reading, after what is buffered, with `error`."""
        if self.error is None:  # the first error is the cause of the others
            self.error = error
        self.reader.ended = True
        self.wake()
        if self._room is not None and not self._room.done():
            self._room.set_exception(error)

    def wake(self) -> None:
        """Wake the reader that waits for an item: it looks again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # reading and writing

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
        if not reader.buffer:
            return None
        data = reader.buffer.popleft()
        credit = reader.took()
        if credit is not None:
            self._send_control("credit", credit)
        return data

    async def more(self) -> bool:
        """Wait until there may be an item to take; false when there are no more.

        Raises:
            RpcError: what the stream ended with.
        """
        self.reads = True
        if self.reader.ended:
            if self.error is not None:
                raise self.error
            return False
        self._waiter = self._link.loop.create_future()
        await self._waiter
        return True

    def put(self, data: bytes) -> bool:
        """Send one item now; false, and nothing is done, if that takes waiting or parts."""
        writer, outbound = self.writer, self._outbound
        number = writer.sent + 1
        if number > writer.credit or outbound.congested:
            return False
        try:
            outbound.send(self.peer, data, b"%b%d" % (self.address, number))
        except MaxPayloadError:
            return False
        writer.sent = number
        self._quiet = False
        return True

    async def send(self, data: bytes) -> None:
        """Send one item, once the reader has room and the connection is not congested.

        Raises:
            UnavailableError: the reader is gone.
            ReplyTooLargeError: the item does not fit one message, and the reader takes no parts.
        """
        if self.put(data):
            return
        await self._wait_for_room()
        if not self.put(data):
            if not self._splits:
                limit = self._link.max_payload
                text = f"an item is larger than the server's max_payload of {limit} bytes"
                raise ReplyTooLargeError(text)
            await self._send_parts(data)

    async def _wait_for_room(self) -> None:
        """Wait until the reader and the connection have room for one more."""
        writer = self.writer
        while writer.sent >= writer.credit:
            if self.error is not None:
                raise self.error
            self._room = self._link.loop.create_future()
            await self._room
        if self._outbound.congested:
            await self._link.writable()

    async def _send_parts(self, data: bytes) -> None:
        """Send an item that does not fit one message."""
        size = max(1, min(PART, self._link.max_payload - HEADER_ROOM))
        for start in range(0, len(data), size):
            await self._wait_for_room()
            left = max(0, len(data) - start - size)
            number = self.writer.sent + 1
            self._outbound.send(
                self.peer,
                data[start : start + size],
                b"%b%d" % (self.address, number),
                control("part", left) if left else b"",
            )
            self.writer.sent = number
            self._quiet = False
            if left:
                await self._give_way()

    async def _give_way(self) -> None:
        """Wait until the server has the last part, so that others may write in between.

        A connection that is kept congested by one large value refuses all requests meanwhile: 64
        MiB were sent at 100 MB/s and small calls answered 429; so it is 180 MB/s, and they take
        0.9 ms.
        """
        with contextlib.suppress(NatsError):  # if the connection is lost, `send` says so
            await self._connection.flush()

    async def ready(self) -> None:
        """Wait until the other side gives credit, or the stream ends."""
        if not self.writer.credit and self.error is None:
            self._room = self._link.loop.create_future()
            await self._room

    def open_credit(self) -> None:
        """Tell the other side this side's address and how many items it may send."""
        self.reads = True
        self._send_control("credit", self.reader.granted)

    def end(self) -> None:
        """Tell the other side that all items were sent."""
        self._outbound.send(self.peer, b"", b"", control("end", self.writer.sent))

    def stop(self) -> bool:
        """Tell the other side that no more items are wanted; false if it is not known."""
        if not self.peer:
            return False
        with contextlib.suppress(NatsError):  # without a connection the other side notices
            self._outbound.send(self.peer, b"", b"", control("stop", 0))
        return True

    def _send_control(self, word: str, number: int) -> None:
        if not self.peer:
            return
        with contextlib.suppress(NatsError):  # said again at the next tick
            self._outbound.send(self.peer, b"", self.address, control(word, number))
            self._quiet = False

    def _tick(self) -> None:
        if self._connection.is_closed:
            self.fail(ConnectionClosedError())
            self._stop()
            return
        self._silent_ticks += 1
        if self._silent_ticks > PATIENCE and self.peer:
            self.fail(NatsTimeoutError("nothing is heard of the other side of the stream"))
            self._stop()
            return
        # Said only in silence. The server answers 503 if the other side is gone: `gone` hears it.
        if self._quiet:
            if self.writes:
                self._send_control("alive", self.writer.sent)
            if self.reads:
                self._send_control("credit", self.reader.granted)
        self._quiet = True
        self._timer = self._link.loop.call_later(TICK, self._tick)

    def close(self) -> None:
        """Give the token back. Nothing more is received."""
        self._closed = True
        self._timer.cancel()
        self._link.requests.streams.pop(self._token, None)
