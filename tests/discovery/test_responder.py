"""A running service on `$SRV`, asked by others: nats-py's micro library and bare requests."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import nats
import nats.micro
import pytest
from nats.micro import service as micro
from pydantic import BaseModel

from natsrpc import discovery
from natsrpc.core import Connection, connect
from natsrpc.discovery import responder
from natsrpc.errors import ConfigError, NoRespondersError, RpcError
from natsrpc.rpc import RunningService, Server, Service
from natsrpc.testing import NatsServer

pytestmark = pytest.mark.live


class Sum(BaseModel):
    value: int


def describe(contract: Any) -> list[dict[str, Any]]:
    return [
        {"name": endpoint.name, "request": {"big": "x" * 500}} for endpoint in contract.endpoints
    ]


@pytest.fixture(autouse=True)
def attached(monkeypatch: pytest.MonkeyPatch) -> None:
    """A description of our own, whatever else this process has."""
    monkeypatch.setattr(responder, "_chosen", [])
    discovery.attach(schema=describe)
    discovery.attach()  # changes nothing


@pytest.fixture
async def connection(nats_server: NatsServer) -> AsyncIterator[Connection]:
    async with connect(nats_server.url) as connection:
        yield connection


@pytest.fixture
async def stranger(nats_server: NatsServer) -> AsyncIterator[Any]:
    client = await nats.connect(nats_server.url)
    yield client
    await client.close()


@pytest.fixture
def name(connection: Connection) -> str:
    return "calc-" + connection.new_inbox()[-8:]


@pytest.fixture
def service(name: str) -> Service:
    service = Service(name, version="1.2.0", description="adds", metadata={"team": "numbers"})

    @service.handler(f"{name}.add", name="add")
    async def add(a: int, b: int) -> Sum:
        return Sum(value=a + b)

    @service.handler(f"{name}.each", name="each", queue_group=None)
    async def each(value: int) -> int:
        return 1 // value

    return service


@pytest.fixture
async def running(connection: Connection, service: Service) -> AsyncIterator[RunningService]:
    server = Server(connection, [service])
    await server.start()
    yield server.services[0]
    await server.drain()


async def ask(stranger: Any, subject: str) -> Any:
    return json.loads((await stranger.request(subject, timeout=2)).data)


@pytest.mark.parametrize("verb", ["PING", "INFO", "STATS", "SCHEMA"])
async def test_a_verb_is_answered_on_three_subjects(
    running: RunningService, stranger: Any, name: str, verb: str
) -> None:
    by_name = await ask(stranger, f"$SRV.{verb}.{name}")
    by_id = await ask(stranger, f"$SRV.{verb}.{name}.{running.id}")
    assert by_name["id"] == by_id["id"] == running.id
    inbox = stranger.new_inbox()
    sub = await stranger.subscribe(inbox)
    await stranger.publish(f"$SRV.{verb}", reply=inbox)
    found = [json.loads((await sub.next_msg(2)).data)]
    assert name in {each["name"] for each in found}


async def test_nats_py_reads_all_three(running: RunningService, stranger: Any, name: str) -> None:
    ping = micro.ServicePing.from_dict(await ask(stranger, f"$SRV.PING.{name}"))
    assert (ping.name, ping.id, ping.version) == (name, running.id, "1.2.0")
    assert ping.metadata == {"team": "numbers"}
    info = micro.ServiceInfo.from_dict(await ask(stranger, f"$SRV.INFO.{name}"))
    assert info.description == "adds"
    assert [(each.name, each.subject, each.queue_group) for each in info.endpoints] == [
        ("add", f"{name}.add", "q"),
        ("each", f"{name}.each", ""),
    ]
    stats = micro.ServiceStats.from_dict(await ask(stranger, f"$SRV.STATS.{name}"))
    assert stats.endpoints[0].num_requests == 0


async def test_the_figures_are_those_of_the_requests(
    running: RunningService, stranger: Any, name: str
) -> None:
    for a in range(3):
        await stranger.request(f"{name}.add", json.dumps({"a": a, "b": 1}).encode(), timeout=2)
    for body in (b"1", b"0", b"{"):
        await stranger.request(f"{name}.each", body, timeout=2)
    stats = await ask(stranger, f"$SRV.STATS.{name}")
    add, each = stats["endpoints"]
    assert (add["num_requests"], add["num_errors"], add["last_error"]) == (3, 0, "")
    assert (each["num_requests"], each["num_errors"]) == (3, 2)
    assert each["last_error"].startswith("400:")
    assert add["average_processing_time"] == add["processing_time"] // 3 > 0


async def test_the_shapes_on_the_wire_are_strict(
    running: RunningService, stranger: Any, name: str
) -> None:
    await stranger.request(f"{name}.add", b'{"a":1,"b":2}', timeout=2)
    stats = await ask(stranger, f"$SRV.STATS.{name}")
    assert stats["type"] == "io.nats.micro.v1.stats_response"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", stats["started"])
    for endpoint in stats["endpoints"]:
        for key in ("num_requests", "num_errors", "processing_time", "average_processing_time"):
            assert type(endpoint[key]) is int
        assert type(endpoint["last_error"]) is str
    assert re.fullmatch(r"[0-9A-Za-z]{22}", stats["id"])
    info = await ask(stranger, f"$SRV.INFO.{name}")
    assert info["type"] == "io.nats.micro.v1.info_response"
    assert all(type(each["metadata"]) is dict for each in info["endpoints"])


async def test_every_instance_answers(
    running: RunningService, service: Service, nats_server: NatsServer, name: str
) -> None:
    async with connect(nats_server.url) as other:
        server = Server(other, [service])
        await server.start()
        found = await discovery.ping(other, name)
        assert {each.id for each in found} == {running.id, server.services[0].id}
        assert all(0 < each.rtt < 2 for each in found)
        assert [each.id for each in await discovery.ping(other, name, running.id)] == [running.id]
        await server.drain()
        assert [each.id for each in await discovery.ping(other, name)] == [running.id]


async def test_our_own_readers(running: RunningService, connection: Connection, name: str) -> None:
    (info,) = await discovery.info(connection, name)
    assert [each.name for each in info.endpoints] == ["add", "each"]
    pointer = info.endpoints[0].metadata["natsrpc.schema"]
    assert pointer == f"$SRV.SCHEMA.{name}.{running.id}"
    (stats,) = await discovery.stats(connection, name, running.id)
    assert stats.started == running.started
    assert stats.health is not None
    assert stats.health["connection"] == "connected"


async def test_nobody_is_an_empty_list_at_once(connection: Connection) -> None:
    async with asyncio.timeout(10):
        assert await discovery.ping(connection, "nobody-of-this-name", timeout=30) == []
    with pytest.raises(ConfigError, match="without a name"):
        await discovery.ping(connection, id="X")


@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")  # theirs
async def test_our_readers_read_a_nats_py_service(
    connection: Connection, stranger: Any, name: str
) -> None:
    async def double(request: Any) -> None:
        await request.respond(str(2 * int(request.data)).encode())

    theirs = await nats.micro.add_service(
        stranger, name=name, version="0.1.0", description="theirs"
    )
    await theirs.add_endpoint(name="double", subject=f"{name}.double", handler=double)
    await stranger.flush()
    await stranger.flush()
    assert (await connection.request(f"{name}.double", b"4")).data == b"8"
    (ping,) = await discovery.ping(connection, name)
    assert (ping.name, ping.version) == (name, "0.1.0")
    (info,) = await discovery.info(connection, name)
    assert (info.description, info.endpoints[0].subject) == ("theirs", f"{name}.double")
    (stats,) = await discovery.stats(connection, name)
    assert (stats.num_requests, stats.num_errors, stats.health) == (1, 0, None)
    assert stats.started is not None
    with pytest.raises(NoRespondersError):
        await discovery.schema(connection, name)
    await theirs.stop()


# --- health


async def test_health_is_told_in_the_data(
    running: RunningService, connection: Connection, service: Service, name: str
) -> None:
    (stats,) = await discovery.stats(connection, name)
    assert stats.health == {
        "status": "ok",
        "probes": {},
        "connection": "connected",
        "reconnects": 0,
    }

    @service.probe
    async def database() -> dict[str, Any]:
        return {"lag": 3, "odd": object}

    @service.probe
    def disk() -> bool:
        return False

    (stats,) = await discovery.stats(connection, name)
    assert stats.health is not None
    assert stats.health["status"] == "unwell"
    assert stats.health["probes"]["disk"] is False
    assert [each.natsrpc["inflight"] for each in stats.endpoints] == [0, 0]


async def test_a_probe_that_hangs_does_not_hide_the_service(
    running: RunningService,
    connection: Connection,
    service: Service,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(responder, "PROBES_TIMEOUT", 0.02)
    asked = 0

    @service.probe
    async def hangs() -> None:
        nonlocal asked
        asked += 1
        await asyncio.Event().wait()

    first, second = await asyncio.gather(
        discovery.stats(connection, name, running.id), discovery.stats(connection, name, running.id)
    )
    for (stats,) in (first, second):
        assert stats.health is not None
        assert stats.health["status"] == "unwell"
        assert "0.02 s" in stats.health["reason"]
    assert asked == 1


async def test_draining_waits_for_a_probe_that_runs(
    running: RunningService, connection: Connection, service: Service, name: str
) -> None:
    asked, release = asyncio.Event(), asyncio.Event()

    @service.probe
    async def slow() -> None:
        asked.set()
        await release.wait()

    asking = asyncio.ensure_future(discovery.stats(connection, name, running.id))
    await asked.wait()
    draining = asyncio.ensure_future(running.drain(5))
    await connection.flush()
    assert not draining.done()
    release.set()
    await draining
    assert len(await asking) == 1


# --- schema


async def test_the_schema_is_where_the_pointer_says(
    running: RunningService, connection: Connection, stranger: Any, name: str
) -> None:
    (info,) = await discovery.info(connection, name)
    found = await ask(stranger, info.endpoints[0].metadata["natsrpc.schema"])
    assert found["type"] == "io.natsrpc.v1.schema_response"
    assert [each["name"] for each in found["endpoints"]] == ["add", "each"]
    one = await discovery.schema(connection, name, running.id, endpoint="each")
    assert [each["name"] for each in one["endpoints"]] == ["each"]
    assert one["description"] == "adds"
    assert await discovery.schemas(connection, name) == [found]


async def test_a_schema_too_large_to_send_is_refused_aloud(
    running: RunningService, connection: Connection, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection.link.outbound, "max_payload", 500)
    with pytest.raises(RpcError, match="ask for one endpoint") as caught:
        await discovery.schema(connection, name)
    assert caught.value.code == 413
    assert await discovery.schemas(connection, name) == []


async def test_what_is_no_schema_is_an_error(
    connection: Connection, stranger: Any, name: str
) -> None:
    async def answer(msg: Any) -> None:
        await msg.respond(b"[]")

    await stranger.subscribe(f"$SRV.SCHEMA.{name}", cb=answer)
    await stranger.flush()
    await stranger.flush()
    with pytest.raises(RpcError, match="not a schema"):
        await discovery.schema(connection, name)


async def test_a_refused_schema_is_the_error_that_was_sent(
    connection: Connection, stranger: Any, name: str
) -> None:
    async def answer(msg: Any) -> None:
        headers = {"Nats-Service-Error": "not today", "Nats-Service-Error-Code": "7"}
        await stranger.publish(msg.reply, b'{"retry":true}', headers=headers)

    await stranger.subscribe(f"$SRV.SCHEMA.{name}", cb=answer)
    await stranger.flush()
    await stranger.flush()
    with pytest.raises(RpcError, match="not today") as caught:
        await discovery.schema(connection, name)
    assert (caught.value.code, caught.value.details) == (7, {"retry": True})


async def test_types_are_described_without_a_word(
    connection: Connection, service: Service, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(responder, "_chosen", [])
    server = Server(connection, [service])
    await server.start()
    found = await discovery.schema(connection, name)
    assert [each["name"] for each in found["endpoints"]] == ["add", "each"]
    assert "request" in found["endpoints"][0]
    await server.drain()


# --- the edges


async def test_a_request_without_a_reply_subject_is_ignored(
    running: RunningService, connection: Connection, stranger: Any, name: str
) -> None:
    before = connection.stats().out_msgs
    for verb in ("PING", "INFO", "STATS", "SCHEMA"):
        await stranger.publish(f"$SRV.{verb}.{name}")
    await stranger.flush()
    await connection.flush()
    assert connection.stats().out_msgs == before
    assert connection.last_error is None


async def test_an_answer_that_cannot_be_sent_is_logged(
    running: RunningService,
    connection: Connection,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    asking = asyncio.ensure_future(discovery.ping(connection, name, timeout=0.2))

    def refuse(*_: object) -> None:
        raise NoRespondersError("x")

    await asyncio.sleep(0)
    monkeypatch.setattr(connection.link, "send", refuse)
    await connection.flush()
    assert await asking == []
    assert "was not answered" in caplog.text


async def test_three_subscriptions_without_a_queue_group_and_none_after(
    connection: Connection, service: Service, name: str
) -> None:
    server = Server(connection, [service])
    await server.start()
    ours = [sub for sub in connection.subscriptions if sub.subject.startswith("$SRV.")]
    id_ = server.services[0].id
    assert [each.subject for each in ours] == ["$SRV.*", f"$SRV.*.{name}", f"$SRV.*.{name}.{id_}"]
    assert {sub.queue_group for sub in ours} == {""}
    await server.drain()
    assert [sub for sub in connection.subscriptions if sub.subject.startswith("$SRV.")] == []


async def test_verbs_that_are_not_known_are_ignored(
    running: RunningService, connection: Connection, stranger: Any, name: str
) -> None:
    before = connection.stats().out_msgs
    inbox = stranger.new_inbox()
    for subject in ("$SRV.RESET", f"$SRV.ping.{name}", f"$SRV.INFOS.{name}.{running.id}"):
        await stranger.publish(subject, reply=inbox)
    await stranger.flush()
    await connection.flush()
    assert connection.stats().out_msgs == before


async def test_the_prefix_can_be_another(
    connection: Connection, running: RunningService, name: str
) -> None:
    extra = discovery.Discovery(connection, running, prefix="$OTHER")
    extra.start()
    (found,) = await discovery.ping(connection, name, prefix="$OTHER")
    assert found.id == running.id
    await extra.drain()
    assert await discovery.ping(connection, name, prefix="$OTHER") == []
