"""Calls of the API: names, prefixes, levels, pages, permissions, and no JetStream at all."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from natsrpc.core import Connection, Msg, connect
from natsrpc.errors import (
    BadTimeoutError,
    ConfigError,
    ConfigTypeError,
    JetStreamError,
    JetStreamNotEnabledError,
    NatsTimeoutError,
    NoStreamResponseError,
    PermissionsError,
)
from natsrpc.jetstream import ConsumerConfig, JetStream, KeyValueConfig, StreamConfig
from natsrpc.testing import NatsServer


async def answered(nc: Connection, subject: str, answer: Any) -> list[Msg]:
    """Answer all requests on a subject; those that came."""
    asked: list[Msg] = []

    async def take(msg: Msg) -> None:
        asked.append(msg)
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        await msg.respond(data)

    await nc.subscribe(subject, cb=take)
    return asked


async def test_the_prefix_is_that_of_a_domain_or_ones_own(nc: Connection) -> None:
    info = {"memory": 7}
    first = await answered(nc, "$JS.hub.API.INFO", info)
    second = await answered(nc, "from.afar.INFO", info)
    assert (await JetStream(nc, domain="hub").account_info()).memory == 7
    assert (await JetStream(nc, api_prefix="from.afar.").account_info()).memory == 7
    assert len(first) == len(second) == 1


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"domain": "a", "api_prefix": "b"}, "either domain= or api_prefix="),
        ({"domain": "a.b"}, "'a.b'"),
        ({"max_pending": 0}, "max_pending"),
    ],
)
async def test_options_that_cannot_be_are_refused(
    nc: Connection, options: dict[str, Any], named: str
) -> None:
    with pytest.raises(ConfigError, match=named):
        JetStream(nc, **options)


async def test_it_stands_on_a_connection(nc: Connection) -> None:
    with pytest.raises(ConfigTypeError, match=r"natsrpc\.core\.Connection"):
        JetStream("nats://localhost")  # type: ignore[arg-type]
    with pytest.raises(BadTimeoutError):
        JetStream(nc, timeout=0)


@pytest.mark.parametrize("bad", ["", "a.b", "a b", "a*", "a>", "a/b", "a\\b", "a\tb", "a\x00"])
async def test_names_that_would_be_other_subjects_are_refused_at_once(
    js: JetStream, bad: str
) -> None:
    for attempt in (
        js.stream(bad),
        js.delete_stream(bad),
        js.create_stream(StreamConfig(name=bad)),
        js.update_stream(StreamConfig(name=bad)),
    ):
        with pytest.raises(ConfigError, match="bad stream name"):
            await attempt
    with pytest.raises(ConfigTypeError):
        await js.stream(7)  # type: ignore[arg-type]


async def test_an_answer_that_is_no_json_is_an_error_of_ours(nc: Connection) -> None:
    await answered(nc, "odd.>", b"+OK")
    js = JetStream(nc, api_prefix="odd")
    with pytest.raises(JetStreamError, match="no JSON object"):
        await js.account_info()
    with pytest.raises(JetStreamError):
        await js.stream("S")


async def test_lists_are_read_page_by_page_and_may_be_null(nc: Connection) -> None:
    names = [f"N{number}" for number in range(5)]

    async def page(msg: Msg) -> None:
        offset = json.loads(msg.data)["offset"]
        await msg.respond(json.dumps({"total": 5, "streams": names[offset:][:2]}).encode())

    await nc.subscribe("paged.STREAM.NAMES", cb=page)
    assert [n async for n in JetStream(nc, api_prefix="paged").stream_names()] == names
    await answered(nc, "none.STREAM.NAMES", {"total": 0, "streams": None})
    assert [n async for n in JetStream(nc, api_prefix="none").stream_names()] == []


async def test_a_list_that_says_more_than_it_gives_ends(nc: Connection) -> None:
    asked = await answered(nc, "short.STREAM.NAMES", {"total": 9, "streams": []})
    assert [n async for n in JetStream(nc, api_prefix="short").stream_names()] == []
    assert len(asked) == 1


@pytest.mark.live
async def test_without_jetstream_each_call_says_so() -> None:
    async with NatsServer() as server, connect(server.url) as nc:
        js = JetStream(nc)
        for call in (js.account_info(), js.stream("S"), js.key_value("b")):
            with pytest.raises(JetStreamNotEnabledError):
                await call
        with pytest.raises(NoStreamResponseError, match="no JetStream answers"):
            await js.publish("orders.new", b"")
        future = await js.publish_async("orders.new", b"")
        with pytest.raises(NoStreamResponseError):
            await future


ACCOUNTS = """
accounts {
  A { users: [{user: a, password: a}] }
  B { jetstream: enabled, users: [{user: b, password: b}] }
}
"""


@pytest.mark.live
async def test_an_account_without_jetstream_says_so() -> None:
    async with NatsServer(ACCOUNTS, jetstream=True) as server:
        async with connect(server.url, user="a", password="a") as nc:
            with pytest.raises(JetStreamNotEnabledError) as caught:
                await JetStream(nc).account_info()
            assert caught.value.err_code in (0, 10039)
        async with connect(server.url, user="b", password="b") as nc:
            assert (await JetStream(nc).account_info()).streams == 0


async def test_an_unknown_domain_says_so(nc: Connection) -> None:
    with pytest.raises(JetStreamNotEnabledError, match="no such domain"):
        await JetStream(nc, domain="nowhere").stream("S")


LIMITED = """
authorization {
  users = [
    {user: admin, password: admin}
    {user: limited, password: limited, permissions: {
       publish: {deny: ["$JS.API.INFO"]}
       subscribe: {allow: ["_LIMITED.>"]}
    }}
  ]
}
"""


@pytest.mark.live
async def test_without_permission_for_info_all_but_level_checks_works() -> None:
    async with NatsServer(LIMITED, jetstream=True) as server:
        options: Any = {"user": "limited", "password": "limited", "inbox_prefix": "_LIMITED"}
        async with connect(server.url, **options) as nc:
            js = JetStream(nc)
            with pytest.raises(PermissionsError):
                await js.account_info()
            stream = await js.create_stream(StreamConfig(name="S", subjects=["s"]))
            await (await js.publish_async("s", b"1"))
            consumer = await stream.create_consumer(ConsumerConfig(name="c"))
            assert [msg.data for msg in await consumer.fetch(1)] == [b"1"]
            async with consumer.messages() as messages:
                await js.publish("s", b"2")
                assert (await anext(messages)).data == b"2"
            kv = await js.create_key_value(KeyValueConfig(bucket="b"))
            await kv.put("k", b"v")
            assert await kv.keys() == ["k"]


@pytest.mark.live
async def test_an_inbox_that_is_denied_is_told() -> None:
    async with NatsServer(LIMITED, jetstream=True) as server:
        async with connect(server.url, user="admin", password="admin") as nc:
            stream = await JetStream(nc).create_stream(StreamConfig(name="S", subjects=["s"]))
            await stream.create_consumer(ConsumerConfig(durable_name="c"))
        async with connect(server.url, user="limited", password="limited") as nc:
            js = JetStream(nc, timeout=2.0)
            with pytest.raises(PermissionsError):
                await js.stream("S")
            with pytest.raises((PermissionsError, NatsTimeoutError)):
                await (await js.publish_async("s", b""))


async def test_a_level_is_asked_for_once_in_a_session(nc: Connection) -> None:
    asked = await answered(nc, "old.INFO", {"api": {"total": 1}})
    js = JetStream(nc, api_prefix="old")
    for _ in range(2):
        with pytest.raises(JetStreamError, match=r"needs nats-server 2\.11"):
            await js.publish("s", b"", ttl=1.0)
    assert len(asked) == 1
    with pytest.raises(JetStreamError, match=r"allow_atomic=\.\.\.\) needs nats-server 2\.12"):
        await js.create_stream(StreamConfig(name="S", allow_atomic=True))


async def test_a_server_that_drops_a_field_is_told_of(nc: Connection) -> None:
    """A newer level, and yet it does not know the field: the asset may live on an older server."""
    await answered(nc, "mixed.INFO", {"api": {"level": 9}})
    await answered(nc, "mixed.STREAM.CREATE.S", {"config": {"name": "S"}})
    js = JetStream(nc, api_prefix="mixed")
    with pytest.raises(JetStreamError, match=r"is there, but without allow_msg_ttl=.*2\.11"):
        await js.create_stream(StreamConfig(name="S", allow_msg_ttl=True))
    with pytest.raises(JetStreamError, match="did not take of_tomorrow="):
        await js.create_stream(StreamConfig(name="S", extra={"of_tomorrow": 1}))


async def test_a_silent_api_is_a_timeout(nc: Connection) -> None:
    await nc.subscribe("silent.>", cb=lambda msg: None)
    with pytest.raises(NatsTimeoutError):
        await JetStream(nc, api_prefix="silent", timeout=0.05).account_info()
    await asyncio.sleep(0)
