"""Many publishes in flight: their order, their bound, and what ends them."""

from __future__ import annotations

import asyncio

import pytest

from natsrpc.core import Connection, Msg, connect
from natsrpc.errors import BadTimeoutError, NatsTimeoutError, NoStreamResponseError
from natsrpc.jetstream import JetStream, Stream, StreamConfig
from natsrpc.testing import NatsServer
from tests.core.harness import eventually, turns


async def test_they_are_stored_in_the_order_of_the_calls(js: JetStream, stream: Stream) -> None:
    subject = f"{stream.name.lower()}.a"
    futures = [await js.publish_async(subject, b"%d" % number) for number in range(10_000)]
    acks = await asyncio.gather(*futures)
    assert [ack.seq for ack in acks] == list(range(1, 10_001))
    for number in (0, 4321, 9999):
        assert (await stream.get_msg(number + 1)).data == b"%d" % number
    assert js.pending_acks == 0


async def test_an_id_is_stored_once(js: JetStream, stream: Stream) -> None:
    subject = f"{stream.name.lower()}.a"
    futures = [await js.publish_async(subject, b"", msg_id="x") for _ in range(3)]
    acks = await asyncio.gather(*futures)
    assert [ack.seq for ack in acks] == [1, 1, 1]
    assert [ack.duplicate for ack in acks] == [False, True, True]


class Held:
    """A subscriber that keeps what it is asked, and acks when it is told to."""

    def __init__(self) -> None:
        self.msgs: list[Msg] = []
        self.seq = 0

    async def take(self, msg: Msg) -> None:
        self.msgs.append(msg)

    async def ack(self) -> None:
        self.seq += 1
        await self.msgs.pop(0).respond(b'{"stream":"S","seq":%d}' % self.seq)


@pytest.mark.parametrize("most", [1, 3])
async def test_no_more_than_max_pending_are_out(nc: Connection, most: int) -> None:
    held = Held()
    await nc.subscribe("held", cb=held.take)
    js = JetStream(nc, max_pending=most)
    futures = [await js.publish_async("held", b"", timeout=30.0) for _ in range(most)]
    one_more = [asyncio.create_task(js.publish_async("held", b"", timeout=30.0)) for _ in range(2)]
    await eventually(lambda: len(held.msgs) == most)
    await turns(20)
    assert (len(held.msgs), js.pending_acks) == (most, most)
    assert not any(task.done() for task in one_more)
    await held.ack()
    await futures[0]
    await eventually(lambda: sum(task.done() for task in one_more) == 1)
    assert js.pending_acks == most
    while not all(task.done() for task in one_more) or held.msgs or js.pending_acks:
        if held.msgs:
            await held.ack()
        await turns()
    assert [(await task.result()).stream for task in one_more] == ["S", "S"]


async def test_every_ending_frees_a_place(nc: Connection) -> None:
    await nc.subscribe("mute", cb=lambda msg: None)
    js = JetStream(nc, max_pending=1)
    first = await js.publish_async("mute", b"", timeout=0.05)
    second = await asyncio.wait_for(js.publish_async("mute", b"", timeout=0.05), 10.0)
    third = await asyncio.wait_for(js.publish_async("nowhere.at.all", b""), 10.0)
    fourth = await asyncio.wait_for(js.publish_async("mute", b"", timeout=0.05), 10.0)
    for future in (first, second, fourth):
        with pytest.raises(NatsTimeoutError):
            await future
    with pytest.raises(NoStreamResponseError):
        await third
    assert js.pending_acks == 0


async def test_a_cancelled_wait_for_a_place_sends_nothing(nc: Connection) -> None:
    held = Held()
    await nc.subscribe("held", cb=held.take)
    js = JetStream(nc, max_pending=1)
    future = await js.publish_async("held", b"first")
    waiting = asyncio.create_task(js.publish_async("held", b"never"))
    await turns()
    waiting.cancel()
    await asyncio.wait({waiting})
    await eventually(lambda: held.msgs)
    await held.ack()
    await future
    assert held.msgs == []


async def test_a_cancelled_future_frees_its_place_with_its_ack(nc: Connection) -> None:
    held = Held()
    await nc.subscribe("held", cb=held.take)
    js = JetStream(nc, max_pending=1)
    future = await js.publish_async("held", b"")
    future.cancel()
    await eventually(lambda: held.msgs)
    assert js.pending_acks == 1
    await held.ack()
    await js.publish_async_complete(timeout=10.0)
    assert js.pending_acks == 0


async def test_complete_waits_for_all(nc: Connection) -> None:
    held = Held()
    await nc.subscribe("held", cb=held.take)
    js = JetStream(nc)
    await js.publish_async_complete()
    futures = [await js.publish_async("held", b"", timeout=30.0) for _ in range(3)]
    with pytest.raises(NatsTimeoutError, match="3 publishes had no ack"):
        await js.publish_async_complete(timeout=0.01)
    with pytest.raises(BadTimeoutError):
        await js.publish_async_complete(timeout=-1)
    complete = asyncio.create_task(js.publish_async_complete())
    await eventually(lambda: len(held.msgs) == 3)
    for _ in range(3):
        assert not complete.done()
        await held.ack()
    await asyncio.wait_for(complete, 10.0)
    assert [(await future).seq for future in futures] == [1, 2, 3]


async def test_a_drain_waits_for_the_acks(jetstream_server: NatsServer) -> None:
    async with connect(jetstream_server.url) as other:
        stream = await JetStream(other).create_stream(
            StreamConfig(name="DRAINED", subjects=["drained"], storage="memory")
        )
        nc = await connect(jetstream_server.url)
        js = JetStream(nc)
        futures = [await js.publish_async("drained", b"") for _ in range(500)]
        await nc.drain()
        assert [future.result().seq for future in futures] == list(range(1, 501))
        assert (await stream.info()).state.messages == 500
        await JetStream(other).delete_stream("DRAINED")


async def test_answers_that_nobody_waits_for_are_let_go(nc: Connection, js: JetStream) -> None:
    replies: list[Msg] = []

    async def take(msg: Msg) -> None:
        replies.append(msg)
        for _ in range(2):
            await msg.respond(b'{"stream":"S","seq":1}')

    await nc.subscribe("twice", cb=take)
    assert (await (await js.publish_async("twice", b""))).seq == 1
    await nc.flush()
    assert (await (await js.publish_async("twice", b""))).seq == 1
