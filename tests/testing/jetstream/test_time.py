"""What time does to streams and consumers in memory. A clock that the test moves makes it pass."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from natsrpc.core import Connection, Msg
from natsrpc.errors import ConsumerNotFoundError, JetStreamError, NatsTimeoutError
from natsrpc.jetstream import (
    Consumer,
    ConsumerConfig,
    JetStream,
    JsMsg,
    KeyValueConfig,
    Stream,
    StreamConfig,
)
from natsrpc.testing import Broker, Clock


@pytest.fixture
async def stream(js: JetStream) -> Stream:
    return await js.create_stream(StreamConfig(name="S", subjects=["s.>"]))


Making = Callable[..., Awaitable[Consumer]]


@pytest.fixture
def made(stream: Stream) -> Making:
    async def make(**config: object) -> Consumer:
        return await stream.create_consumer(ConsumerConfig(durable_name="c", **config))  # type: ignore[arg-type]  # the test's

    return make


async def there(consumer: Consumer) -> list[JsMsg]:
    """What can be delivered now."""
    return await consumer.fetch(100, no_wait=True)


async def test_what_is_not_acked_comes_again_after_ack_wait(
    js: JetStream, clock: Clock, made: Making
) -> None:
    consumer = await made(ack_wait=30.0)
    await js.publish("s.a", b"1")
    for attempt in (1, 2, 3):
        (msg,) = await there(consumer)
        assert msg.metadata.num_delivered == attempt
        await clock.advance(29.0)
        assert await there(consumer) == []
        await clock.advance(1.0)
    (msg,) = await there(consumer)
    await msg.ack()
    await clock.advance(100.0)
    assert await there(consumer) == []


async def test_what_is_late_at_once_comes_again_in_the_order_of_the_stream(
    js: JetStream, clock: Clock, made: Making
) -> None:
    consumer = await made()
    for number in range(4):
        await js.publish("s.a", b"%d" % number)
    msgs = await there(consumer)
    await msgs[2].nak()
    assert [msg.metadata.stream_seq for msg in await there(consumer)] == [3]
    await js.publish("s.a", b"4")
    await clock.advance(30.0)
    assert [msg.metadata.stream_seq for msg in await there(consumer)] == [1, 2, 3, 4, 5]


async def test_a_delay_of_a_nak_is_exact(js: JetStream, clock: Clock, made: Making) -> None:
    consumer = await made(ack_wait=5.0)
    await js.publish("s.a", b"1")
    (msg,) = await there(consumer)
    await msg.nak(delay=60.0)
    await clock.advance(59.5)
    assert await there(consumer) == []
    await clock.advance(0.5)
    assert [msg.metadata.num_delivered for msg in await there(consumer)] == [2]


async def test_a_backoff_ends_at_max_deliver_with_an_advisory(
    nc: Connection, js: JetStream, clock: Clock, broker: Broker, made: Making
) -> None:
    told: list[Msg] = []

    async def tell(msg: Msg) -> None:
        told.append(msg)

    await nc.subscribe("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.S.c", cb=tell)
    consumer = await made(backoff=[1.0, 5.0], max_deliver=3)
    await js.publish("s.a", b"1")
    for wait in (1.0, 5.0, 5.0):
        assert len(await there(consumer)) == 1
        await clock.advance(wait - 0.1)
        assert (await there(consumer), told) == ([], [])
        await clock.advance(0.1)
    assert await there(consumer) == []
    facts = json.loads(told[0].data)
    assert (facts["stream_seq"], facts["deliveries"]) == (1, 3)
    info = await consumer.info()
    assert (info.num_ack_pending, info.num_pending) == (0, 0)
    assert len(broker.stream("S").messages()) == 1  # it stays


async def test_progress_gives_the_present_interval_again(
    js: JetStream, clock: Clock, made: Making
) -> None:
    consumer = await made(backoff=[1.0, 10.0], max_deliver=5)
    await js.publish("s.a", b"1")
    (msg,) = await there(consumer)
    await clock.advance(0.9)
    await msg.in_progress()
    await clock.advance(0.9)
    assert await there(consumer) == []
    await clock.advance(0.1)
    (msg,) = await there(consumer)
    await clock.advance(9.0)
    await msg.in_progress()
    await clock.advance(9.9)
    assert await there(consumer) == []
    await clock.advance(0.1)
    assert len(await there(consumer)) == 1


async def test_a_fetch_ends_at_its_time(clock: Clock, made: Making) -> None:
    consumer = await made()
    waiting = asyncio.create_task(consumer.next(timeout=30.0))
    await clock.advance(29.0)
    assert not waiting.done()
    await clock.advance(1.0)
    with pytest.raises(NatsTimeoutError):
        await waiting


async def test_heartbeats_keep_a_reader_content(js: JetStream, clock: Clock, made: Making) -> None:
    consumer = await made()
    async with consumer.messages(expires=30.0, heartbeat=5.0) as messages:
        for _ in range(50):
            await clock.advance(2.0)
        await js.publish("s.a", b"late")
        assert (await anext(messages)).data == b"late"


async def test_a_consumer_goes_when_nobody_uses_it(clock: Clock, stream: Stream) -> None:
    consumer = await stream.create_consumer(ConsumerConfig(inactive_threshold=60.0))
    await clock.advance(59.0)
    await consumer.fetch(1, no_wait=True)
    await clock.advance(59.0)
    await consumer.info()
    await clock.advance(1.0)
    with pytest.raises(ConsumerNotFoundError):
        await consumer.info()


async def test_a_pause_ends(clock: Clock, js: JetStream, stream: Stream, made: Making) -> None:
    consumer = await made()
    await stream.pause_consumer("c", until=datetime.now(UTC) + timedelta(seconds=60))
    await js.publish("s.a", b"1")
    await clock.advance(59.0)
    assert (await consumer.info()).paused
    await clock.advance(2.0)
    assert len(await there(consumer)) == 1


# streams


async def test_messages_go_by_age(js: JetStream, clock: Clock, broker: Broker) -> None:
    await js.create_stream(StreamConfig(name="OLD", subjects=["old"], max_age=60.0))
    await js.publish("old", b"1")
    await clock.advance(30.0)
    await js.publish("old", b"2")
    await clock.advance(30.0)
    assert [message.data for message in broker.stream("OLD").messages()] == [b"2"]
    await clock.advance(30.0)
    assert broker.stream("OLD").messages() == []


async def test_a_time_to_live_ends_in_a_marker(js: JetStream, clock: Clock) -> None:
    kv = await js.create_key_value(KeyValueConfig(bucket="mortal", limit_marker_ttl=60.0))
    async with kv.watch() as watcher:
        assert await anext(watcher) is None
        await kv.create("a", b"1", ttl=30.0)
        await clock.advance(30.0)
        seen = [await anext(watcher), await anext(watcher)]
    assert [entry.operation for entry in seen if entry is not None] == ["PUT", "PURGE"]
    await clock.advance(60.0)
    assert (await kv.status()).values == 0


async def test_an_id_is_known_for_its_window(js: JetStream, clock: Clock) -> None:
    await js.create_stream(StreamConfig(name="ID", subjects=["id"], duplicate_window=60.0))
    first = await js.publish("id", b"1", msg_id="one")
    await clock.advance(59.0)
    again = await js.publish("id", b"1", msg_id="one")
    assert (again.seq, again.duplicate) == (first.seq, True)
    await clock.advance(1.0)
    assert (await js.publish("id", b"1", msg_id="one")).seq == first.seq + 1


# schedules


@pytest.fixture
async def scheduling(js: JetStream) -> None:
    await js.create_stream(
        StreamConfig(
            name="LATER", subjects=["later.>"], allow_msg_schedules=True, allow_msg_ttl=True
        )
    )


def at(seconds: float) -> str:
    moment = datetime.now(UTC) + timedelta(seconds=seconds)
    return f"@at {moment.isoformat().replace('+00:00', 'Z')}"


@pytest.mark.usefixtures("scheduling")
async def test_a_schedule_is_published_when_it_is_due(
    js: JetStream, clock: Clock, broker: Broker
) -> None:
    await clock.advance(10_000.0)  # what clients name is by their own clock, which nobody moves
    headers = {"Nats-Schedule": at(60), "Nats-Schedule-Target": "later.job", "Own": "header"}
    await js.publish("later.plan.1", b"work", headers=headers, msg_id="one")
    await clock.advance(59.0)
    stream = broker.stream("LATER")
    assert [message.subject for message in stream.messages()] == ["later.plan.1"]
    await clock.advance(1.0)
    (job,) = stream.messages()
    assert (job.subject, job.data) == ("later.job", b"work")
    assert dict(job.headers.items()) == {
        "Own": "header",
        "Nats-Scheduler": "later.plan.1",
        "Nats-Schedule-Next": "purge",
    }


@pytest.mark.usefixtures("scheduling")
async def test_a_second_schedule_of_a_subject_replaces_the_first(
    js: JetStream, clock: Clock, broker: Broker
) -> None:
    for seconds, data in ((10, b"first"), (60, b"second")):
        headers = {"Nats-Schedule": at(seconds), "Nats-Schedule-Target": "later.job"}
        await js.publish("later.plan", data, headers=headers)
    await clock.advance(59.0)
    assert broker.stream("LATER").messages("later.job") == []
    await clock.advance(1.0)
    assert [job.data for job in broker.stream("LATER").messages()] == [b"second"]


@pytest.mark.usefixtures("scheduling")
async def test_a_schedule_may_come_again_and_again(
    js: JetStream, clock: Clock, broker: Broker
) -> None:
    headers = {"Nats-Schedule": "@every 1m", "Nats-Schedule-Target": "later.job"}
    await js.publish("later.plan", b"tick", headers=headers)
    for count in (1, 2, 3):
        await clock.advance(60.0)
        assert len(broker.stream("LATER").messages("later.job")) == count
    await (await js.stream("LATER")).purge()
    await clock.advance(120.0)
    assert broker.stream("LATER").messages() == []


@pytest.mark.parametrize(
    ("headers", "number"),
    [
        ({"Nats-Schedule": "tomorrow", "Nats-Schedule-Target": "later.job"}, 10189),
        ({"Nats-Schedule": "@every 1ms", "Nats-Schedule-Target": "later.job"}, 10189),
        ({"Nats-Schedule": at(1), "Nats-Schedule-Target": "elsewhere"}, 10190),
        ({"Nats-Schedule": at(1), "Nats-Schedule-Target": "later.plan"}, 10190),
        ({"Nats-Schedule": at(1), "Nats-Schedule-Target": "later.*"}, 10190),
        ({"Nats-Schedule": at(1)}, 10190),
    ],
)
@pytest.mark.usefixtures("scheduling")
async def test_a_schedule_that_cannot_be_is_refused(
    js: JetStream, headers: dict[str, str], number: int
) -> None:
    with pytest.raises(JetStreamError) as caught:
        await js.publish("later.plan", b"", headers=headers)
    assert caught.value.err_code == number
