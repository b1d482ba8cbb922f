"""A link without a network, for channels: what is sent is kept, what arrives is handed in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from natsrpc.core import ConnectionEvent, Link, Msg
from natsrpc.errors import ConnectionClosedError, MaxPayloadError, RpcError
from natsrpc.rpc.headers.frame import read_frame
from natsrpc.rpc.streams import Channel, Conversations, Writer
from tests.rpc.scripted import message

PEER = b"_INBOX.peer.-0000001"


class ScriptedRequests:
    """Tokens that count up, and the sinks of streams."""

    def __init__(self) -> None:
        self.streams: dict[bytes, Callable[[Msg], None]] = {}
        self.stray: Callable[[Msg], None] | None = None
        self.on_refused: list[Callable[[Exception], object]] = []
        self._count = 0

    def new_token(self) -> bytes:
        self._count += 1
        return b"-%07d" % self._count

    def reply_subject(self, token: bytes) -> bytes:
        return b"_INBOX.scripted." + token


class ScriptedLink:
    """As much of a link as channels use; it is its own way out."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.requests = ScriptedRequests()
        self.sent: list[Msg] = []
        self.congested = False
        self.is_closed = False
        self.is_connected = True
        self.max_payload = 1024
        self.waits = self.flushes = 0
        self._listeners: list[Callable[[ConnectionEvent], object]] = []

    @property
    def outbound(self) -> ScriptedLink:
        return self

    def add_listener(self, listener: Callable[[ConnectionEvent], object]) -> None:
        self._listeners.append(listener)

    def tell(self, event: ConnectionEvent) -> None:
        for listener in self._listeners:
            listener(event)

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


class Side:
    """A channel on such a link, and what it told its owner."""

    def __init__(
        self, peer: bytes = PEER, credit: tuple[int, int] = (2, 1 << 20), **options: Any
    ) -> None:
        self.link = ScriptedLink()
        self.all = Conversations(cast(Link, cast(Any, self.link)))
        self.all.account.allow(1 << 20)
        self.stops = 0
        self.why: RpcError | None = None
        self.channel = Channel(
            self.all, peer, on_stop=self._stopped, writer=Writer(*credit), **options
        )

    def _stopped(self, error: RpcError) -> None:
        self.stops += 1
        self.why = error

    def receive(self, headers: bytes = b"", data: bytes = b"", reply: bytes = b"") -> None:
        (sink,) = self.link.requests.streams.values()
        sink(message(self.channel.address, data, reply, headers))

    def tick(self, times: int = 1) -> None:
        for _ in range(times):
            self.channel.tick()

    async def read(self) -> list[Any]:
        return [item async for item in self.channel.items(int)]

    def frames(self) -> list[tuple[str, tuple[int, ...]] | None]:
        """The frames sent so far, which are then forgotten here."""
        found = [read_frame(msg.headers) for msg in self.link.sent]
        self.link.sent.clear()
        return found
