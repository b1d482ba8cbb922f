"""Arguments that cannot be: each is refused by its name, before anything is sent."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from natsrpc.core import Connection
from natsrpc.errors import (
    BadHeaderError,
    BadSubjectError,
    BadTimeoutError,
    ConfigError,
)
from natsrpc.jetstream import (
    ConsumerConfig,
    JetStream,
    KeyValue,
    KeyValueConfig,
    ObjectStore,
    ObjectStoreConfig,
    Stream,
    StreamConfig,
    StreamSource,
)
from tests.jetstream.kv.conftest import kv as kv
from tests.jetstream.objects.conftest import store as store

REFUSED = (ConfigError, BadTimeoutError, BadSubjectError, BadHeaderError)


@pytest.mark.parametrize(
    ("named", "make"),
    [
        ("extra", lambda: StreamConfig(extra=5)),  # type: ignore[arg-type]
        ("max_age", lambda: StreamConfig(max_age=1e300)),
        ("max_msgs", lambda: StreamConfig(max_msgs=2**70)),
        ("first_seq", lambda: StreamConfig(first_seq=-1)),
        ("opt_start_seq", lambda: ConsumerConfig(opt_start_seq=-1)),
        ("opt_start_seq", lambda: StreamSource(name="S", opt_start_seq=-1)),
        ("ttl", lambda: KeyValueConfig(bucket="b", ttl="x")),  # type: ignore[arg-type]
        ("ttl", lambda: KeyValueConfig(bucket="b", ttl=math.nan)),
        ("limit_marker_ttl", lambda: KeyValueConfig(bucket="b", limit_marker_ttl=True)),
        ("mirror", lambda: KeyValueConfig(bucket="b", mirror="x")),  # type: ignore[arg-type]
        ("sources", lambda: KeyValueConfig(bucket="b", sources=["x"])),  # type: ignore[list-item]
        ("ttl", lambda: ObjectStoreConfig(bucket="b", ttl="x")),  # type: ignore[arg-type]
    ],
)
def test_of_configurations(named: str, make: Callable[[], object]) -> None:
    with pytest.raises(ConfigError, match=named):
        make()


@pytest.mark.parametrize(
    "options", [{"api_prefix": 5}, {"max_pending": True}, {"max_pending": 0}, {"timeout": True}]
)
async def test_of_the_whole(nc: Connection, options: Any) -> None:
    with pytest.raises(REFUSED, match=next(iter(options))):
        JetStream(nc, **options)


@pytest.mark.parametrize(
    ("method", "named", "options"),
    [
        ("purge", "keep", {"keep": -1}),
        ("purge", "keep", {"keep": True}),
        ("purge", "sequence", {"sequence": 0}),
        ("purge", "sequence", {"sequence": "x"}),
        ("delete_msg", "seq", {"seq": -1}),
        ("delete_msg", "seq", {"seq": 1.5}),
        ("get_msg", "seq", {"seq": 0}),
        ("reset_consumer", "seq", {"name": "c", "seq": 0}),
        ("ordered_consumer", "filter_subjects", {"filter_subjects": 5}),
        ("ordered_consumer", "metadata", {"metadata": 5}),
        ("ordered_consumer", "a b", {"filter_subjects": "a b"}),
        ("create_consumer", "bad subject 'a b'", {"config": ConsumerConfig(filter_subject="a b")}),
    ],
)
async def test_of_streams(stream: Stream, method: str, named: str, options: Any) -> None:
    with pytest.raises(REFUSED, match=named):
        await getattr(stream, method)(**options)


@pytest.mark.parametrize(
    ("named", "options"),
    [
        ("timeout", {"timeout": math.inf}),
        ("timeout", {"timeout": 1e12}),
        ("batch", {"batch": 2**63}),
        ("group", {"group": 5}),
        ("priority", {"group": "g", "priority": "x"}),
        ("min_pending", {"group": "g", "min_pending": -1}),
    ],
)
async def test_of_fetches(stream: Stream, named: str, options: Any) -> None:
    consumer = await stream.create_consumer(ConsumerConfig(name="c"))
    with pytest.raises(REFUSED, match=named):
        await consumer.fetch(**{"batch": 1, **options})


@pytest.mark.parametrize(
    ("named", "options"),
    [("expires", {"expires": math.inf}), ("threshold", {"threshold": True})],
)
async def test_of_continuous_reading(stream: Stream, named: str, options: Any) -> None:
    consumer = await stream.create_consumer(ConsumerConfig(name="c"))
    with pytest.raises(REFUSED, match=named):
        consumer.messages(**options)


async def test_of_buckets(kv: KeyValue) -> None:
    for bad in (5, b"a", None):
        with pytest.raises(ConfigError, match="filters of keys"):
            kv.watch(bad)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="filters of keys"):
        await kv.keys(5)  # type: ignore[arg-type]
    for older_than in ("x", None, math.nan):
        with pytest.raises(ConfigError, match="older_than"):
            await kv.purge_deletes(older_than)  # type: ignore[arg-type]
    await kv.purge_deletes(math.inf)


@pytest.mark.parametrize(
    ("named", "options"),
    [
        ("headers", {"headers": "x"}),
        ("metadata", {"metadata": 5}),
        ("metadata", {"metadata": "ab"}),
        ("metadata", {"metadata": {"a": b""}}),
        ("metadata", {"metadata": {"a": 5}}),
        ("description", {"description": 5}),
    ],
)
async def test_of_objects(store: ObjectStore, named: str, options: Any) -> None:
    await store.put("a", b"1")
    with pytest.raises(ConfigError, match=named):
        await store.put("a", b"2", **options)
    with pytest.raises(ConfigError, match=named):
        await store.update_meta("a", **options)
    assert await store.get_bytes("a") == b"1"


async def test_the_name_of_an_object_is_text(store: ObjectStore) -> None:
    with pytest.raises(ConfigError, match="UTF-8"):
        await store.put("\ud800", b"")


@pytest.mark.parametrize("subject", ["o.*", "o.>"])
async def test_a_subject_to_publish_to_is_literal(js: JetStream, subject: str) -> None:
    for publish in (js.publish, js.publish_async):
        with pytest.raises(BadSubjectError, match="wildcards"):
            await publish(subject)
