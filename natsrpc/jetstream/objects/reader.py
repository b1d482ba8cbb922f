"""Reading an object: its chunks in order, checked at the end."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Awaitable, Callable
from types import TracebackType

from natsrpc.core import Msg
from natsrpc.errors import ConfigError, DigestMismatchError, JetStreamError

from ..api import Api
from ..consuming import Cursor, Feed, Supply
from .info import PREFIX, ObjectInfo, digest_text, is_digest

_AHEAD = 4 * 1024 * 1024
_MOST = 64


class ObjectReader:
    """An object that is read, while its block lasts: `ObjectStore.get` makes it.

    `async for chunk in reader`, or `await reader.read()` for all that is left. At the end, size and
    digest are checked.
    """

    def __init__(self, api: Api, find: Callable[[], Awaitable[ObjectInfo]]) -> None:
        self._api = api
        self._find = find
        self._info: ObjectInfo | None = None
        self._feed: Feed | None = None
        self._hash = hashlib.sha256()
        self._left = 0
        self._size = 0
        self._is_checked = False

    @property
    def info(self) -> ObjectInfo:
        """What the store knows of it; that of the object itself where a link leads to it.

        Raises:
            ConfigError: the block was not entered yet.
        """
        if self._info is None:
            raise ConfigError("write 'async with store.get(name) as reader' first")
        return self._info

    async def __aenter__(self) -> ObjectReader:
        self._info = info = await self._find()
        self._left = info.chunks
        if info.chunks:
            most = max(2, min(_MOST, _AHEAD // max(info.max_chunk_size, 1)))
            cursor = Cursor(filters=[f"$O.{info.bucket}.C.{info.nuid}"])
            supply = Supply(most, most // 2, expires=30.0, heartbeat=5.0)
            # It marks the end of what is there, so that a chunk that is gone is not waited for.
            self._feed = Feed(self._api, PREFIX + info.bucket, cursor, supply, marks=True)
            await self._feed.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._feed is not None:
            await self._feed.close()

    def __aiter__(self) -> ObjectReader:
        return self

    async def __anext__(self) -> bytes:
        """The next chunk.

        Raises:
            DigestMismatchError: what was read is not what was written.
            StreamNotFoundError, JetStreamError, PermissionsError, ConnectionClosedError: it cannot
                be read any further.
        """
        info = self.info
        if not self._left:
            self._check(info)
            raise StopAsyncIteration
        try:
            msg = await self._next()
        except StopAsyncIteration:
            text = f"reading {info.name!r} was ended with {self._left} chunks to come"
            raise JetStreamError(text) from None
        if msg is None:
            self._left, self._is_checked = 0, True
            raise DigestMismatchError(
                f"object {info.name!r} has {info.chunks} chunks, and some are gone",
                name=info.name,
                expected=f"{info.size} bytes",
                found=f"{self._size} bytes",
            )
        self._left -= 1
        self._size += len(msg.data)
        self._hash.update(msg.data)
        if not self._left:
            self._check(info)
        return msg.data

    async def _next(self) -> Msg | None:
        assert self._feed is not None
        return await self._feed.next()

    async def read(self) -> bytes:
        """All that is left of it.

        Raises:
            DigestMismatchError, StreamNotFoundError, JetStreamError, PermissionsError,
                ConnectionClosedError: as iterating.
        """
        # Chunks that were collected and joined would be twice the memory, which comes from the
        # system page by page: a quarter of the work. `getvalue` does not copy what was written.
        content = io.BytesIO()
        async for chunk in self:
            content.write(chunk)
        return content.getvalue()

    def _check(self, info: ObjectInfo) -> None:
        if self._is_checked:
            return
        self._is_checked = True
        if self._size != info.size:
            expected, found = f"{info.size} bytes", f"{self._size} bytes"
        elif not is_digest(info.digest, self._hash.digest()):
            expected, found = info.digest, digest_text(self._hash.digest())
        else:
            return
        raise DigestMismatchError(
            f"object {info.name!r} is not what was written: expected {expected}, found {found}",
            name=info.name,
            expected=expected,
            found=found,
        )
