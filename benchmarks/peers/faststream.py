"""FastStream over NATS, its access log switched off (with it on, a message costs far more)."""

from __future__ import annotations

from importlib.metadata import version

from faststream.nats import NatsBroker

from benchmarks.adapter import Call, Seen
from benchmarks.models import ORDER, Order, Receipt, receipt_of


class Peer:
    version = version("faststream")

    async def connect(self, url: str) -> None:
        self.broker = NatsBroker(url, logger=None)
        await self.broker.connect()

    async def close(self) -> None:
        await self.broker.stop()

    async def serve_typed(self, subject: str) -> None:
        @self.broker.subscriber(subject)
        async def order(order: Order) -> Receipt:
            return receipt_of(order)

        await self.broker.start()

    async def subscribe_typed(self, subject: str, seen: Seen) -> None:
        @self.broker.subscriber(subject, "bench.take")
        async def take(order: Order) -> None:
            seen(b"")

        await self.broker.start()

    def typed(self, subject: str) -> Call:
        async def call() -> Receipt:
            msg = await self.broker.request(ORDER, subject, timeout=60.0)
            return Receipt.model_validate(await msg.decode())

        return call
