"""The JetStream in memory refuses, and fills in, what a server does."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from natsrpc.core import Connection, connect
from natsrpc.testing import Broker, NatsServer

STREAMS: list[dict[str, Any]] = [
    {"max_age": -1},
    {"max_age": 99_999_999},
    {"max_age": 10**9, "duplicate_window": -1},
    {"duplicate_window": -1},
    {"duplicate_window": 99_999_999},
    {"max_age": 10**9, "duplicate_window": 2 * 10**9},
    {"subject_delete_marker_ttl": -1},
    {"subject_delete_marker_ttl": 5},
    {"num_replicas": -1},
    {"num_replicas": 6},
    {"sealed": True},
    {"first_seq": -1},
    {"max_msgs": 2**63},
    {"max_msg_size": 2**31},
    {"max_msgs": -5, "max_bytes": -5, "max_msg_size": -5, "max_msgs_per_subject": -5},
    {"max_consumers": -3},
    {"discard": "new", "discard_new_per_subject": True, "max_msgs_per_subject": -5},
]
CONSUMERS: list[dict[str, Any]] = [
    {"ack_wait": -1},
    {"ack_wait": -1, "backoff": [10**9]},
    {"backoff": [10**9, -1]},
    {"sample_freq": "x"},
    {"sample_freq": "-5"},
    {"sample_freq": "+50%"},
    {"num_replicas": -1},
    {"idle_heartbeat": 5},
    {"idle_heartbeat": -1},
    {"max_expires": 5},
    {"deliver_policy": "by_start_sequence", "opt_start_seq": -1},
    {"max_waiting": -1, "max_batch": -1, "max_expires": -1, "max_bytes": -1},
    {"inactive_threshold": -1},
    {"inactive_threshold": -1, "durable_name": "c"},
    {"max_deliver": -5, "max_ack_pending": -5},
]
UPDATES: list[dict[str, Any]] = [
    {"max_age": -1},
    {"max_consumers": 5},
    {"max_consumers": -3},
    {"sealed": True},
    {"sealed": True, "description": "one that takes nothing back"},
    {"sealed": True, "deny_delete": True, "deny_purge": True, "discard": "new", "max_msgs": 9},
    {"sealed": False},
]


async def ask(nc: Connection, call: str, **request: Any) -> Any:
    """The code of the refusal, or the configuration that was taken."""
    answer = json.loads((await nc.request(f"$JS.API.{call}", json.dumps(request).encode())).data)
    if "error" in answer:
        return answer["error"]["err_code"]
    config = answer.get("config", {})
    return {name: found for name, found in config.items() if name != "metadata"}


async def told(nc: Connection) -> AsyncIterator[tuple[object, object]]:
    """What is asked, and what is said to it."""
    own = {"name": "S", "subjects": ["s.>"]}
    for asked in STREAMS:
        yield asked, await ask(nc, "STREAM.CREATE.S", **own, **asked)
        await ask(nc, "STREAM.DELETE.S")
    await ask(nc, "STREAM.CREATE.S", **own)
    for asked in CONSUMERS:
        config = {"name": "c", "ack_policy": "explicit", **asked}
        request = {"stream_name": "S", "action": "create", "config": config}
        yield asked, await ask(nc, "CONSUMER.CREATE.S.c", **request)
        await ask(nc, "CONSUMER.DELETE.S.c")
    for asked in UPDATES:
        yield asked, await ask(nc, "STREAM.UPDATE.S", **own, **asked)
    for storage in ("file", "memory"):
        await ask(nc, "STREAM.DELETE.S")
        await ask(nc, "STREAM.CREATE.S", **own, storage=storage)
        for size in (65_518, 65_519):
            answer = await nc.request("s.a", b"", headers={"X": "v" * size})
            yield size, json.loads(answer.data).get("error")
        for seq in (0, 1, 1, 9):
            yield (storage, seq), await ask(nc, "STREAM.MSG.DELETE.S", seq=seq)
    await ask(nc, "STREAM.DELETE.S")


async def test_both_refuse_and_fill_in_the_same(jetstream_server: NatsServer) -> None:
    async with connect(jetstream_server.url) as there, Broker().connect() as here:
        assert there.server_info is not None
        if there.server_info.version < "2.14":
            pytest.skip("the JetStream in memory does what newer servers do")
        assert [each async for each in told(here)] == [each async for each in told(there)]
