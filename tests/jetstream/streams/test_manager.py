"""Streams made, changed, found and deleted."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from natsrpc.core import Connection
from natsrpc.errors import (
    BadSubjectError,
    ConfigTypeError,
    JetStreamError,
    StreamNameInUseError,
    StreamNotFoundError,
)
from natsrpc.jetstream import (
    ConsumerConfig,
    ConsumerLimits,
    JetStream,
    Placement,
    Republish,
    StreamConfig,
    StreamSource,
    SubjectTransform,
)


async def test_a_stream_is_what_it_was_asked_to_be(js: JetStream, name: Callable[[], str]) -> None:
    config = StreamConfig(
        name=name(),
        description="all of it",
        subjects=["all.one.>", "all.two"],
        retention="limits",
        max_consumers=7,
        max_msgs=1000,
        max_bytes=1_000_000,
        discard="new",
        discard_new_per_subject=True,
        max_age=3600.0,
        max_msgs_per_subject=10,
        max_msg_size=1000,
        storage="memory",
        num_replicas=1,
        duplicate_window=60.5,
        allow_rollup_hdrs=True,
        deny_delete=True,
        deny_purge=False,
        allow_direct=True,
        compression="none",
        first_seq=100,
        subject_transform=SubjectTransform(src="all.one.*", dest="all.one.$1"),
        republish=Republish(src="all.two", dest="again.two", headers_only=True),
        consumer_limits=ConsumerLimits(inactive_threshold=60.0, max_ack_pending=50),
        metadata={"team": "billing"},
    )
    stream = await js.create_stream(config)
    got = stream.cached_info.config
    for field in dataclasses.fields(StreamConfig):
        asked = getattr(config, field.name)
        if asked is None or field.name in ("extra", "metadata", "deny_purge"):
            continue
        found = getattr(got, field.name)
        assert (list(found) if isinstance(asked, list) else found) == asked, field.name
    assert got.metadata is not None
    assert got.metadata["team"] == "billing"
    assert (await js.stream(config.name)).cached_info.config == got
    await js.delete_stream(config.name)


async def test_the_same_again_is_taken_and_another_is_refused(
    js: JetStream, name: Callable[[], str]
) -> None:
    config = StreamConfig(name=name(), subjects=["same"], storage="memory")
    first = await js.create_stream(config)
    again = await js.create_stream(config)
    assert first.cached_info.created == again.cached_info.created
    with pytest.raises(StreamNameInUseError) as caught:
        await js.create_stream(dataclasses.replace(config, max_msgs=5))
    assert (caught.value.code, caught.value.err_code) == (400, 10058)
    await js.delete_stream(config.name)


async def test_a_copy_with_one_change_updates(js: JetStream, name: Callable[[], str]) -> None:
    unique = name()
    stream = await js.create_stream(
        StreamConfig(name=unique, subjects=["up.>"], max_age=7200.0, metadata={"a": "b"})
    )
    before = stream.cached_info.config
    after = (await js.update_stream(dataclasses.replace(before, max_msgs=77))).cached_info.config
    assert after.max_msgs == 77
    assert dataclasses.replace(after, max_msgs=before.max_msgs) == before
    await js.delete_stream(unique)


@pytest.mark.server_only("allow_atomic")
async def test_what_an_update_does_not_name_stays(
    nc: Connection, js: JetStream, name: Callable[[], str], level: int
) -> None:
    """allow_atomic, were it left out, would be switched off without a word."""
    unique = name()
    newer: dict[str, Any] = {"allow_atomic": True} if level >= 2 else {"allow_direct": True}
    await js.create_stream(StreamConfig(name=unique, subjects=["stay.>"], **newer))
    changed = await js.update_stream(StreamConfig(name=unique, description="new"))
    config = changed.cached_info.config
    assert (config.description, list(config.subjects or ())) == ("new", ["stay.>"])
    assert [getattr(config, field) for field in newer] == [True]
    await js.delete_stream(unique)


async def test_a_window_that_nobody_set_gives_way_to_a_shorter_age(
    js: JetStream, name: Callable[[], str]
) -> None:
    unique = name()
    await js.create_stream(StreamConfig(name=unique, subjects=[unique.lower()]))
    for change in (js.update_stream, js.create_or_update_stream):
        for age in (60.0, 30.0, 90.0):
            got = (await change(StreamConfig(name=unique, max_age=age))).cached_info.config
            assert got.max_age == age
            assert got.duplicate_window in (30.0, 60.0)
    with pytest.raises(JetStreamError, match="window"):
        await js.update_stream(StreamConfig(name=unique, max_age=10.0, duplicate_window=20.0))
    await js.delete_stream(unique)


async def test_words_for_nothing_need_no_version(js: JetStream, name: Callable[[], str]) -> None:
    """Nor do they ask the server for its own."""
    unique = name()
    stream = await js.create_stream(
        StreamConfig(name=unique, subjects=[unique.lower()], persist_mode="default")
    )
    await stream.create_consumer(ConsumerConfig(name="c", priority_policy="none"))
    await js.delete_stream(unique)


async def test_what_cannot_be_updated_is_refused_with_a_number(
    js: JetStream, name: Callable[[], str]
) -> None:
    unique = name()
    await js.create_stream(StreamConfig(name=unique, subjects=["fixed"], storage="memory"))
    with pytest.raises(JetStreamError) as caught:
        await js.update_stream(StreamConfig(name=unique, storage="file"))
    assert caught.value.err_code == 10052
    await js.delete_stream(unique)


async def test_an_empty_value_takes_away(js: JetStream, name: Callable[[], str]) -> None:
    unique = name()
    republish = Republish(src=">", dest="copies.>")
    await js.create_stream(StreamConfig(name=unique, subjects=["orig.>"], republish=republish))
    stream = await js.update_stream(StreamConfig(name=unique, republish=Republish()))
    assert stream.cached_info.config.republish is None
    await js.delete_stream(unique)


async def test_create_or_update(js: JetStream, name: Callable[[], str]) -> None:
    config = StreamConfig(name=name(), subjects=["either"], storage="memory")
    created = await js.create_or_update_stream(config)
    updated = await js.create_or_update_stream(dataclasses.replace(config, max_msgs=3))
    assert updated.cached_info.created == created.cached_info.created
    assert updated.cached_info.config.max_msgs == 3
    await js.delete_stream(config.name)


async def test_a_stream_that_is_not_there(js: JetStream) -> None:
    for call in (
        js.stream("NONE"),
        js.delete_stream("NONE"),
        js.update_stream(StreamConfig(name="NONE")),
        js.stream_name_by_subject("nobody.has.this"),
    ):
        with pytest.raises(StreamNotFoundError):
            await call


async def test_streams_are_found_by_subject(js: JetStream, name: Callable[[], str]) -> None:
    first, second = name(), name()
    await js.create_stream(StreamConfig(name=first, subjects=["found.a.>"], storage="memory"))
    await js.create_stream(StreamConfig(name=second, subjects=["found.b.>"], storage="memory"))
    assert {first, second} <= {each async for each in js.stream_names()}
    assert [each async for each in js.stream_names("found.a.x")] == [first]
    assert [info.config.name async for info in js.streams("found.b.>")] == [second]
    assert [each async for each in js.stream_names("found.nowhere.x")] == []
    assert await js.stream_name_by_subject("found.b.x") == second
    with pytest.raises(JetStreamError, match=rf"{first}.*{second}|{second}.*{first}"):
        await js.stream_name_by_subject("found.>")
    with pytest.raises(BadSubjectError):
        await js.stream_name_by_subject("no good")
    await js.delete_stream(first)
    await js.delete_stream(second)


async def test_only_a_configuration_is_one(js: JetStream) -> None:
    with pytest.raises(ConfigTypeError, match="StreamConfig"):
        await js.create_stream("ORDERS")  # type: ignore[arg-type]


@pytest.mark.server_only("mirrors and sources")
async def test_mirrors_and_sources(js: JetStream, name: Callable[[], str]) -> None:
    origin, mirror, joined = name(), name(), name()
    await js.create_stream(StreamConfig(name=origin, subjects=["from.*"], storage="memory"))
    await js.publish("from.a", b"1")
    source = StreamSource(name=origin)
    await js.create_stream(StreamConfig(name=mirror, mirror=source, storage="memory"))
    renamed = StreamSource(
        name=origin, subject_transforms=[SubjectTransform(src="from.*", dest="to.$1")]
    )
    there = await js.create_stream(StreamConfig(name=joined, sources=[renamed], storage="memory"))
    ordered = await there.ordered_consumer()
    assert (await ordered.next()).subject == "to.a"
    info = await (await js.stream(mirror)).info()
    assert info.mirror is not None
    assert info.mirror.name == origin
    assert [each.name for each in (await there.info()).sources] == [origin]
    for each in (joined, mirror, origin):
        await js.delete_stream(each)


NEWER: list[tuple[dict[str, Any], int, str]] = [
    ({"allow_msg_ttl": True}, 1, "2.11"),
    ({"subject_delete_marker_ttl": 2.0, "allow_rollup_hdrs": True}, 1, "2.11"),
    ({"allow_atomic": True}, 2, "2.12"),
    ({"allow_msg_counter": True}, 2, "2.12"),
    ({"allow_msg_schedules": True}, 2, "2.12"),
    ({"persist_mode": "async"}, 2, "2.12"),
    ({"allow_batched": True}, 4, "2.14"),
]


@pytest.mark.server_only("it is no old server")
@pytest.mark.parametrize(("fields", "needs", "version"), NEWER)
async def test_what_an_old_server_would_drop_is_refused_by_its_version(
    js: JetStream,
    name: Callable[[], str],
    level: int,
    fields: dict[str, Any],
    needs: int,
    version: str,
) -> None:
    config = StreamConfig(name=name(), subjects=["newer.>"], **fields)
    if level < needs:
        with pytest.raises(JetStreamError, match=f"needs nats-server {version}"):
            await js.create_stream(config)
        with pytest.raises(StreamNotFoundError):
            await js.stream(config.name)
        return
    got = (await js.create_stream(config)).cached_info.config
    assert {field: getattr(got, field) for field in fields} == fields
    await js.delete_stream(config.name)


async def test_placement_that_is_nowhere_is_refused(js: JetStream) -> None:
    """Not clustered: the server says so, with a number."""
    config = StreamConfig(name="PLACED", subjects=["placed"], placement=Placement(cluster="x"))
    try:
        await js.create_stream(config)
    except JetStreamError as error:
        assert error.err_code
    else:
        await js.delete_stream("PLACED")
