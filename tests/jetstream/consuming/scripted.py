"""A consumer played by the test: it sees each pull, and answers it as it likes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from natsrpc.core import Connection, Msg
from natsrpc.jetstream import Consumer, JetStream


class ScriptedConsumer:
    """The API of one stream `S` with one consumer `C`, under a prefix of its own."""

    def __init__(self, nc: Connection, prefix: str) -> None:
        self.nc = nc
        self.prefix = prefix
        self.pulls: list[dict[str, Any]] = []
        self.inboxes: list[str] = []
        self.info: dict[str, Any] = {"name": "C", "config": {"ack_policy": "explicit"}}
        self.asked_info = 0
        self._seq = 0
        self.pulled: Callable[[int], object] = lambda index: None
        """What is done at each pull: nothing, unless a test replaces it."""

    async def open(self) -> ScriptedConsumer:
        await self.nc.subscribe(f"{self.prefix}.CONSUMER.MSG.NEXT.S.C", cb=self._take)
        await self.nc.subscribe(f"{self.prefix}.CONSUMER.INFO.S.C", cb=self._tell)
        await self.nc.subscribe(f"{self.prefix}.STREAM.INFO.S", cb=self._tell_stream)
        await self.nc.flush()
        return self

    def _take(self, msg: Msg) -> None:
        self.pulls.append(json.loads(msg.data))
        self.inboxes.append(msg.reply)
        self.pulled(len(self.pulls) - 1)

    async def _tell(self, msg: Msg) -> None:
        self.asked_info += 1
        await msg.respond(json.dumps(self.info).encode())

    async def _tell_stream(self, msg: Msg) -> None:
        await msg.respond(b'{"config": {"name": "S"}}')

    def status(self, text: str, *, pull: int = -1, headers: str = "") -> None:
        """Answer a pull with a status, such as "404 No Messages"."""
        block = f"NATS/1.0 {text}\r\n{headers}\r\n".encode()
        self.nc.link.send(self.inboxes[pull].encode(), b"", b"", block)

    def send(
        self, count: int = 1, *, pull: int = -1, block: bytes = b"", data: bytes = b""
    ) -> None:
        """Answer a pull with messages, numbered from 1 on."""
        for _ in range(count):
            self._seq += 1
            reply = b"$JS.ACK.S.C.1.%d.%d.1700000000000000000.0" % (self._seq, self._seq)
            self.nc.link.send(self.inboxes[pull].encode(), data or b"%d" % self._seq, reply, block)

    async def consumer(self, nc: Connection, **options: Any) -> Consumer:
        """The consumer, as seen through another connection."""
        stream = await JetStream(nc, api_prefix=self.prefix, **options).stream("S")
        return await stream.consumer("C")
