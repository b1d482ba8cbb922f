"""A connection without a socket: a transport whose bytes go to a function in the same process.

It behaves as asyncio's own: the protocol is called from the event loop, never from within a
`write`; after `abort` or `close` nothing more is delivered, and `connection_lost` comes once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any


class PipeTransport(asyncio.Transport):
    """What a client's protocol writes to; `received` gets the bytes, `gone` the end."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        protocol: asyncio.Protocol,
        *,
        received: Callable[[bytes], None],
        gone: Callable[[], None],
    ) -> None:
        super().__init__({"peername": ("memory", 0), "sockname": ("memory", 0)})
        self._loop = loop
        self._protocol = protocol
        self._received = received
        self._gone = gone
        self._closing = False
        loop.call_soon(self._begin)

    def _begin(self) -> None:
        if not self._closing:
            self._protocol.connection_made(self)

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Take the client's bytes; they are read in the next loop turn."""
        if not self._closing:
            self._loop.call_soon(self._received, bytes(data))

    def deliver(self, data: bytes) -> None:
        """Let the client read bytes in the next loop turn."""
        self._loop.call_soon(self._deliver, data)

    def _deliver(self, data: bytes) -> None:
        if not self._closing:
            self._protocol.data_received(data)

    def close(self) -> None:
        """End the connection; what was written before is still read."""
        self._end(None)

    def abort(self) -> None:
        """End the connection at once."""
        self._end(None)

    def lose(self) -> None:
        """End the connection from the other side, as a network does that fails."""
        self._end(ConnectionResetError("connection reset by the broker"))

    def _end(self, error: Exception | None) -> None:
        if self._closing:
            return
        self._closing = True
        self._loop.call_soon(self._protocol.connection_lost, error)
        self._loop.call_soon(self._gone)

    def is_closing(self) -> bool:
        """Whether the connection has ended."""
        return self._closing

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """There is no buffer: every write is taken at once."""

    def get_write_buffer_size(self) -> int:
        """Always 0."""
        return 0

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Deliver to another protocol from now on."""
        assert isinstance(protocol, asyncio.Protocol)
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The protocol delivered to."""
        return self._protocol
