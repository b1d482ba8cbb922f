"""The header that makes a message a frame of a conversation: `Natsrpc-Frame: <word> <numbers>`.

Channels write it and read it; `docs/wire.md` tells what each word means.
"""

from __future__ import annotations

from natsrpc.core import Headers

FRAME = "Natsrpc-Frame"
FRAME_BYTES = FRAME.encode()

ITEM = b"NATS/1.0\r\nNatsrpc-Frame: item "
"""How the header block of an item begins: the number and two line ends follow."""

MAX_HEADERS = 64 * 1024
"""Header blocks that are longer are not read: a megabyte of names takes 130 ms."""

_DIGITS = 18
"""No number is longer: it fits 64 bits, and nobody makes us read megabytes of digits."""


def frame(word: str, *numbers: int) -> bytes:
    """The header block of a frame."""
    text = " ".join([word, *map(str, numbers)])
    return b"NATS/1.0\r\n%b: %b\r\n\r\n" % (FRAME_BYTES, text.encode())


def item_frame(number: int) -> bytes:
    """The header block of an item, made in one step: there is one for each item of a stream."""
    return b"NATS/1.0\r\nNatsrpc-Frame: item %d\r\n\r\n" % number


def with_frame(block: bytes, word: str, *numbers: int) -> bytes:
    """A header block (or `b""`) with a frame's header behind its own."""
    added = frame(word, *numbers)
    return block[:-2] + added[len(b"NATS/1.0\r\n") :] if block else added


def without_frame(block: bytes) -> bytes:
    """A header block of ours without the frame's header in it."""
    start = block.find(b"\r\n" + FRAME_BYTES)
    if start < 0:
        return block
    rest = block[:start] + block[block.index(b"\r\n", start + 2) :]
    return b"" if rest == b"NATS/1.0\r\n\r\n" else rest


def is_frame(raw_headers: bytes) -> bool:
    """Whether a header block may be a frame's; strangers spell it as they like."""
    if len(raw_headers) > MAX_HEADERS:
        return False
    return FRAME_BYTES in raw_headers or FRAME_BYTES.lower() in raw_headers.lower()


def read_frame(headers: Headers) -> tuple[str, tuple[int, ...]] | None:
    """The word and the numbers of a frame; None if it is none, or no sane one."""
    word, *digits = (headers.get(FRAME) or "").split()[:4] or [""]
    if not word or not all(map(_is_number, digits)):
        return None
    return word, tuple(map(int, digits))


def item_number(raw_headers: bytes) -> int:
    """The number in a header block that begins with `ITEM`; 0, which no item has, if it is none."""
    digits = raw_headers[len(ITEM) : -4]
    return int(digits) if digits.isdigit() and len(digits) <= _DIGITS else 0


def _is_number(digits: str) -> bool:
    return digits.isascii() and digits.isdigit() and len(digits) <= _DIGITS
