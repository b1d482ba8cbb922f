"""WebSocket frames, without input or output: what is sent is put into frames and masked, what
arrives is cut into the payload of data frames and whole control frames.

NATS is a stream of bytes that may be cut anywhere into frames, so payload is handed on as it comes:
no frame, however large it says it is, is ever collected.

Ref: RFC 6455, section 5.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

from natsrpc.errors import RemoteProtocolError

_BINARY = 0x82  # the last frame of a binary message
_MASKED = 0x80
_CONTROL = 0x08
_LARGEST_CONTROL = 125
_TWO_BYTES, _EIGHT_BYTES = 126, 127

_BY_TABLE_FROM = 400
"""Bytes from which on tables mask faster (1.1 ns a byte) than one large number does (10 ns a byte
at 100 bytes, 2.4 at 1000; CPython 3.11)."""

Mask: TypeAlias = "Callable[[bytes | memoryview, bytes], bytes]"
"""Masks data with a key of four bytes: what a frame of ours carries behind the key."""

MAX_FRAME: Final = 64 * 1024
"""Bytes of payload in a frame that we send: more is sent in several, so that what is masked, and
for a moment there twice, stays small."""


class Control(NamedTuple):
    """A control frame, whole: its code and all of its bytes."""

    opcode: int
    raw: bytes


Piece: TypeAlias = "bytes | Control"


@functools.cache
def masking() -> Mask:
    """The fastest way to mask that there is here, asked for once a connection.

    In C it takes 0.08 ns a byte, and with bytes alone, in Python, 1.1 to 1.6: three times as long
    as all else takes for a request with 16 KiB.
    """
    try:
        from websockets.speedups import apply_mask  # noqa: PLC0415  an extra
    except ImportError:  # not there, or there without a part in C for this system
        return masked
    return apply_mask


def masked(data: bytes | memoryview, key: bytes) -> bytes:
    """Mask data, in Python."""
    size = len(data)
    if size < _BY_TABLE_FROM:
        keys = int.from_bytes((key * (size // 4 + 1))[:size], "little")
        return (int.from_bytes(data, "little") ^ keys).to_bytes(size, "little")
    out, plain, tables = bytearray(size), bytes(data), _tables()
    for place, byte in enumerate(key):
        out[place::4] = plain[place::4].translate(tables[byte])
    return bytes(out)


@functools.cache
def _tables() -> list[bytes]:
    return [bytes(byte ^ key for byte in range(256)) for key in range(256)]


def framed(data: bytes | memoryview, key: bytes, mask: Mask) -> bytes:
    """One binary frame, masked with `key`, of four bytes."""
    size = len(data)
    if size <= _LARGEST_CONTROL:
        head = b"\x82%c" % (_MASKED | size)
    elif size < 1 << 16:
        head = b"\x82\xfe" + size.to_bytes(2, "big")
    else:
        head = b"\x82\xff" + size.to_bytes(8, "big")
    return b"".join((head, key, mask(data, key)))


class Cutter:
    """Cuts the chunks of one connection. Called by the WebSocket.

    `failure` is set by the first thing that breaks the protocol; the pieces before it are still
    given.
    """

    def __init__(self) -> None:
        self._rest = b""  # of a head, or of a control frame: some 130 bytes at most
        self._left = 0
        self._in_message = False
        self.failure: RemoteProtocolError | None = None

    def feed(self, chunk: bytes) -> list[Piece]:
        """The pieces that a chunk brings."""
        if self._rest:
            chunk = self._rest + chunk
            self._rest = b""
        pieces: list[Piece] = []
        at, end = 0, len(chunk)
        while at < end and self.failure is None:
            if self._left:
                stop = min(at + self._left, end)
                pieces.append(chunk[at:stop])
                self._left -= stop - at
                at = stop
                continue
            after = self._head(chunk, at, pieces)
            if not after:
                self._rest = chunk[at:]
                break
            at = after
        return pieces

    def _head(self, chunk: bytes, at: int, pieces: list[Piece]) -> int:
        """Read the head of the frame at `at`; the offset behind it, 0 if not all is here. A control
        frame is taken whole."""
        if len(chunk) < at + 2:
            return 0
        first, size, start = chunk[at], chunk[at + 1], at + 2
        if size & _MASKED:
            return self._fail("a frame is masked")
        if size in (_TWO_BYTES, _EIGHT_BYTES) and not first & _CONTROL:
            start += 2 if size == _TWO_BYTES else 8
            if len(chunk) < start:
                return 0
            size = int.from_bytes(chunk[at + 2 : start], "big")
            if size >> 63:
                return self._fail("a frame of more than 2^63 bytes")
        if first == _BINARY and not self._in_message:
            self._left = size
            return start
        if first & _CONTROL and not first & 0x70:
            if size > _LARGEST_CONTROL or first < 0x80:
                return self._fail("a control frame is too large, or not whole")
            stop = start + size
            if len(chunk) < stop:
                return 0
            pieces.append(Control(first & 0x0F, chunk[at:stop]))
            return stop
        return self._fragment(first, size, start)

    def _fragment(self, first: int, size: int, start: int) -> int:
        """One frame of several that make a message, or one that there must not be."""
        opcode = first & 0x7F  # with the reserved bits, of which none is used
        if opcode == 0x01:
            return self._fail("a text frame, and NATS is binary")
        if opcode != (0x00 if self._in_message else 0x02):
            return self._fail(f"a frame that begins with {first:#04x}")
        self._in_message = first < 0x80
        self._left = size
        return start

    def _fail(self, what: str) -> int:
        self.failure = RemoteProtocolError(f"bad WebSocket frame from the server: {what}")
        return 0
