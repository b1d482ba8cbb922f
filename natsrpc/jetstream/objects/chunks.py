"""Content in chunks: cut from whatever it comes as, and sent in one order.

Chunks are in flight together, but each is sent once: one that was sent again could be stored twice
or behind later ones, and the digest would be wrong for ever. So the first failure ends the put.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator
from typing import Any, BinaryIO, TypeAlias, cast

from natsrpc.core import Payload
from natsrpc.errors import ConfigTypeError, NatsError

from ..publishing import ONCE, Pipeline, PubAck

Content: TypeAlias = "Payload | AsyncIterable[bytes] | BinaryIO"
"""What an object may be made of: bytes, an async iterable of bytes, a file opened for bytes."""

IN_FLIGHT = 32
_PIECE = 1024 * 1024


class Sender:
    """Sends the chunks of one object. `size`, `count` and `digest` are those sent so far,
    `stored` counts the chunks that the server has."""

    def __init__(self, pipeline: Pipeline, subject: bytes, timeout: float) -> None:
        self._pipeline = pipeline
        self._subject = subject
        self._timeout = timeout
        self._in_flight: deque[asyncio.Future[PubAck]] = deque()
        self._hash = hashlib.sha256()
        self.size: int = 0
        self.count: int = 0
        self.stored: int = 0

    @property
    def digest(self) -> bytes:
        """The digest of all that was sent."""
        return self._hash.digest()

    async def send(self, chunk: bytes) -> None:
        """Send a chunk once there is a place for it.

        Raises:
            NatsError: a chunk was not stored.
        """
        while len(self._in_flight) >= IN_FLIGHT:
            await self._first()
        self._hash.update(chunk)
        self.size += len(chunk)
        self.count += 1
        future = await self._pipeline.publish(self._subject, chunk, b"", self._timeout, ONCE)
        self._in_flight.append(future)

    async def _first(self) -> None:
        await asyncio.shield(self._in_flight[0])
        self._in_flight.popleft()
        self.stored += 1

    async def complete(self) -> None:
        """Wait until all chunks are stored.

        Raises:
            NatsError: one was not.
        """
        while self._in_flight:
            await self._first()

    async def settle(self) -> None:
        """Wait until the server has answered all chunks, whatever it answered."""
        if self._in_flight:
            await asyncio.wait(self._in_flight)
        for future in self._in_flight:
            with contextlib.suppress(NatsError):
                future.result()
                self.stored += 1


async def chunks_of(content: Content, size: int) -> AsyncIterator[bytes]:
    """The content in chunks of `size` bytes; the last may be shorter, and an empty one has none.

    Raises:
        ConfigTypeError: it is of no type that objects are made of, or yields something else.
    """
    if isinstance(content, (bytes, bytearray, memoryview)):
        view = memoryview(content).cast("B")
        for start in range(0, len(view), size):
            yield bytes(view[start : start + size])
        return
    rest = bytearray()
    async for piece in _pieces(content):
        if not isinstance(piece, (bytes, bytearray, memoryview)):
            raise ConfigTypeError(f"an object is made of bytes, and {type(piece)} came")
        rest += piece
        whole = len(rest) - len(rest) % size
        for start in range(0, whole, size):
            yield bytes(rest[start : start + size])
        del rest[:whole]
    if rest:
        yield bytes(rest)


def _pieces(content: Any) -> AsyncIterable[bytes]:
    if hasattr(content, "__aiter__"):
        return cast("AsyncIterable[bytes]", content)
    if hasattr(content, "read"):
        return _read(content)
    raise ConfigTypeError(
        "an object is made of bytes, an async iterable of bytes, or a file opened for bytes, "
        f"not {type(content).__name__}"
    )


async def _read(file: BinaryIO) -> AsyncIterator[bytes]:
    """A file's pieces, read in a thread: a disk may be slow."""
    while piece := await asyncio.to_thread(file.read, _PIECE):
        yield piece
