"""The bodies of requests: read whole, or as items, and no more of them than there is room for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from .exchange import Exchange
from .problems import Problem, invalid

__all__ = ["SMALL", "Account", "Bodies", "LeftError", "late"]

SMALL = 64 * 1024
"""Bodies up to this size, that came in one piece, are not counted: requests are."""

ITEM = 64 * 1024
"""Bytes of one item of a file."""

_RETRY = {"retry-after": "1"}


class LeftError(Exception):
    """The client left before its request was all here."""


class Account:
    """The bytes of all bodies that are held at one time."""

    def __init__(self, limit: int) -> None:
        self._left = limit

    def take(self, exchange: Exchange, size: int) -> None:
        """Take room for bytes of a request, until it is over.

        Raises:
            Problem: there is none.
        """
        if size > self._left:
            raise Problem(
                503, "the gateway holds as many bytes of bodies as it may", headers=_RETRY
            )
        self._left -= size
        exchange.held += size

    def hold(self, exchange: Exchange, size: int) -> None:
        """Hold this much for a request, whatever it held before; nothing for what is small.

        Raises:
            Problem: there is no room for it.
        """
        wanted = size if size > SMALL else 0
        if wanted != exchange.held:
            self.take(exchange, wanted - exchange.held)

    def settle(self, exchange: Exchange) -> None:
        """Give back what a request took."""
        self._left += exchange.held
        exchange.held = 0


class Bodies:
    """Reads the bodies of requests.

    Args:
        limit: bytes of one body, or of one item.
        account: the room for all of them.
        patience: seconds that a client may take between two pieces of a body whose items are passed
            on as they come.
    """

    def __init__(self, limit: int, account: Account, patience: float) -> None:
        self._limit = limit
        self._account = account
        self._patience = patience

    def check_length(self, exchange: Exchange) -> None:
        """Refuse a body that says beforehand that it is too large.

        Raises:
            Problem: it does.
        """
        length = exchange.headers.get(b"content-length")
        if length is not None and length.isdigit() and int(length[:20]) > self._limit:
            raise self._too_large()

    async def whole(self, exchange: Exchange) -> bytes | bytearray:
        """The whole body. One that comes in pieces is put together in place: it is here once.

        Raises:
            Problem: it is too large, or there is no room for it.
            LeftError: the client left.
        """
        self.check_length(exchange)
        chunk, more = await _receive(exchange)
        if not more:
            if len(chunk) > SMALL:
                self._check(len(chunk))
                self._account.take(exchange, len(chunk))
            return chunk
        body = bytearray()
        while True:
            self._check(len(body) + len(chunk))
            self._account.take(exchange, len(chunk))
            body += chunk
            if not more:
                return body
            chunk, more = await _receive(exchange)

    async def lines(self, exchange: Exchange) -> AsyncIterator[bytes]:
        """The lines of a body in NDJSON, as they come; empty ones are left out.

        Raises:
            Problem: a line is too large, or the client sends nothing for too long.
            LeftError: the client left.
        """
        rest = bytearray()
        async for chunk in self._pieces(exchange):
            begin = len(rest)
            rest += chunk
            end = rest.rfind(b"\n", begin)
            if end >= 0:
                whole, rest = bytes(rest[:end]), rest[end + 1 :]
                for line in whole.split(b"\n"):
                    self._check(len(line))
                    if stripped := line.strip():
                        yield stripped
            self._check(len(rest))
            self._account.hold(exchange, len(rest))
        if last := bytes(rest).strip():
            yield last

    async def pieces(self, exchange: Exchange) -> AsyncIterator[bytes]:
        """A body as it comes, in pieces that fit a message: the items of a file.

        Raises:
            Problem: the client sends nothing for too long.
            LeftError: the client left.
        """
        async for chunk in self._pieces(exchange):
            for begin in range(0, len(chunk), ITEM):
                yield chunk[begin : begin + ITEM]

    async def _pieces(self, exchange: Exchange) -> AsyncIterator[bytes]:
        more = True
        while more:
            try:
                async with asyncio.timeout(self._patience):
                    chunk, more = await _receive(exchange)
            except TimeoutError:
                raise late() from None
            if chunk:
                yield chunk

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise self._too_large()

    def _too_large(self) -> Problem:
        return invalid("body", "", f"it is larger than {self._limit} bytes", status=413)


def late() -> Problem:
    """The problem of a body that does not come."""
    return invalid("body", "", "it did not come in time", status=408)


async def _receive(exchange: Exchange) -> tuple[bytes, bool]:
    message = await exchange.receive()
    if message["type"] == "http.disconnect":
        raise LeftError
    return message.get("body", b""), message.get("more_body", False)
