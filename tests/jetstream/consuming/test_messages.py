"""Continuous consuming: nothing lost, nothing left behind, trouble survived or told."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from natsrpc.core import Connection, connect
from natsrpc.errors import (
    ConfigError,
    ConnectionClosedError,
    ConsumerDeletedError,
    ConsumerLeadershipChangedError,
    JetStreamError,
    NoHeartbeatError,
)
from natsrpc.jetstream import Consumer, ConsumerConfig, JetStream, Messages, Stream, StreamConfig
from natsrpc.testing import NatsServer
from tests.core.harness import eventually, no_leaks, turns
from tests.core.harness.proxy import Proxy
from tests.jetstream.consuming.scripted import ScriptedConsumer


@pytest.fixture
async def consumer(stream: Stream) -> Consumer:
    return await stream.create_consumer(
        ConsumerConfig(durable_name="c", max_ack_pending=20_000, ack_wait=60.0)
    )


async def fill(js: JetStream, stream: Stream, count: int, size: int = 0) -> None:
    subject = f"{stream.name.lower()}.a"
    futures = [await js.publish_async(subject, b"%d" % n + bytes(size)) for n in range(count)]
    await asyncio.gather(*futures)


async def take(messages: Messages, count: int) -> list[int]:
    """So many messages, acked."""
    got = []
    for _ in range(count):
        msg = await anext(messages)
        await msg.ack()
        got.append(msg.metadata.stream_seq)
    return got


async def is_clean(consumer: Consumer, pending: int = 0) -> None:
    """No pull waits, and nothing is unacked."""

    async def clean() -> bool:
        info = await consumer.info()
        return (info.num_waiting, info.num_ack_pending, info.num_pending) == (0, 0, pending)

    await eventually(clean, 10.0)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"max_messages": 1},
        {"max_messages": 2},
        {"max_messages": 10, "threshold": 0},
        {"max_messages": 10, "threshold": 9},
        {"max_bytes": 2000},
    ],
)
async def test_all_come_once_in_order(
    js: JetStream, stream: Stream, consumer: Consumer, options: dict[str, Any]
) -> None:
    await fill(js, stream, 300)
    async with consumer.messages(**options) as messages:
        assert await take(messages, 300) == list(range(1, 301))
        await fill(js, stream, 50)
        assert await take(messages, 50) == list(range(301, 351))
    await is_clean(consumer)


async def test_no_more_is_out_than_there_is_room_for(
    js: JetStream, stream: Stream, consumer: Consumer
) -> None:
    """Room comes from handing out: a reader that does not read gets no more."""
    await fill(js, stream, 100)
    async with consumer.messages(max_messages=10) as messages:
        await take(messages, 1)

        async def held() -> int:
            return (await consumer.info()).num_ack_pending

        await eventually(lambda: _is(held, 9))
        await js.publish(f"{stream.name.lower()}.a", b"")
        assert await held() == 9
        await take(messages, 5)  # the fourth left no more than half; all six are asked for at once
        await eventually(lambda: _is(held, 10))
        assert (await consumer.info()).delivered.stream_seq == 16


async def _is(read: Any, value: object) -> bool:
    return bool(await read() == value)


async def test_bytes_bound_what_is_held(js: JetStream, stream: Stream, consumer: Consumer) -> None:
    await fill(js, stream, 50, size=1000)
    async with consumer.messages(max_bytes=5000) as messages:
        await take(messages, 1)

        async def held() -> int:
            return (await consumer.info()).num_ack_pending

        await eventually(lambda: _is(held, 3))
        assert await take(messages, 49) == list(range(2, 51))
    await is_clean(consumer)


async def test_a_message_larger_than_what_is_left_comes_when_all_is_handed_out(
    js: JetStream, stream: Stream, consumer: Consumer
) -> None:
    subject = f"{stream.name.lower()}.a"
    for size in (10, 3000, 10, 3000):
        await js.publish(subject, bytes(size))
    async with consumer.messages(max_bytes=4000) as messages:
        assert await take(messages, 4) == [1, 2, 3, 4]
        await js.publish(subject, bytes(9000))
        with pytest.raises(JetStreamError, match=r"(?i)message size exceeds"):
            await anext(messages)


async def test_leaving_gives_back_what_was_not_handed_out(
    js: JetStream, stream: Stream, consumer: Consumer
) -> None:
    await fill(js, stream, 20)
    async with consumer.messages() as messages:
        await take(messages, 1)
        await eventually(lambda: _is(lambda: _ack_pending(consumer), 19))
    msgs = await consumer.fetch(19)
    assert [msg.metadata.num_delivered for msg in msgs] == [2] * 19
    with pytest.raises(StopAsyncIteration):
        await anext(messages)


async def _ack_pending(consumer: Consumer) -> int:
    return (await consumer.info()).num_ack_pending


@pytest.mark.parametrize("options", [{"max_messages": 500}, {"max_bytes": 200_000}])
async def test_leaving_gives_back_what_is_on_its_way(
    js: JetStream, stream: Stream, consumer: Consumer, options: dict[str, Any]
) -> None:
    await fill(js, stream, 2000, size=200)
    async with consumer.messages(**options) as messages:
        await take(messages, 1)
    assert len(await consumer.fetch(1999, timeout=5.0)) == 1999


@pytest.mark.parametrize("way", ["break", "raise", "cancel"])
async def test_each_way_out_leaves_nothing(
    js: JetStream, stream: Stream, consumer: Consumer, way: str
) -> None:
    await fill(js, stream, 5)

    async def read() -> None:
        async with consumer.messages() as messages:
            async for msg in messages:
                await msg.ack()
                if way == "break":
                    break
                if way == "raise":
                    raise ZeroDivisionError
                if msg.metadata.stream_seq == 5:
                    assert await anext(messages)

    async with no_leaks():
        task = asyncio.create_task(read())
        if way == "cancel":
            await eventually(lambda: _is(lambda: _delivered(consumer), 5))
            task.cancel()
        await asyncio.wait({task})

    async def none_waits() -> bool:
        return (await consumer.info()).num_waiting == 0

    await eventually(none_waits)


async def _delivered(consumer: Consumer) -> int:
    return (await consumer.info()).delivered.stream_seq


async def test_a_cancelled_wait_loses_nothing(
    js: JetStream, stream: Stream, consumer: Consumer
) -> None:
    async with consumer.messages() as messages:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(messages), 0.02)
        await fill(js, stream, 3)
        assert await take(messages, 3) == [1, 2, 3]
        waiting = asyncio.ensure_future(anext(messages))
        await turns()
        waiting.cancel()
        await fill(js, stream, 1)
        assert await take(messages, 1) == [4]


async def test_several_tasks_share_one_iterator(
    js: JetStream, stream: Stream, consumer: Consumer
) -> None:
    got: list[int] = []

    async def read(messages: Messages) -> None:
        async for msg in messages:
            await msg.ack()
            got.append(msg.metadata.stream_seq)
            await asyncio.sleep(0)

    async with consumer.messages(max_messages=10) as messages:
        tasks = [asyncio.create_task(read(messages)) for _ in range(5)]
        await turns()
        tasks.pop().cancel()
        await fill(js, stream, 200)
        await eventually(lambda: len(got) == 200)
    await asyncio.wait(tasks)
    assert sorted(got) == list(range(1, 201))
    assert [task.exception() for task in tasks] == [None] * 4


async def test_many_readers_of_one_consumer_leave_few_pulls(
    js: JetStream, stream: Stream, consumer: Consumer
) -> None:
    got: list[int] = []

    async def read() -> None:
        async with consumer.messages(max_messages=20, expires=2.0, heartbeat=0.5) as messages:
            async for msg in messages:
                await msg.ack()
                got.append(msg.metadata.stream_seq)

    tasks = [asyncio.create_task(read()) for _ in range(10)]
    await fill(js, stream, 3000)
    most = 0
    while len(got) < 3000:
        most = max(most, (await consumer.info()).num_waiting)
    assert most <= 40
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert len(got) == len(set(got)) == 3000
    await is_clean(consumer)


async def test_one_pull_place_for_two_readers(js: JetStream, stream: Stream) -> None:
    """Newer servers say nothing to a pull that finds no place, if it has a heartbeat."""
    config = ConsumerConfig(durable_name="narrow", max_waiting=1)
    consumer = await stream.create_consumer(config)
    got: list[int] = []

    async def read() -> None:
        options: dict[str, Any] = {"max_messages": 5, "expires": 1.0, "heartbeat": 0.1}
        async with consumer.messages(**options) as messages:
            async for msg in messages:
                await msg.ack()
                got.append(msg.metadata.stream_seq)

    tasks = [asyncio.create_task(read()) for _ in range(2)]
    await fill(js, stream, 100)
    await eventually(lambda: len(got) == 100, 60.0)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert sorted(got) == list(range(1, 101))


@pytest.mark.parametrize(
    "options",
    [
        {"max_messages": 0},
        {"max_bytes": 0},
        {"expires": 0},
        {"heartbeat": 20.0},
        {"heartbeat": 0},
        {"threshold": -1},
        {"threshold": 500},
        {"min_pending": 5},
    ],
)
async def test_what_cannot_be_asked_for_is_refused(
    consumer: Consumer, options: dict[str, Any]
) -> None:
    with pytest.raises((ConfigError, ValueError)):
        consumer.messages(**options)


async def test_it_is_used_with_its_block(consumer: Consumer) -> None:
    messages = consumer.messages()
    with pytest.raises(ConfigError, match="async with"):
        await anext(messages)
    async with messages:
        with pytest.raises(ConfigError, match="entered before"):
            await messages.__aenter__()


async def test_the_wire_of_its_pulls(scripted: ScriptedConsumer, played: Connection) -> None:
    consumer = await scripted.consumer(played)
    scripted.pulled = lambda index: scripted.send(scripted.pulls[index]["batch"])
    async with consumer.messages(max_messages=10, threshold=4, expires=20.0) as messages:
        for _ in range(30):
            await anext(messages)
    first = scripted.pulls[0]
    assert first == {"batch": 10, "expires": 20_000_000_000, "idle_heartbeat": 5_000_000_000}
    # a quick reader hands out all that is there before it lets others run
    assert [pull["batch"] for pull in scripted.pulls] == [10, 10, 10]
    assert len(set(scripted.inboxes)) == 1  # each was filled before the next


async def test_a_reader_that_takes_its_time_asks_when_no_more_than_the_threshold_is_left(
    scripted: ScriptedConsumer, played: Connection
) -> None:
    consumer = await scripted.consumer(played)
    scripted.pulled = lambda index: scripted.send(scripted.pulls[index]["batch"])
    async with consumer.messages(max_messages=10, threshold=4, expires=20.0) as messages:
        for number in range(1, 29):
            await anext(messages)
            await turns()
            # 10, then what was handed out when no more than 4 were left
            wanted = [10, *[6] * (number // 6)]
            await eventually(lambda wanted=wanted: batches(scripted) == wanted)  # type: ignore[misc]


def batches(scripted: ScriptedConsumer) -> list[int]:
    return [pull["batch"] for pull in scripted.pulls]


async def test_pulls_that_overlap_have_inboxes_of_their_own(
    scripted: ScriptedConsumer, played: Connection
) -> None:
    consumer = await scripted.consumer(played)

    # the first pull owes one to the end, those beside it are filled
    scripted.pulled = lambda index: scripted.send(1 if index else 9)
    async with consumer.messages(max_messages=10, threshold=9) as messages:
        got = [int((await anext(messages)).data) for _ in range(15)]
    assert got == list(range(1, 16))
    assert scripted.inboxes[0] not in scripted.inboxes[1:]


async def test_what_is_not_handed_out_is_given_back_on_the_wire(
    scripted: ScriptedConsumer, played: Connection
) -> None:
    words: list[tuple[str, bytes]] = []
    await scripted.nc.subscribe("$JS.ACK.>", cb=lambda msg: words.append((msg.subject, msg.data)))
    consumer = await scripted.consumer(played)
    scripted.pulled = lambda index: scripted.send(3)
    async with consumer.messages(max_messages=10) as messages:
        await (await anext(messages)).ack()
    await eventually(lambda: len(words) == 3)
    assert [data for _, data in words] == [b"+ACK", b"-NAK", b"-NAK"]
    assert len({subject for subject, _ in words}) == 3


async def test_leaving_that_is_cancelled_gives_back_all_the_same(
    scripted: ScriptedConsumer, played: Connection
) -> None:
    words: list[bytes] = []
    await scripted.nc.subscribe("$JS.ACK.>", cb=lambda msg: words.append(msg.data))
    consumer = await scripted.consumer(played)
    scripted.pulled = lambda index: scripted.send(3)
    is_leaving = asyncio.Event()

    async def read() -> None:
        async with consumer.messages(max_messages=10) as messages:
            await (await anext(messages)).ack()
            is_leaving.set()

    reading = asyncio.create_task(read())
    await is_leaving.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await eventually(lambda: len(words) == 3)
    assert sorted(words) == [b"+ACK", b"-NAK", b"-NAK"]


@pytest.mark.parametrize("how", ["cut", "silent"])
async def test_leaving_where_the_server_is_out_of_reach_ends(
    jetstream_server: NatsServer, consumer: Consumer, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr("natsrpc.jetstream.consuming.pump._LONGEST_LEAVE", 0.01)
    async with Proxy(jetstream_server.port) as proxy, connect(proxy.url) as nc:
        there = await (await JetStream(nc).stream(consumer.stream_name)).consumer("c")
        async with asyncio.timeout(10.0), there.messages() as messages:
            if how == "cut":
                proxy.refuse()
                proxy.cut()
                await eventually(lambda: not nc.is_connected)
            else:
                proxy.swallow()
        with pytest.raises(StopAsyncIteration):
            await anext(messages)


# trouble


async def told(nc: Connection) -> list[Exception]:
    """The errors that the connection tells from now on."""
    errors: list[Exception] = []
    nc.set_callback("on_error", lambda _, __, error: errors.append(error))
    return errors


async def test_a_deleted_consumer_ends_it_behind_what_came(
    js: JetStream, stream: Stream, consumer: Consumer
) -> None:
    await fill(js, stream, 3)
    async with consumer.messages() as messages:
        await eventually(lambda: _is(lambda: _delivered(consumer), 3))
        await js.connection.flush()
        await stream.delete_consumer("c")
        assert await take(messages, 3) == [1, 2, 3]
        for _ in range(2):
            with pytest.raises(ConsumerDeletedError):
                await anext(messages)


async def test_a_deleted_stream_ends_it(js: JetStream) -> None:
    stream = await js.create_stream(StreamConfig(name="ENDS", subjects=["ends"]))
    consumer = await stream.create_consumer(ConsumerConfig(durable_name="c"))
    async with consumer.messages() as messages:
        waiting = asyncio.ensure_future(anext(messages))
        await eventually(lambda: _is(lambda: _waiting(consumer), 1))
        await js.delete_stream("ENDS")
        with pytest.raises(ConsumerDeletedError):
            await waiting


async def _waiting(consumer: Consumer) -> int:
    return (await consumer.info()).num_waiting


async def test_one_that_was_gone_before_ends_it(stream: Stream, consumer: Consumer) -> None:
    """An old server says nothing to the pull: silence is looked into."""
    await stream.delete_consumer("c")
    async with consumer.messages(expires=2.0, heartbeat=0.1) as messages:
        with pytest.raises(ConsumerDeletedError):
            await anext(messages)


@pytest.mark.parametrize(
    "status",
    [
        "409 Leadership Change",
        "409 Server Shutdown",
        "408 Request Timeout",
        "404 No Messages",
        "409 Exceeded MaxWaiting",
        "409 Something New",
        "423 Nats-Pin-Id mismatch",
        "503",
        "777 Odd",
    ],
)
async def test_what_voids_a_pull_is_survived(
    scripted: ScriptedConsumer, played: Connection, status: str
) -> None:
    consumer = await scripted.consumer(played)
    await told(played)

    def answer(index: int) -> None:
        if index < 3:
            scripted.status(status)
        else:
            scripted.send(1)

    scripted.pulled = answer
    async with consumer.messages() as messages:
        assert (await anext(messages)).data == b"1"
    assert len(scripted.pulls) == 4


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ("409 Consumer Deleted", ConsumerDeletedError),
        ("409 Consumer is push based", JetStreamError),
        ("400 Bad Request", JetStreamError),
        ("412 Required Api Level", JetStreamError),
    ],
)
async def test_what_will_never_be_served_ends_it(
    scripted: ScriptedConsumer, played: Connection, status: str, error: type[Exception]
) -> None:
    consumer = await scripted.consumer(played)
    scripted.pulled = lambda index: scripted.status(status)
    async with consumer.messages() as messages:
        with pytest.raises(error):
            await anext(messages)
    assert len(scripted.pulls) == 1


async def test_pulls_in_vain_are_never_a_hot_loop(
    scripted: ScriptedConsumer, played: Connection
) -> None:
    consumer = await scripted.consumer(played)
    scripted.pulled = lambda index: scripted.status("408 Request Timeout")
    async with consumer.messages() as messages:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(messages), 0.6)
    assert 3 <= len(scripted.pulls) <= 7


async def test_a_new_leader_is_told(scripted: ScriptedConsumer, played: Connection) -> None:
    errors = await told(played)
    consumer = await scripted.consumer(played)

    def answer(index: int) -> None:
        if index:
            scripted.send(1)
        else:
            scripted.status("409 Leadership Change")

    scripted.pulled = answer
    async with consumer.messages() as messages:
        await anext(messages)
    await eventually(lambda: errors)
    assert [type(error) for error in errors] == [ConsumerLeadershipChangedError]


@pytest.mark.parametrize(
    ("status", "field", "value"),
    [
        ("409 Exceeded MaxRequestBatch of 7", "batch", 7),
        ("409 Exceeded MaxRequestExpires of 1s", "expires", 1_000_000_000),
    ],
)
async def test_limits_are_told_once_and_kept(
    scripted: ScriptedConsumer, played: Connection, status: str, field: str, value: int
) -> None:
    errors = await told(played)
    consumer = await scripted.consumer(played)

    def answer(index: int) -> None:
        if scripted.pulls[index][field] > value:
            scripted.status(status)
        else:
            scripted.send(min(scripted.pulls[index]["batch"], 7))

    scripted.pulled = answer
    async with consumer.messages() as messages:
        for _ in range(7):
            await anext(messages)
    assert scripted.pulls[1][field] == value
    assert scripted.pulls[1]["idle_heartbeat"] * 2 <= scripted.pulls[1]["expires"]
    await eventually(lambda: errors)
    assert len(errors) == 1


async def test_silence_is_told_and_survived(scripted: ScriptedConsumer, played: Connection) -> None:
    errors = await told(played)
    consumer = await scripted.consumer(played)

    def answer(index: int) -> None:
        if index == 1:
            scripted.send(1)

    scripted.pulled = answer
    async with consumer.messages(expires=1.0, heartbeat=0.05) as messages:
        assert (await anext(messages)).data == b"1"
    await eventually(lambda: errors)
    assert [type(error) for error in errors] == [NoHeartbeatError]
    assert scripted.asked_info == 2  # the second by `consumer`, the first by this


async def test_heartbeats_keep_a_pull_alive(scripted: ScriptedConsumer, played: Connection) -> None:
    errors = await told(played)
    consumer = await scripted.consumer(played)
    async with consumer.messages(expires=10.0, heartbeat=0.05) as messages:
        waiting = asyncio.ensure_future(anext(messages))
        await eventually(lambda: scripted.pulls)
        for _ in range(10):
            scripted.status("100 Idle Heartbeat")
            await asyncio.sleep(0.05)  # why: the time between two heartbeats
        scripted.send(1)
        await waiting
    assert (len(scripted.pulls), errors) == (1, [])


@pytest.mark.server_only("the same loop would be blocked")
async def test_a_blocked_loop_is_no_silence(
    nc: Connection, js: JetStream, stream: Stream, consumer: Consumer
) -> None:
    errors = await told(nc)
    async with consumer.messages(expires=10.0, heartbeat=0.1) as messages:
        waiting = asyncio.ensure_future(anext(messages))
        await eventually(lambda: _is(lambda: _waiting(consumer), 1))
        for _ in range(3):
            time.sleep(0.5)  # noqa: ASYNC251  # why: the loop is blocked for five heartbeats
            await turns(5)
        await fill(js, stream, 1)
        await waiting
        assert (await consumer.info()).delivered.consumer_seq == 1
    assert errors == []


# the connection


async def test_cut_connections_lose_nothing(jetstream_server: NatsServer, js: JetStream) -> None:
    stream = await js.create_stream(StreamConfig(name="CUT", subjects=["cut.a"]))
    await stream.create_consumer(
        ConsumerConfig(durable_name="c", ack_wait=1.0, max_ack_pending=5000)
    )
    seen: dict[int, int] = {}
    async with (
        Proxy(jetstream_server.port) as proxy,
        connect(proxy.url, reconnect_wait=0.01) as nc,
    ):
        consumer = await (await JetStream(nc).stream("CUT")).consumer("c")

        async def read() -> None:
            async with consumer.messages(max_messages=50) as messages:
                async for msg in messages:
                    seq = msg.metadata.stream_seq
                    seen[seq] = seen.get(seq, 0) + 1
                    await msg.ack()
                    if len(seen) == 2000:
                        return

        reading = asyncio.create_task(read())
        for _ in range(4):
            await fill(js, stream, 500)
            proxy.cut()
            links = len(proxy.links)
            await eventually(lambda links=links: len(proxy.links) > links)  # type: ignore[misc]
        await asyncio.wait_for(reading, 60.0)
        assert sorted(seen) == list(range(1, 2001))
        # acks that were lost with a session: these are delivered again, and nothing else
        while (await consumer.info()).num_ack_pending:
            for msg in await consumer.fetch(100, timeout=0.5):
                assert msg.metadata.num_delivered > 1
                await msg.double_ack()
        await is_clean(consumer)
    await js.delete_stream("CUT")


async def test_closing_ends_it(jetstream_server: NatsServer, consumer: Consumer) -> None:
    async with connect(jetstream_server.url) as nc:
        there = await (await JetStream(nc).stream(consumer.stream_name)).consumer("c")
        async with there.messages() as messages:
            waiting = asyncio.ensure_future(anext(messages))
            await turns()
            await nc.close()
            with pytest.raises(ConnectionClosedError):
                await waiting
            with pytest.raises(ConnectionClosedError):
                await anext(messages)


async def test_a_drain_ends_it_and_gives_back_the_rest(
    jetstream_server: NatsServer, js: JetStream, stream: Stream, consumer: Consumer
) -> None:
    await fill(js, stream, 500)
    handled: list[int] = []
    begun = asyncio.Event()
    nc = await connect(jetstream_server.url)
    there = await (await JetStream(nc).stream(stream.name)).consumer("c")

    async def work() -> None:
        async with there.messages(max_messages=500) as messages:
            async for msg in messages:
                begun.set()
                await asyncio.sleep(0.05)  # why: a handler that is busy when the drain begins
                await msg.double_ack()
                handled.append(msg.metadata.stream_seq)

    worker = asyncio.create_task(work())
    await begun.wait()
    await eventually(lambda: _is(lambda: _delivered(consumer), 500))
    await nc.drain()
    await worker
    assert handled
    async with consumer.messages(max_messages=500) as messages:
        rest = await take(messages, 500 - len(handled))
    assert sorted(handled + rest) == list(range(1, 501))
    await is_clean(consumer)


async def test_a_drain_from_within_the_loop_ends_at_once(
    jetstream_server: NatsServer, js: JetStream, stream: Stream, consumer: Consumer
) -> None:
    await fill(js, stream, 2)
    nc = await connect(jetstream_server.url)
    there = await (await JetStream(nc).stream(stream.name)).consumer("c")
    async with asyncio.timeout(20.0), there.messages() as messages:
        async for msg in messages:
            await msg.ack()
            await nc.drain()
    assert nc.is_closed
    assert [msg.metadata.stream_seq for msg in await consumer.fetch(1, timeout=10.0)] == [2]
