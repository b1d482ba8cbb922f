"""The parser's shortcut for runs of small messages without headers: the load of a busy connection.

One `bytes.split` at the line ends does for many frames what a loop in Python does for each.
Measured against taking them one by one: 0.66 us instead of 0.84 a message (CPython 3.11), 0.79
instead of 0.94 (3.13). The same was tried for messages with headers, split at the header block of
the first: it gained nothing.

The rule kept here: nothing about the protocol is decided. Only frames that are whole and exactly as
nats-server writes them are taken. The run ends at the first other one, and `Parser.feed`, which
knows the whole grammar, takes that.

A payload may hold line ends, and then the split is in vain. So the first window is small, and each
one after a window that was used up is twice as large.
"""

from __future__ import annotations

from collections.abc import Mapping

from .messages import Event, Msg, Responder

_FIRST_WINDOW = 4096
_LARGEST_WINDOW = 65_536

SMALLEST = 1024
"""Bytes of a chunk below which a run costs more than it gains."""


def take_run(
    data: bytes, sizes: Mapping[bytes, int], responder: Responder | None, events: list[Event]
) -> tuple[int, int]:
    """Take the run of `MSG` frames that a chunk begins with. `Parser.feed` calls it.

    Split at every line end, such frames are pairs of control line and payload.

    Args:
        data: the chunk.
        sizes: the sizes met so far: the digits as written, and the number.
        responder: put on every message.
        events: the messages are appended here.

    Returns:
        The position of the first frame that was not taken, and the bytes of the payloads that were.
    """
    # One that is alone in the first window is taken as quickly by the parser's loop.
    if not data.startswith(b"MSG ") or data.find(b"\r\nMSG ", 4, _FIRST_WINDOW) < 0:
        return 0, 0
    # `object.__new__` and plain stores in place of a constructor, whose call costs more
    new, append = object.__new__, events.append
    pos, window, taken = 0, _FIRST_WINDOW, 0
    while True:
        piece = data[pos : pos + window]
        lines = piece.split(b"\r\n")
        rest = lines.pop()  # the last part has no line end behind it: it is not whole
        tabs = 9 in piece  # looked for once a window, not once a line; nats-server writes none
        done = -len(events)
        # The same iterator twice: each round of the loop takes two parts, a line and a payload.
        pairs = iter(lines)
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
            # The size as written must be the payload's: else the payload holds a line end. Digits
            # that are not in `sizes` were never read by the parser, which then does so.
            size = len(payload)
            if sizes.get(digits) != size or op != b"MSG":
                break
            # A bare LF ends a line for the parser, but did not split it here.
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
        done += len(events)  # frames taken in this window
        left = len(lines) - 2 * done
        if left > 1:  # a whole pair was not taken: a frame of another kind. Each part had a CRLF
            return pos + sum(map(len, lines[: 2 * done])) + 4 * done, taken
        # All whole pairs were taken. Go on at the pair that the window cuts: `rest` is its
        # beginning, or that of its payload, behind a control line that was split off.
        end = pos + len(piece)
        pos = end - len(rest) - (len(lines[-1]) + 2 if left else 0)
        if not done or end == len(data):
            return pos, taken
        window = min(2 * window, _LARGEST_WINDOW)
