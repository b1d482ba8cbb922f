"""Workers when their server or their consumer goes: survived or told, and nothing lost."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

import natsrpc
from natsrpc import Delivery, Event, Retry, Service
from natsrpc.errors import ConsumerDeletedError, NatsTimeoutError
from natsrpc.jetstream import ConsumerConfig, JetStream, StreamConfig
from natsrpc.testing import Cluster, NatsServer
from tests.core.harness import eventually

from .desk import Desk, Job

QUICKLY: dict[str, Any] = {
    "reconnect_wait": 0.02,
    "reconnect_jitter": 0.0,
    "max_reconnect_attempts": -1,
}
JOBS = Event("jobs", Job)


@pytest.mark.parametrize("batch", [None, 4])
async def test_a_consumer_that_is_deleted_is_told_and_taken_up_again_when_it_is_back(
    desk: Desk, caplog: pytest.LogCaptureFixture, batch: int | None
) -> None:
    service = desk.service()
    options: dict[str, Any] = {"batch_wait": 0.05} if batch else {}

    async def one(job: Job) -> None:
        desk.done.append(job.number)

    async def several(jobs: list[Job]) -> None:
        desk.done.extend(job.number for job in jobs)

    worker_of: Any = service.worker
    decorate = worker_of(
        desk.event, stream=desk.stream.name, durable="billing", batch=batch, **options
    )
    decorate(several if batch else one)
    async with desk.serving(service) as server:
        (worker,) = server.services[0].workers
        await desk.put(1)
        await eventually(lambda: desk.done == [1])
        await desk.settled()
        await desk.stream.delete_consumer("billing")
        await eventually(lambda: "gets no messages of consumer 'billing'" in caplog.text)
        assert worker.answers.last_error.startswith(ConsumerDeletedError.__name__)
        await desk.put(2)
        again = ConsumerConfig(durable_name="billing", deliver_policy="last", ack_policy="explicit")
        await desk.stream.create_consumer(again)
        await eventually(lambda: desk.done == [1, 2], 20.0)
        await eventually(lambda: "messages of consumer 'billing' of stream" in caplog.text)
        await desk.settled()


@pytest.mark.parametrize("way", ["killed", "stopped"])
async def test_a_server_that_comes_back_finds_its_workers(
    fresh_jetstream: NatsServer, way: str
) -> None:
    """Jobs that run over it are done once: their acks go to the new one."""
    server, go_on, done = fresh_jetstream, asyncio.Event(), Counter[int]()
    service = Service("billing", version="1.0.0")

    @service.worker(JOBS, stream="S", durable="billing", max_concurrency=8, ack_wait=5.0)
    async def charge(job: Job, delivery: Delivery) -> None:
        await go_on.wait()
        done[job.number] += 1

    async with (
        natsrpc.connect(server.url, **QUICKLY) as client,
        natsrpc.connect(server.url, **QUICKLY) as publisher,
    ):
        js = JetStream(publisher.connection)
        stream = await js.create_stream(StreamConfig(name="S", subjects=["jobs"]))
        async with client.serve(service) as serving:
            for number in range(40):
                await js.publish("jobs", b'{"number": %d}' % number)
            await eventually(lambda: serving.inflight == 8)
            if way == "killed":
                server.kill()
            else:
                server.signal(15)
                await eventually(lambda: not server.is_running)
                server.kill()
            await eventually(lambda: not client.connection.is_connected)
            await asyncio.to_thread(server.start)
            go_on.set()
            await eventually(lambda: len(done) == 40, 20.0)

            async def settled() -> bool:
                info = await (await stream.consumer("billing")).info()
                return not info.num_pending and not info.num_ack_pending

            await eventually(settled, 20.0)
    assert set(done.values()) == {1}


async def test_a_leader_that_moves_is_followed(jetstream_cluster: Cluster) -> None:
    cluster, done = jetstream_cluster, Counter[int]()
    service = Service("billing", version="1.0.0")

    @service.worker(JOBS, stream="S", durable="billing", max_concurrency=4)
    async def charge(job: Job) -> None:
        done[job.number] += 1

    async with natsrpc.connect(cluster.urls, **QUICKLY) as client:
        js = JetStream(client.connection)
        config = StreamConfig(name="S", subjects=["jobs"], num_replicas=3)
        stream = await js.create_stream(config)

        async def step_down() -> bool:
            try:
                api = "$JS.API.CONSUMER.LEADER.STEPDOWN.S.billing"
                answer = await client.connection.request(api, b"", timeout=1.0)
            except NatsTimeoutError:  # it has no leader yet
                return False
            return b"error" not in answer.data

        async with client.serve(service):
            for number in range(60):
                if number % 20 == 10:
                    await eventually(step_down, 20.0)
                await js.publish("jobs", b'{"number": %d}' % number, timeout=20.0)
            await eventually(lambda: len(done) == 60, 30.0)
        assert (await stream.info()).state.messages == 60
    assert set(done.values()) == {1}


@pytest.mark.alone
async def test_a_worker_that_is_killed_leaves_its_messages_to_others(
    desk: Desk,
) -> None:
    """As a process that is killed: its socket closes, and nothing is said."""
    service = desk.service()
    attempts = Counter[int]()

    @service.worker(desk.event, stream=desk.stream.name, durable="billing", ack_wait=0.5)
    async def charge(job: Job, delivery: Delivery) -> None:
        attempts[delivery.attempt] += 1
        if delivery.attempt == 1:
            await asyncio.Event().wait()

    await desk.put(1, 2, 3)
    async with natsrpc.connect(desk.client.connection.connected_url or "") as client:
        await client.serve(service)
        await eventually(lambda: attempts[1] == 3)
        await client.connection.close()
    async with desk.serving(service):
        began = time.monotonic()
        await desk.settled()
    assert time.monotonic() - began < 2.0
    assert attempts == {1: 3, 2: 3}


STRICT = """
authorization { users [
  { user: all, password: p }
  { user: some, password: p, permissions: { publish: { deny: "$JS.API.CONSUMER.MSG.NEXT.>" } } }
] }
"""


@pytest.fixture
def strict_jetstream() -> Iterator[NatsServer]:
    """A server that does not let `some` pull."""
    with NatsServer(STRICT, jetstream=True) as server:
        yield server


@pytest.mark.live
async def test_who_may_not_pull_is_told(
    strict_jetstream: NatsServer, caplog: pytest.LogCaptureFixture
) -> None:
    server, users = strict_jetstream, iter(["some"])
    service, done = Service("billing", version="1.0.0"), list[int]()

    @service.worker(JOBS, stream="S", durable="billing", retry=Retry(attempts=None))
    async def charge(job: Job) -> None:
        done.append(job.number)

    async with (
        natsrpc.connect(server.url, user="all", password="p") as owner,
        natsrpc.connect(
            server.url, user_info=lambda: (next(users, "all"), "p"), **QUICKLY
        ) as client,
    ):
        js = JetStream(owner.connection)
        await js.create_stream(StreamConfig(name="S", subjects=["jobs"]))
        async with client.serve(service):
            await eventually(lambda: "gets no messages of consumer 'billing'" in caplog.text)
            await js.publish("jobs", b'{"number": 1}')
            await client.connection.force_reconnect()
            await eventually(lambda: done == [1], 10.0)
