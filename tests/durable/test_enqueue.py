"""Values that a stream stores: what is stored, what is refused, and what nobody took."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel

import natsrpc
from natsrpc import Client, Event, connect
from natsrpc.core import Msg
from natsrpc.errors import (
    BadSubjectError,
    BadTimeoutError,
    ConfigError,
    ConnectionClosedError,
    DeadlineExceededError,
    EncodeError,
    JetStreamError,
    JetStreamNotEnabledError,
    NatsTimeoutError,
    NoStreamResponseError,
    StreamFullError,
)
from natsrpc.jetstream import JetStream, PubAck, Stream, StreamConfig
from natsrpc.testing import Cluster, NatsServer
from tests.core.harness import eventually

Name = Callable[[], str]


class Placed(BaseModel):
    order_id: str
    total: int = 0


def placed(stream: Stream, **options: Any) -> Event[Placed]:
    return Event(f"{stream.name.lower()}.{{region}}.placed", Placed, **options)


async def test_an_event_is_stored_as_it_would_be_published(client: Client, stream: Stream) -> None:
    event = placed(stream)
    ack = await client.enqueue(event, Placed(order_id="1"), tokens={"region": "eu"})
    assert ack == PubAck(stream.name, 1)
    msg = await stream.get_msg(1)
    assert msg.subject == f"{stream.name.lower()}.eu.placed"
    assert Placed.model_validate_json(msg.data) == Placed(order_id="1")
    assert dict(msg.headers) == {"Content-Type": "application/json"}


async def test_a_plain_subject_codec_and_headers(client: Client, stream: Stream) -> None:
    subject = f"{stream.name.lower()}.plain"
    await client.enqueue(subject, b"raw", codec="raw", headers={"X-Trace": "1"})
    await client.enqueue(subject)
    first, second = await stream.get_msg(1), await stream.get_msg(2)
    assert (first.data, first.headers["X-Trace"]) == (b"raw", "1")
    assert second.data == b""


async def test_the_same_id_is_stored_once(client: Client, stream: Stream) -> None:
    event, value = placed(stream), Placed(order_id="1")
    for number in range(3):
        ack = await client.enqueue(event, value, msg_id="order-1", tokens={"region": "eu"})
        assert (ack.seq, ack.duplicate) == (1, number > 0)
    assert (await stream.info()).state.messages == 1


async def test_a_key_makes_the_id_of_its_subject(client: Client, stream: Stream) -> None:
    event = placed(stream, key="order_id")
    other: Event[Placed] = Event(f"{stream.name.lower()}.paid", Placed, key="order_id")
    value = Placed(order_id="7")
    first = await client.enqueue(event, value, tokens={"region": "eu"})
    again = await client.enqueue(event, value, tokens={"region": "eu"})
    assert (first.seq, again.seq, again.duplicate) == (1, 1, True)
    # an id is known for all subjects of a stream: another event of the same order is another job
    assert (await client.enqueue(other, value)).duplicate is False
    given = await client.enqueue(event, value, msg_id="mine", tokens={"region": "eu"})
    assert given.duplicate is False
    stored = await stream.get_msg(1)
    assert stored.headers["Nats-Msg-Id"] == f"{stream.name.lower()}.eu.placed:7"


async def test_a_value_without_its_key_is_not_stored(client: Client, stream: Stream) -> None:
    event: Event[Placed] = Event(f"{stream.name.lower()}.placed", Placed, key="order_id")
    with pytest.raises(EncodeError, match=r"key 'order_id' of event .* is empty"):
        await client.enqueue(event, Placed(order_id=""))
    with pytest.raises(EncodeError, match="cannot encode"):
        await client.enqueue(event, {"total": 5})  # type: ignore[misc]  # it is what is tested
    assert (await stream.info()).state.messages == 0


async def test_no_stream_is_told_at_once(client: Client) -> None:
    began = time.monotonic()
    with pytest.raises(NoStreamResponseError, match=r"'nowhere\.x': no stream") as caught:
        await client.enqueue("nowhere.x", 1)
    assert caught.value.subject == "nowhere.x"
    assert time.monotonic() - began < 4


async def test_a_subscriber_without_a_stream_is_told_at_once(client: Client) -> None:
    """nats-server answers nothing where a core subscriber takes the message."""

    async def take(msg: Msg) -> None: ...

    await client.connection.subscribe("heard.x", cb=take)
    began = time.monotonic()
    with pytest.raises(NoStreamResponseError, match="no stream has that subject") as caught:
        await client.enqueue("heard.x", 1, timeout=30.0)
    assert caught.value.subject == "heard.x"
    assert time.monotonic() - began < 15


async def test_closing_ends_the_wait_and_leaves_no_task(
    jetstream_server: NatsServer, js: JetStream, name: Name, caplog: pytest.LogCaptureFixture
) -> None:
    unique = name()
    await js.create_stream(  # which answers nothing
        StreamConfig(name=unique, subjects=[unique], storage="memory", no_ack=True)
    )
    before = asyncio.all_tasks()
    async with connect(jetstream_server.url) as client:
        waiting = [asyncio.ensure_future(client.enqueue(unique, n, timeout=60)) for n in (1, 2)]
        await asyncio.sleep(0.3)  # why: it is asked who stores the subject after 0.25 s
        waiting[0].cancel()
        await asyncio.wait(waiting[:1])
        await client.close()
        with pytest.raises(ConnectionClosedError):
            await waiting[1]
    await eventually(lambda: asyncio.all_tasks() <= before)
    await js.delete_stream(unique)
    assert "never retrieved" not in caplog.text


async def test_a_stream_that_goes_away_is_told(client: Client, js: JetStream, name: Name) -> None:
    unique = name()
    await js.create_stream(StreamConfig(name=unique, subjects=[unique], storage="memory"))
    await client.enqueue(unique, 1)
    await js.delete_stream(unique)
    for _ in range(2):
        with pytest.raises(NoStreamResponseError):
            await client.enqueue(unique, 1)


async def test_no_jetstream_is_told_at_once(nats_server: NatsServer) -> None:
    async with connect(nats_server.url) as client:
        with pytest.raises(JetStreamNotEnabledError):
            await client.enqueue("orders.new", 1)


async def test_a_full_stream_is_told_at_once(client: Client, js: JetStream, name: Name) -> None:
    unique = name()
    config = StreamConfig(
        name=unique, subjects=[unique], storage="memory", max_msgs=1, discard="new"
    )
    await js.create_stream(config)
    await client.enqueue(unique, 1)
    with pytest.raises(StreamFullError, match="maximum messages exceeded") as caught:
        await client.enqueue(unique, 2)
    assert isinstance(caught.value, JetStreamError)
    assert caught.value.err_code == 10077
    await js.delete_stream(unique)


async def test_what_the_stream_refuses_has_its_code(
    client: Client, js: JetStream, name: Name
) -> None:
    unique = name()
    await js.create_stream(
        StreamConfig(name=unique, subjects=[unique], storage="memory", max_msg_size=64)
    )
    with pytest.raises(JetStreamError) as caught:
        await client.enqueue(unique, "x" * 100)
    assert caught.value.err_code == 10054
    await js.delete_stream(unique)


async def test_without_a_quorum_it_ends_with_the_timeout(jetstream_cluster: Cluster) -> None:
    async with connect(jetstream_cluster.servers[0].url) as client:
        js = JetStream(client.connection)
        await js.create_stream(
            StreamConfig(name="R3", subjects=["r3"], storage="memory", num_replicas=3)
        )
        await client.enqueue("r3", 1)
        for server in jetstream_cluster.servers[1:]:
            server.kill()
        began = time.monotonic()
        with pytest.raises((NoStreamResponseError, NatsTimeoutError)):
            await client.enqueue("r3", 2, timeout=2.0)
        assert time.monotonic() - began < 10


async def test_it_works_with_the_client_that_a_handler_is_given(
    jetstream_server: NatsServer, client: Client, stream: Stream
) -> None:
    service, event = natsrpc.Service("shop", version="1.0.0"), placed(stream)

    @service.handler("place.order")
    async def place(order_id: str, client: Client) -> int:
        ack = await client.enqueue(event, Placed(order_id=order_id), tokens={"region": "eu"})
        return ack.seq

    async with connect(jetstream_server.url) as worker, worker.serve(service):
        assert await client.call(place, "5") == 1


async def test_it_waits_no_longer_than_the_handler_may(
    jetstream_server: NatsServer, client: Client, js: JetStream, name: Name
) -> None:
    unique = name()
    await js.create_stream(  # which answers nothing
        StreamConfig(name=unique, subjects=[unique], storage="memory", no_ack=True)
    )
    service = natsrpc.Service("silent", version="1.0.0")
    seen: list[BaseException] = []

    @service.handler("place.silent", timeout=0.4)
    async def place(client: Client) -> None:
        try:
            await client.enqueue(unique, 1, timeout=60.0)
        except BaseException as error:
            seen.append(error)
            raise

    async with connect(jetstream_server.url) as worker, worker.serve(service):
        with pytest.raises(natsrpc.RpcError):
            await client.call(place)
    assert isinstance(seen[0], NatsTimeoutError | asyncio.CancelledError | DeadlineExceededError)
    await js.delete_stream(unique)


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        ({"msg_id": 5}, ConfigError, "must be a str"),
        ({"msg_id": " "}, ConfigError, "must not be empty"),
        ({"delay": -1}, ConfigError, "0 or more"),
        ({"delay": float("nan")}, ConfigError, "0 or more"),
        ({"delay": True}, ConfigError, "number of seconds"),
        ({"delay": 1e15}, ConfigError, "too far"),
        ({"at": datetime.now()}, ConfigError, "with a zone"),  # noqa: DTZ005 — it is refused
        ({"at": 5.0}, ConfigError, "with a zone"),
        ({"at": datetime.now(UTC), "delay": 1}, ConfigError, "not both"),
        ({"timeout": 0}, BadTimeoutError, "timeout"),
        ({"tokens": {"a": "b"}}, ConfigError, "which is a subject"),
        ({"headers": {"nats-msg-id": "5"}}, ConfigError, "write msg_id="),
        ({"headers": {"Nats-Schedule": "@hourly"}}, ConfigError, "write delay= or at="),
    ],
)
async def test_an_argument_that_cannot_be_is_refused(
    client: Client, options: dict[str, Any], error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        await client.enqueue("nowhere", 1, **options)


async def test_a_subject_that_cannot_be_is_refused(client: Client) -> None:
    bad: list[Any] = ["a.*", "", 5]
    for subject in bad:
        with pytest.raises(BadSubjectError):
            await client.enqueue(subject, 1)


async def test_an_observer_sees_what_is_enqueued(client: Client, stream: Stream) -> None:
    seen: list[Any] = []

    class Seeing:
        async def publish(self, publication: Any, send: Any) -> None:
            seen.append((publication.target, publication.tokens, publication.headers))
            await send({**(publication.headers or {}), "traceparent": "00-1"})

        attempts = headers = call = None

    event = placed(stream)
    client.observe(Seeing())  # type: ignore[arg-type]  # nothing else is called
    ack = await client.enqueue(event, Placed(order_id="1"), tokens={"region": "eu"})
    assert seen == [(event, {"region": "eu"}, None)]
    stored = await stream.get_msg(ack.seq)
    assert stored.headers["traceparent"] == "00-1"


async def test_a_retry_after_a_lost_connection_stores_it_once(
    fresh_jetstream: NatsServer,
) -> None:
    async with connect(fresh_jetstream.url, reconnect_wait=0.05) as client:
        js = JetStream(client.connection)
        stream = await js.create_stream(StreamConfig(name="FILE", subjects=["file.>"]))
        await client.enqueue("file.x", 0, msg_id="0")
        sending = [
            asyncio.ensure_future(client.enqueue("file.x", n, msg_id=str(n), timeout=30.0))
            for n in range(1, 200)
        ]
        await asyncio.sleep(0)  # why: the first of them leave, and the server dies with the others
        fresh_jetstream.kill()
        fresh_jetstream.start()
        acks = await asyncio.gather(*sending)
        assert len({ack.seq for ack in acks}) == 199
        assert (await stream.info()).state.messages == 200


async def test_at_a_time_that_has_passed_it_is_stored_now(client: Client, stream: Stream) -> None:
    subject = f"{stream.name.lower()}.now"
    await client.enqueue(subject, 1, delay=0)
    await client.enqueue(subject, 2, at=datetime.now(UTC) - timedelta(hours=1))
    assert (await stream.info(subjects_filter=">")).state.subjects == {subject: 2}


def test_a_blocking_client_enqueues(jetstream_server: NatsServer, name: Name) -> None:
    unique = name()
    event: Event[Placed] = Event(f"{unique.lower()}.{{region}}.placed", Placed, key="order_id")

    async def prepare() -> None:
        async with connect(jetstream_server.url) as client:
            await JetStream(client.connection).create_stream(
                StreamConfig(name=unique, subjects=[f"{unique.lower()}.>"], storage="memory")
            )

    asyncio.run(prepare())
    with natsrpc.sync.connect(jetstream_server.url) as client:
        value, tokens = Placed(order_id="1"), {"region": "eu"}
        assert client.enqueue(event, value, tokens=tokens) == PubAck(unique, 1)
        assert client.enqueue(event, value, tokens=tokens).duplicate
        with pytest.raises(NoStreamResponseError, match="nowhere"):
            client.enqueue("nowhere", 1)
