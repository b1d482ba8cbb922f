"""Fetches: what they give, when they end, and what stays behind."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from natsrpc.core import Connection, connect
from natsrpc.errors import (
    BadTimeoutError,
    ConfigError,
    ConnectionClosedError,
    ConsumerDeletedError,
    JetStreamError,
    NatsTimeoutError,
    NoHeartbeatError,
    PermissionsError,
)
from natsrpc.jetstream import Consumer, ConsumerConfig, JetStream, Stream, StreamConfig
from natsrpc.testing import NatsServer
from tests.core.harness import eventually
from tests.core.harness.proxy import Proxy
from tests.jetstream.consuming.scripted import ScriptedConsumer


@pytest.fixture
async def consumer(stream: Stream) -> Consumer:
    return await stream.create_consumer(ConsumerConfig(durable_name="c"))


async def fill(js: JetStream, stream: Stream, count: int, size: int = 0) -> None:
    futures = [
        await js.publish_async(f"{stream.name.lower()}.a", b"%d" % number + bytes(size))
        for number in range(count)
    ]
    await asyncio.gather(*futures)


async def no_pull_waits(consumer: Consumer) -> None:
    async def none() -> bool:
        return (await consumer.info()).num_waiting == 0

    await eventually(none)


async def test_it_gives_what_is_there_in_order(
    js: JetStream, stream: Stream, consumer: Consumer
) -> None:
    await fill(js, stream, 250)
    got = [*await consumer.fetch(100), *await consumer.fetch(100), *await consumer.fetch(50)]
    assert [int(msg.data) for msg in got] == list(range(250))


async def test_it_waits_for_all_or_for_its_time(
    js: JetStream, stream: Stream, consumer: Consumer
) -> None:
    await fill(js, stream, 3)
    fetching = asyncio.create_task(consumer.fetch(5, timeout=30.0))

    async def pulled() -> bool:
        return (await consumer.info()).num_ack_pending == 3

    await eventually(pulled)
    assert not fetching.done()
    await fill(js, stream, 2)
    assert len(await fetching) == 5
    assert await consumer.fetch(5, timeout=0.05) == []
    await fill(js, stream, 1)
    assert len(await consumer.fetch(5, timeout=0.2)) == 1


async def test_without_waiting_it_gives_what_is_there(
    js: JetStream, stream: Stream, consumer: Consumer
) -> None:
    assert await consumer.fetch(5, no_wait=True) == []
    await fill(js, stream, 7)
    assert len(await consumer.fetch(5, no_wait=True)) == 5
    assert len(await consumer.fetch(5, no_wait=True)) == 2
    assert await consumer.fetch(5, no_wait=True) == []


async def test_bytes_bound_it(js: JetStream, stream: Stream, consumer: Consumer) -> None:
    await fill(js, stream, 20, size=1000)
    first = await consumer.fetch(20, max_bytes=5000, timeout=30.0)
    assert 3 <= len(first) <= 4
    rest = await consumer.fetch(20, max_bytes=1_000_000, timeout=0.3)
    assert len(first) + len(rest) == 20
    await fill(js, stream, 1, size=5000)
    with pytest.raises(JetStreamError, match=r"(?i)message size exceeds") as caught:
        await consumer.fetch(1, max_bytes=1000)
    assert caught.value.code == 409
    assert len(await consumer.fetch(1)) == 1


async def test_one_that_found_nothing_eats_no_later_message(
    js: JetStream, stream: Stream, consumer: Consumer
) -> None:
    for _ in range(3):
        assert await consumer.fetch(10, timeout=0.05) == []
    await no_pull_waits(consumer)
    await fill(js, stream, 3)
    msgs = await consumer.fetch(3)
    assert [msg.metadata.num_delivered for msg in msgs] == [1, 1, 1]


async def test_next(js: JetStream, stream: Stream, consumer: Consumer) -> None:
    with pytest.raises(NatsTimeoutError, match=r"no message of consumer .*/c within 0\.05 s"):
        await consumer.next(timeout=0.05)
    waiting = asyncio.create_task(consumer.next(timeout=30.0))
    await fill(js, stream, 1)
    assert (await waiting).data == b"0"


async def test_a_cancelled_one_gives_back_what_came(
    js: JetStream, stream: Stream, consumer: Consumer
) -> None:
    await fill(js, stream, 3)
    fetching = asyncio.create_task(consumer.fetch(5, timeout=30.0))

    async def pulled() -> bool:
        return (await consumer.info()).num_ack_pending == 3

    await eventually(pulled)
    fetching.cancel()
    await asyncio.wait({fetching})
    msgs = await consumer.fetch(3)
    assert [msg.metadata.num_delivered for msg in msgs] == [2, 2, 2]
    await no_pull_waits(consumer)


@pytest.mark.parametrize("options", [{}, {"max_bytes": 100_000}])
async def test_a_cancelled_one_gives_back_what_is_on_its_way(
    scripted: ScriptedConsumer, played: Connection, options: Any
) -> None:
    words: list[bytes] = []
    await scripted.nc.subscribe("$JS.ACK.>", cb=lambda msg: words.append(msg.data))
    consumer = await scripted.consumer(played)
    fetching = asyncio.create_task(consumer.fetch(100, timeout=30.0, **options))
    await eventually(lambda: scripted.pulls)
    fetching.cancel()
    scripted.send(5)
    await asyncio.wait({fetching})
    await eventually(lambda: words == [b"-NAK"] * 5)


async def test_many_at_once_share_by_message(
    js: JetStream, stream: Stream, consumer: Consumer
) -> None:
    fetches = [asyncio.create_task(consumer.fetch(10, timeout=30.0)) for _ in range(10)]
    await fill(js, stream, 100)
    got = [int(msg.data) for task in fetches for msg in await task]
    assert sorted(got) == list(range(100))
    await no_pull_waits(consumer)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"batch": 0}, ConfigError),
        ({"batch": -1}, ConfigError),
        ({"batch": 1.5}, ConfigError),
        ({"batch": True}, ConfigError),
        ({"max_bytes": 0}, ConfigError),
        ({"timeout": 0}, BadTimeoutError),
        ({"timeout": None}, BadTimeoutError),
        ({"heartbeat": 3.0}, ConfigError),
        ({"heartbeat": 0}, BadTimeoutError),
        ({"heartbeat": 1.0, "no_wait": True}, ConfigError),
        ({"group": "g", "priority": 10}, ConfigError),
        ({"min_pending": 1}, ConfigError),
        ({"min_ack_pending": 1}, ConfigError),
        ({"priority": 1}, ConfigError),
    ],
)
async def test_what_cannot_be_asked_for_is_refused(
    consumer: Consumer, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await consumer.fetch(**{"batch": 5, **options})
    assert (await consumer.info()).num_waiting == 0


async def test_the_wire_of_a_pull(scripted: ScriptedConsumer, played: Connection) -> None:
    consumer = await scripted.consumer(played)
    scripted.pulled = lambda index: scripted.status("404 No Messages")
    await consumer.fetch(7, timeout=2.5)
    await consumer.fetch(7, no_wait=True)
    await consumer.fetch(7, timeout=20.0, max_bytes=1000)
    await consumer.fetch(7, timeout=2.0, heartbeat=0.5)
    assert scripted.pulls[1] == {"batch": 7, "no_wait": True}
    assert scripted.pulls[2]["max_bytes"] == 1000
    assert scripted.pulls[2]["idle_heartbeat"] == 5_000_000_000
    assert scripted.pulls[3]["idle_heartbeat"] == 500_000_000
    assert set(scripted.pulls[0]) == {"batch", "expires"}
    expires = scripted.pulls[0]["expires"]
    assert isinstance(expires, int)
    assert 2_400_000_000 < expires <= 2_500_000_000
    assert scripted.inboxes[0] == scripted.inboxes[1] == scripted.inboxes[3]
    assert scripted.inboxes[2] != scripted.inboxes[0]  # one that is bounded by bytes may end late


async def test_an_inbox_serves_fetches_that_follow_each_other_and_then_goes(
    scripted: ScriptedConsumer, played: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("natsrpc.jetstream.consuming.pull._REST", 0.05)
    consumer = await scripted.consumer(played)
    scripted.pulled = lambda index: scripted.send(1)
    for _ in range(3):
        assert len(await consumer.fetch(1)) == 1
    assert len(set(scripted.inboxes)) == 1
    assert len(played.subscriptions) == 1
    await eventually(lambda: not played.subscriptions)
    assert len(await consumer.fetch(1)) == 1
    assert len(set(scripted.inboxes)) == 2


async def test_what_comes_to_an_inbox_that_rests_is_given_back(
    scripted: ScriptedConsumer, played: Connection
) -> None:
    words: list[bytes] = []
    await scripted.nc.subscribe("$JS.ACK.>", cb=lambda msg: words.append(msg.data))
    consumer = await scripted.consumer(played)
    scripted.pulled = lambda index: scripted.send(1)
    assert len(await consumer.fetch(1)) == 1
    scripted.send(1)
    await eventually(lambda: words)
    assert words == [b"-NAK"]


async def test_an_inbox_whose_pull_has_no_end_is_not_taken_again(
    scripted: ScriptedConsumer, played: Connection
) -> None:
    consumer = await scripted.consumer(played)
    fetching = asyncio.create_task(consumer.fetch(2, timeout=30.0))
    await eventually(lambda: scripted.pulls)
    fetching.cancel()
    await asyncio.wait({fetching})
    scripted.send(1)  # into the inbox that ended
    scripted.pulled = lambda index: scripted.send(1)
    assert [msg.data for msg in await consumer.fetch(1)] == [b"2"]
    assert len(set(scripted.inboxes)) == 2


# messages and statuses


async def test_a_publishers_status_line_is_data(
    nc: Connection, js: JetStream, stream: Stream, consumer: Consumer
) -> None:
    subject = f"{stream.name.lower()}.a".encode()
    for block in (
        b"NATS/1.0 503 Fake\r\n\r\n",
        b"NATS/1.0 404 No Messages\r\nStatus: 404\r\n\r\n",
        b"NATS/1.0 409 Consumer Deleted\r\n\r\n",
        b"NATS/1.0\r\nStatus: 408\r\nDescription: Request Timeout\r\n\r\n",
    ):
        nc.link.send(subject, b"", b"", block)
    await nc.flush()
    assert [msg.data for msg in await consumer.fetch(4)] == [b""] * 4
    async with consumer.messages() as messages:
        await js.publish(subject.decode(), b"last")
        assert (await anext(messages)).data == b"last"


@pytest.mark.parametrize(
    "status",
    ["408 Request Timeout", "409 Batch Completed", "404 No Messages"],
)
async def test_what_ends_a_pull_ends_it_with_what_came(
    scripted: ScriptedConsumer, played: Connection, status: str
) -> None:
    consumer = await scripted.consumer(played)

    def answer(index: int) -> None:
        scripted.status("100 Idle Heartbeat")
        scripted.send(3)
        scripted.status(status)

    scripted.pulled = answer
    assert len(await consumer.fetch(5, timeout=30.0)) == 3
    assert len(scripted.pulls) == 1


async def test_a_void_pull_is_made_good_for_the_rest(
    scripted: ScriptedConsumer, played: Connection
) -> None:
    consumer = await scripted.consumer(played)

    def answer(index: int) -> None:
        scripted.send(2)
        scripted.status(("409 Leadership Change", "409 Server Shutdown", "404 No Messages")[index])

    scripted.pulled = answer
    assert len(await consumer.fetch(9, timeout=30.0)) == 6
    assert [pull["batch"] for pull in scripted.pulls] == [9, 7, 5]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ("409 Consumer Deleted", ConsumerDeletedError),
        ("409 Consumer is push based", JetStreamError),
        ("409 Exceeded MaxRequestBatch of 2", JetStreamError),
        ("409 Something New", JetStreamError),
        ("400 Bad Request", JetStreamError),
        ("412 Required Api Level", JetStreamError),
        ("777 Odd", JetStreamError),
    ],
)
async def test_what_will_never_be_served_is_raised_unless_something_came(
    scripted: ScriptedConsumer, played: Connection, status: str, error: type[Exception]
) -> None:
    consumer = await scripted.consumer(played)
    scripted.pulled = lambda index: scripted.status(status)
    with pytest.raises(error) as caught:
        await consumer.fetch(5, timeout=30.0)
    assert isinstance(caught.value, JetStreamError)
    assert str(caught.value.code) == status[:3]

    def something(index: int) -> None:
        scripted.send(1)
        scripted.status(status)

    scripted.pulled = something
    assert len(await consumer.fetch(5, timeout=30.0)) == 1


async def test_too_many_pulls_are_tried_again_and_never_in_a_hot_loop(
    scripted: ScriptedConsumer, played: Connection
) -> None:
    consumer = await scripted.consumer(played)
    scripted.pulled = lambda index: scripted.status("409 Exceeded MaxWaiting")
    assert await consumer.fetch(5, timeout=0.5) == []
    assert 2 <= len(scripted.pulls) <= 5


async def test_nobody_there_is_looked_into(scripted: ScriptedConsumer, played: Connection) -> None:
    consumer = await scripted.consumer(played)

    def answer(index: int) -> None:
        if index:
            scripted.send(5)
        else:
            scripted.status("503")

    scripted.pulled = answer
    assert len(await consumer.fetch(5, timeout=30.0)) == 5  # it was only out of reach
    scripted.info = {"error": {"code": 404, "err_code": 10014, "description": "not found"}}
    scripted.pulled = lambda index: scripted.status("503")
    with pytest.raises(ConsumerDeletedError) as caught:
        await consumer.fetch(5, timeout=30.0)
    assert caught.value.err_code == 10014


async def test_silence_is_told(scripted: ScriptedConsumer, played: Connection) -> None:
    consumer = await scripted.consumer(played)
    with pytest.raises(NoHeartbeatError):
        await consumer.fetch(5, timeout=30.0, heartbeat=0.05)
    # once something came, the rest is asked for again
    scripted.pulled = lambda index: scripted.send(1)
    assert len(await consumer.fetch(3, timeout=30.0, heartbeat=0.05)) == 3
    assert [pull["batch"] for pull in scripted.pulls] == [5, 3, 2, 1]


async def test_a_consumer_that_is_gone_is_told(
    js: JetStream, stream: Stream, consumer: Consumer
) -> None:
    waiting = asyncio.create_task(consumer.fetch(1, timeout=30.0))

    async def pulled() -> bool:
        return (await consumer.info()).num_waiting == 1

    await eventually(pulled)
    await stream.delete_consumer("c")
    with pytest.raises(ConsumerDeletedError):
        await waiting
    with pytest.raises(ConsumerDeletedError):  # no pull was out: an old server says nothing
        await consumer.fetch(1, timeout=0.5)


async def test_a_stream_that_is_gone_is_told(js: JetStream) -> None:
    stream = await js.create_stream(StreamConfig(name="GONE", subjects=["gone"]))
    consumer = await stream.create_consumer(ConsumerConfig(durable_name="c"))
    await js.delete_stream("GONE")
    with pytest.raises(ConsumerDeletedError):
        await consumer.fetch(1, timeout=0.5)


@pytest.mark.server_only("push consumers")
async def test_a_push_consumer_is_told(stream: Stream) -> None:
    consumer = await stream.create_consumer(
        ConsumerConfig(durable_name="pushed", deliver_subject="pushed.here")
    )
    with pytest.raises(JetStreamError, match=r"(?i)push based"):
        await consumer.fetch(1)


# the connection


async def test_a_reconnect_is_survived(jetstream_server: NatsServer, js: JetStream) -> None:
    stream = await js.create_stream(StreamConfig(name="RECON", subjects=["recon.a"]))
    await stream.create_consumer(ConsumerConfig(durable_name="c"))
    async with (
        Proxy(jetstream_server.port) as proxy,
        connect(proxy.url, reconnect_wait=0.01) as nc,
    ):
        consumer = await (await JetStream(nc).stream("RECON")).consumer("c")
        fetching = asyncio.create_task(consumer.fetch(4, timeout=30.0))
        await fill(js, stream, 2)

        async def pulled() -> bool:
            return (await consumer.info()).num_ack_pending == 2

        await eventually(pulled)
        await eventually(lambda: proxy.links[0].down.count(b"MSG recon.a ") == 2)
        await nc.flush()  # what was counted at the server, and passed on, is here
        proxy.cut()
        await eventually(lambda: len(proxy.links) == 2)
        await fill(js, stream, 2)
        msgs = await fetching
        assert sorted(msg.metadata.stream_seq for msg in msgs) == [1, 2, 3, 4]
    await js.delete_stream("RECON")


async def test_a_fetch_begun_while_reconnecting_waits(
    jetstream_server: NatsServer, js: JetStream
) -> None:
    stream = await js.create_stream(StreamConfig(name="LATER", subjects=["later.a"]))
    await stream.create_consumer(ConsumerConfig(durable_name="c"))
    await fill(js, stream, 1)
    async with (
        Proxy(jetstream_server.port) as proxy,
        connect(proxy.url, reconnect_wait=0.01) as nc,
    ):
        consumer = await (await JetStream(nc).stream("LATER")).consumer("c")
        proxy.refuse()
        proxy.cut()
        await eventually(lambda: nc.is_reconnecting)
        fetching = asyncio.create_task(consumer.fetch(1, timeout=30.0))
        assert await consumer.fetch(1, timeout=0.01, no_wait=True) == []
        await proxy.listen()
        assert len(await fetching) == 1
    await js.delete_stream("LATER")


async def test_closing_ends_it(jetstream_server: NatsServer, consumer: Consumer) -> None:
    async with connect(jetstream_server.url) as nc:
        stream = await JetStream(nc).stream(consumer.stream_name)
        there = await stream.consumer("c")
        waiting = asyncio.create_task(there.fetch(1, timeout=30.0))
        await asyncio.sleep(0)
        await nc.close()
        with pytest.raises(ConnectionClosedError):
            await waiting
        with pytest.raises(ConnectionClosedError):
            await there.fetch(1)
        async with there.messages() as messages:
            with pytest.raises(ConnectionClosedError):
                await anext(messages)


DENIED = """
authorization { users = [{user: u, password: u, permissions: {
    publish: {deny: ["$JS.API.CONSUMER.MSG.NEXT.S.c"]}
}}] }
"""


@pytest.mark.live
async def test_a_pull_that_the_server_denies_is_told() -> None:
    async with (
        NatsServer(DENIED, jetstream=True) as server,
        connect(server.url, user="u", password="u", on_error=lambda *_: None) as nc,
    ):
        stream = await JetStream(nc).create_stream(StreamConfig(name="S", subjects=["s"]))
        consumer = await stream.create_consumer(ConsumerConfig(durable_name="c"))
        with pytest.raises(PermissionsError):
            await consumer.fetch(1, timeout=30.0)
        async with consumer.messages() as messages:
            with pytest.raises(PermissionsError):
                await anext(messages)
