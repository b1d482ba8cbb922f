"""A NATS server on loopback that does what the test tells it, and nothing else."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Self, cast

from natsrpc.server.ports import hold_port

from .frames import Frame, FrameReader, MalformedFrameError
from .waiting import PATIENCE, eventually, turns

INFO = {
    "server_id": "NSCRIPTED",
    "server_name": "scripted",
    "version": "2.15.1",
    "proto": 1,
    "headers": True,
    "max_payload": 1048576,
    "client_id": 1,
    "client_ip": "127.0.0.1",
}


def reset_socket(transport: asyncio.BaseTransport) -> None:
    """Close so that the other side gets an RST, not a FIN."""
    if transport.is_closing():
        return
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    cast(asyncio.Transport, transport).abort()


class Peer(asyncio.Protocol):
    """One client connection, seen from the server.

    received: every byte the client sent (after decryption).
    frames: the same, cut into frames; `expect` and `next_frame` move a cursor over them.
    closed: set when the connection is gone, by whichever side.
    eof: set when the client closed its writing side.
    """

    def __init__(self, server: ScriptedServer) -> None:
        self.received = bytearray()
        self.frames: list[Frame] = []
        self.closed = asyncio.Event()
        self.eof = asyncio.Event()
        self.lost_by: Exception | None = None
        self.auto_pong = server.auto_pong
        self.transport: asyncio.Transport
        self._server = server
        self._early: list[bytes] | None = None
        self._reader = FrameReader()
        self._cursor = 0

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._server.accepted(self)

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """Upgrade; what the client sends right behind its handshake is answered over TLS."""
        loop = asyncio.get_running_loop()
        self._early = []
        upgraded = await loop.start_tls(self.transport, self, context, server_side=True)
        if upgraded is None:
            raise ConnectionResetError("the client left during the handshake")
        self.transport = upgraded
        early, self._early = self._early, None
        for data in early:
            self.data_received(data)

    def data_received(self, data: bytes) -> None:
        if self._early is not None:
            self._early.append(data)
            return
        self.received += data
        try:
            frames = self._reader.feed(data)
        except MalformedFrameError as error:
            self._server.violations.append(error)
            self.transport.abort()
            return
        for frame in frames:
            self.frames.append(frame)
            if frame.op == b"PING" and self.auto_pong:
                self.pong()
            for listener in self._server.listeners:
                listener(self, frame)

    def eof_received(self) -> bool:
        self.eof.set()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost_by = exc
        self.eof.set()
        self.closed.set()

    # what the client sent

    def ops(self) -> list[bytes]:
        """The operations received so far, in order."""
        return [frame.op for frame in self.frames]

    async def next_frame(self, timeout: float = PATIENCE) -> Frame:
        """The next frame nobody has asked for yet."""
        await eventually(
            lambda: len(self.frames) > self._cursor, timeout, what=f"a frame after {self.frames!r}"
        )
        self._cursor += 1
        return self.frames[self._cursor - 1]

    async def expect(self, start: bytes, timeout: float = PATIENCE) -> Frame:
        """The next frame whose bytes begin with `start`; those before it are skipped."""

        def found() -> bool:
            while self._cursor < len(self.frames):
                self._cursor += 1
                if self.frames[self._cursor - 1].raw.startswith(start):
                    return True
            return False

        first = self._cursor
        try:
            await eventually(found, timeout)
        except AssertionError:
            seen = [frame.raw[:200] for frame in self.frames[first:]]
            also = f", violations {self._server.violations}" if self._server.violations else ""
            raise AssertionError(f"no frame {start!r} in {timeout} s, got {seen!r}{also}") from None
        return self.frames[self._cursor - 1]

    async def synced(self) -> None:
        """Wait until the client has dispatched all that was sent to it: PING, and its PONG."""
        mark = self.ops().count(b"PONG")
        self.ping()
        await eventually(lambda: self.ops().count(b"PONG") > mark, what="PONG from the client")

    # what the client gets

    def send(self, data: bytes) -> None:
        self.transport.write(data)

    async def send_split(self, data: bytes, at: Iterable[int] | None = None) -> None:
        """Send in pieces the client reads one by one: cut at the offsets `at`, or at each byte."""
        cuts = sorted(range(1, len(data)) if at is None else at)
        for start, stop in zip([0, *cuts], [*cuts, len(data)], strict=True):
            self.transport.write(data[start:stop])
            await turns()

    def info(self, **fields: Any) -> None:
        """INFO: the server's own fields with these on top. A value of None takes a field out."""
        merged = {**INFO, **self._server.info, **fields}
        kept = {key: value for key, value in merged.items() if value is not None}
        self.send(b"INFO " + json.dumps(kept).encode() + b" \r\n")

    def msg(
        self,
        subject: bytes,
        sid: bytes,
        data: bytes = b"",
        *,
        reply: bytes = b"",
        headers: bytes = b"",
    ) -> None:
        """MSG, or HMSG if `headers` (a whole block) is given."""
        counts = [b"%d" % len(headers)] if headers else []
        fields = [subject, sid, *([reply] if reply else []), *counts]
        size = b"%d" % (len(headers) + len(data))
        op = b"HMSG" if headers else b"MSG"
        self.send(b" ".join([op, *fields, size]) + b"\r\n" + headers + data + b"\r\n")

    def no_responders(self, reply: bytes, sid: bytes) -> None:
        self.msg(reply, sid, headers=b"NATS/1.0 503\r\n\r\n")

    def ping(self) -> None:
        self.send(b"PING\r\n")

    def pong(self) -> None:
        self.send(b"PONG\r\n")

    def err(self, text: str) -> None:
        self.send(b"-ERR '" + text.encode() + b"'\r\n")

    # misbehaving

    def stall(self) -> None:
        """Stop reading: the client's bytes pile up in the kernel, then at the client."""
        self.transport.pause_reading()

    def resume(self) -> None:
        self.transport.resume_reading()

    def close(self) -> None:
        """Send what is pending, then FIN."""
        self.transport.close()

    def half_close(self) -> None:
        """FIN from the server, which goes on reading."""
        self.transport.write_eof()

    def reset(self) -> None:
        """RST: what the client has not read yet is lost."""
        reset_socket(self.transport)


class ScriptedServer:
    """Listens on 127.0.0.1; every accepted connection is a `Peer`.

    info: INFO fields over the defaults (None removes one).
    handshake: send INFO to each new connection; with False the test sends everything.
    auto_pong: answer each PING at once (`peer.auto_pong` changes it later).
    tls: upgrade after INFO (before it with tls_first); handshake failures are in `tls_errors`.
    receive_buffer: the kernel's buffer per connection; small ones make `stall` bite at once.
    listeners: called with (peer, frame) for each frame, for servers that must react in place.
    """

    def __init__(
        self,
        *,
        info: Mapping[str, Any] | None = None,
        handshake: bool = True,
        auto_pong: bool = True,
        tls: ssl.SSLContext | None = None,
        tls_first: bool = False,
        receive_buffer: int | None = None,
        port: int = 0,
    ) -> None:
        self.info = dict(info or {})
        self.handshake = handshake
        self.auto_pong = auto_pong
        self.peers: list[Peer] = []
        self.violations: list[MalformedFrameError] = []
        self.tls_errors: list[Exception] = []
        self.listeners: list[Callable[[Peer, Frame], None]] = []
        self.port = port
        self._tls = tls
        self._tls_first = tls_first
        self._receive_buffer = receive_buffer
        self._listener: asyncio.Server | None = None
        self._held_port: socket.socket | None = None
        self._upgrades: set[asyncio.Task[None]] = set()
        self._handed_out = 0

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.refuse()
        if self._held_port is not None:
            self._held_port.close()
        for peer in self.peers:
            reset_socket(peer.transport)
        for upgrade in self._upgrades:
            upgrade.cancel()
        await asyncio.gather(*self._upgrades, return_exceptions=True)
        await turns()
        if self.violations and error is None:
            raise self.violations[0]

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    @property
    def address(self) -> str:
        """host:port, as `connect_urls` lists it."""
        return f"127.0.0.1:{self.port}"

    async def listen(self) -> None:
        """Accept connections (again), on the same port as before."""
        if self._held_port is None:  # it must be ours also while nobody listens
            self._held_port = hold_port("127.0.0.1", self.port)
            if self._held_port is not None:
                self.port = self._held_port.getsockname()[1]
        # asyncio sets TCP_NODELAY on sockets that say they are TCP.
        sock = socket.socket(proto=socket.IPPROTO_TCP)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self._receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
        sock.bind(("127.0.0.1", self.port))
        self.port = sock.getsockname()[1]
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(
            lambda: Peer(self), sock=sock, ssl=self._tls if self._tls_first else None
        )

    def refuse(self) -> None:
        """Stop listening: connection attempts get ECONNREFUSED. Live connections stay."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def accept(self, timeout: float = PATIENCE) -> Peer:
        """The next connection not handed out yet, once its CONNECT is here (if it handshakes)."""
        await eventually(lambda: len(self.peers) > self._handed_out, timeout, what="a connection")
        self._handed_out += 1
        peer = self.peers[self._handed_out - 1]
        if self.handshake:
            await peer.expect(b"CONNECT", timeout)
        return peer

    def accepted(self, peer: Peer) -> None:
        """Called by each Peer when its connection stands."""
        self.peers.append(peer)
        if self.handshake:
            peer.info(**({"tls_required": True} if self._tls else {}))
        if self._tls is not None and not self._tls_first:
            peer.transport.pause_reading()
            upgrade = asyncio.get_running_loop().create_task(self._upgrade(peer, self._tls))
            self._upgrades.add(upgrade)
            upgrade.add_done_callback(self._upgrades.discard)

    async def _upgrade(self, peer: Peer, context: ssl.SSLContext) -> None:
        try:
            await peer.start_tls(context)
        except (OSError, ssl.SSLError) as error:
            self.tls_errors.append(error)
