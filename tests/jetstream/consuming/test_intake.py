"""`Consumer.intake`: messages as there is room for them, and none that there is no room for."""

from __future__ import annotations

import pytest

from natsrpc.core import Connection
from natsrpc.errors import ConfigError, ConsumerDeletedError
from natsrpc.jetstream import ConsumerConfig, JetStream, JsMsg, Stream
from tests.core.harness import eventually


class Holder:
    """Takes messages, and holds them until the test lets them go."""

    def __init__(self) -> None:
        self.held: list[JsMsg] = []
        self.told: list[Exception | None] = []

    def take(self, msg: JsMsg) -> None:
        self.held.append(msg)

    def taken(self) -> int:
        return len(self.held)

    def troubled(self, error: Exception | None) -> None:
        self.told.append(error)

    def restored(self) -> float:
        return 0.0


async def stored(js: JetStream, stream: Stream, count: int) -> None:
    for number in range(count):
        await js.publish(f"{stream.name.lower()}.x", b"%d" % number)


async def test_it_takes_what_there_is_room_for(js: JetStream, stream: Stream) -> None:
    await stored(js, stream, 10)
    consumer = await stream.create_consumer(ConsumerConfig(durable_name="c"))
    holder = Holder()
    intake = consumer.intake(holder, 3)
    intake.begin()
    await eventually(lambda: len(holder.held) == 3)
    info = await consumer.info()
    assert (info.num_ack_pending, info.num_pending, info.num_waiting) == (3, 7, 0)
    for _ in range(2):
        msg = holder.held.pop(0)
        await msg.ack()
        intake.freed(msg.raw_reply)  # both are asked for at once, behind the ack
    await eventually(lambda: len(holder.held) == 3)
    info = await consumer.info()
    assert (info.num_ack_pending, info.num_pending, info.ack_floor.stream_seq) == (3, 5, 2)
    assert [msg.data for msg in holder.held] == [b"2", b"3", b"4"]
    await intake.leave()


async def test_what_is_on_its_way_when_it_leaves_is_given_back(
    js: JetStream, stream: Stream, nc: Connection
) -> None:
    consumer = await stream.create_consumer(ConsumerConfig(durable_name="c"))
    holder = Holder()
    intake = consumer.intake(holder, 500)
    intake.begin()
    for number in range(200):  # in one write with the end of the pull
        nc.link.send(f"{stream.name.lower()}.x".encode(), b"%d" % number)
    await intake.leave()
    await nc.flush()
    taken = len(holder.held)
    msgs = await consumer.fetch(200 - taken, timeout=5.0)
    assert len(msgs) == 200 - taken
    assert (await consumer.info()).num_waiting == 0


async def test_a_consumer_that_goes_is_told_once_and_looked_for(
    js: JetStream, stream: Stream
) -> None:
    consumer = await stream.create_consumer(ConsumerConfig(durable_name="c"))
    holder = Holder()
    intake = consumer.intake(holder, 3)
    intake.begin()
    await js.connection.flush()
    await stream.delete_consumer("c")
    await eventually(lambda: holder.told)
    assert isinstance(holder.told[0], ConsumerDeletedError)
    await stream.create_consumer(ConsumerConfig(durable_name="c"))
    await eventually(lambda: holder.told[1:] == [None], 10.0)
    await stored(js, stream, 1)
    await eventually(lambda: holder.held)
    await intake.leave()


async def test_room_for_nothing_is_refused(stream: Stream) -> None:
    consumer = await stream.create_consumer(ConsumerConfig(durable_name="c"))
    with pytest.raises(ConfigError, match="room"):
        consumer.intake(Holder(), 0)
