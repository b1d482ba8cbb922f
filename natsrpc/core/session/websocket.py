"""A WebSocket between a socket and its `Transport`: to asyncio it is the protocol of the socket, to
the `Transport` it is the socket.

So nothing in the transport, nor in what is above it, knows of WebSockets, and plain TCP passes
nothing of this. Steps: the socket (with TLS for wss) → `upgrade` → bytes in frames, both ways →
the end, for which `connection_lost` tells the reason.

Frames are masked under a fresh random key each, though a key of zeros would be legal on the wire
and cost nothing: what a program sends may come from others, who must not choose the bytes that a
proxy on the way reads.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from typing import TYPE_CHECKING, Any, cast

from natsrpc.errors import RemoteProtocolError, WebSocketClosedError

from .framing import MAX_FRAME, Control, Cutter, framed, masking
from .transport import CHUNK, Transport
from .upgrade import Upgrade

if TYPE_CHECKING:
    from wsproto.connection import Connection as Controls

_REFUSALS = frozenset({1002, 1003, 1007, 1009, 1010})


class WebSocket(asyncio.Protocol):
    """The socket of one session as a WebSocket. Made and opened by the handshake."""

    def __init__(self, loop: asyncio.AbstractEventLoop, above: Transport, address: str) -> None:
        self._loop = loop
        self._above = above
        self._address = address
        self._socket: asyncio.Transport | None = None
        self._upgrade: Upgrade | None = None
        self._upgraded: asyncio.Future[None] = loop.create_future()
        self._cutter = Cutter()
        self._mask = masking()
        self._controls: Controls | None = None
        self._closed_by: Exception | None = None
        self._is_full = False

    # the beginning

    async def start_tls(self, context: ssl.SSLContext, hostname: str | None) -> None:
        """Turn the socket that a dialer opened into a TLS one."""
        assert self._socket is not None
        upgraded = await self._loop.start_tls(self._socket, self, context, server_hostname=hostname)
        if upgraded is None:
            raise ConnectionResetError("connection lost during the TLS handshake")
        self._socket = upgraded

    async def open(self, upgrade: Upgrade) -> None:
        """Ask for the WebSocket, and wait until it stands.

        Raises:
            WebSocketError: the server does not want to.
            RemoteProtocolError: what it answered is no HTTP, or breaks its rules.
            ConnectionResetError: it hung up instead.
        """
        from wsproto import ConnectionType  # noqa: PLC0415  an extra
        from wsproto.connection import Connection  # noqa: PLC0415

        assert self._socket is not None
        self._upgrade, self._controls = upgrade, Connection(ConnectionType.CLIENT)
        if not self._upgraded.done():
            self._socket.write(upgrade.request)
        await self._upgraded

    # asyncio.Protocol, for the socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._socket = cast("asyncio.Transport", transport)
        plain: Any = transport
        if hasattr(plain, "max_size"):
            plain.max_size = CHUNK
        self._above.connection_made(cast("asyncio.Transport", self))

    def data_received(self, data: bytes) -> None:
        if self._closed_by is not None:
            return
        if not self._upgraded.done():
            self._answered(data)
            return
        cutter, above = self._cutter, self._above
        ping: Control | None = None
        for piece in cutter.feed(data):
            if type(piece) is bytes:
                above.data_received(piece)
            elif isinstance(piece, Control):
                if piece.opcode == 0x9:
                    ping = piece
                elif not self._close_received(piece):
                    return
        if ping is not None:
            self._answer(ping)
        if cutter.failure is not None:
            self._refuse(cutter.failure)

    def _answered(self, data: bytes) -> None:
        """The answer to our request for a WebSocket, or a part of it."""
        if self._upgrade is None:
            self._fail(RemoteProtocolError(f"{self._address} spoke before it was asked: no HTTP"))
            return
        try:
            if not self._upgrade.feed(data):
                return
        except Exception as error:
            self._fail(error)
            return
        self._upgraded.set_result(None)
        if self._upgrade.rest:
            self.data_received(self._upgrade.rest)

    def _fail(self, error: Exception) -> None:
        self._closed_by = error
        self._upgraded.set_exception(error)
        self._upgraded.exception()  # asked for by `open`, unless that was cancelled
        self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._upgraded.done():
            self._fail(exc or ConnectionResetError("it hung up instead of opening a WebSocket"))
        self._above.connection_lost(self._closed_by or exc)

    def pause_writing(self) -> None:
        self._is_full = True
        self._above.pause_writing()

    def resume_writing(self) -> None:
        self._is_full = False
        self._above.resume_writing()

    # control frames, by wsproto

    def _answer(self, ping: Control) -> None:
        """Answer the latest PING of a chunk, unless the server does not take what we send: so a
        flood of them does not become one in our memory."""
        from wsproto.events import Ping  # noqa: PLC0415  an extra

        assert self._controls is not None and self._socket is not None
        self._controls.receive_data(ping.raw)
        for event in self._controls.events():
            if isinstance(event, Ping) and not self._is_full:
                self._socket.write(self._controls.send(event.response()))

    def _close_received(self, frame: Control) -> bool:
        """Take a control frame other than a PING; False if it ends the connection."""
        from wsproto.connection import ConnectionState  # noqa: PLC0415  an extra
        from wsproto.events import CloseConnection  # noqa: PLC0415

        assert self._controls is not None and self._socket is not None
        self._controls.receive_data(frame.raw)
        for event in self._controls.events():
            if not isinstance(event, CloseConnection):
                continue  # a PONG that nobody asked for
            if self._controls.state is not ConnectionState.REMOTE_CLOSING:
                self._refuse(RemoteProtocolError(f"bad WebSocket frame: {event.reason}"))
                return False
            self._closed_by = self._closed(int(event.code), event.reason or "")
            if not self._is_full:
                self._socket.write(self._controls.send(event.response()))
            self.abort()
            return False
        return True

    def _closed(self, code: int, reason: str) -> Exception:
        shown = "".join(c if c.isprintable() else "?" for c in reason)
        refused = " (it refuses what was sent)" if code in _REFUSALS else ""
        text = f"{self._address} closed the WebSocket with code {code}{refused}"
        return WebSocketClosedError(f"{text}: {shown}" if shown else text, code=code, reason=reason)

    def _refuse(self, error: RemoteProtocolError) -> None:
        """Tell the server that it broke the rules, and hang up."""
        self._closed_by = error
        self._write_close(1002)
        self.abort()

    def _write_close(self, code: int) -> None:
        from wsproto.events import CloseConnection  # noqa: PLC0415  an extra
        from wsproto.utilities import LocalProtocolError as Over  # noqa: PLC0415

        assert self._socket is not None
        if self._controls is not None and self._upgraded.done() and not self._is_full:
            with contextlib.suppress(Over):
                self._socket.write(self._controls.send(CloseConnection(code)))

    # asyncio.Transport, for the `Transport`

    def write(self, data: bytes) -> None:
        """Send bytes, in a frame of their own; more than `MAX_FRAME` in several."""
        assert self._socket is not None
        if len(data) <= MAX_FRAME:
            self._socket.write(framed(data, os.urandom(4), self._mask))
            return
        view = memoryview(data)
        for start in range(0, len(data), MAX_FRAME):
            part = view[start : start + MAX_FRAME]
            self._socket.write(framed(part, os.urandom(4), self._mask))

    def close(self) -> None:
        """Say goodbye behind what was sent, and close."""
        assert self._socket is not None
        self._write_close(1000)
        self._socket.close()

    def abort(self) -> None:
        """Drop the socket at once."""
        assert self._socket is not None
        self._socket.abort()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """As the socket's."""
        assert self._socket is not None
        self._socket.set_write_buffer_limits(high=high, low=low)

    def get_write_buffer_size(self) -> int:
        """As the socket's."""
        assert self._socket is not None
        return self._socket.get_write_buffer_size()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """As the socket's."""
        assert self._socket is not None
        return self._socket.get_extra_info(name, default)

    def pause_reading(self) -> None:
        """As the socket's."""
        assert self._socket is not None
        self._socket.pause_reading()

    def resume_reading(self) -> None:
        """As the socket's."""
        assert self._socket is not None
        self._socket.resume_reading()
