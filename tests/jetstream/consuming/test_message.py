"""Messages, and the word about their handling."""

from __future__ import annotations

import asyncio

import pytest

from natsrpc.core import Connection, Msg, connect
from natsrpc.errors import (
    ConfigError,
    ConnectionClosedError,
    ConsumerNotFoundError,
    MsgAlreadyAckedError,
    MsgNoReplyError,
    NatsTimeoutError,
)
from natsrpc.jetstream import Consumer, ConsumerConfig, JetStream, Stream
from natsrpc.testing import NatsServer
from tests.core.harness import eventually


@pytest.fixture
async def consumer(stream: Stream) -> Consumer:
    return await stream.create_consumer(ConsumerConfig(durable_name="c", ack_wait=30.0))


async def fill(js: JetStream, stream: Stream, count: int) -> None:
    for number in range(count):
        await js.publish(f"{stream.name.lower()}.a", b"%d" % number)


async def test_what_a_message_tells(js: JetStream, stream: Stream, consumer: Consumer) -> None:
    subject = f"{stream.name.lower()}.a"
    await js.publish(subject, b"1", headers={"A": "b"})
    await js.publish(subject, b"2")
    msg = await consumer.next()
    assert (msg.subject, msg.data) == (subject, b"1")
    assert msg.headers == {"A": "b"}
    assert msg.reply.startswith("$JS.ACK.")
    facts = msg.metadata
    assert (facts.stream, facts.consumer, facts.domain) == (stream.name, "c", "")
    assert (facts.stream_seq, facts.consumer_seq, facts.num_delivered) == (1, 1, 1)
    assert facts.num_pending == 1
    assert facts.timestamp == (await stream.get_msg(1)).time
    assert subject in repr(msg)


async def test_each_word_about_its_handling(
    js: JetStream, stream: Stream, consumer: Consumer
) -> None:
    await fill(js, stream, 5)
    acked, doubled, nakked, ended, slow = await consumer.fetch(5)
    await acked.ack()
    await doubled.double_ack()
    await nakked.nak()
    await ended.term("it is poison")
    await slow.in_progress()
    await slow.in_progress()

    async def is_settled() -> bool:
        return (await consumer.info()).num_ack_pending == 2

    await eventually(is_settled)
    again = await consumer.next()
    assert (again.data, again.metadata.num_delivered) == (nakked.data, 2)
    assert [msg.is_done for msg in (acked, doubled, nakked, ended, slow)] == [True] * 4 + [False]


async def test_the_word_is_said_once(js: JetStream, stream: Stream, consumer: Consumer) -> None:
    await fill(js, stream, 4)
    first, second, third, fourth = await consumer.fetch(4)
    await first.ack()
    await second.nak()
    await third.term()
    await fourth.double_ack()
    for msg in (first, second, third, fourth):
        for word in (msg.ack(), msg.nak(), msg.term(), msg.in_progress(), msg.double_ack()):
            with pytest.raises(MsgAlreadyAckedError):
                await word


async def test_it_is_acked_and_not_answered(
    js: JetStream, stream: Stream, consumer: Consumer
) -> None:
    await fill(js, stream, 1)
    msg = await consumer.next()
    with pytest.raises(MsgNoReplyError):
        await msg.respond(b"")
    with pytest.raises(MsgNoReplyError):
        msg.respond_nowait(b"")
    await msg.ack()


async def test_of_two_tasks_one_says_it(js: JetStream, stream: Stream, consumer: Consumer) -> None:
    await fill(js, stream, 1)
    msg = await consumer.next()
    results = await asyncio.gather(msg.double_ack(), msg.ack(), return_exceptions=True)
    assert [type(result) for result in results] == [type(None), MsgAlreadyAckedError]


async def test_a_delay_is_whole_nanoseconds(nc: Connection, consumer: Consumer) -> None:
    """The server takes anything else as no delay."""
    words: list[bytes] = []
    await nc.subscribe("$JS.ACK.>", cb=lambda msg: words.append(msg.data))
    js = JetStream(nc)
    await fill(js, await js.stream(consumer.stream_name), 3)
    for msg, delay in zip(await consumer.fetch(3), (None, 0, 1.5), strict=True):
        await msg.nak(delay)
    await nc.flush()
    assert words == [b"-NAK", b'-NAK {"delay": 0}', b'-NAK {"delay": 1500000000}']


@pytest.mark.parametrize("bad", [-1, "1", True, float("nan"), float("inf"), 1e10, 1e300])
async def test_a_delay_that_cannot_be_is_refused(
    js: JetStream, stream: Stream, consumer: Consumer, bad: float
) -> None:
    await fill(js, stream, 1)
    msg = await consumer.next()
    with pytest.raises(ConfigError):
        await msg.nak(delay=bad)
    await msg.ack()


async def test_a_reason_is_text(js: JetStream, stream: Stream, consumer: Consumer) -> None:
    await fill(js, stream, 1)
    msg = await consumer.next()
    with pytest.raises(ConfigError, match=r"term\(reason=\.\.\.\) must be a str, not 5"):
        await msg.term(5)  # type: ignore[arg-type]  # the mistake
    await msg.term("half \ud800 of a letter")


async def test_naks_come_back_in_their_order_before_what_is_new(
    js: JetStream, stream: Stream, consumer: Consumer
) -> None:
    await fill(js, stream, 6)
    msgs = await consumer.fetch(4)
    for index in (2, 0, 3, 1):
        await msgs[index].nak()
    await asyncio.sleep(0.2)  # why: naks are noted beside the pulls, and nothing tells when
    assert [int(msg.data) for msg in await consumer.fetch(6)] == [2, 0, 3, 1, 4, 5]


async def test_a_delayed_nak_comes_later(js: JetStream, stream: Stream, consumer: Consumer) -> None:
    await fill(js, stream, 2)
    msgs = await consumer.fetch(2)
    await msgs[0].nak(delay=0.3)
    await msgs[1].nak()
    assert [int(msg.data) for msg in await consumer.fetch(2, timeout=10.0)] == [1, 0]


async def test_the_reason_of_an_end_is_in_the_advisory(
    nc: Connection, js: JetStream, stream: Stream, consumer: Consumer
) -> None:
    told: list[Msg] = []
    subject = f"$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.{stream.name}.c"
    await nc.subscribe(subject, cb=told.append)
    await fill(js, stream, 1)
    await (await consumer.next()).term("it is poison")
    await eventually(lambda: told)
    assert b"it is poison" in told[0].data


async def test_more_time_begins_anew(js: JetStream, stream: Stream) -> None:
    consumer = await stream.create_consumer(ConsumerConfig(durable_name="quick", ack_wait=0.5))
    await fill(js, stream, 1)
    msg = await consumer.next()
    for _ in range(4):
        await asyncio.sleep(0.25)  # why: half of what the server waits for an ack
        await msg.in_progress()
    assert await consumer.fetch(1, no_wait=True) == []
    assert [m.metadata.num_delivered for m in await consumer.fetch(1, timeout=10.0)] == [2]


async def test_an_ack_that_nobody_takes(
    nc: Connection, js: JetStream, stream: Stream, consumer: Consumer
) -> None:
    await fill(js, stream, 1)
    msg = await consumer.next()
    await stream.delete_consumer("c")
    with pytest.raises(ConsumerNotFoundError):
        await msg.double_ack()
    assert not msg.is_done  # it may be said again
    none = await stream.create_consumer(ConsumerConfig(ack_policy="none"))
    with pytest.raises(ConsumerNotFoundError):
        await (await none.next()).double_ack()


async def test_an_ack_that_is_not_confirmed_may_be_said_again(
    nc: Connection, js: JetStream, stream: Stream, consumer: Consumer
) -> None:
    await fill(js, stream, 1)
    msg = await consumer.next()
    original = msg.raw_reply
    await nc.subscribe("silent.ack", cb=lambda _: None)
    msg.raw_reply = b"silent.ack"
    with pytest.raises(NatsTimeoutError):
        await msg.double_ack(timeout=0.05)
    msg.raw_reply = original
    await msg.double_ack()


async def test_an_ack_that_could_not_be_sent_may_be_said_again(
    jetstream_server: NatsServer, js: JetStream, stream: Stream, consumer: Consumer
) -> None:
    await fill(js, stream, 2)
    async with connect(jetstream_server.url) as nc:
        there = await (await JetStream(nc).stream(stream.name)).consumer("c")
        msgs = await there.fetch(2)
    for word in (msgs[0].ack(), msgs[0].nak(), msgs[0].term(), msgs[0].double_ack()):
        with pytest.raises(ConnectionClosedError):
            await word
    assert not msgs[0].is_done


async def test_acks_take_no_place_among_checked_subjects(
    js: JetStream, stream: Stream, consumer: Consumer
) -> None:
    """Each ack has a subject of its own: a cache of them would only push out those in use."""
    from natsrpc.core.wire import published  # noqa: PLC0415

    await fill(js, stream, 10)
    before = len(published)
    for msg in await consumer.fetch(10):
        await msg.double_ack()
    assert len(published) == before
