"""Workers that take several messages at once."""

from __future__ import annotations

import asyncio
from itertools import chain

import pytest

from natsrpc import Context, Delivery, Reject, RetryLater, Service
from tests.core.harness import eventually

from .desk import QUICK, Desk, Job


async def test_a_batch_is_full_or_has_waited_long_enough(desk: Desk) -> None:
    service = desk.service()

    @service.worker(
        desk.event, stream=desk.stream.name, durable="billing", batch=10, batch_wait=0.2
    )
    async def charge(jobs: list[Job]) -> None:
        desk.done.append([each.number for each in jobs])

    await desk.put(*range(23))
    async with desk.serving(service):
        await desk.settled()
    assert desk.done == [list(range(10)), list(range(10, 20)), [20, 21, 22]]


async def test_one_message_is_a_batch_when_no_more_come(desk: Desk) -> None:
    service = desk.service()

    @service.worker(
        desk.event, stream=desk.stream.name, durable="billing", batch=10, batch_wait=0.05
    )
    async def charge(jobs: list[Job], context: Context, deliveries: list[Delivery]) -> None:
        assert context.delivery == deliveries
        desk.done.append(
            [
                (each.number, delivery.stream_seq)
                for each, delivery in zip(jobs, deliveries, strict=True)
            ]
        )

    async with desk.serving(service):
        for number in (1, 2):
            await desk.put(number)
            await eventually(lambda number=number: len(desk.done) == number)  # type: ignore[misc]
        await desk.settled()
    assert desk.done == [[(1, 1)], [(2, 2)]]


async def test_plain_functions_take_batches_too(desk: Desk) -> None:
    service = desk.service()

    @service.worker(
        desk.event, stream=desk.stream.name, durable="billing", batch=5, batch_wait=0.05
    )
    def charge(jobs: list[Job]) -> None:
        desk.done.append([each.number for each in jobs])

    await desk.put(1, 2)
    async with desk.serving(service):
        await desk.settled()
    assert desk.done == [[1, 2]]


def rejecting(desk: Desk, error: Exception) -> Service:
    service = desk.service()

    @service.worker(
        desk.event,
        stream=desk.stream.name,
        durable="billing",
        batch=4,
        batch_wait=0.05,
        retry=QUICK,
        dead_letter=desk.dead,
    )
    async def charge(jobs: list[Job], deliveries: list[Delivery]) -> None:
        desk.done.append([each.number for each in jobs])
        if deliveries[0].attempt == 1:
            raise error

    return service


async def test_a_batch_fails_as_one(desk: Desk) -> None:
    await desk.put(1, 2, 3)
    async with desk.serving(rejecting(desk, ValueError("no"))):
        await desk.settled()
    assert desk.done[0] == [1, 2, 3]
    assert sorted(chain(*desk.done[1:])) == [1, 2, 3]
    assert await desk.letters() == []


async def test_a_batch_is_rejected_or_asked_for_later_as_one(desk: Desk) -> None:
    await desk.put(1, 2)
    async with desk.serving(rejecting(desk, Reject("all of them"))):
        await desk.settled()
    assert desk.done == [[1, 2]]
    assert [each.headers["Natsrpc-Dead-Reason"] for each in await desk.letters()] == [
        "all of them"
    ] * 2
    await desk.put(3, 4)
    async with desk.serving(rejecting(desk, RetryLater(0.1))):
        await desk.settled()
    assert desk.done[1] == [3, 4]
    assert sorted(chain(*desk.done[2:])) == [3, 4]


@pytest.mark.parametrize("fails", [False, True])
async def test_what_becomes_of_each_may_be_said(desk: Desk, fails: bool) -> None:
    """It holds however the handler ends; the others share its end."""
    service = desk.service()

    @service.worker(
        desk.event,
        stream=desk.stream.name,
        durable="billing",
        batch=4,
        batch_wait=0.05,
        retry=QUICK,
        dead_letter=desk.dead,
    )
    async def charge(jobs: list[Job], deliveries: list[Delivery]) -> None:
        desk.done.append([each.number for each in jobs])
        for job, delivery in zip(jobs, deliveries, strict=True):
            if job.number == 1:
                delivery.done()
            elif job.number == 2:
                delivery.reject("no such customer")
            elif job.number == 3 and delivery.attempt == 1:
                delivery.retry(0.01)
        if fails and len(desk.done) == 1:
            raise ValueError("amid it")

    await desk.put(1, 2, 3, 4)
    async with desk.serving(service):
        await desk.settled()
    assert desk.done[0] == [1, 2, 3, 4]
    assert sorted(chain(*desk.done[1:])) == ([3, 4] if fails else [3])
    (letter,) = await desk.letters()
    assert (letter.data, letter.headers["Natsrpc-Dead-Reason"]) == (
        b'{"number":2}',
        "no such customer",
    )


async def test_what_cannot_be_read_is_no_part_of_its_batch(desk: Desk) -> None:
    service = desk.service()

    @service.worker(
        desk.event,
        stream=desk.stream.name,
        durable="billing",
        batch=9,
        batch_wait=0.05,
        dead_letter=desk.dead,
    )
    async def charge(jobs: list[Job], deliveries: list[Delivery]) -> None:
        seqs = [each.stream_seq for each in deliveries]
        desk.done.append(([each.number for each in jobs], seqs))

    await desk.put(1)
    await desk.put_raw(b"nonsense")
    await desk.put(3)
    async with desk.serving(service):
        await desk.settled()
        assert desk.done == [([1, 3], [1, 3])]
        await desk.put_raw(b"nonsense")  # a batch of nothing else is no batch
        await desk.settled()
    assert len(desk.done) == 1
    assert [each.data for each in await desk.letters()] == [b"nonsense", b"nonsense"]


async def test_no_more_batches_are_gathered_than_can_run(desk: Desk) -> None:
    service, go_on = desk.service(), asyncio.Event()

    @service.worker(
        desk.event,
        stream=desk.stream.name,
        durable="billing",
        batch=5,
        batch_wait=0.05,
        max_concurrency=2,
    )
    async def charge(jobs: list[Job]) -> None:
        desk.done.append(len(jobs))
        await go_on.wait()

    await desk.put(*range(30))
    async with desk.serving(service):
        await eventually(lambda: desk.done == [5, 5])
        info = await desk.info()
        assert (info.num_ack_pending, info.num_pending, info.num_waiting) == (10, 20, 0)
        go_on.set()
        await desk.settled()
    assert sum(desk.done) == 30


async def test_a_batch_that_was_being_gathered_is_given_back_when_its_worker_stops(
    desk: Desk,
) -> None:
    service, others = desk.service(), desk.service()

    @service.worker(
        desk.event, stream=desk.stream.name, durable="billing", batch=5, batch_wait=10.0
    )
    async def charge(jobs: list[Job]) -> None:
        pytest.fail("it was not full")

    @others.worker(desk.event, stream=desk.stream.name, durable="billing")
    async def charge_elsewhere(job: Job, delivery: Delivery) -> None:
        desk.done.append((job.number, delivery.attempt))

    async with desk.serving(service) as server:
        await desk.put(1, 2)

        async def gathered() -> bool:
            return (await desk.info()).num_ack_pending == 2

        await eventually(gathered)
        await server.drain(5.0)
    async with desk.serving(others):
        await desk.settled(timeout=2.0)
    assert sorted(desk.done) == [(1, 2), (2, 2)]
