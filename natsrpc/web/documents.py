"""The documents that the gateway serves of itself: `/services.json`, `/stats.json`,
`/openapi.json`.

Each is made in a thread, once for a snapshot, and kept as bytes; who asks meanwhile shares it. A
reader that has it already is told so (304).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from typing import Any

from natsrpc import discovery
from natsrpc.core import Connection
from natsrpc.errors import ConnectionReconnectingError, NatsTimeoutError

from .catalog import Catalog, Snapshot
from .description import describe_stats
from .exchange import Exchange

__all__ = ["Document", "Figures"]

_STATS_EVERY = 1.0
"""Seconds for which the figures of the instances are kept: each asks all of them."""

_STATS_BYTES = 4 * 1024 * 1024

_NO_CACHE = (b"cache-control", b"no-cache")

MAX_ROOTS = 8
"""Places where one gateway is mounted, whose documents are kept."""

Describe = Callable[[Snapshot, str], dict[str, Any]]
"""Makes a document of a snapshot, for a gateway that is mounted at a path."""


class Document:
    """A document about the services that are there.

    Args:
        catalog: the services.
        describe: makes the document of a snapshot.
    """

    def __init__(self, catalog: Catalog, describe: Describe) -> None:
        self._catalog = catalog
        self._describe = describe
        self._number = -1
        self._made: dict[str, tuple[bytes, bytes]] = {}
        self._making: asyncio.Task[None] | None = None

    async def serve(self, exchange: Exchange) -> None:
        """Answer a request for it."""
        snapshot = await self._catalog.refreshed()
        root: str = exchange.scope.get("root_path", "")
        while snapshot.number != self._number or root not in self._made:
            if self._making is None:
                self._making = asyncio.ensure_future(self._make(snapshot, root))
            await asyncio.shield(self._making)
            snapshot = self._catalog.snapshot
        body, tag = self._made[root]
        headers = [_NO_CACHE, (b"etag", tag)]
        if tag in exchange.headers.get(b"if-none-match", b""):
            await exchange.respond(b"", status=304, headers=headers)
        else:
            await exchange.respond(body, headers=headers)

    def close(self) -> None:
        """Make it no more."""
        if self._making is not None:
            self._making.cancel()

    async def _make(self, snapshot: Snapshot, root: str) -> None:
        try:
            made = await asyncio.to_thread(self._written, snapshot, root)
            if snapshot.number != self._number or len(self._made) >= MAX_ROOTS:
                self._made.clear()
            self._number, self._made[root] = snapshot.number, made
        finally:
            self._making = None

    def _written(self, snapshot: Snapshot, root: str) -> tuple[bytes, bytes]:
        body = json.dumps(self._describe(snapshot, root), separators=(",", ":")).encode()
        return body, b'"%b"' % hashlib.sha256(body).hexdigest()[:32].encode()


class Figures:
    """The counters of all instances, asked for at most once a second."""

    def __init__(self, connection: Connection, names: tuple[str, ...]) -> None:
        self._connection = connection
        self._names = names
        self._asking: asyncio.Task[bytes] | None = None
        self._until = 0.0

    async def serve(self, exchange: Exchange) -> None:
        """Answer a request for them."""
        now = self._connection.link.loop.time()
        if self._asking is None or (self._asking.done() and now >= self._until):
            self._asking = asyncio.ensure_future(self._ask())
        body = await asyncio.shield(self._asking)
        await exchange.respond(body, headers=[_NO_CACHE])

    def close(self) -> None:
        """Ask no more."""
        if self._asking is not None:
            self._asking.cancel()

    async def _ask(self) -> bytes:
        try:
            asked = [
                discovery.stats(self._connection, name, timeout=1.0, stall=0.2)
                for name in self._names or ("",)
            ]
            found = [one for each in await asyncio.gather(*asked) for one in each]
        except NatsTimeoutError:  # where nobody answers, the answer is empty
            text = "the figures were asked for, and the connection is not there"
            raise ConnectionReconnectingError(text) from None
        else:
            return await asyncio.to_thread(_within, found)
        finally:
            self._until = self._connection.link.loop.time() + _STATS_EVERY


def _within(instances: list[discovery.ServiceStats]) -> bytes:
    """The document of as many instances as it may hold."""
    size, told = 0, []
    for instance in instances:
        found = describe_stats([instance])["instances"][0]
        size += len(json.dumps(found))
        if size > _STATS_BYTES:
            break
        told.append(found)
    value = {"instances": told, "is_complete": len(told) == len(instances)}
    return json.dumps(value, separators=(",", ":")).encode()
