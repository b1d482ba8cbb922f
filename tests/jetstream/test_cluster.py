"""Three servers: leaders killed and moved amid publishes and reads; domains behind a leaf."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from natsrpc.core import Connection, connect
from natsrpc.errors import NatsError, NatsTimeoutError
from natsrpc.jetstream import (
    ConsumerConfig,
    JetStream,
    KeyValue,
    KeyValueConfig,
    ObjectStoreConfig,
    StreamConfig,
    StreamInfo,
)
from natsrpc.testing import Cluster, NatsServer
from tests.core.harness import eventually

FAST: dict[str, Any] = {
    "reconnect_wait": 0.05,
    "reconnect_jitter": 0.0,
    "max_reconnect_attempts": -1,
}


def leader_of(cluster: Cluster, info: Any) -> NatsServer:
    assert info.cluster is not None
    return cluster.servers[int(info.cluster.leader.rpartition("-")[2])]


async def with_leader(js: JetStream, name: str) -> StreamInfo:
    """The facts of a stream once it has a leader."""
    found: list[StreamInfo] = []

    async def led() -> bool:
        try:
            info = await (await js.stream(name)).info()
        except NatsError:
            return False
        found.append(info)
        return info.cluster is not None and bool(info.cluster.leader)

    await eventually(led, 30.0)
    return found[-1]


@pytest.mark.slow
@pytest.mark.alone
async def test_leaders_are_killed_amid_publishes_and_reads(jetstream_cluster: Cluster) -> None:
    cluster, count = jetstream_cluster, 3000
    seen: dict[int, int] = {}
    async with connect(cluster.urls, **FAST) as nc:
        js = JetStream(nc, timeout=30.0)
        stream = await js.create_stream(
            StreamConfig(name="S", subjects=["s"], num_replicas=3, storage="file")
        )
        consumer = await stream.create_consumer(
            ConsumerConfig(durable_name="c", ack_wait=5.0, max_ack_pending=5000)
        )
        futures: list[asyncio.Future[Any]] = []

        async def publish() -> None:
            for number in range(count):
                futures.append(
                    await js.publish_async("s", b"%d" % number, msg_id=f"{number}", timeout=60.0)
                )
                if number % 20 == 0:
                    await asyncio.sleep(0.01)  # why: leaders go amid this

        async def read() -> None:
            async with consumer.messages(max_messages=200, heartbeat=1.0) as messages:
                async for msg in messages:
                    number = int(msg.data)
                    seen[number] = seen.get(number, 0) + 1
                    await msg.ack()
                    if len(seen) == count:
                        return

        tasks = [asyncio.create_task(publish()), asyncio.create_task(read())]
        await eventually(lambda: len(seen) >= 300, 30.0)
        leader = leader_of(cluster, await with_leader(js, "S"))
        leader.kill()
        await eventually(lambda: len(seen) >= 1000, 60.0)
        await asyncio.to_thread(leader.start)
        await nc.request("$JS.API.CONSUMER.LEADER.STEPDOWN.S.c", timeout=30.0)
        await nc.request("$JS.API.STREAM.LEADER.STEPDOWN.S", timeout=30.0)
        await asyncio.wait_for(asyncio.gather(*tasks), 90.0)
        acks = await asyncio.gather(*futures)
        assert len({ack.seq for ack in acks}) == count
        assert sorted(seen) == list(range(count))
        assert (await stream.info()).state.messages == count


@pytest.mark.slow
@pytest.mark.alone
async def test_a_publish_outlives_its_leader(jetstream_cluster: Cluster) -> None:
    """Nobody takes it for some seconds: it is sent again, and stored once."""
    cluster = jetstream_cluster
    async with connect(cluster.urls, **FAST) as nc:
        js = JetStream(nc)
        config = StreamConfig(name="S", subjects=["s"], num_replicas=3, storage="memory")
        stream = await js.create_stream(config)
        leader = leader_of(cluster, await with_leader(js, "S"))
        if nc.connected_url == leader.url:
            await nc.force_reconnect()
            await eventually(lambda: nc.is_connected and nc.connected_url != leader.url, 20.0)
        leader.kill()
        ack = await js.publish("s", b"1", msg_id="1", timeout=60.0)
        assert ack.stream == "S"
        assert (await with_leader(js, "S")).state.messages == 1
        assert stream.name == "S"


async def put(kv: KeyValue, key: str) -> int:
    """Put a key, again where no answer came."""
    while True:
        try:
            return await kv.put(key, b"")
        except NatsTimeoutError:
            continue


@pytest.mark.slow
@pytest.mark.alone
async def test_a_watch_and_an_ordered_reader_outlive_leaders(jetstream_cluster: Cluster) -> None:
    cluster = jetstream_cluster
    async with connect(cluster.urls, **FAST) as nc:
        js = JetStream(nc, timeout=10.0)
        config = KeyValueConfig(bucket="b", replicas=3, storage="memory", history=2)
        kv = await js.create_key_value(config)
        stream = await js.stream("KV_b")
        ordered = await stream.ordered_consumer()
        revisions: list[int] = []
        read: list[int] = []
        async with (
            kv.watch() as watcher,
            ordered.messages(expires=4.0, heartbeat=0.5) as messages,
        ):
            assert await anext(watcher) is None
            for round_ in range(3):
                for number in range(40):
                    last = await put(kv, f"k{round_}.{number}")
                while not revisions or revisions[-1] < last:
                    entry = await asyncio.wait_for(anext(watcher), 60.0)
                    assert entry is not None
                    revisions.append(entry.revision)
                while not read or read[-1] < last:
                    msg = await asyncio.wait_for(anext(messages), 60.0)
                    read.append(msg.metadata.stream_seq)
                if round_ == 0:
                    await nc.request("$JS.API.STREAM.LEADER.STEPDOWN.KV_b", timeout=30.0)
                elif round_ == 1:
                    leader_of(cluster, await with_leader(js, "KV_b")).kill()
        assert revisions == list(range(1, last + 1))
        assert read == revisions


@pytest.mark.slow
@pytest.mark.alone
async def test_ids_in_flight_are_stored_once(jetstream_cluster: Cluster) -> None:
    async with connect(jetstream_cluster.urls) as nc:
        js = JetStream(nc)
        await js.create_stream(StreamConfig(name="S", subjects=["s"], num_replicas=3))
        for number in range(20):
            acks = await asyncio.gather(*(js.publish("s", msg_id=f"{number}") for _ in range(8)))
            assert {ack.seq for ack in acks} == {number + 1}
        assert (await with_leader(js, "S")).state.messages == 20


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize("left", ["leader", "follower"])
async def test_a_server_in_lame_duck_mode_is_left_without_a_loss(
    jetstream_cluster: Cluster, left: str
) -> None:
    """While a follower is left, both servers bring answers: no ack is lost, without any id.

    A leader that steps down may store what is in flight and tell nobody, so there each message has
    an id and is published again until its ack is there.
    """
    cluster, count = jetstream_cluster, 2000
    async with connect(cluster.urls, **FAST) as nc:
        js = JetStream(nc, timeout=30.0)
        config = StreamConfig(name="S", subjects=["s"], num_replicas=3, storage="memory")
        leader = leader_of(cluster, (await js.create_stream(config)).cached_info)
    server = next(each for each in cluster.servers if (each is leader) == (left == "leader"))
    async with connect(server.url, **FAST) as nc:
        js = JetStream(nc, timeout=30.0)
        stream = await js.stream("S")
        consumer = await stream.create_consumer(
            ConsumerConfig(durable_name="c", ack_wait=10.0, max_ack_pending=5000)
        )
        seen: set[int] = set()

        async def read() -> None:
            async with consumer.messages(max_messages=100, heartbeat=1.0) as messages:
                async for msg in messages:
                    await msg.ack()
                    seen.add(int(msg.data))
                    if len(seen) == count:
                        return

        async def publish(number: int) -> int:
            body = b"%d" % number
            if left == "follower":
                return (await js.publish("s", body, timeout=60.0)).seq
            while True:
                try:
                    return (await js.publish("s", body, msg_id=str(number), timeout=3.0)).seq
                except NatsTimeoutError:
                    continue

        reading = asyncio.create_task(read())
        publishing = []
        for number in range(count):
            publishing.append(asyncio.create_task(publish(number)))
            if number == 500:
                server.lame_duck()
            if number % 20 == 0:
                await asyncio.sleep(0.01)  # why: the server is left amid this
        seqs = await asyncio.gather(*publishing)
        await eventually(lambda: nc.is_connected and nc.connected_url != server.url, 20.0)
        assert len(set(seqs)) == count
        await asyncio.wait_for(reading, 60.0)
        assert (await stream.info()).state.messages == count


# domains

HUB = """
jetstream { domain: hub, store_dir: "%s" }
leafnodes { listen: "127.0.0.1:-1" }
"""
LEAF = """
jetstream { domain: leaf, store_dir: "%s" }
leafnodes { remotes: [{url: "nats://127.0.0.1:%d"}] }
"""


@pytest.fixture
def leaf(tmp_path: Any) -> Iterator[NatsServer]:
    """A server with a domain of its own, behind a hub with another."""
    with NatsServer(HUB % (tmp_path / "hub")) as hub:
        port = leaf_port(hub)
        with NatsServer(LEAF % (tmp_path / "leaf", port)) as server:
            yield server


def leaf_port(server: NatsServer) -> int:
    for path in server.folder.glob("*.ports"):
        ports = json.loads(path.read_text(encoding="utf-8"))
        if ports.get("leafnodes"):
            return int(ports["leafnodes"][0].rpartition(":")[2])
    (line,) = [line for line in server.log.splitlines() if "leafnode connections on" in line]
    return int(line.rpartition(":")[2])


async def hub_is_there(js: JetStream) -> bool:
    try:
        return (await js.account_info()).domain == "hub"
    except NatsError:
        return False


@pytest.mark.live
async def test_a_domain_behind_a_leaf(leaf: NatsServer) -> None:
    async with connect(leaf.url) as nc:
        js, here = JetStream(nc, domain="hub"), JetStream(nc)
        await eventually(lambda: hub_is_there(js), 20.0)
        assert (await here.account_info()).domain == "leaf"
        stream = await js.create_stream(StreamConfig(name="S", subjects=["only.hub"]))
        assert [name async for name in here.stream_names()] == []
        ack = await js.publish("only.hub", b"1")
        assert (ack.stream, ack.domain) == ("S", "hub")
        consumer = await stream.create_consumer(ConsumerConfig(durable_name="c"))
        msg = await consumer.next()
        await msg.double_ack()
        async with consumer.messages() as messages:
            await js.publish("only.hub", b"2")
            assert (await anext(messages)).data == b"2"
        ordered = await stream.ordered_consumer()
        assert [msg.data for msg in await ordered.fetch(2)] == [b"1", b"2"]
        assert (await stream.get_msg(1)).data == b"1"


@pytest.mark.live
async def test_buckets_and_stores_in_a_domain(leaf: NatsServer) -> None:
    async with connect(leaf.url) as nc:
        js = JetStream(nc, domain="hub")
        await eventually(lambda: hub_is_there(js), 20.0)
        kv = await js.create_key_value(KeyValueConfig(bucket="b"))
        await kv.put("a", b"1")
        assert (await kv.get("a")).value == b"1"
        await kv.update("a", b"2", last=1)
        assert await kv.keys() == ["a"]
        async with kv.watch() as watcher:
            entry = await anext(watcher)
            assert entry is not None
            assert (entry.key, entry.revision) == ("a", 2)
        await kv.delete("a")
        store = await js.create_object_store(ObjectStoreConfig(bucket="o"))
        await store.put("f", b"x" * 5000, chunk_size=1000)
        assert await store.get_bytes("f") == b"x" * 5000
        await store.delete("f")


async def raw_ack_subjects(nc: Connection) -> list[str]:
    subjects: list[str] = []
    await nc.subscribe("$JS.ACK.>", cb=lambda msg: subjects.append(msg.subject))
    return subjects


ACKS_V2 = 'jetstream { domain: hub, store_dir: "%s" }\nfeature_flags { js_ack_fc_v2: true }\n'


@pytest.mark.live
@pytest.mark.server_only("a server of its own has the option")
async def test_ack_subjects_with_a_domain(tmp_path: Any, level: int) -> None:
    if level < 5:  # older servers do not know the option
        return
    async with NatsServer(ACKS_V2 % tmp_path) as server, connect(server.url) as nc:
        subjects = await raw_ack_subjects(nc)
        js = JetStream(nc)
        stream = await js.create_stream(StreamConfig(name="S", subjects=["s"]))
        consumer = await stream.create_consumer(ConsumerConfig(durable_name="c"))
        await js.publish("s", b"1")
        msg = await consumer.next()
        assert len(msg.reply.split(".")) >= 11
        facts = msg.metadata
        assert (facts.stream, facts.consumer, facts.stream_seq) == ("S", "c", 1)
        await msg.double_ack()
        assert subjects == [msg.reply]
        ordered = await stream.ordered_consumer()
        async with ordered.messages() as messages:
            assert (await anext(messages)).metadata.stream_seq == 1
