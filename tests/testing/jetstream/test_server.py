"""The JetStream in memory, as tests see it; and what it does not have, which it says."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest

from natsrpc.core import Connection
from natsrpc.errors import JetStreamError, JetStreamNotEnabledError, StreamNotFoundError
from natsrpc.jetstream import ConsumerConfig, JetStream, Republish, StreamConfig, StreamSource
from natsrpc.testing import Broker

LACKING = "the in-memory JetStream does not have .*: test it with a nats-server"


async def test_a_test_sees_what_a_stream_holds(js: JetStream, broker: Broker) -> None:
    await js.create_stream(StreamConfig(name="ORDERS", subjects=["orders.>"]))
    await js.publish("orders.new", b"1", headers={"Own": "header"})
    await js.publish("orders.gone", b"2")
    stream = broker.stream("ORDERS")
    first, second = stream.messages()
    assert (first.subject, first.seq, first.data) == ("orders.new", 1, b"1")
    assert first.headers.get("Own") == "header"
    assert second.headers.get("Own") is None
    assert first.time < second.time
    assert stream.messages("orders.g*") == []
    assert [message.seq for message in stream.messages("orders.gone")] == [2]
    assert repr(stream) == "<StoredStream 'ORDERS', 2 messages>"


async def test_a_stream_that_is_not_there_is_told_with_those_that_are(
    js: JetStream, broker: Broker
) -> None:
    with pytest.raises(StreamNotFoundError, match="no stream 'A'; there are: none"):
        broker.stream("A")
    await js.create_stream(StreamConfig(name="B", subjects=["b"]))
    with pytest.raises(StreamNotFoundError, match="no stream 'A'; there are: 'B'"):
        broker.stream("A")


async def test_a_broker_may_have_none() -> None:
    broker = Broker(jetstream=False)
    async with broker.connect() as nc:
        with pytest.raises(JetStreamNotEnabledError):
            await JetStream(nc).account_info()
    with pytest.raises(StreamNotFoundError):
        broker.stream("A")


@pytest.mark.parametrize(
    "field",
    [
        {"mirror": StreamSource(name="OTHER")},
        {"sources": [StreamSource(name="OTHER")]},
        {"allow_atomic": True},
        {"allow_msg_counter": True},
        {"allow_batched": True},
        {"persist_mode": "async"},
    ],
)
async def test_a_stream_that_it_cannot_be_is_refused(
    js: JetStream, field: dict[str, object]
) -> None:
    config = dataclasses.replace(StreamConfig(name="S"), **field)  # type: ignore[arg-type]  # any
    with pytest.raises(JetStreamError, match=LACKING) as caught:
        await js.create_stream(config)
    assert caught.value.code == 501


@pytest.mark.parametrize(
    "field",
    [
        {"deliver_subject": "push"},
        {"priority_groups": ["a"], "priority_policy": "overflow"},
        {"replay_policy": "original"},
        {"ack_policy": "flow_control"},
        {"rate_limit_bps": 1},
    ],
)
async def test_a_consumer_that_it_cannot_have_is_refused(
    js: JetStream, field: dict[str, object]
) -> None:
    stream = await js.create_stream(StreamConfig(name="S"))
    config = dataclasses.replace(ConsumerConfig(durable_name="c"), **field)  # type: ignore[arg-type]  # any
    with pytest.raises(JetStreamError, match=LACKING):
        await stream.create_consumer(config)


@pytest.mark.parametrize(
    "call", ["STREAM.LEADER.STEPDOWN.S", "CONSUMER.RESET.S.c", "STREAM.INFOS.S", "ACCOUNT.PURGE.A"]
)
async def test_a_call_that_it_does_not_know_is_answered(nc: Connection, call: str) -> None:
    answer = await nc.request(f"$JS.API.{call}")
    error = json.loads(answer.data)["error"]
    assert error["code"] == 501
    assert f"does not have the call $JS.API.{call}: test it" in error["description"]


@pytest.mark.parametrize("header", ["Nats-Incr", "Nats-Batch-Id"])
async def test_a_publish_that_it_cannot_take_is_refused(js: JetStream, header: str) -> None:
    await js.create_stream(StreamConfig(name="S", subjects=["s"]))
    with pytest.raises(JetStreamError, match=LACKING):
        await js.publish("s", b"", headers={header: "1"})


@pytest.mark.parametrize("schedule", ["@hourly", "0 0 * * * *"])
async def test_cron_expressions_are_refused(js: JetStream, schedule: str) -> None:
    await js.create_stream(StreamConfig(name="S", subjects=["s.>"], allow_msg_schedules=True))
    headers = {"Nats-Schedule": schedule, "Nats-Schedule-Target": "s.job"}
    with pytest.raises(JetStreamError, match=LACKING):
        await js.publish("s.plan", b"", headers=headers)


@pytest.mark.parametrize(
    "request_",
    [
        b"{",
        b"[]",
        b'{"name": "S", "bogus": 1}',
        b'{"name": "S", "max_age": 1.5}',
        b'{"name": "S", "subjects": "s"}',
        b'{"name": "S", "retention": ["limits"]}',
        b'{"name": "S", "republish": {"src": 7}}',
        b'{"name": "S", "subject_transform": {"from": "a"}}',
        b'{"name": "S", "consumer_limits": {"max_ack_pending": "x"}}',
        b'{"name": "S", "metadata": {"a": 1}}',
        b'{"name": "S", "metadata": []}',
    ],
)
async def test_a_request_that_cannot_be_read_is_refused(nc: Connection, request_: bytes) -> None:
    answer = await nc.request("$JS.API.STREAM.CREATE.S", request_)
    assert json.loads(answer.data)["error"]["err_code"] == 10025


async def test_what_says_where_things_are_kept_is_taken(js: JetStream) -> None:
    """A declaration of production is one for tests."""
    config = StreamConfig(name="S", num_replicas=3, storage="file", compression="s2")
    assert (await js.create_stream(config)).cached_info.config.num_replicas == 3


async def test_messages_are_published_again(nc: Connection, js: JetStream) -> None:
    republish = Republish(src="s.*", dest="again.$1")
    await js.create_stream(StreamConfig(name="S", subjects=["s.>"], republish=republish))
    seen = await nc.subscribe("again.>")
    for data in (b"1", b"2"):
        await js.publish("s.a", data, headers={"Own": "header"})
    await js.publish("s.a.b", b"not this")
    first, second = await seen.next_msg(), await seen.next_msg()
    assert (first.subject, first.data, first.headers.get("Own")) == ("again.a", b"1", "header")
    facts = [second.headers.get(f"Nats-{name}") for name in ("Stream", "Subject", "Sequence")]
    assert facts == ["S", "s.a", "2"]
    assert second.headers.get("Nats-Last-Sequence") == "1"


async def test_a_consumer_that_leaves_an_interest_stream_takes_its_messages_along(
    js: JetStream, broker: Broker
) -> None:
    stream = await js.create_stream(StreamConfig(name="S", subjects=["s.*"], retention="interest"))
    for name, subject in (("a", "s.a"), ("b", "s.b")):
        await stream.create_consumer(ConsumerConfig(durable_name=name, filter_subject=subject))
        await js.publish(subject, b"")
    await js.publish("s.c", b"")  # for nobody
    assert [message.subject for message in broker.stream("S").messages()] == ["s.a", "s.b"]
    await stream.delete_consumer("a")
    assert [message.subject for message in broker.stream("S").messages()] == ["s.b"]


async def test_a_get_of_several_messages_is_refused(nc: Connection, js: JetStream) -> None:
    await js.create_stream(StreamConfig(name="S", allow_direct=True))
    answer = await nc.request("$JS.API.DIRECT.GET.S", b'{"batch": 2, "seq": 1}')
    assert answer.status == 408
    assert re.search(LACKING, answer.status_text)


async def test_a_pull_of_a_priority_group_is_refused(nc: Connection, js: JetStream) -> None:
    stream = await js.create_stream(StreamConfig(name="S"))
    await stream.create_consumer(ConsumerConfig(durable_name="c"))
    answer = await nc.request("$JS.API.CONSUMER.MSG.NEXT.S.c", b'{"batch": 1, "group": "a"}')
    assert answer.status == 400
    assert re.search(LACKING, answer.status_text)


@pytest.mark.parametrize("request_", [b"{", b"[]", b'{"batch": "x"}', b'{"expires": 1.5}'])
async def test_a_pull_that_cannot_be_read_is_refused(
    nc: Connection, js: JetStream, request_: bytes
) -> None:
    stream = await js.create_stream(StreamConfig(name="S"))
    await stream.create_consumer(ConsumerConfig(durable_name="c"))
    answer = await nc.request("$JS.API.CONSUMER.MSG.NEXT.S.c", request_)
    assert answer.status == 400


@pytest.mark.parametrize("request_", [b"{", b"[]", b'"x"', b'{"seq": "x"}', b'{"last_by_subj": 7}'])
@pytest.mark.parametrize("call", ["STREAM.MSG.GET.S", "DIRECT.GET.S"])
async def test_a_get_that_cannot_be_read_is_refused(
    nc: Connection, js: JetStream, call: str, request_: bytes
) -> None:
    await js.create_stream(StreamConfig(name="S", allow_direct=True))
    answer = await nc.request(f"$JS.API.{call}", request_)
    assert answer.status in (None, 408)
    assert answer.status or b'"error"' in answer.data


@pytest.mark.parametrize("call", ["STREAM.NAMES", "CONSUMER.NAMES.S", "STREAM.LIST"])
async def test_a_page_that_cannot_be_is_refused(nc: Connection, js: JetStream, call: str) -> None:
    await js.create_stream(StreamConfig(name="S"))
    answer = await nc.request(f"$JS.API.{call}", b'{"offset": "x"}')
    assert json.loads(answer.data)["error"]["err_code"] == 10025
