"""Priority groups: pinned, overflow, prioritized.

Ref: ADR-42.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from natsrpc.core import Connection
from natsrpc.errors import ConfigError, JetStreamError
from natsrpc.jetstream import Consumer, ConsumerConfig, JetStream, Stream
from tests.core.harness import eventually
from tests.jetstream.consuming.scripted import ScriptedConsumer

pytestmark = pytest.mark.server_only("priority groups")


async def fill(js: JetStream, stream: Stream, count: int) -> None:
    for _ in range(count):
        await js.publish(f"{stream.name.lower()}.a", b"")


async def grouped(stream: Stream, level: int, needs: int, **options: Any) -> Consumer | None:
    """A consumer with a priority group, None where the server is too old and says so."""
    config = ConsumerConfig(durable_name="g", priority_groups=["jobs"], **options)
    if level >= needs:
        return await stream.create_consumer(config)
    with pytest.raises(JetStreamError, match=r"needs nats-server 2\.1[12]"):
        await stream.create_consumer(config)
    return None


async def test_a_group_is_named(stream: Stream, level: int) -> None:
    consumer = await grouped(stream, level, 1, priority_policy="overflow")
    if consumer is None:
        return
    with pytest.raises(ConfigError, match=r"fetch\(group=\.\.\.\) of \('jobs',\)"):
        await consumer.fetch(1)
    with pytest.raises(ConfigError, match="messages"):
        consumer.messages()
    with pytest.raises(JetStreamError, match=r"(?i)invalid priority group"):
        await consumer.fetch(1, group="other")


async def test_overflow_serves_when_enough_waits(js: JetStream, stream: Stream, level: int) -> None:
    consumer = await grouped(stream, level, 1, priority_policy="overflow")
    if consumer is None:
        return
    await fill(js, stream, 3)
    assert await consumer.fetch(5, group="jobs", min_pending=10, timeout=0.1) == []
    assert len(await consumer.fetch(1, group="jobs", min_pending=3)) == 1
    assert await consumer.fetch(5, group="jobs", min_ack_pending=2, timeout=0.1) == []
    assert len(await consumer.fetch(1, group="jobs", min_ack_pending=1)) == 1
    assert (await consumer.next(group="jobs")).metadata.stream_seq == 3


async def test_pinned_serves_one_until_it_is_unpinned(
    js: JetStream, stream: Stream, level: int
) -> None:
    consumer = await grouped(
        stream, level, 1, priority_policy="pinned_client", priority_timeout=60.0
    )
    if consumer is None:
        with pytest.raises(JetStreamError, match=r"unpinning needs nats-server 2\.11"):
            await stream.unpin_consumer("g", "jobs")
        return
    other = await stream.consumer("g")
    await fill(js, stream, 4)
    first = await consumer.fetch(2, group="jobs")
    assert len(first) == 2
    pin = first[0].headers["Nats-Pin-Id"]
    assert await other.fetch(1, group="jobs", timeout=0.2) == []
    # the id goes on from one fetch to the next, also when it is `next`
    assert (await consumer.next(group="jobs")).headers["Nats-Pin-Id"] == pin
    (state,) = (await consumer.info()).priority_groups
    assert (state.group, state.pinned_client_id) == ("jobs", pin)
    waiting = asyncio.create_task(other.fetch(1, group="jobs", timeout=30.0))
    await eventually(lambda: _waits(consumer))
    await stream.unpin_consumer("g", "jobs")
    (msg,) = await waiting
    assert msg.headers["Nats-Pin-Id"] != pin
    assert await consumer.fetch(1, group="jobs", timeout=0.3) == []  # 423, and it waits its turn


async def _waits(consumer: Consumer) -> bool:
    return (await consumer.info()).num_waiting == 1


async def test_a_pinned_reader_goes_on_after_another(
    js: JetStream, stream: Stream, level: int
) -> None:
    consumer = await grouped(
        stream, level, 1, priority_policy="pinned_client", priority_timeout=60.0
    )
    if consumer is None:
        return
    other = await stream.consumer("g")
    got: list[str] = []

    async def read(name: str, reader: Consumer) -> None:
        async with reader.messages(group="jobs", expires=4.0, heartbeat=0.5) as messages:
            async for msg in messages:
                await msg.ack()
                got.append(name)

    tasks = [asyncio.create_task(read("a", consumer))]
    await eventually(lambda: _waits(consumer))
    tasks.append(asyncio.create_task(read("b", other)))
    await fill(js, stream, 5)
    await eventually(lambda: len(got) == 5)
    assert set(got) == {"a"}
    await stream.unpin_consumer("g", "jobs")
    await fill(js, stream, 5)
    await eventually(lambda: len(got) == 10, 20.0)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_prioritized_serves_the_first_first(
    js: JetStream, stream: Stream, level: int
) -> None:
    consumer = await grouped(stream, level, 2, priority_policy="prioritized")
    if consumer is None:
        return
    low = asyncio.create_task(consumer.fetch(1, group="jobs", priority=9, timeout=30.0))
    await eventually(lambda: _waits(consumer))
    high = asyncio.create_task(consumer.fetch(1, group="jobs", priority=0, timeout=30.0))

    async def both_wait() -> bool:
        return (await consumer.info()).num_waiting == 2

    await eventually(both_wait)
    await fill(js, stream, 1)
    assert len(await high) == 1
    assert not low.done()
    await fill(js, stream, 1)
    assert len(await low) == 1
    with pytest.raises(ConfigError, match="0 to 9"):
        await consumer.fetch(1, group="jobs", priority=10)


async def test_the_wire_of_a_group(scripted: ScriptedConsumer, played: Connection) -> None:
    scripted.info["config"]["priority_groups"] = ["jobs"]
    consumer = await scripted.consumer(played)

    def answer(index: int) -> None:
        if index == 2:
            scripted.status("423 Nats-Pin-Id mismatch")
        else:
            scripted.send(1, block=b"NATS/1.0\r\nNats-Pin-Id: pin%d\r\n\r\n" % index)

    scripted.pulled = answer
    for _ in range(3):
        await consumer.fetch(1, group="jobs", min_pending=5, priority=3)
    assert scripted.pulls[0]["group"] == "jobs"
    assert (scripted.pulls[0]["min_pending"], scripted.pulls[0]["priority"]) == (5, 3)
    # none at first, then what was told, and none again once it is another's
    assert [pull.get("id") for pull in scripted.pulls] == [None, "pin0", "pin1", None]
