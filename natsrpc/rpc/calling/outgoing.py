"""`Outgoing`: a stream on its caller's side. It sends the request and its items, and reads the
answer's."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from typing import Any

from natsrpc.core import Connection, Msg
from natsrpc.errors import (
    DecodeError,
    NatsTimeoutError,
    NoRespondersError,
    PermissionsError,
    RpcError,
    UnavailableError,
)

from ..contract import is_error
from ..headers import GRACE, with_frame
from ..streams import LARGE, Channel, conversations_of, is_head
from . import acks
from .bound import BoundCall

Encode = Callable[[Any], bytes]

UNTAKEN_ITEMS = 65_536
UNTAKEN_BYTES = 16 * 1024 * 1024
"""Items and bytes of a stranger's stream that wait for its reader at most."""


class Outgoing:
    """A call that streams, on its caller's side.

    Args:
        connection: the connection that carries it.
        bound: the endpoint called.
        timeout: seconds the whole stream may take here.
        idle_timeout: seconds without an item after which it is given up.
        gives_stream: whether its answer is a stream.
        hint: what else may be the cause where nobody serves it.
    """

    def __init__(
        self,
        connection: Connection,
        bound: BoundCall,
        *,
        timeout: float | None,
        idle_timeout: float | None,
        gives_stream: bool = False,
        hint: str = "",
    ) -> None:
        self._connection = connection
        self._bound = bound
        self._gives_stream = gives_stream
        self._reply: Msg | None = None
        self._items_error: Exception | None = None
        self._kept = self._plain_items = 0
        self.plain: deque[Msg] = deque()
        self._pump: asyncio.Task[None] | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self._timeout = timeout
        self._idle_timeout = idle_timeout
        self._seen = 0, 0
        self.channel: Channel = Channel(
            conversations_of(connection.link),
            b"",
            on_stop=self._stop,
            on_reply=self._take_reply,
            limit=bound.max_body,
            patience=bound.patience,
            asks=True,
            absent=NoRespondersError(bound.subject.decode(), hint=hint),
        )
        later = connection.link.loop.call_later
        if timeout is not None:
            self.channel.deadline = connection.link.loop.time() + timeout - GRACE
            text = f"the stream did not end within {timeout - GRACE:g} s"
            self._timers.append(later(timeout, self._expire, text))
        if idle_timeout is not None:
            self._timers.append(later(idle_timeout, self._check_idle))

    def open(self, data: bytes, block: bytes, items: AsyncIterable[Any] | None) -> None:
        """Send the request, and start sending `items` once the worker takes them."""
        self.channel.asked = self._bound.subject
        self._ask(data, with_frame(block, "open", *self.channel.reader.credit))
        if items is not None:
            self._start(items, self._bound.encode_item)

    def open_large(self, data: bytes, block: bytes) -> None:
        """Send the head of a request, and start sending its body once a worker takes it."""
        self.channel.asked = self._bound.subject + LARGE
        self._ask(b"", with_frame(block, "large", len(data)))
        self._start(_single(data), bytes)

    def _ask(self, data: bytes, block: bytes) -> None:
        """Send the opening; of one that cannot be sent nothing is left."""
        channel = self.channel
        try:
            self._connection.link.send(channel.asked, data, channel.address, block)
        except BaseException:
            for timer in self._timers:
                timer.cancel()
            channel.close()
            raise

    def _start(self, items: AsyncIterable[Any], encode: Encode) -> None:
        self.channel.writes = True
        self._pump = asyncio.ensure_future(self._send_all(items, encode))

    async def _send_all(self, items: AsyncIterable[Any], encode: Encode) -> None:
        channel = self.channel
        try:
            async for item in items:
                data = encode(item)
                if not channel.put(data):
                    await channel.send(data)
            await channel.ready()
            channel.end()
        except Exception as error:  # for the reader, if nothing else has failed before
            if channel.error is None:
                self._items_error = error
            channel.fail(error)

    @property
    def has_reply(self) -> bool:
        """Whether one answer came, which is no item of a stream."""
        return self._reply is not None

    async def answer(self) -> Any:
        """The one answer to a stream of requests."""
        ended = False
        try:
            async for _ in self.channel.items(_nothing):
                pass
            ended = True
            assert self._reply is not None  # nothing else ends reading without an error
            reply = self._reply
            if is_head(reply.raw_headers):
                reply = await self._bound.whole(reply, self._timeout)
            return self._bound.read(reply)
        finally:
            await self.finish(ended)

    def read_plain(self) -> Any:
        """An item that came as a plain message, from a worker that speaks in no frames."""
        msg = self.plain.popleft()
        self._kept -= len(msg.data)
        return self._bound.read(msg)

    def decode(self, data: bytes) -> Any:
        """An item.

        Raises:
            ContractError: it is not of the type expected.
        """
        try:
            return self._bound.decode_item(data)
        except DecodeError as error:
            raise self._bound.misfit(error, data) from None

    async def finish(self, ended: bool) -> None:
        """Let everything go; unless it ended, the worker is told."""
        channel, error = self.channel, self.channel.error
        if isinstance(error, RpcError) and error is not self._items_error:
            self._bound.of_this_call(error)
        for timer in self._timers:
            timer.cancel()
        denied = isinstance(channel.error, PermissionsError)
        if not (ended or denied) and self._reply is None and not channel.stop():
            self._bound.cancel(channel.address)
        channel.close()
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.wait([self._pump])

    def _take_reply(self, msg: Msg) -> None:
        """Take what is no frame: an error, the answer to an upload, an item of a stranger's."""
        channel = self.channel
        if is_error(msg.raw_headers):
            channel.fail(self._bound.error(msg))
        elif not self._gives_stream:
            self._reply = msg
            channel.reader.finish()
        elif stored := acks.stored(msg.data, self._bound.subject.decode()):
            channel.fail(stored)  # whatever items are: the worker's frames come behind it
        elif channel.peer and not channel.reader.is_whole:
            channel.fail(UnavailableError("stream broken: a message came that is no frame"))
        elif msg.data or channel.reader.is_whole:
            self._keep(msg)
        else:
            channel.reader.finish()
        channel.wake()

    def _keep(self, msg: Msg) -> None:
        """Keep a stranger's item, who knows nothing of credit, within a bound."""
        if self.channel.error is not None:
            return  # a hole in the middle would not be seen: what comes behind the error goes
        self._kept += len(msg.data)
        self._plain_items += 1
        self.plain.append(msg)
        if self._kept > UNTAKEN_BYTES or len(self.plain) > UNTAKEN_ITEMS:
            self.channel.fail(UnavailableError("stream broken: it is read too slowly"))

    def _stop(self, error: RpcError) -> None:
        """The worker wants no more items, or is gone."""
        if self._pump is not None:
            self._pump.cancel()

    def _expire(self, text: str) -> None:
        self.channel.fail(NatsTimeoutError(text, subject=self._bound.subject.decode()))

    def _check_idle(self) -> None:
        reader = self.channel.reader
        # What is still here, or was taken only since the last look, tells of a slow reader.
        seen = reader.received + self._plain_items, len(reader.buffer) + len(self.plain)
        assert self._idle_timeout is not None  # it set this timer
        if seen == self._seen and not seen[1]:
            self._expire(f"the stream was idle for {self._idle_timeout:g} s")
            return
        self._seen = seen
        later = self._connection.link.loop.call_later
        self._timers[-1] = later(self._idle_timeout, self._check_idle)


async def _single(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def stream_items(opened: Callable[[], Outgoing]) -> AsyncGenerator[Any, None]:
    """The items of a stream, opened with the first of them; then the error it ended with, if any.

    One generator does all of it: each around another costs every item 0.3 us.
    """
    outgoing = opened()
    channel, decode = outgoing.channel, outgoing.decode
    take, ended = channel.take, False
    try:
        while True:
            while (data := take()) is not None:
                yield decode(data)
            while outgoing.plain:
                yield outgoing.read_plain()
            if not await channel.more():
                break
        ended = True
    finally:
        await outgoing.finish(ended)


def _nothing(data: bytes) -> None:
    """An item where none is expected is dropped."""
