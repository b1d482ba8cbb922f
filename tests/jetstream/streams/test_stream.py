"""What a stream holds, and the consumers that are made on it."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from natsrpc.core import Connection
from natsrpc.errors import (
    ConfigError,
    ConfigTypeError,
    ConsumerNameInUseError,
    ConsumerNotFoundError,
    JetStreamError,
)
from natsrpc.jetstream import ConsumerConfig, JetStream, Stream, StreamConfig


async def fill(js: JetStream, stream: Stream, *tokens: str) -> None:
    for token in tokens:
        await js.publish(f"{stream.name.lower()}.{token}", token.encode())


async def test_its_facts(js: JetStream, stream: Stream) -> None:
    await fill(js, stream, "a", "b", "a", "c")
    await stream.delete_msg(2)
    plain = await stream.info()
    assert stream.cached_info is plain
    assert (plain.state.messages, plain.state.last_seq) == (3, 4)
    assert (plain.state.subjects, plain.state.deleted) == ({}, ())
    full = await stream.info(subjects_filter=">", deleted_details=True)
    prefix = stream.name.lower()
    assert full.state.subjects == {f"{prefix}.a": 2, f"{prefix}.c": 1}
    assert list(full.state.deleted) == [2]
    assert (await stream.info(subjects_filter=f"{prefix}.x")).state.subjects == {}
    assert full.state.first_ts is not None
    assert abs(datetime.now(UTC) - full.state.first_ts) < timedelta(minutes=5)


async def test_purging(js: JetStream, stream: Stream) -> None:
    prefix = stream.name.lower()
    await fill(js, stream, *"aabbcc")
    assert await stream.purge(subject=f"{prefix}.a") == 2
    assert await stream.purge(subject=f"{prefix}.b", keep=1) == 1
    assert await stream.purge(sequence=6) == 2
    assert (await stream.get_msg(6)).data == b"c"
    assert await stream.purge() == 1
    with pytest.raises(ConfigError, match="either sequence= or keep="):
        await stream.purge(sequence=1, keep=1)


async def test_deleting_a_message(js: JetStream, stream: Stream) -> None:
    await fill(js, stream, "a", "b")
    await stream.delete_msg(1)
    await stream.delete_msg(2, secure=True)
    assert (await stream.info()).state.messages == 0
    with pytest.raises(JetStreamError) as caught:
        await stream.delete_msg(1)
    assert caught.value.err_code == 10043


@pytest.mark.parametrize("secure", [False, True])
async def test_only_a_secure_deletion_erases(nc: Connection, secure: bool) -> None:
    """On the wire the flag says the opposite."""
    asked: list[bytes] = []

    async def take(msg: Any) -> None:
        asked.append(msg.data)
        await msg.respond(b'{"config": {"name": "S"}}')

    await nc.subscribe("wire.>", cb=take)
    stream = await JetStream(nc, api_prefix="wire").stream("S")
    await stream.delete_msg(7, secure=secure)
    assert asked[-1] == b'{"seq": 7, "no_erase": %s}' % (b"false" if secure else b"true")


# consumers


async def test_a_consumer_is_what_it_was_asked_to_be(stream: Stream) -> None:
    prefix = stream.name.lower()
    config = ConsumerConfig(
        durable_name="all",
        description="all of it",
        deliver_policy="by_start_sequence",
        opt_start_seq=5,
        ack_policy="explicit",
        max_deliver=4,
        backoff=[1.0, 2.5],
        filter_subjects=[f"{prefix}.a", f"{prefix}.b.>"],
        replay_policy="instant",
        sample_freq="50%",
        max_waiting=7,
        max_ack_pending=9,
        headers_only=True,
        max_batch=100,
        max_expires=60.0,
        max_bytes=1_000_000,
        inactive_threshold=3600.0,
        num_replicas=1,
        mem_storage=True,
        metadata={"team": "billing"},
    )
    consumer = await stream.create_consumer(config)
    got = consumer.cached_info.config
    for field in dataclasses.fields(ConsumerConfig):
        asked = getattr(config, field.name)
        if asked is None or field.name in ("extra", "metadata"):
            continue
        found = getattr(got, field.name)
        assert (list(found) if isinstance(asked, list) else found) == asked, field.name
    assert got.ack_wait == 1.0  # the first of backoff
    assert (consumer.name, consumer.stream_name) == ("all", stream.name)
    assert await consumer.info() is consumer.cached_info


async def test_by_default_acks_are_explicit(stream: Stream) -> None:
    consumer = await stream.create_consumer(ConsumerConfig(durable_name="c"))
    assert consumer.cached_info.config.ack_policy == "explicit"


async def test_starting_at_a_time(js: JetStream, stream: Stream) -> None:
    await fill(js, stream, "a", "b")
    second = (await stream.get_msg(2)).time
    config = ConsumerConfig(deliver_policy="by_start_time", opt_start_time=second)
    consumer = await stream.create_consumer(config)
    # a time is cut to microseconds here, so it is that of the second or just before
    assert [msg.data for msg in await consumer.fetch(5, no_wait=True)] == [b"b"]


async def test_one_without_a_name_has_one_and_goes(stream: Stream) -> None:
    consumer = await stream.create_consumer(ConsumerConfig(inactive_threshold=0.1))
    assert consumer.name
    with pytest.raises(ConsumerNotFoundError):
        while True:
            await consumer.info()
            await asyncio.sleep(0.05)  # why: between two looks at the server


async def test_another_of_the_same_name_is_refused(stream: Stream) -> None:
    config = ConsumerConfig(durable_name="c", max_ack_pending=5)
    await stream.create_consumer(config)
    await stream.create_consumer(config)
    with pytest.raises(ConsumerNameInUseError) as caught:
        await stream.create_consumer(dataclasses.replace(config, max_ack_pending=6))
    assert caught.value.err_code == 10148


async def test_an_update_changes_what_is_set(stream: Stream) -> None:
    prefix = stream.name.lower()
    made = await stream.create_consumer(
        ConsumerConfig(durable_name="c", filter_subjects=[f"{prefix}.a"], ack_wait=12.0)
    )
    config = made.cached_info.config
    assert config.filters == (f"{prefix}.a",)
    changed = await stream.update_consumer(dataclasses.replace(config, max_ack_pending=6))
    assert changed.cached_info.config.max_ack_pending == 6
    assert changed.cached_info.config.filters == (f"{prefix}.a",)
    assert changed.cached_info.config.ack_wait == 12.0
    two = [f"{prefix}.a", f"{prefix}.b"]
    changed = await stream.update_consumer(
        dataclasses.replace(changed.cached_info.config, filter_subjects=two)
    )
    assert changed.cached_info.config.filters == tuple(two)
    one = ConsumerConfig(durable_name="c", filter_subject=f"{prefix}.c")
    changed = await stream.update_consumer(one)
    assert changed.cached_info.config.filters == (f"{prefix}.c",)
    changed = await stream.update_consumer(ConsumerConfig(durable_name="c", filter_subjects=[]))
    assert changed.cached_info.config.filters == ()
    assert changed.cached_info.config.max_ack_pending == 6


async def test_what_cannot_be_updated_is_refused(stream: Stream) -> None:
    await stream.create_consumer(ConsumerConfig(durable_name="c"))
    with pytest.raises(JetStreamError) as caught:
        await stream.update_consumer(ConsumerConfig(durable_name="c", ack_policy="none"))
    assert caught.value.err_code == 10012
    with pytest.raises(ConsumerNotFoundError):
        await stream.update_consumer(ConsumerConfig(durable_name="other"))
    with pytest.raises(ConfigError, match="with its name"):
        await stream.update_consumer(ConsumerConfig())


async def test_filters_are_given_in_one_way(stream: Stream) -> None:
    both = ConsumerConfig(durable_name="c", filter_subject="a", filter_subjects=["b", "c"])
    with pytest.raises(ConfigError, match="filter_subjects= alone"):
        await stream.create_consumer(both)
    await stream.create_consumer(ConsumerConfig(durable_name="c"))
    with pytest.raises(ConfigError, match="filter_subjects= alone"):
        await stream.update_consumer(both)
    with pytest.raises(ConfigTypeError):
        await stream.create_consumer({"durable_name": "c"})  # type: ignore[arg-type]


async def test_create_or_update_a_consumer(stream: Stream) -> None:
    config = ConsumerConfig(durable_name="c", max_ack_pending=5)
    first = await stream.create_or_update_consumer(config)
    again = await stream.create_or_update_consumer(dataclasses.replace(config, max_ack_pending=6))
    assert first.cached_info.created == again.cached_info.created
    assert again.cached_info.config.max_ack_pending == 6
    unnamed = await stream.create_or_update_consumer(ConsumerConfig())
    assert unnamed.name not in ("", "c")


async def test_consumers_are_found_and_deleted(stream: Stream) -> None:
    for name in ("a", "b"):
        await stream.create_consumer(ConsumerConfig(durable_name=name))
    assert sorted([name async for name in stream.consumer_names()]) == ["a", "b"]
    assert sorted([info.name async for info in stream.consumers()]) == ["a", "b"]
    assert (await stream.consumer("a")).name == "a"
    await stream.delete_consumer("a")
    for call in (stream.consumer("a"), stream.delete_consumer("a")):
        with pytest.raises(ConsumerNotFoundError):
            await call
    assert [name async for name in stream.consumer_names()] == ["b"]
    for bad in ("a.b", "", "a*"):
        with pytest.raises(ConfigError):
            await stream.consumer(bad)


async def test_a_pause_delivers_nothing_and_ends(js: JetStream, stream: Stream, level: int) -> None:
    consumer = await stream.create_consumer(ConsumerConfig(durable_name="c"))
    until = datetime.now(UTC) + timedelta(hours=1)
    if not level:
        for call in (stream.pause_consumer("c", until), stream.resume_consumer("c")):
            with pytest.raises(JetStreamError, match=r"needs nats-server 2\.11"):
                await call
        with pytest.raises(JetStreamError, match=r"needs nats-server 2\.11"):
            await stream.create_consumer(ConsumerConfig(durable_name="d", pause_until=until))
        return
    state = await stream.pause_consumer("c", until=until)
    assert (state.paused, state.pause_until) == (True, until)
    assert 3000 < state.pause_remaining <= 3600
    assert (await consumer.info()).paused
    await fill(js, stream, "a")
    assert await consumer.fetch(1, timeout=0.1) == []
    async with consumer.messages() as messages:
        waiting = asyncio.ensure_future(anext(messages))
        assert not (await stream.resume_consumer("c")).paused
        assert (await waiting).data == b"a"
    with pytest.raises(ConfigTypeError, match="time zone"):
        await stream.pause_consumer("c", datetime(2026, 1, 1))  # noqa: DTZ001
    with pytest.raises(ConsumerNotFoundError):
        await stream.pause_consumer("none", until)


@pytest.mark.server_only("CONSUMER.RESET")
async def test_a_consumer_begins_anew(js: JetStream, stream: Stream, level: int) -> None:
    consumer = await stream.create_consumer(ConsumerConfig(durable_name="c"))
    await fill(js, stream, *"abc")
    for msg in await consumer.fetch(3):
        await msg.double_ack()
    if level < 4:
        with pytest.raises(JetStreamError, match=r"needs nats-server 2\.14"):
            await stream.reset_consumer("c", 2)
        return
    await stream.reset_consumer("c", 2)
    assert [msg.data for msg in await consumer.fetch(5, no_wait=True)] == [b"b", b"c"]


async def test_calls_that_old_servers_leave_unanswered_say_so(nc: Connection) -> None:
    """Where the level may not be asked at first, silence is looked into."""
    await nc.subscribe("mute.CONSUMER.>", cb=lambda msg: None)
    answers = [b'{"error": {"code": 400, "err_code": 1}}', b'{"api": {"level": 0}}']

    async def info(msg: Any) -> None:
        await msg.respond(answers.pop(0))

    async def stream(msg: Any) -> None:
        await msg.respond(b'{"config": {"name": "S"}}')

    await nc.subscribe("mute.INFO", cb=info)
    await nc.subscribe("mute.STREAM.>", cb=stream)
    there = await JetStream(nc, api_prefix="mute", timeout=0.05).stream("S")
    with pytest.raises(JetStreamError, match=r"unpinning needs nats-server 2\.11"):
        await there.unpin_consumer("c", "g")


async def test_work_queues_and_interest(js: JetStream) -> None:
    queue = StreamConfig(name="WQ", subjects=["wq"], retention="workqueue", storage="memory")
    stream = await js.create_stream(queue)
    with pytest.raises(JetStreamError) as caught:
        await stream.create_consumer(ConsumerConfig(ack_policy="none"))
    assert caught.value.err_code == 10084
    consumer = await stream.create_consumer(ConsumerConfig(durable_name="w"))
    await js.publish("wq", b"")
    await (await consumer.next()).double_ack()
    assert (await stream.info()).state.messages == 0
    await js.delete_stream("WQ")


async def test_on_a_work_queue_each_message_is_for_one_consumer(
    js: JetStream, name: Callable[[], str]
) -> None:
    unique = name()
    stream = await js.create_stream(
        StreamConfig(name=unique, subjects=[f"{unique}.>"], retention="workqueue", storage="memory")
    )
    for durable, token in (("a", "a"), ("b", "b")):
        config = ConsumerConfig(durable_name=durable, filter_subject=f"{unique}.{token}")
        await stream.create_consumer(config)
    for durable in ("b", "c"):  # another filter, and another consumer
        with pytest.raises(JetStreamError) as caught:
            await stream.create_or_update_consumer(
                ConsumerConfig(durable_name=durable, filter_subject=f"{unique}.a")
            )
        assert caught.value.err_code == 10100
    await js.delete_stream(unique)
