"""A connection without a network: what is sent is kept, what arrives is handed in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from natsrpc.core import Connection, Headers, Msg
from natsrpc.errors import ConnectionClosedError, MaxPayloadError


class ScriptedMux:
    """Tokens that count up, and the sinks of streams."""

    def __init__(self) -> None:
        self.streams: dict[bytes, Callable[[Msg], None]] = {}
        self.stray: Callable[[Msg], None] | None = None
        self.on_refused: list[Callable[[Exception], object]] = []
        self._count = 0

    def new_token(self) -> bytes:
        self._count += 1
        return b"%08d" % self._count

    def reply_subject(self, token: bytes) -> bytes:
        return b"_INBOX.scripted." + token


class ScriptedConnection:
    """As much of a connection as endpoints and channels use."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.requests = ScriptedMux()
        self.sent: list[Msg] = []
        self.congested = False
        self.is_closed = False
        self.max_payload = 1024
        self.waits = 0
        self.flushes = 0

    @property
    def link(self) -> ScriptedConnection:
        """What is built on is scripted here, too."""
        return self

    @property
    def outbound(self) -> ScriptedConnection:
        return self

    def add_listener(self, listener: Callable[..., object]) -> None:
        """Nothing happens to this connection."""

    @property
    def read_at(self) -> float:
        return self.loop.time()

    def send(self, subject: bytes, data: bytes, reply: bytes = b"", headers: bytes = b"") -> None:
        if self.is_closed:
            raise ConnectionClosedError
        if len(data) + len(headers) > self.max_payload:
            raise MaxPayloadError(len(data) + len(headers), self.max_payload)
        self.sent.append(message(subject, data, reply, headers))

    async def flush(self) -> None:
        self.flushes += 1

    async def writable(self) -> None:
        self.waits += 1
        self.congested = False

    @property
    def codes(self) -> list[str]:
        """The codes of the error replies sent, "" for what was none."""
        return [msg.headers.get("Nats-Service-Error-Code", "") or "" for msg in self.sent]


def message(
    subject: bytes = b"x", data: bytes = b"", reply: bytes = b"reply", headers: bytes = b""
) -> Msg:
    """A message as the parser makes it."""
    msg = Msg("x", data)
    msg.raw_subject = subject
    msg.raw_reply = reply
    msg.raw_headers = headers
    return msg


def as_connection(scripted: ScriptedConnection) -> Connection:
    """For signatures that want the real one."""
    return cast(Connection, cast(Any, scripted))


def block(**headers: str) -> bytes:
    """A header block; `_` in names stands for `-`."""
    return Headers({name.replace("_", "-"): value for name, value in headers.items()}).encode()
