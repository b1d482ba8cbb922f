"""An asyncio transport without a socket. The in-memory broker gives one to each client.

It keeps the rules of asyncio's own transports: the event loop calls the protocol, never `write`
itself, and with the context variables of the connection's beginning, not those of the peer that
wrote; after `abort` or `close` nothing more is delivered; `connection_lost` is called once.

Ref: https://docs.python.org/3/library/asyncio-protocol.html#transports
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from typing import Any


class PipeTransport(asyncio.Transport):
    """The client's end of a connection in memory.

    Args:
        loop: the loop that client and broker run on.
        protocol: the client's protocol. It is told of the connection in the next loop turn.
        context: the context variables that the protocol is called with.
        received: called with each chunk that the client writes.
        gone: called once, when the connection has ended from either side.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        protocol: asyncio.Protocol,
        *,
        context: contextvars.Context,
        received: Callable[[bytes], None],
        gone: Callable[[], None],
    ) -> None:
        super().__init__({"peername": ("memory", 0), "sockname": ("memory", 0)})
        self._loop = loop
        self._protocol = protocol
        self._received = received
        self._gone = gone
        self._closing = False
        self._context = context
        loop.call_soon(self._begin, context=context)

    def _begin(self) -> None:
        if not self._closing:
            self._protocol.connection_made(self)

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Pass the client's bytes to `received` in the next loop turn."""
        if not self._closing:
            self._loop.call_soon(self._received, bytes(data), context=self._context)

    def deliver(self, data: bytes) -> None:
        """Pass the broker's bytes to the client's protocol in the next loop turn."""
        self._loop.call_soon(self._deliver, data, context=self._context)

    def _deliver(self, data: bytes) -> None:
        if not self._closing:
            self._protocol.data_received(data)

    def close(self) -> None:
        """End the connection. The broker still reads the bytes written before."""
        self._end(None)

    def abort(self) -> None:
        """End the connection: the same as `close`, because nothing is buffered."""
        self._end(None)

    def lose(self) -> None:
        """End the connection from the broker's side, as a failing network does."""
        self._end(ConnectionResetError("connection reset by the broker"))

    def _end(self, error: Exception | None) -> None:
        if self._closing:
            return
        self._closing = True
        self._loop.call_soon(self._protocol.connection_lost, error, context=self._context)
        self._loop.call_soon(self._gone, context=self._context)

    def is_closing(self) -> bool:
        """Whether the connection has ended."""
        return self._closing

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Do nothing: there is no buffer, every write is taken at once."""

    def get_write_buffer_size(self) -> int:
        """Return 0: there is no buffer."""
        return 0

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Deliver to another protocol from now on. asyncio's interface demands it."""
        assert isinstance(protocol, asyncio.Protocol)
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the protocol that bytes are delivered to."""
        return self._protocol
