"""A WebSocket server on loopback that does what the test says; it shares no code with natsrpc."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import ssl
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from .frames import Frame, FrameReader
from .server import INFO, reset_socket
from .waiting import eventually

BINARY, TEXT, CLOSE, PING, PONG = 0x2, 0x1, 0x8, 0x9, 0xA
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def ws_frame(
    data: bytes, opcode: int = BINARY, *, fin: bool = True, size: int | None = None
) -> bytes:
    """A server's frame; `size` is what it says it is, if that is not so."""
    said = len(data) if size is None else size
    head = bytes([opcode | (0x80 if fin else 0)])
    if said <= 125:
        head += bytes([said])
    elif said < 65536:
        head += bytes([126]) + said.to_bytes(2, "big")
    else:
        head += bytes([127]) + said.to_bytes(8, "big")
    return head + data


def accepted(head: bytes) -> bytes:
    """The answer 101 to a request's head."""
    key = next(
        line.partition(b":")[2].strip()
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"sec-websocket-key:")
    )
    token = base64.b64encode(hashlib.sha1(key + _GUID).digest())  # noqa: S324  the RFC's
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + token + b"\r\n\r\n"
    )


class WebSocketPeer:
    """One client of a `ScriptedWebSocket`: its request, its frames, and NATS's in them."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.head = b""
        self.controls: list[tuple[int, bytes]] = []
        self.data_frames: list[bytes] = []
        self.keys: list[bytes] = []
        self.frames: list[Frame] = []
        self.closed = asyncio.Event()

    def send(self, raw: bytes) -> None:
        self.writer.write(raw)

    async def send_split(self, raw: bytes) -> None:
        """Send byte by byte."""
        for place in range(len(raw)):
            self.writer.write(raw[place : place + 1])
            await asyncio.sleep(0)

    def nats(self, data: bytes) -> None:
        self.send(ws_frame(data))

    async def expect(self, start: bytes) -> Frame:
        def found() -> Frame | None:
            return next((frame for frame in self.frames if frame.raw.startswith(start)), None)

        await eventually(lambda: found() is not None, what=f"{start!r} in {self.frames!r}")
        frame = found()
        assert frame is not None
        return frame

    async def run(self, reader: asyncio.StreamReader) -> None:
        """Read masked frames until the end, and answer NATS's PINGs."""
        nats = FrameReader()
        while True:
            first, size = await reader.readexactly(2)
            assert size & 0x80, "a client's frame is masked"
            size &= 0x7F
            if size > 125:
                size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8), "big")
            key = await reader.readexactly(4)
            data = await reader.readexactly(size)
            data = bytes(byte ^ key[place % 4] for place, byte in enumerate(data))
            if first & 0x08:
                self.controls.append((first & 0x0F, data))
                continue
            assert first == 0x82
            self.keys.append(key)
            self.data_frames.append(data)
            for frame in nats.feed(data):
                self.frames.append(frame)
                if frame.op == b"PING":
                    self.nats(b"PONG\r\n")


class ScriptedWebSocket:
    """Listens on loopback. `answer` makes the answer to a request's head: 101 unless told."""

    def __init__(
        self,
        answer: Callable[[bytes], bytes] = accepted,
        *,
        tls: ssl.SSLContext | None = None,
        greets: bool = True,
        info: Mapping[str, Any] | None = None,
    ) -> None:
        self._info = {**INFO, **(info or {})}
        self.peers: list[WebSocketPeer] = []
        self.port = 0
        self._answer = answer
        self._tls = tls
        self._greets = greets
        self._listener: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"{'wss' if self._tls else 'ws'}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._listener is not None
        self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def peer(self) -> WebSocketPeer:
        """The first client, once it has signed in."""
        await eventually(lambda: self.peers)
        await self.peers[0].expect(b"PING")
        return self.peers[0]

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = WebSocketPeer(writer)
        self.peers.append(peer)
        try:
            peer.head = await reader.readuntil(b"\r\n\r\n")
            writer.write(self._answer(peer.head))
            if self._greets:
                peer.nats(b"INFO " + json.dumps(self._info).encode() + b"\r\n")
            await peer.run(reader)
        except (OSError, EOFError):
            pass
        finally:
            peer.closed.set()
            if not writer.is_closing():
                reset_socket(writer.transport)
