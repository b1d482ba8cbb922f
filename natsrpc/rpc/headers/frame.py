"""The header that makes a message a frame of a stream: `Natsrpc-Frame: <word> <number>`.

The words are explained in `streams/state.py`; this file writes the header and reads it.
"""

from __future__ import annotations

from natsrpc.core import Headers

FRAME = "Natsrpc-Frame"
FRAME_BYTES = FRAME.encode()


def control(word: str, number: int) -> bytes:
    """The header block of a control frame."""
    return b"NATS/1.0\r\n%b: %b %d\r\n\r\n" % (FRAME_BYTES, word.encode(), number)


def read_control(headers: Headers) -> tuple[str, int] | None:
    """The word and number of a control frame; None if it is none, or no sane one."""
    text = headers.get(FRAME)
    word, _, digits = (text or "").partition(" ")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 18):
        return None
    return word, int(digits)
