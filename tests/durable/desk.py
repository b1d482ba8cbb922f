"""What tests of workers share: a stream with jobs and dead letters of a test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

import natsrpc
from natsrpc import Client, Event, Service
from natsrpc.jetstream import ConsumerInfo, JetStream, StoredMsg, Stream
from tests.core.harness import eventually

QUICK = natsrpc.Retry(attempts=3, wait=0.02, max_wait=0.1, jitter=0.0)


class Job(BaseModel):
    number: int


@dataclass
class Desk:
    """A stream of jobs, on `<name>.<region>.jobs`, and of dead letters, on `<name>.dead`."""

    client: Client
    stream: Stream
    done: list[Any] = field(default_factory=list)

    @property
    def js(self) -> JetStream:
        return JetStream(self.client.connection)

    @property
    def name(self) -> str:
        return self.stream.name.lower()

    @property
    def event(self) -> Event[Job]:
        return Event(f"{self.name}.{{region}}.jobs", Job)

    @property
    def dead(self) -> str:
        return f"{self.name}.dead"

    def service(self, name: str = "billing", **options: Any) -> Service:
        return Service(name, version="1.0.0", **options)

    async def put(self, *numbers: int, region: str = "eu", **headers: str) -> None:
        """Store jobs."""
        for number in numbers:
            await self.js.publish(
                f"{self.name}.{region}.jobs",
                Job(number=number).model_dump_json().encode(),
                headers={"Content-Type": "application/json", **headers},
            )

    async def put_raw(self, data: bytes, **headers: str) -> None:
        await self.js.publish(f"{self.name}.eu.jobs", data, headers=headers)

    @asynccontextmanager
    async def serving(self, *services: Service) -> AsyncIterator[natsrpc.Server]:
        """Serve on a connection of its own, as another process does."""
        async with (
            natsrpc.connect(self.client.connection.connected_url or "") as worker,
            worker.serve(*services) as server,
        ):
            yield server

    async def info(self, durable: str = "billing") -> ConsumerInfo:
        """What the server tells of a consumer."""
        return await (await self.stream.consumer(durable)).info()

    async def settled(self, durable: str = "billing", timeout: float = 10.0) -> None:
        """Wait until each message was given to the consumer, and is acked or terminated."""

        async def is_settled() -> bool:
            info = await self.info(durable)
            return not info.num_pending and not info.num_ack_pending

        await eventually(is_settled, timeout, what="all messages are settled")

    async def letters(self) -> list[StoredMsg]:
        """The dead letters."""
        info = await self.stream.info(subjects_filter=self.dead)
        found: list[StoredMsg] = []
        seq = 1
        for _ in range(sum(info.state.subjects.values())):
            found.append(await self.stream.get_msg(seq, self.dead))
            seq = found[-1].seq + 1
        return found
