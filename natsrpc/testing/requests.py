"""The client's half of the wire, read: what a broker receives, cut into frames.

A connection's stream is fed in any chunks; each whole frame is one `Frame`. Like nats-server it
is strict about sizes and the end of a payload, and lenient about blanks and case.
"""

from __future__ import annotations

from typing import NamedTuple

from natsrpc.errors import RemoteProtocolError


class Frame(NamedTuple):
    """One frame: its operation in upper case, its arguments, and what it carries."""

    op: bytes
    args: list[bytes]
    headers: bytes = b""
    data: bytes = b""


class FrameReader:
    """Cut a client's stream into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames completed by the next chunk.

        Raises:
            RemoteProtocolError: the client broke the protocol; its text is what nats-server says.
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

    def _frame(self, line: bytes, start: int) -> tuple[Frame | None, int]:
        op, _, rest = line.partition(b" ")
        op = op.upper()
        if op == b"CONNECT":
            return Frame(op, [rest]), start
        args = rest.split()
        if op in (b"PING", b"PONG", b"SUB", b"UNSUB"):
            return Frame(op, args), start
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
        return Frame(op, args[: -2 if head else -1], body[:head], body[head:]), stop + 2
