"""Frames from client to server, read from the byte stream. The in-memory broker feeds it.

The core only ever writes these frames, so their parser is here. Like nats-server it is strict about
sizes and the end of a payload, and lenient about blanks and case.

Ref: https://docs.nats.io/reference/reference-protocols/nats-protocol
"""

from __future__ import annotations

from typing import NamedTuple

from natsrpc.errors import RemoteProtocolError


class ClientFrame(NamedTuple):
    """One frame: its operation in upper case, its arguments without the sizes of a payload, and the
    header block and payload of a publish."""

    op: bytes
    args: list[bytes]
    headers: bytes = b""
    data: bytes = b""


class FrameReader:
    """Cuts the byte stream of one client into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[ClientFrame]:
        """Return the frames that the next chunk completes; the chunk may end anywhere.

        Raises:
            RemoteProtocolError: the client broke the protocol. The text is that of nats-server's
                `-ERR`. The frames before the broken one are lost: the connection ends anyway.
        """
        self._buffer += data
        frames, pos = [], 0
        while (end := self._buffer.find(b"\r\n", pos)) >= 0:
            frame, pos_after = self._frame(bytes(self._buffer[pos:end]), end + 2)
            if frame is None:
                break
            frames.append(frame)
            pos = pos_after
        del self._buffer[:pos]
        return frames

    def _frame(self, line: bytes, start: int) -> tuple[ClientFrame | None, int]:
        op, _, rest = line.partition(b" ")
        op = op.upper()
        if op == b"CONNECT":
            return ClientFrame(op, [rest]), start
        args = rest.split()
        if op in (b"PING", b"PONG", b"SUB", b"UNSUB"):
            return ClientFrame(op, args), start
        if op not in (b"PUB", b"HPUB"):
            raise RemoteProtocolError("Unknown Protocol Operation")
        head = int(args[-2]) if op == b"HPUB" else 0
        total = int(args[-1])
        stop = start + total
        if len(self._buffer) < stop + 2:
            return None, start
        if self._buffer[stop : stop + 2] != b"\r\n":
            raise RemoteProtocolError("Unknown Protocol Operation")
        body = bytes(self._buffer[start:stop])
        return ClientFrame(op, args[: -2 if head else -1], body[:head], body[head:]), stop + 2
