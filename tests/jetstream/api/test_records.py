"""Configurations and facts on the wire: what is written, what is read, what is refused."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from natsrpc.errors import ConfigError, ConfigTypeError, JetStreamError
from natsrpc.jetstream import (
    AccountInfo,
    ConsumerConfig,
    ConsumerInfo,
    Placement,
    Republish,
    StreamConfig,
    StreamInfo,
    StreamSource,
    StreamState,
    SubjectTransform,
)
from natsrpc.jetstream.api import dropped, overlay, read, write


def floats_in(value: Any) -> list[float]:
    """All floats within a JSON value."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [found for each in value for found in floats_in(each)]
    return [value] if isinstance(value, float) else []


def test_what_is_not_set_is_not_written() -> None:
    assert write(StreamConfig(name="S")) == {"name": "S"}
    assert write(ConsumerConfig()) == {}


def test_durations_are_whole_nanoseconds() -> None:
    config = ConsumerConfig(ack_wait=30, backoff=[0.1, 1.5], max_expires=1e-9, priority_timeout=2.0)
    raw = write(config)
    assert raw["ack_wait"] == 30_000_000_000
    assert raw["backoff"] == [100_000_000, 1_500_000_000]
    assert (raw["max_expires"], raw["priority_timeout"]) == (1, 2_000_000_000)
    stream = StreamConfig(name="S", max_age=1e3, duplicate_window=0.5, subject_delete_marker_ttl=1)
    assert floats_in(json.loads(json.dumps([raw, write(stream)]))) == []


def test_times_are_written_in_utc_with_a_zone() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 600, timezone(timedelta(hours=2)))
    assert write(ConsumerConfig(opt_start_time=moment)) == {
        "opt_start_time": "2026-01-02T01:04:05.000600Z"
    }


def test_nested_records_are_objects() -> None:
    config = StreamConfig(
        name="S",
        placement=Placement(cluster="c", tags=["ssd"]),
        republish=Republish(src=">", dest="copy.>", headers_only=True),
        sources=[
            StreamSource(name="A", domain="hub"),
            StreamSource(name="B", subject_transforms=[SubjectTransform(src="a.>", dest="b.>")]),
        ],
    )
    raw = write(config)
    assert raw["placement"] == {"cluster": "c", "tags": ["ssd"]}
    assert raw["republish"] == {"src": ">", "dest": "copy.>", "headers_only": True}
    first, second = raw["sources"]
    assert first == {"name": "A", "external": {"api": "$JS.hub.API"}}
    assert second["subject_transforms"] == [{"src": "a.>", "dest": "b.>"}]


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: StreamConfig(name=1), "StreamConfig(name=...)"),  # type: ignore[arg-type]
        (lambda: StreamConfig(name="S", subjects="a.>"), "subjects"),
        (lambda: StreamConfig(name="S", max_msgs=True), "max_msgs"),
        (lambda: StreamConfig(name="S", max_age="1h"), "max_age"),  # type: ignore[arg-type]
        (lambda: StreamConfig(name="S", max_age=float("nan")), "max_age"),
        (lambda: StreamConfig(name="S", retention="queue"), "'workqueue'"),  # type: ignore[arg-type]
        (lambda: StreamConfig(name="S", placement={}), "a Placement"),  # type: ignore[arg-type]
        (lambda: StreamConfig(name="S", metadata={"a": 1}), "metadata"),  # type: ignore[dict-item]
        (lambda: ConsumerConfig(opt_start_time=datetime(2026, 1, 1)), "time zone"),  # noqa: DTZ001
        (lambda: ConsumerConfig(backoff=5.0), "backoff"),  # type: ignore[arg-type]
        (lambda: ConsumerConfig(durable_name="a", name="b"), "durable_name='a'"),
        (lambda: StreamSource(name="A", domain="d", external=read_external()), "domain="),
    ],
)
def test_what_cannot_be_is_refused_where_it_is_written(make: Any, named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make()
    assert named in str(caught.value)


def read_external() -> Any:
    source = read(StreamSource, {"name": "A", "external": {"api": "x"}})
    return source.external


def test_only_the_wrong_type_is_a_type_error() -> None:
    with pytest.raises(ConfigTypeError):
        StreamConfig(name="S", max_msgs="many")  # type: ignore[arg-type]


def test_what_is_read_is_written_again_with_what_is_not_known() -> None:
    raw = {
        "name": "S",
        "subjects": ["s.>"],
        "retention": "limits",
        "max_age": 120_000_000_000,
        "num_replicas": 3,
        "consumer_limits": {"max_ack_pending": 5},
        "metadata": {"_nats.level": "1"},
        "of_a_newer_server": {"deep": [1, 2]},
    }
    config = read(StreamConfig, raw)
    assert (config.max_age, config.num_replicas, config.subjects) == (120.0, 3, ("s.>",))
    assert config.extra == {"of_a_newer_server": {"deep": [1, 2]}}
    assert write(config) == raw
    assert write(dataclasses.replace(config, max_msgs=5)) == {**raw, "max_msgs": 5}


def test_a_word_of_a_newer_server_is_read() -> None:
    found: Any = read(StreamConfig, {"name": "S", "retention": "forever"}).retention
    assert found == "forever"


def test_null_is_what_is_not_there() -> None:
    config = read(ConsumerConfig, {"filter_subjects": None, "backoff": None, "name": "c"})
    assert (config.filter_subjects, config.backoff, config.filters) == (None, None, ())
    assert read(StreamState, {"subjects": None, "deleted": None}) == StreamState()


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-30T21:20:41.940054123Z", datetime(2026, 11, 30, 21, 20, 41, 940054, UTC)),
        ("2026-11-30T21:20:41Z", datetime(2026, 11, 30, 21, 20, 41, tzinfo=UTC)),
        ("2026-11-30T23:20:41.5+02:00", datetime(2026, 11, 30, 21, 20, 41, 500_000, UTC)),
        ("0001-01-01T00:00:00Z", None),
    ],
)
def test_times_of_any_precision_are_read(text: str, moment: datetime | None) -> None:
    assert read(StreamInfo, {"created": text}).created == moment


@pytest.mark.parametrize(
    "raw",
    [
        [],
        {"created": "yesterday"},
        {"created": 7},
        {"state": {"messages": "many"}},
        {"state": []},
        {"config": {"max_age": 1.5}},
    ],
)
def test_what_cannot_be_read_is_an_error_of_ours(raw: Any) -> None:
    with pytest.raises(JetStreamError):
        read(StreamInfo, raw)


def test_an_update_keeps_what_is_not_set_and_what_is_not_known() -> None:
    there = {"name": "S", "subjects": ["s.>"], "max_msgs": -1, "of_a_newer_server": True}
    assert overlay(StreamConfig(name="S", max_msgs=7), there) == {**there, "max_msgs": 7}


def test_an_update_takes_away_what_is_set_to_empty() -> None:
    there = {"name": "S", "republish": {"src": ">", "dest": "r.>"}, "description": "old"}
    config = StreamConfig(name="S", republish=Republish(), description="")
    assert overlay(config, there) == {"name": "S", "description": ""}


def test_an_update_leaves_digits_that_a_float_cannot_hold() -> None:
    there = {"name": "c", "ack_wait": 123_456_789_012_345_678, "opt_start_time": EXACT}
    config = dataclasses.replace(read(ConsumerConfig, there), max_deliver=3)
    assert overlay(config, there) == {**there, "max_deliver": 3}


EXACT = "2026-11-30T21:20:41.940054123Z"


def test_only_what_was_asked_for_and_is_missing_was_dropped() -> None:
    asked = {"a": 1, "b": False, "c": 0, "d": "x", "e": "none", "f": []}
    assert dropped(asked, {"a": 1}) == ["d"]


def test_facts_are_read_by_their_names_on_the_wire() -> None:
    info = read(
        ConsumerInfo,
        {
            "name": "c",
            "delivered": {"consumer_seq": 3, "stream_seq": 9},
            "pause_remaining": 1_500_000_000,
            "cluster": {"leader": "n1", "replicas": [{"name": "n2", "active": 5_000_000}]},
            "new": 1,
        },
    )
    assert (info.delivered.stream_seq, info.pause_remaining) == (9, 1.5)
    assert info.cluster is not None
    assert (info.cluster.leader, info.cluster.replicas[0].active) == ("n1", 0.005)
    assert info.extra == {"new": 1}
    account = read(AccountInfo, {"api": {"level": 5}, "limits": {"max_streams": -1}})
    assert (account.api.level, account.limits.max_streams) == (5, -1)
