"""The streams that services declare: made, checked, never changed; and those that would answer in
the place of a handler."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

import natsrpc
from natsrpc import Client, Service, connect
from natsrpc.describe import Inboxes, document, permissions, read_document
from natsrpc.durable import apply
from natsrpc.errors import (
    ConfigError,
    JetStreamNotEnabledError,
    StreamDiffersError,
    StreamNameInUseError,
    StreamNotFoundError,
)
from natsrpc.jetstream import (
    ConsumerLimits,
    JetStream,
    Placement,
    StreamConfig,
    StreamSource,
    SubjectTransform,
)
from natsrpc.testing import NatsServer

Name = Callable[[], str]
LETS_CHANGE = 5  # the level of servers that change max_consumers


@pytest.fixture
async def worker(jetstream_server: NatsServer) -> AsyncIterator[Client]:
    async with connect(jetstream_server.url) as connected:
        yield connected


def config(name: str, **options: Any) -> StreamConfig:
    given = {"subjects": [f"{name.lower()}.>"], "storage": "memory", **options}
    return StreamConfig(name=name, **given)


def service(*streams: StreamConfig, name: str = "shop", **options: Any) -> Service:
    return Service(name, version="1.0.0", streams=streams, **options)


async def test_a_stream_is_made_before_anything_starts(
    js: JetStream, worker: Client, name: Name
) -> None:
    unique = name()
    seen: list[str] = []

    @asynccontextmanager
    async def lifespan(service: Service, client: Client) -> AsyncIterator[None]:
        seen.append((await client.enqueue(f"{unique.lower()}.x", 1)).stream)
        yield

    async with worker.serve(service(config(unique, max_age=60.0), lifespan=lifespan)):
        assert seen == [unique]
        assert (await js.stream(unique)).cached_info.config.max_age == 60.0
    assert (await js.stream(unique)).cached_info.state.messages == 1  # it outlives the service


async def test_what_is_as_declared_is_taken_as_it_is(
    js: JetStream, worker: Client, name: Name
) -> None:
    unique, origin = name(), name()
    await js.create_stream(config(origin))
    rich = config(
        unique,
        subjects=[f"{unique.lower()}.b", f"{unique.lower()}.a"],
        description="jobs",
        retention="limits",
        max_age=3600.5,
        max_bytes=1 << 20,
        max_msgs=0,
        max_msgs_per_subject=5,
        discard="new",
        duplicate_window=0,
        num_replicas=0,
        compression="none",
        allow_direct=True,
        placement=Placement(),
        consumer_limits=ConsumerLimits(max_ack_pending=100),
        metadata={"team": "billing"},
        sources=[
            StreamSource(
                name=origin,
                subject_transforms=[SubjectTransform(src=f"{origin.lower()}.>", dest="x.>")],
            )
        ],
    )
    for declaration in (
        rich,
        rich,
        dataclasses.replace(rich, subjects=sorted(rich.subjects or ())),
    ):
        async with worker.serve(service(declaration)):
            pass
    await js.update_stream(StreamConfig(name=unique, max_consumers=-1, max_msg_size=100))
    async with worker.serve(service(rich)):  # what is not declared may be anything
        pass


async def test_what_differs_names_each_field_and_starts_nothing(
    js: JetStream, worker: Client, name: Name
) -> None:
    first, second, third = name(), name(), name()
    await js.create_stream(config(first, max_age=60.0, max_msgs=5))
    await js.create_stream(config(second))
    before = (await js.stream(first)).cached_info.config
    started: list[str] = []

    @asynccontextmanager
    async def lifespan(service: Service) -> AsyncIterator[None]:
        started.append(service.name)
        yield

    shop = service(
        config(third),
        config(first, max_age=120.0, max_msgs=5),
        config(second, subjects=["elsewhere"], retention="workqueue"),
        lifespan=lifespan,
    )
    with pytest.raises(StreamDiffersError) as caught:
        await worker.serve(shop)
    assert [tuple(each) for each in caught.value.differences] == [
        (first, "max_age", 120.0, 60.0),
        (second, "subjects", ["elsewhere"], (f"{second.lower()}.>",)),
        (second, "retention", "workqueue", "limits"),
    ]
    text = str(caught.value)
    assert "max_age is 60.0, declared as 120.0" in text
    assert "retention is 'limits', declared as 'workqueue'" in text
    assert "service 'shop'" in text
    assert isinstance(caught.value, ConfigError) and isinstance(caught.value, StreamNameInUseError)
    assert started == []
    assert (await js.stream(first)).cached_info.config == before
    with pytest.raises(StreamNotFoundError):  # not even what is not there was made
        await js.stream(third)


async def test_how_many_consumers_a_stream_may_have_is_the_servers_to_change(
    js: JetStream, name: Name, level: int
) -> None:
    """Older ones do not, and say so."""
    unique = name()
    await js.create_stream(config(unique, max_consumers=2))
    applied = await apply(js, StreamConfig(name=unique, max_consumers=7))
    now = (await js.stream(unique)).cached_info.config.max_consumers
    await js.delete_stream(unique)
    if level >= LETS_CHANGE or applied.is_whole:
        assert (applied.action, applied.refused, now) == ("changed", (), 7)
    else:
        assert (applied.action, now) == ("refused", 2)
        assert "can not change MaxConsumers" in applied.reason


async def test_services_may_declare_a_stream_alike(
    js: JetStream, worker: Client, name: Name
) -> None:
    unique = name()
    one, other = (service(config(unique, max_age=5.0), name=each) for each in ("one", "other"))
    async with worker.serve(one, other):
        assert (await js.stream(unique)).name == unique
    differs = service(config(unique, max_age=6.0, max_msgs=3), name="third")
    told = f"'{unique}' .* service 'one' .* service 'third': max_age is 5.0, and 6.0; max_msgs is"
    with pytest.raises(ConfigError, match=told):
        await worker.serve(one, differs)


async def test_many_processes_make_it_at_once(
    jetstream_server: NatsServer, js: JetStream, name: Name
) -> None:
    unique = name()

    async def start() -> None:
        async with connect(jetstream_server.url) as client, client.serve(service(config(unique))):
            pass

    await asyncio.gather(*(start() for _ in range(8)))
    assert (await js.stream(unique)).name == unique


@pytest.mark.parametrize("served", ["{low}.get", "{low}", "{low}.{{user}}.get"])
async def test_a_declared_stream_that_stores_a_handlers_subject_is_refused(
    js: JetStream, worker: Client, name: Name, served: str
) -> None:
    unique = name()
    low = unique.lower()
    shop = service(config(unique))
    other = Service("other", version="1.0.0")

    @other.handler(served.format(low=low), name="get")
    async def get() -> int:
        return 1

    with pytest.raises(ConfigError, match=f"'get' of service 'other' .* '{unique}' stores"):
        await worker.serve(shop, other)
    with pytest.raises(StreamNotFoundError):
        await js.stream(unique)


@pytest.mark.parametrize("stored", ["{low}.get", "{low}.>", "{low}.get._NATSRPC.*", "{low}.*"])
async def test_a_stream_of_others_that_stores_a_handlers_subject_is_refused(
    js: JetStream, worker: Client, name: Name, stored: str
) -> None:
    unique, own = name(), name()
    low = unique.lower()
    await js.create_stream(config(unique, subjects=[stored.format(low=low)]))
    shop = service(config(own))

    @shop.handler(f"{low}.get", name="get")
    async def get() -> int:
        return 1

    with pytest.raises(ConfigError, match=f"'get' of service 'shop' .* '{unique}' stores"):
        await worker.serve(shop)
    with pytest.raises(StreamNotFoundError):
        await js.stream(own)
    await js.delete_stream(unique)
    async with worker.serve(shop):
        pass


async def test_a_stream_that_acknowledges_nothing_may_store_requests(
    js: JetStream, worker: Client, client: Client, name: Name
) -> None:
    unique = name()
    shop = service(config(unique, no_ack=True))

    @shop.handler(f"{unique.lower()}.get")
    async def get() -> int:
        return 7

    async with worker.serve(shop):
        assert await client.call(get) == 7
    await js.delete_stream(unique)


async def test_events_that_are_stored_may_be_subscribed_to(
    js: JetStream, worker: Client, client: Client, name: Name
) -> None:
    unique = name()
    shop, seen = service(config(unique)), asyncio.Event()

    @shop.subscriber(f"{unique.lower()}.placed")
    async def placed(event: int) -> None:
        seen.set()

    async with worker.serve(shop):
        await client.enqueue(f"{unique.lower()}.placed", 5)
        await asyncio.wait_for(seen.wait(), 10)


async def test_a_handler_that_is_added_later_is_refused(worker: Client, name: Name) -> None:
    unique = name()
    shop = service(config(unique))
    async with worker.serve(shop):
        with pytest.raises(ConfigError, match=f"'{unique}' stores"):

            @shop.handler(f"{unique.lower()}.get")
            async def get() -> int:
                return 1

        @shop.handler(f"other{unique.lower()}.get")
        async def other() -> int:
            return 1


async def test_without_jetstream_nothing_starts(nats_server: NatsServer) -> None:
    async with connect(nats_server.url) as client:
        with pytest.raises(JetStreamNotEnabledError):
            await client.serve(service(config("X")))


async def test_a_service_without_streams_asks_nothing_of_jetstream(
    nats_server: NatsServer,
) -> None:
    plain = natsrpc.Service("plain", version="1.0.0")
    async with connect(nats_server.url) as client:
        asked = await client.connection.subscribe("$JS.>")
        async with client.serve(plain):
            await client.connection.flush()
        assert asked.delivered == 0


@pytest.mark.parametrize(
    ("streams", "told"),
    [
        (StreamConfig(name="A"), "expected a list of StreamConfig"),
        ("A", "expected a StreamConfig, not 'A'"),
        ([{"name": "A"}], "expected a StreamConfig"),
        (5, "expected a list"),
        ([StreamConfig()], "has no name"),
        ([StreamConfig(name="A"), StreamConfig(name="A")], "'A' is declared twice"),
    ],
)
def test_what_is_no_stream_is_refused_where_it_is_written(streams: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Service("shop", version="1.0.0", streams=streams)


LIMITED = """
authorization { users = [{user: shop, password: shop, permissions: {
    publish: {deny: ["$JS.API.STREAM.LIST"]}
}}] }
"""


@pytest.mark.live
async def test_a_service_that_may_not_list_streams_starts_and_says_so(
    name: Name, caplog: pytest.LogCaptureFixture
) -> None:
    with NatsServer(LIMITED, jetstream=True) as server:
        shop = service(config("X"))

        @shop.handler("get")
        async def get() -> int:
            return 1

        async with (
            connect(server.url, user="shop", password="shop") as client,
            client.serve(shop),
        ):
            assert await client.call(get) == 1
    assert any("it is not known which streams store" in each.message for each in caplog.records)


@pytest.mark.live
async def test_the_least_permissions_let_it_make_its_streams(
    caplog: pytest.LogCaptureFixture,
) -> None:
    shop = service(config("JOBS"))

    @shop.handler("get")
    async def get() -> int:
        return 1

    @shop.worker("jobs.new", stream="JOBS")
    async def work(job: int) -> None: ...

    inboxes = Inboxes(service="_INBOX_shop", caller="_INBOX_caller", observer="_INBOX_ops")
    least = permissions(read_document(document(shop.contract)), inboxes)["service"]
    server_config = f"""authorization {{ users = [
        {{user: shop, password: shop, {least.config}}}, {{user: all, password: all}}
    ] }}"""
    errors: list[Exception] = []
    with NatsServer(server_config, jetstream=True) as server:
        async with (
            connect(
                server.url, user="shop", password="shop", inbox_prefix="_INBOX_shop",
                on_error=lambda error, *_: errors.append(error),
            ) as client,
            client.serve(shop),
            connect(server.url, user="all", password="all", inbox_prefix="_INBOX_caller") as other,
        ):  # fmt: skip
            assert await other.call(get) == 1
            assert (await JetStream(other.connection).stream("JOBS")).name == "JOBS"
    assert errors == []
    assert "not known which streams" not in caplog.text
