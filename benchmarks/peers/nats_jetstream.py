"""nats-jetstream on nats-core, the future successor of the official client. It has neither a
pipelined publish nor key-value and object stores."""

from __future__ import annotations

from importlib.metadata import version

from nats import jetstream
from nats.client import connect

from benchmarks.models import CONSUMER, STREAM, SUBJECT


class Peer:
    version = version("nats-jetstream")

    async def connect(self, url: str) -> None:
        self.nc = await connect(url)
        self.js = jetstream.new(self.nc)

    async def close(self) -> None:
        await self.nc.close()

    async def publish_acked(self, count: int, data: bytes) -> None:
        for _ in range(count):
            await self.js.publish(SUBJECT, data)

    async def fetch_acked(self, count: int, data: bytes) -> None:
        consumer = await self.js.get_consumer(STREAM, CONSUMER)
        while count:
            batch = await consumer.fetch(max_messages=min(100, count), max_wait=5.0)
            async for msg in batch:
                await msg.ack()
                count -= 1
        await self.nc.flush()

    async def consume_acked(self, count: int, data: bytes) -> None:
        consumer = await self.js.get_consumer(STREAM, CONSUMER)
        messages = await consumer.messages(max_messages=500)
        async for msg in messages:
            await msg.ack()
            count -= 1
            if not count:
                break
        await messages.stop()
        await self.nc.flush()
