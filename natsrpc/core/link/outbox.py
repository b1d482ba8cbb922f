"""The reconnect buffer: messages published while there is no session, kept up to a limit and
replayed in order to the next one."""

from __future__ import annotations

from natsrpc.errors import (
    HeadersNotSupportedError,
    MaxPayloadError,
    NatsError,
    ReconnectBufferExceededError,
)

from ..wire import ServerInfo


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

    def carry(self, frames: list[bytes]) -> None:
        """Put frames that an earlier session never handed over in front, whatever the limit."""
        self._frames[:0] = frames
        self.size += sum(len(frame) for frame in frames)

    def take(self) -> list[bytes]:
        """All frames, in order, which are then forgotten here."""
        frames, self._frames, self.size = self._frames, [], 0
        return frames


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
