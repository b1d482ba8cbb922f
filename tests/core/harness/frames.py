"""Client frames, read the way a strict server reads them; independent of natsrpc's own parser."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

_ARGUMENTS = {
    b"CONNECT": (1, 1),
    b"PUB": (2, 3),
    b"HPUB": (3, 4),
    b"SUB": (2, 3),
    b"UNSUB": (1, 2),
    b"PING": (0, 0),
    b"PONG": (0, 0),
}


class MalformedFrameError(AssertionError):
    """The client wrote bytes that a nats-server would refuse."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One client frame: its operation, its arguments (counts included), its bytes."""

    op: bytes
    args: tuple[bytes, ...] = ()
    payload: bytes = b""
    headers: bytes = b""
    raw: bytes = b""

    @property
    def subject(self) -> bytes:
        return self.args[0]

    @property
    def reply(self) -> bytes:
        """The reply subject of a PUB or HPUB, b"" if it has none."""
        counts = {b"PUB": 1, b"HPUB": 2}[self.op]
        return self.args[1] if len(self.args) == counts + 2 else b""

    @property
    def sid(self) -> bytes:
        """The subscription id of a SUB or UNSUB."""
        return self.args[-1] if self.op == b"SUB" else self.args[0]

    @property
    def options(self) -> dict[str, Any]:
        """The JSON of a CONNECT."""
        loaded = json.loads(self.args[0])
        assert isinstance(loaded, dict)
        return loaded


class FrameReader:
    """Cuts a byte stream into frames, whatever its chunks."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        self._rest += data
        frames = []
        while (frame := self._next()) is not None:
            frames.append(frame)
            del self._rest[: len(frame.raw)]
        return frames

    def _next(self) -> Frame | None:
        end = self._rest.find(b"\r\n")
        if end < 0:
            return None
        line = bytes(self._rest[:end])
        op, _, tail = line.partition(b" ")
        if op not in _ARGUMENTS:
            raise MalformedFrameError(f"unknown operation in {line!r}")
        args = (tail,) if op == b"CONNECT" else tuple(tail.split())
        least, most = _ARGUMENTS[op]
        if not least <= len(args) <= most:
            raise MalformedFrameError(f"wrong arguments in {line!r}")
        if op not in (b"PUB", b"HPUB"):
            return Frame(op, args, raw=bytes(self._rest[: end + 2]))
        return self._with_payload(op, args, end + 2)

    def _with_payload(self, op: bytes, args: tuple[bytes, ...], start: int) -> Frame | None:
        counts = args[-2:] if op == b"HPUB" else args[-1:]
        if not all(count.isdigit() for count in counts):
            raise MalformedFrameError(f"count without digits in {args!r}")
        header_size = int(counts[0]) if op == b"HPUB" else 0
        total = int(counts[-1])
        if header_size > total:
            raise MalformedFrameError(f"header longer than the message in {args!r}")
        stop = start + total
        if len(self._rest) < stop + 2:
            return None
        if self._rest[stop : stop + 2] != b"\r\n":
            raise MalformedFrameError(f"payload of {args!r} does not end with CR LF")
        block = bytes(self._rest[start : start + header_size])
        if op == b"HPUB" and not (block.startswith(b"NATS/1.0") and block.endswith(b"\r\n\r\n")):
            raise MalformedFrameError(f"bad header block {block!r}")
        payload = bytes(self._rest[start + header_size : stop])
        return Frame(op, args, payload, block, bytes(self._rest[: stop + 2]))


def parse_frames(data: bytes) -> list[Frame]:
    """All whole frames of `data`; what is left unfinished at its end is not reported."""
    return FrameReader().feed(data)
