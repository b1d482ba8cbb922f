"""The reconnect buffer: messages published while there is no session, kept up to a limit and
replayed in order to the next one. A request that nobody waits for any more is not replayed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from natsrpc.errors import (
    HeadersNotSupportedError,
    MaxPayloadError,
    NatsError,
    ReconnectBufferExceededError,
)

from ..wire import ServerInfo, frames

Revise: TypeAlias = "Callable[[bytes, bytes], bytes | None]"
"""Gives the header block that a request has now, from its reply subject and the block that it had;
None if nobody waits for its reply any more."""


class Outbox:
    """The frames of the reconnect buffer.

    A frame is refused when the buffer is *already* at its limit, so one may overshoot it; a
    negative limit refuses all. Ref: nats.go `ReconnectBufSize`.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._frames: list[bytes] = []
        self.size: int = 0

    def put(self, frame: bytes) -> None:
        """Keep a frame.

        Raises:
            ReconnectBufferExceededError: there is no room, or buffering is switched off.
        """
        if self.size >= self._limit or self._limit < 0:
            reason = "is full" if self._limit >= 0 else "is switched off"
            raise ReconnectBufferExceededError(
                f"not connected, and the reconnect buffer {reason} "
                f"({self.size} of {max(self._limit, 0)} bytes used): nothing was sent"
            )
        self.size += len(frame)
        self._frames.append(frame)

    def purge(self, revise: Revise) -> None:
        """Forget the requests that nobody waits for any more."""
        kept = [frame for frame in self._frames if revised(frame, revise) is not None]
        self.size -= sum(map(len, self._frames)) - sum(map(len, kept))
        self._frames = kept

    @property
    def is_full(self) -> bool:
        """Whether the next frame is refused."""
        return self.size >= self._limit

    def carry(self, frames: list[bytes]) -> None:
        """Put frames that an earlier session never handed over in front, whatever the limit."""
        self._frames[:0] = frames
        self.size += sum(len(frame) for frame in frames)

    def take(self) -> list[bytes]:
        """All frames, in order, which are then forgotten here."""
        frames, self._frames, self.size = self._frames, [], 0
        return frames

    def abandon(self, is_told: Callable[[bytes], bool]) -> tuple[int, int]:
        """Forget all frames at the end of the connection: how many are lost, and their bytes. Those
        are not counted whose reply subject tells that their sender hears of it."""
        lost = [len(frame) for frame in self.take() if not is_told(reply_of(frame))]
        return len(lost), sum(lost)


def reply_of(frame: bytes) -> bytes:
    """The reply subject of a message; empty if it has none."""
    fields = frame.partition(b"\r\n")[0].split(b" ")
    return fields[2] if len(fields) == (5 if fields[0] == b"HPUB" else 4) else b""


def revised(frame: bytes, revise: Revise) -> bytes | None:
    """A buffered message as it is to be sent now; None if nobody waits for its reply."""
    line, _, rest = frame.partition(b"\r\n")
    fields = line.split(b" ")
    has_headers = fields[0] == b"HPUB"
    if len(fields) < (5 if has_headers else 4):  # it asks for no reply
        return frame
    subject, reply = fields[1], fields[2]
    size = int(fields[3]) if has_headers else 0
    before = rest[:size]
    now = revise(reply, before)
    if now is None or now == before:
        return None if now is None else frame
    return frames.hpub(subject, now, rest[size:-2], reply)


def refusal(frame: bytes, info: ServerInfo) -> NatsError | None:
    """Why a server would refuse a buffered message; None if it takes it.

    Sent all the same, the message would end the session, and be replayed to the next one, and end
    that.
    """
    if frame.startswith(b"HPUB") and not info.headers:
        return HeadersNotSupportedError("the server does not support headers: message dropped")
    size = int(frame[: frame.index(b"\r\n")].rsplit(b" ", 1)[1])
    if info.max_payload and size > info.max_payload:
        return MaxPayloadError(size, info.max_payload)
    return None
