"""Bulk: runs of small messages without headers, as a busy connection receives them, cut with few
calls. The parser calls it for each chunk that is not small.

One `bytes.split` does for many frames what a loop in Python does for each. Measured against taking
them one by one: 0.66 us instead of 0.84 a message (CPython 3.11), 0.79 instead of 0.94 (3.13). For
messages with headers the same was tried, split at the header block of the first; it gained nothing.

The rule: only frames that are whole and exactly as nats-server writes them are taken. At the first
that is not, the run ends: the parser's own loop, which knows the whole grammar, judges that frame.
So nothing is decided here about the protocol.

A small window of the chunk is looked at first, then twice as much, and so on: where payloads turn
out to hold line ends, little was split in vain.
"""

from __future__ import annotations

from collections.abc import Mapping

from .messages import Event, Msg, Responder

_FIRST_WINDOW = 4096
_LARGEST_WINDOW = 65_536

SMALLEST = 1024
"""The bytes of the smallest chunk that is worth it."""


def take_run(
    data: bytes, sizes: Mapping[bytes, int], responder: Responder | None, events: list[Event]
) -> tuple[int, int]:
    """Take the run of `MSG` that a chunk begins with.

    Split at every line end, such frames are pairs of line and payload.

    Args:
        data: the chunk.
        sizes: the sizes known so far: the digits as written, and their value.
        responder: put on every message.
        events: the list to which the messages are added.

    Returns:
        Where in the chunk the first frame begins that was not taken, and the bytes of all payloads
        that were taken.
    """
    # One that is alone in the first window is taken as quickly by the parser's loop.
    if not data.startswith(b"MSG ") or data.find(b"\r\nMSG ", 4, _FIRST_WINDOW) < 0:
        return 0, 0
    new, append = object.__new__, events.append
    pos, window, taken = 0, _FIRST_WINDOW, 0
    while True:
        piece = data[pos : pos + window]
        lines = piece.split(b"\r\n")
        rest = lines.pop()  # no line end behind it
        tabs = 9 in piece  # a tab separates fields, too: then each line must be looked at
        done = -len(events)  # with their number behind the loop: how many were taken
        pairs = iter(lines)  # one iterator taken from twice: line, payload, line, payload ...
        for line, payload in zip(pairs, pairs):  # noqa: B905  the last line may lack its payload
            args = line.split(b" ")
            count = len(args)
            if count == 4:
                op, subject, sid, digits = args
                reply = b""
            elif count == 5:
                op, subject, sid, reply, digits = args
            else:
                break
            # A payload that holds a line end was split, so it is shorter than its size says. Sizes
            # are looked up as written: that costs less than `int`, and those that the parser has
            # not checked yet are not there.
            size = len(payload)
            if sizes.get(digits) != size or op != b"MSG":
                break
            # A bare line feed ends a line, too; an empty field means two blanks in a row.
            if 10 in line or (tabs and 9 in line) or not subject or not sid:
                break
            msg: Msg = new(Msg)
            msg.raw_subject = subject
            msg.sid = sid
            msg.raw_reply = reply
            msg.data = payload
            msg.raw_headers = b""
            msg.responder = responder
            msg.sub = msg.decoded = None
            append(msg)
            taken += size
        done += len(events)
        left = len(lines) - 2 * done
        if left > 1:  # a pair was not taken: a frame of another kind
            # Each frame taken was its line, its payload and two line ends.
            return pos + sum(map(len, lines[: 2 * done])) + 4 * done, taken
        # All pairs were taken. The next window begins with what the last one cut off: `rest`, and a
        # line in front of it that lacks its payload.
        end = pos + len(piece)
        pos = end - len(rest) - (len(lines[-1]) + 2 if left else 0)
        if not done or end == len(data):
            return pos, taken
        window = min(2 * window, _LARGEST_WINDOW)
