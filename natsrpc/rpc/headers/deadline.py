"""The header that says when a caller's time is over, by the clock on the wall:
`Natsrpc-Deadline: <Unix milliseconds, rounded down to 100>`.

Callers write it that were told that the clocks of their fleet agree; the endpoint reads it. A
moment rounded down stays the same for a tenth of a second, and so do the header blocks of requests
with one timeout, which both sides keep.
"""

from __future__ import annotations

from natsrpc.core import Headers

DEADLINE = "Natsrpc-Deadline"

STEP = 0.1
"""Seconds between two moments that the header tells apart."""


def deadline_line(moment: float) -> bytes:
    """The header's line, for a moment in `time.time()`."""
    return b"%b: %d00\r\n" % (DEADLINE.encode(), moment / STEP)


def read_deadline(headers: Headers) -> float | None:
    """The moment (`time.time()`) at which the time of a request is over; None for none.

    It is the end of the tenth that the header names: taken for its beginning it would cut a
    timeout of 50 ms to nothing. Callers wait as much longer themselves (`GRACE`).
    """
    text = headers.get(DEADLINE)
    return None if text is None else parse_deadline(text)


def parse_deadline(text: str) -> float | None:
    """The moment of a `Natsrpc-Deadline` value; None for what is not a whole number."""
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        return None
    return int(text) / 1000 + STEP
