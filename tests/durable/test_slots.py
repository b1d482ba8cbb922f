"""How many messages a worker has, who shares them, and where they are when it stops."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter

import pytest

import natsrpc
from natsrpc import Delivery, Service
from natsrpc.testing import NatsServer
from tests.core.harness import eventually

from .desk import Desk, Job


async def test_what_there_is_no_slot_for_stays_at_the_server(desk: Desk) -> None:
    """However many wait, no more than `max_concurrency` are delivered and unacked."""
    service, running, most = desk.service(), 0, 0

    @service.worker(desk.event, stream=desk.stream.name, durable="billing", max_concurrency=4)
    async def charge(job: Job) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.002)  # why: jobs last a while, and end one by one
        running -= 1
        desk.done.append(job.number)

    await desk.put(*range(200))
    unacked = []
    async with desk.serving(service):
        while len(desk.done) < 200:
            unacked.append((await desk.info()).num_ack_pending)
        await desk.settled()
    assert most == 4
    assert max(unacked) <= 4
    assert sorted(desk.done) == list(range(200))


async def test_plain_functions_are_no_more_at_once_than_there_are_threads(desk: Desk) -> None:
    service, release = desk.service(), threading.Event()

    @service.worker(desk.event, stream=desk.stream.name, durable="billing", max_concurrency=100)
    def charge(job: Job) -> None:
        assert release.wait(30)

    await desk.put(*range(40))
    async with desk.serving(service):

        async def pending() -> bool:
            return (await desk.info()).num_ack_pending == 32

        await eventually(pending)
        assert (await desk.info()).num_pending == 8
        release.set()
        await desk.settled()


async def test_two_workers_share_by_their_speed(desk: Desk) -> None:
    """Nothing is laid in: who is free asks."""
    counts: Counter[str] = Counter()

    def service(name: str, seconds: float) -> Service:
        made = desk.service()

        @made.worker(desk.event, stream=desk.stream.name, durable="billing", max_concurrency=2)
        async def charge(job: Job) -> None:
            await asyncio.sleep(seconds)  # why: how fast this worker is
            counts[name] += 1

        return made

    async with desk.serving(service("slow", 0.05)), desk.serving(service("quick", 0.01)):
        await desk.put(*range(150))
        await desk.settled()
    assert sum(counts.values()) == 150
    assert 3 <= counts["quick"] / counts["slow"] <= 7


@pytest.mark.alone
async def test_a_drain_ends_with_the_longest_job_and_gives_the_rest_to_others(desk: Desk) -> None:
    first, second = desk.service(), desk.service()
    release, others = asyncio.Event(), []

    @first.worker(desk.event, stream=desk.stream.name, durable="billing", max_concurrency=4)
    async def charge(job: Job, delivery: Delivery) -> None:
        desk.done.append(job.number)
        await release.wait()

    @second.worker(desk.event, stream=desk.stream.name, durable="billing", max_concurrency=64)
    async def charge_elsewhere(job: Job) -> None:
        others.append(job.number)

    await desk.put(*range(100))
    async with desk.serving(first) as server:
        await eventually(lambda: len(desk.done) == 4)
        draining = asyncio.create_task(server.drain(10.0))
        async with desk.serving(second):
            began = time.monotonic()
            await eventually(lambda: len(others) == 96)
            assert time.monotonic() - began < 1.0
            assert not draining.done()
            release.set()
            await draining
            await desk.settled()
    assert sorted(desk.done + others) == list(range(100))
    assert (await desk.info()).num_redelivered == 0


@pytest.mark.alone
async def test_what_comes_while_a_worker_stops_is_given_back_at_once(desk: Desk) -> None:
    """Messages on their way to it, and none of its slots, are with another within a second."""
    handled: Counter[int] = Counter()

    def service() -> Service:
        made = desk.service()

        @made.worker(desk.event, stream=desk.stream.name, durable="billing", max_concurrency=64)
        async def charge(job: Job) -> None:
            handled[job.number] += 1

        return made

    numbers = iter(range(100_000))

    async def publish() -> None:
        while True:
            number = next(numbers)
            await desk.js.publish(f"{desk.name}.eu.jobs", b'{"number": %d}' % number)

    publishing = asyncio.create_task(publish())
    for _ in range(8):  # each is stopped amid its work
        async with desk.serving(service()):
            seen = len(handled)
            await eventually(lambda seen=seen: len(handled) > seen + 20)  # type: ignore[misc]
    publishing.cancel()
    await asyncio.wait([publishing])
    async with desk.serving(service()):
        began = time.monotonic()
        await desk.settled()
        assert time.monotonic() - began < 2.0
    stored = (await desk.stream.info()).state.messages
    assert len(handled) == stored
    assert set(handled.values()) == {1}


async def test_what_is_cut_off_is_given_back(desk: Desk) -> None:
    service, others = desk.service(), desk.service()

    @service.worker(desk.event, stream=desk.stream.name, durable="billing")
    async def charge(job: Job, delivery: Delivery) -> None:
        desk.done.append(delivery.attempt)
        await asyncio.Event().wait()

    @others.worker(desk.event, stream=desk.stream.name, durable="billing")
    async def charge_elsewhere(job: Job, delivery: Delivery) -> None:
        desk.done.append(delivery.attempt)

    await desk.put(1)
    async with desk.serving(service) as server:
        await eventually(lambda: desk.done)
        (worker,) = server.services[0].workers
        await server.drain(0.1)
        assert worker.inflight == 0
        assert worker.answers.figures()["given_back"] == 1
    async with desk.serving(others):
        await desk.settled(timeout=2.0)
    assert desk.done == [1, 2]


async def test_a_plain_function_that_outlasts_the_drain_keeps_its_message(desk: Desk) -> None:
    """A thread cannot be stopped: while it runs, nobody else is given its message."""
    service, release = desk.service(), threading.Event()

    @service.worker(desk.event, stream=desk.stream.name, durable="billing", ack_wait=0.4)
    def charge(job: Job, delivery: Delivery) -> None:
        desk.done.append(delivery.attempt)
        assert release.wait(30)

    await desk.put(1)
    async with desk.serving(service) as server:
        await eventually(lambda: desk.done)
        (worker,) = server.services[0].workers
        await server.drain(0.1)
        assert worker.inflight == 1
        assert (await desk.info()).num_ack_pending == 1
        release.set()
        await eventually(lambda: not worker.inflight)
    assert desk.done == [1]


async def test_a_connection_that_drains_ends_its_workers(
    desk: Desk, jetstream_server: NatsServer
) -> None:
    service = desk.service()

    @service.worker(desk.event, stream=desk.stream.name, durable="billing")
    async def charge(job: Job) -> None:
        await asyncio.sleep(0.05)  # why: it runs while the connection drains
        desk.done.append(job.number)

    client = await natsrpc.connect(jetstream_server.url)
    server = await client.serve(service)
    await desk.put(1)
    await eventually(lambda: server.inflight)
    await client.drain()
    await desk.settled()
    assert desk.done == [1]
