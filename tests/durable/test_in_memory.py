"""Durable work in memory, for tests of services: what a server does, by a clock that tests move."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

import natsrpc
from natsrpc import Client, Delivery, Reject, Retry, RetryLater, Service
from natsrpc.errors import (
    ConfigError,
    InvalidRequestError,
    NatsTimeoutError,
    StreamDiffersError,
    StreamFullError,
)
from natsrpc.jetstream import ConsumerConfig, JetStream, PubAck, StreamConfig
from natsrpc.testing import Broker, Clock

from .desk import Job

STEADY = Retry(attempts=3, wait=10.0, max_wait=60.0, jitter=0.0)
JOBS = natsrpc.Event("jobs.{region}", Job)
STREAMS = [
    StreamConfig(
        name="JOBS",
        subjects=["jobs.*", "later.jobs.*"],
        allow_msg_schedules=True,
        metadata={"natsrpc.schedules": "later.jobs.*"},
        num_replicas=3,
    ),
    StreamConfig(name="DEAD", subjects=["dead.*"]),
]


@pytest.fixture
async def clock() -> Clock:
    return Clock.install()


@pytest.fixture
def service(clock: Clock) -> Service:
    return Service("billing", version="1.0.0", streams=STREAMS)


async def put(client: Client, *numbers: int) -> None:
    for number in numbers:
        await client.enqueue(JOBS, Job(number=number), tokens={"region": "eu"})


async def test_settled_waits_for_the_last_ack(service: Service, broker: Broker) -> None:
    done: list[int] = []

    @service.worker(JOBS, stream="JOBS", durable="billing", max_concurrency=2)
    async def charge(job: Job) -> None:
        await asyncio.sleep(0)
        done.append(job.number)

    async with service.test(broker=broker) as client:
        await put(client, *range(10))
        assert await client.settled() == []
        assert sorted(done) == list(range(10))
        await put(client, 10)
        assert await client.settled() == []
        assert done[-1] == 10
        stream = await JetStream(client.connection).stream("JOBS")
        info = await (await stream.consumer("billing")).info()
        assert (info.num_pending, info.num_ack_pending, info.num_redelivered) == (0, 0, 0)


async def test_work_that_leads_to_work_is_waited_for(service: Service, broker: Broker) -> None:
    done: list[int] = []

    @service.worker(JOBS, stream="JOBS", durable="billing")
    async def charge(job: Job, client: Client) -> None:
        done.append(job.number)
        if job.number < 20:
            await put(client, job.number + 1)

    async with service.test(broker=broker) as client:
        await put(client, 1)
        assert await client.settled() == []
    assert done == list(range(1, 21))


async def test_each_attempt_comes_when_its_time_is_there(
    service: Service, broker: Broker, clock: Clock
) -> None:
    attempts: list[int] = []

    @service.worker(JOBS, stream="JOBS", durable="billing", retry=STEADY, dead_letter="dead.jobs")
    async def charge(job: Job, delivery: Delivery) -> None:
        attempts.append(delivery.attempt)
        raise ValueError(f"attempt {delivery.attempt}")

    async with service.test(broker=broker) as client:
        await put(client, 1)
        for attempt, wait in ((1, 10.0), (2, 20.0), (3, 1000.0)):
            (error,) = await client.settled()
            assert str(error) == f"attempt {attempt}"
            assert error.__notes__ == ["of the message on 'jobs.eu', at worker 'charge'"]
            assert len(broker.stream("DEAD").messages()) == (attempt == 3)
            await clock.advance(wait - 1.0)
            assert len(attempts) == attempt
            await clock.advance(1.0)
        assert await client.settled() == []
    assert attempts == [1, 2, 3]
    (letter,) = broker.stream("DEAD").messages()
    assert (letter.subject, letter.data) == ("dead.jobs", b'{"number":1}')
    assert letter.headers["Natsrpc-Dead-Reason"] == "ValueError"
    assert letter.headers["Natsrpc-Dead-Deliveries"] == "3"


async def test_what_is_rejected_or_unreadable_is_a_dead_letter_at_once(
    service: Service, broker: Broker
) -> None:
    @service.worker(JOBS, stream="JOBS", durable="billing", retry=STEADY, dead_letter="dead.jobs")
    async def charge(job: Job) -> None:
        if job.number == 13:
            raise Reject("an unlucky number")

    async with service.test(broker=broker) as client:
        await put(client, 1, 13)
        await client.enqueue("jobs.us", "nonsense")
        failed = await client.settled()
        assert type(failed[0]) is Reject
        letters = broker.stream("DEAD").messages("dead.jobs")
        reasons = [letter.headers["Natsrpc-Dead-Reason"] for letter in letters]
        assert sorted(reasons) == [
            "422 Input should be an object (billing 1.0.0)",
            "an unlucky number",
        ]


async def test_later_is_later(service: Service, broker: Broker, clock: Clock) -> None:
    attempts: list[int] = []

    @service.worker(JOBS, stream="JOBS", durable="billing", retry=STEADY)
    async def charge(job: Job, delivery: Delivery) -> None:
        attempts.append(delivery.attempt)
        if delivery.attempt == 1:
            raise RetryLater(3600.0)

    async with service.test(broker=broker) as client:
        await put(client, 1)
        await client.settled()
        await clock.advance(3599.0)
        assert attempts == [1]
        await clock.advance(1.0)
        assert await client.settled() == []
    assert attempts == [1, 2]


async def test_a_long_handler_keeps_its_message(
    service: Service, broker: Broker, clock: Clock
) -> None:
    go_on, attempts = asyncio.Event(), []

    @service.worker(JOBS, stream="JOBS", durable="billing", ack_wait=30.0, timeout=600.0)
    async def charge(job: Job, delivery: Delivery) -> None:
        attempts.append(delivery.attempt)
        await go_on.wait()

    async with service.test(broker=broker) as client:
        await put(client, 1)
        for _ in range(30):
            await clock.advance(9.0)
        with pytest.raises(NatsTimeoutError, match="1 messages are delivered and have no ack"):
            await client.settled(timeout=0.01)
        go_on.set()
        assert await client.settled() == []
    assert attempts == [1]


async def test_a_handler_whose_time_is_over_is_stopped(
    service: Service, broker: Broker, clock: Clock
) -> None:
    @service.worker(JOBS, stream="JOBS", durable="billing", timeout=5.0, retry=STEADY)
    async def charge(job: Job) -> None:
        await asyncio.Event().wait()

    async with service.test(broker=broker) as client:
        await put(client, 1)
        await clock.advance(5.0)
        (error,) = await client.settled()
        assert type(error).__name__ == "DeadlineExceededError"


async def test_batches_are_full_or_their_wait_is_over(
    service: Service, broker: Broker, clock: Clock
) -> None:
    batches: list[list[int]] = []

    @service.worker(JOBS, stream="JOBS", durable="billing", batch=4, batch_wait=5.0)
    async def charge(jobs: list[Job]) -> None:
        batches.append([job.number for job in jobs])

    async with service.test(broker=broker) as client:
        await put(client, 1, 2, 3, 4, 5)
        await clock.advance(4.0)
        assert batches == [[1, 2, 3, 4]]
        await clock.advance(1.0)
        assert await client.settled() == []
        assert batches == [[1, 2, 3, 4], [5]]


async def test_a_worker_that_drains_gives_back_what_it_has_not_begun(
    service: Service, broker: Broker
) -> None:
    begun, done = asyncio.Event(), []

    @service.worker(JOBS, stream="JOBS", durable="billing", max_concurrency=1)
    async def charge(job: Job) -> None:
        begun.set()
        await asyncio.sleep(0)
        done.append(job.number)

    async with service.test(broker=broker) as client:
        await put(client, *range(100))
        await begun.wait()
    assert 0 < len(done) < 100
    async with broker.connect() as nc:
        consumer = await (await JetStream(nc).stream("JOBS")).consumer("billing")
        rest = await consumer.fetch(100, no_wait=True)
    assert sorted(int(msg.data[10:-1]) for msg in rest) == list(range(len(done), 100))


async def test_a_worker_with_two_attempts_gives_up_what_others_died_of(
    service: Service, broker: Broker, clock: Clock
) -> None:
    @service.worker(
        JOBS,
        stream="JOBS",
        durable="billing",
        retry=Retry(attempts=2, wait=1.0),
        dead_letter="dead.jobs",
    )
    async def charge(job: Job) -> None:
        raise InvalidRequestError("it must not run")

    async with broker.connect() as nc:
        js = JetStream(nc)
        stream, _ = [await js.create_stream(each) for each in STREAMS]
        await js.publish("jobs.eu", b'{"number":1}')
        consumer = await stream.create_consumer(ConsumerConfig(durable_name="billing"))
        for _ in range(2):  # two that were killed
            await consumer.next()
            await clock.advance(30.0)
    async with service.test(broker=broker) as client:
        (error,) = await client.settled()
        assert "delivered 3 times" in str(error)
        (letter,) = broker.stream("DEAD").messages()
        assert letter.headers["Natsrpc-Dead-Deliveries"] == "3"


async def test_a_lost_connection_loses_no_work(
    service: Service, broker: Broker, clock: Clock
) -> None:
    begun, done = asyncio.Event(), set()

    @service.worker(JOBS, stream="JOBS", durable="billing", max_concurrency=4)
    async def charge(job: Job) -> None:
        begun.set()
        await asyncio.sleep(0)
        done.add(job.number)

    async with service.test(broker=broker) as client:
        await put(client, *range(30))
        for number in range(30, 35):
            begun.clear()
            await put(client, number)
            await begun.wait()
            broker.disconnect()
            await broker.until_connected(2)
        await clock.advance(30.0)  # what was on its way is delivered again
        await client.settled()
        assert done == set(range(35))


async def test_what_was_done_is_done_again_when_its_consumer_is_made_anew(
    service: Service, broker: Broker, clock: Clock
) -> None:
    """What comes again within 5 s is taken for what a server forgot, and is not run."""
    done: list[int] = []

    @service.worker(JOBS, stream="JOBS", durable="billing")
    async def charge(job: Job) -> None:
        done.append(job.number)

    async with service.test(broker=broker) as client:
        stream = await JetStream(client.connection).stream("JOBS")

        async def again() -> None:
            await stream.delete_consumer("billing")
            config = ConsumerConfig(durable_name="billing", filter_subject="jobs.*")
            await stream.create_consumer(config)
            await clock.advance(2.0)  # the worker finds it again

        await put(client, 1, 2)
        await client.settled()
        await again()
        await client.settled()
        assert done == [1, 2]
        await clock.advance(10.0)
        await again()
        await client.settled()
        assert sorted(done) == [1, 1, 2, 2]


# what is enqueued


async def test_a_delay_and_a_time_are_the_clock_s(
    service: Service, broker: Broker, clock: Clock
) -> None:
    done: list[int] = []

    @service.worker(JOBS, stream="JOBS", durable="billing")
    async def charge(job: Job) -> None:
        done.append(job.number)

    async with service.test(broker=broker) as client:
        await clock.advance(100_000.0)
        region = {"region": "eu"}
        await client.enqueue(JOBS, Job(number=1), tokens=region, delay=60.0)
        at = datetime.now(UTC) + timedelta(hours=1)
        await client.enqueue(JOBS, Job(number=2), tokens=region, at=at)
        await clock.advance(59.0)
        assert await client.settled() == []
        assert done == []
        await clock.advance(1.0)
        assert await client.settled() == []
        assert done == [1]
        await clock.advance(3540.0)
        assert await client.settled() == []
        assert done == [1, 2]
        assert broker.stream("JOBS").messages("later.jobs.*") == []


async def test_a_delayed_job_that_is_enqueued_again_is_a_duplicate_within_the_window(
    service: Service, broker: Broker, clock: Clock
) -> None:
    """After that it takes the place of the first, which still waits."""
    done: list[int] = []

    @service.worker(JOBS, stream="JOBS", durable="billing")
    async def charge(job: Job) -> None:
        done.append(job.number)

    async with service.test(broker=broker) as client:

        async def enqueue(number: int, delay: float) -> PubAck:
            place = {"region": "eu"}
            return await client.enqueue(
                JOBS, Job(number=number), tokens=place, msg_id="one", delay=delay
            )

        assert not (await enqueue(1, 600.0)).duplicate
        assert (await enqueue(2, 60.0)).duplicate
        await clock.advance(120.0)
        await client.settled()
        assert done == []
        assert not (await enqueue(3, 60.0)).duplicate
        await clock.advance(600.0)
        await client.settled()
        assert done == [3]


async def test_an_id_is_stored_once(service: Service, broker: Broker) -> None:
    async with service.test(broker=broker) as client:
        for _ in range(3):
            await client.enqueue("jobs.eu", {"number": 1}, msg_id="one")
        assert len(broker.stream("JOBS").messages()) == 1


async def test_a_full_stream_is_full() -> None:
    small = StreamConfig(name="SMALL", subjects=["small"], max_msgs=1, discard="new")
    async with Service("small", version="1.0.0", streams=[small]).test() as client:
        await client.enqueue("small", 1)
        with pytest.raises(StreamFullError):
            await client.enqueue("small", 2)


# what services declare


async def test_a_stream_that_differs_is_told(service: Service, broker: Broker) -> None:
    async with service.test(broker=broker):
        pass
    other = Service("other", version="1.0.0", streams=[StreamConfig(name="JOBS", max_msgs=5)])
    with pytest.raises(StreamDiffersError, match="max_msgs"):
        async with other.test(broker=broker):
            pass


async def test_a_stream_over_a_handler_is_refused(service: Service, broker: Broker) -> None:
    @service.handler("jobs.place")
    async def place(number: int) -> int:
        return number

    with pytest.raises(ConfigError, match=r"jobs\.place"):
        async with service.test(broker=broker):
            pass
