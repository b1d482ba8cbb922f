"""One publish at a time: acks, duplicates, expectations, and nobody who stores it."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import math
from typing import Any

import pytest

from natsrpc.core import Connection, Headers, Msg, connect
from natsrpc.errors import (
    BadSubjectError,
    BadTimeoutError,
    ConfigError,
    ConfigTypeError,
    ConnectionClosedError,
    InvalidMsgError,
    JetStreamError,
    MaxPayloadError,
    NatsTimeoutError,
    NoStreamResponseError,
    PermissionsError,
    WrongLastSequenceError,
)
from natsrpc.jetstream import JetStream, PubAck, Stream, StreamConfig
from natsrpc.testing import NatsServer
from tests.core.harness import eventually
from tests.core.harness.proxy import Proxy


@pytest.fixture
def subject(stream: Stream) -> str:
    return f"{stream.name.lower()}.a"


async def test_an_ack_names_stream_and_sequence(
    js: JetStream, stream: Stream, subject: str
) -> None:
    assert await js.publish(subject, b"1") == PubAck(stream.name, 1)
    assert await js.publish(subject, bytearray(b"2"), headers={"A": ["b", "c"]}) == PubAck(
        stream.name, 2
    )
    stored = await stream.get_msg(2)
    assert (stored.data, stored.headers.get_all("A")) == (b"2", ["b", "c"])


async def test_an_id_is_stored_once(js: JetStream, stream: Stream, subject: str) -> None:
    first = await js.publish(subject, b"1", msg_id="x")
    again = await js.publish(subject, b"1", msg_id="x")
    assert (first.duplicate, again.duplicate, again.seq) == (False, True, first.seq)
    assert (await stream.info()).state.messages == 1
    assert (await stream.get_msg(1)).headers == {"Nats-Msg-Id": "x"}


async def test_expectations_hold_or_nothing_is_stored(
    js: JetStream, stream: Stream, subject: str
) -> None:
    await js.publish(subject, b"", expected_stream=stream.name, expected_last_seq=0)
    await js.publish(subject, b"", msg_id="two", expected_last_subject_seq=1)
    await js.publish(f"{stream.name.lower()}.b", b"", expected_last_subject_seq=0)
    await js.publish(subject, b"", msg_id="four", expected_last_seq=3)
    wrong: list[tuple[dict[str, Any], int]] = [
        ({"expected_last_seq": 0}, 10071),
        ({"expected_last_seq": 3}, 10071),
        ({"expected_last_subject_seq": 0}, 10071),
        ({"expected_stream": "OTHER"}, 10060),
        ({"expected_last_msg_id": "two"}, 10070),
    ]
    for options, number in wrong:
        with pytest.raises(JetStreamError) as caught:
            await js.publish(subject, b"", **options)
        assert caught.value.err_code == number
        if number == 10071:
            assert isinstance(caught.value, WrongLastSequenceError)
            assert caught.value.last_seq == 4
    assert (await js.publish(subject, b"", expected_last_msg_id="four")).seq == 5


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"msg_id": ""}, ConfigError),
        ({"msg_id": 7}, ConfigTypeError),
        ({"expected_last_seq": -1}, ConfigTypeError),
        ({"expected_last_subject_seq": True}, ConfigTypeError),
        ({"ttl": 0.5}, ConfigError),
        ({"ttl": True}, ConfigError),
        ({"timeout": 0}, BadTimeoutError),
    ],
)
async def test_options_that_cannot_be_are_refused(
    js: JetStream, options: dict[str, Any], error: type[Exception]
) -> None:
    for publish in (js.publish, js.publish_async):
        with pytest.raises(error):
            await publish("s", b"", **options)


async def test_what_cannot_be_sent_is_refused(js: JetStream) -> None:
    for publish in (js.publish, js.publish_async):
        with pytest.raises(BadSubjectError):
            await publish("s..a", b"")
        with pytest.raises(InvalidMsgError):
            await publish("s", "text")  # type: ignore[arg-type]
        with pytest.raises(MaxPayloadError):
            await publish("s", bytes(2_000_000))


async def test_the_users_headers_stay_as_they_are(js: JetStream, subject: str) -> None:
    headers = Headers({"Nats-Msg-Id": "mine"})
    await js.publish(subject, b"", headers=headers, msg_id="other")
    assert headers == {"Nats-Msg-Id": "mine"}


async def test_a_time_to_live_needs_a_server_that_knows_it(js: JetStream, level: int) -> None:
    config = StreamConfig(name="TTL", subjects=["ttl.>"], storage="memory")
    stream = await js.create_stream(config)
    try:
        if not level:
            with pytest.raises(JetStreamError, match=r"needs nats-server 2\.11"):
                await js.publish("ttl.a", b"", ttl=1.0)
            assert (await stream.info()).state.messages == 0
            return
        with pytest.raises(JetStreamError) as caught:
            await js.publish("ttl.a", b"", ttl=1.0)
        assert caught.value.err_code == 10166
        await js.update_stream(StreamConfig(name="TTL", allow_msg_ttl=True))
        for ttl, written in ((2, "2"), (2.5, "2500000000ns"), (math.inf, "never")):
            seq = (await js.publish("ttl.a", b"", ttl=ttl)).seq
            assert (await stream.get_msg(seq)).headers["Nats-TTL"] == written
    finally:
        await js.delete_stream("TTL")


# nobody stores it


async def test_a_subject_of_no_stream_is_told_at_once(js: JetStream) -> None:
    loop = asyncio.get_running_loop()
    start = loop.time()
    with pytest.raises(NoStreamResponseError, match="no stream has that subject") as caught:
        await js.publish("nowhere.to.go", b"", timeout=30.0)
    assert caught.value.subject == "nowhere.to.go"
    assert loop.time() - start < 15.0  # not the timeout


async def test_a_lone_subscriber_is_a_timeout_that_says_what_may_be(
    nc: Connection, js: JetStream
) -> None:
    await nc.subscribe("only.core", cb=lambda msg: None)
    with pytest.raises(NatsTimeoutError, match="may be stored, or a subscriber took it") as caught:
        await js.publish("only.core", b"", timeout=0.05)
    assert "without a msg_id" in str(caught.value)
    with pytest.raises(NatsTimeoutError) as caught:
        await js.publish("only.core", b"", msg_id="x", timeout=0.05)
    assert "without a msg_id" not in str(caught.value)


async def test_the_answer_of_a_service_is_no_ack(nc: Connection, js: JetStream) -> None:
    async def answer(msg: Msg) -> None:
        await msg.respond(b'{"ok": true}')

    await nc.subscribe("service.here", cb=answer)
    with pytest.raises(JetStreamError, match="not a PubAck"):
        await js.publish("service.here", b"")
    with pytest.raises(JetStreamError, match="not a PubAck"):
        await (await js.publish_async("service.here", b""))


async def test_a_stream_that_acks_nothing_is_a_timeout(js: JetStream) -> None:
    config = StreamConfig(name="NOACK", subjects=["noack"], storage="memory", no_ack=True)
    stream = await js.create_stream(config)
    try:
        with pytest.raises(NatsTimeoutError):
            await js.publish("noack", b"", timeout=0.05)
        assert (await stream.info()).state.messages == 1
    finally:
        await js.delete_stream("NOACK")


async def test_a_full_stream_refuses_at_once(js: JetStream) -> None:
    config = StreamConfig(
        name="FULL", subjects=["full"], storage="memory", max_msgs=1, discard="new"
    )
    await js.create_stream(config)
    try:
        await js.publish("full", b"")
        with pytest.raises(JetStreamError, match="maximum messages exceeded") as caught:
            await js.publish("full", b"")
        assert caught.value.err_code == 10077
    finally:
        await js.delete_stream("FULL")


async def leaderless(nc: Connection, prefix: str, subject: str) -> None:
    """Let an API say that a stream has a subject that nobody takes."""

    async def names(msg: Msg) -> None:
        assert json.loads(msg.data)["subject"] == subject
        await msg.respond(json.dumps({"total": 1, "streams": ["S"]}).encode())

    await nc.subscribe(f"{prefix}.STREAM.NAMES", cb=names)


@pytest.mark.server_only("the test plays the server")
async def test_without_a_leader_it_is_sent_again_until_there_is_one(nc: Connection) -> None:
    await leaderless(nc, "elect", "elect.me")
    js = JetStream(nc, api_prefix="elect")
    pending = asyncio.create_task(js.publish("elect.me", b"1", timeout=30.0))
    future = await js.publish_async("elect.me", b"2", timeout=30.0)
    taken: list[bytes] = []

    async def lead(msg: Msg) -> None:
        taken.append(msg.data)
        await msg.respond(b'{"stream":"S","seq":%d}' % len(taken))

    await asyncio.sleep(0.3)  # why: at least one further try meets nobody
    await nc.subscribe("elect.me", cb=lead)
    acks = [await pending, await future]
    assert sorted(ack.seq for ack in acks) == [1, 2]
    assert sorted(taken) == [b"1", b"2"]


@pytest.mark.server_only("the test plays the server")
async def test_without_a_leader_until_the_timeout_nothing_was_stored(nc: Connection) -> None:
    await leaderless(nc, "never", "never.led")
    js = JetStream(nc, api_prefix="never")
    with pytest.raises(NoStreamResponseError, match="no leader"):
        await js.publish("never.led", b"", timeout=0.6)
    with pytest.raises(NoStreamResponseError, match="no leader"):
        await (await js.publish_async("never.led", b"", timeout=0.1))
    assert js.pending_acks == 0


@pytest.mark.server_only("the test plays the server")
@pytest.mark.parametrize(
    "passing",
    [
        b'{"error":{"code":409,"err_code":10158},"stream":"S","seq":0}',
        b'{"error":{"code":503,"err_code":10163},"stream":"S","seq":0}',
        b'{"stream":"S","seq":0,"duplicate":true}',
    ],
)
async def test_what_is_being_stored_is_asked_for_again(nc: Connection, passing: bytes) -> None:
    subject = "in.process"
    await leaderless(nc, "passing", subject)
    js = JetStream(nc, api_prefix="passing")
    answers: dict[bytes, int] = {}

    async def answer(msg: Msg) -> None:
        answers[msg.data] = answers.get(msg.data, 0) + 1
        await msg.respond(passing if answers[msg.data] == 1 else b'{"stream":"S","seq":9}')

    sub = await nc.subscribe(subject, cb=answer)
    assert (await js.publish(subject, b"a", msg_id="a")).seq == 9
    assert (await (await js.publish_async(subject, b"b", msg_id="b"))).seq == 9
    assert answers == {b"a": 2, b"b": 2}
    await sub.unsubscribe()


# the connection


async def test_with_an_id_it_is_sent_again_in_a_new_session(
    jetstream_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ack of the first is lost with the session; the stream says that it knows it."""
    monkeypatch.setattr("natsrpc.jetstream.api.overdue._FIRST", 1000.0)  # that is not what helps
    async with (
        Proxy(jetstream_server.port) as proxy,
        connect(proxy.url, reconnect_wait=0.01) as nc,
        connect(jetstream_server.url) as other,
    ):
        stream = await JetStream(other).create_stream(
            StreamConfig(name="RESENT", subjects=["resent"], storage="memory")
        )
        js = JetStream(nc)
        await js.account_info()
        proxy.stall(up=False)
        pending = asyncio.create_task(js.publish("resent", b"", msg_id="x", timeout=30.0))
        future = await js.publish_async("resent", b"", msg_id="y", timeout=30.0)

        async def stored() -> bool:
            return (await stream.info()).state.messages == 2

        await eventually(stored)
        proxy.cut()
        proxy.resume()
        assert (await pending).duplicate
        assert (await future).duplicate
        assert (await stream.info()).state.messages == 2
        await JetStream(other).delete_stream("RESENT")


async def test_without_an_id_a_lost_ack_is_a_timeout(jetstream_server: NatsServer) -> None:
    async with (
        Proxy(jetstream_server.port) as proxy,
        connect(proxy.url, reconnect_wait=0.01) as nc,
    ):
        stream = await JetStream(nc).create_stream(
            StreamConfig(name="LOST", subjects=["lost"], storage="memory")
        )
        proxy.stall(up=False)
        future = await JetStream(nc).publish_async("lost", b"", timeout=1.0)
        await nc.publish("elsewhere")
        async with connect(jetstream_server.url) as other:
            there = await JetStream(other).stream("LOST")

            async def stored() -> bool:
                return (await there.info()).state.messages == 1

            await eventually(stored)
            proxy.cut()
            proxy.resume()
            with pytest.raises(NatsTimeoutError, match="may be stored"):
                await future
            assert (await there.info()).state.messages == 1
        assert stream.name == "LOST"
        await JetStream(nc).delete_stream("LOST")


async def test_what_is_published_while_reconnecting_is_kept(jetstream_server: NatsServer) -> None:
    async with (
        Proxy(jetstream_server.port) as proxy,
        connect(proxy.url, reconnect_wait=0.01) as nc,
    ):
        js = JetStream(nc)
        await js.create_stream(StreamConfig(name="KEPT", subjects=["kept"], storage="memory"))
        proxy.refuse()
        proxy.cut()
        await eventually(lambda: nc.is_reconnecting)
        pending = asyncio.create_task(js.publish("kept", b"", timeout=30.0))
        futures = [await js.publish_async("kept", b"", timeout=30.0) for _ in range(3)]
        await proxy.listen()
        acks = [await pending, *await asyncio.gather(*futures)]
        assert sorted(ack.seq for ack in acks) == [1, 2, 3, 4]
        await js.delete_stream("KEPT")


async def test_a_closed_connection_ends_what_waits(nc: Connection, js: JetStream) -> None:
    await nc.subscribe("closing", cb=lambda msg: None)
    pending = asyncio.create_task(js.publish("closing", b"", timeout=30.0))
    future = await js.publish_async("closing", b"", timeout=30.0)
    await nc.close()
    for waiting in (pending, future):
        with pytest.raises(ConnectionClosedError):
            await waiting
    with pytest.raises(ConnectionClosedError):
        await js.publish("closing", b"")
    with pytest.raises(ConnectionClosedError):
        await js.publish_async("closing", b"")
    assert js.pending_acks == 0


DENIED = """
authorization { users = [{user: u, password: u, permissions: {publish: {deny: ["secret.>"]}}}] }
"""


@pytest.mark.live
async def test_what_the_server_denies_is_told() -> None:
    async with (
        NatsServer(DENIED, jetstream=True) as server,
        connect(server.url, user="u", password="u", on_error=lambda *_: None) as nc,
    ):
        js = JetStream(nc)
        with pytest.raises(PermissionsError):
            await js.publish("secret.a", b"", timeout=30.0)
        future = await js.publish_async("secret.b", b"", timeout=30.0)
        with pytest.raises(PermissionsError):
            await future


async def test_it_works_with_an_inbox_for_each_request(jetstream_server: NatsServer) -> None:
    async with connect(jetstream_server.url, old_style_requests=True) as nc:
        js = JetStream(nc)
        config = StreamConfig(name="OLDSTYLE", subjects=["oldstyle"], storage="memory")
        stream = await js.create_stream(config)
        ack = await js.publish("oldstyle", b"x", msg_id="1", headers={"A": "b"})
        assert ack.seq == 1
        assert (await stream.get_msg(1)).headers == {"A": "b", "Nats-Msg-Id": "1"}
        ordered = await stream.ordered_consumer(filter_subjects="oldstyle")
        assert [msg.data for msg in await ordered.fetch(1)] == [b"x"]
        with pytest.raises(NoStreamResponseError):
            await js.publish("nowhere", b"")
        await js.delete_stream("OLDSTYLE")


async def test_dedup_needs_the_name_of_the_header_by_its_case(
    js: JetStream, stream: Stream, subject: str
) -> None:
    """So an id goes by its option, which writes it as the server reads it."""
    for _ in range(2):
        await js.publish(subject, b"", headers={"nats-msg-id": "x"})
    assert (await stream.info()).state.messages == 2
    await js.update_stream(dataclasses.replace(stream.cached_info.config, description="same"))


@pytest.mark.server_only("the test plays the server")
async def test_what_has_an_id_and_no_answer_is_sent_again_after_a_while(nc: Connection) -> None:
    """A server behind the connected one may die with it, and nobody says so."""
    js = JetStream(nc)
    taken: dict[bytes, int] = {}

    async def answer(msg: Msg) -> None:
        taken[msg.data] = taken.get(msg.data, 0) + 1
        if taken[msg.data] == 2:
            await msg.respond(b'{"stream":"S","seq":1}')

    await nc.subscribe("forgetful", cb=answer)
    plain = await js.publish_async("forgetful", b"plain", timeout=30.0)
    future = await js.publish_async("forgetful", b"future", msg_id="f", timeout=30.0)
    assert (await js.publish("forgetful", b"publish", msg_id="p", timeout=30.0)).seq == 1
    assert (await future).seq == 1
    assert taken == {b"plain": 1, b"future": 2, b"publish": 2}
    plain.cancel()
