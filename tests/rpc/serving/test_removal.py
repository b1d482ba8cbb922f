"""`Server.remove`: one endpoint goes, what came for it is answered, the others stay."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from natsrpc import Client, Server, Service
from natsrpc.errors import ConfigError, NoRespondersError, UnavailableError
from natsrpc.rpc import connect
from natsrpc.testing import Broker
from tests.core.harness import eventually, turns

pytestmark = pytest.mark.live


class Desk:
    """A service with a handler that waits, served by one client and called by another."""

    def __init__(self, unique: str, **options: Any) -> None:
        self.service = Service("desk", version="1.0.0", **options)
        self.unique = unique
        self.gate = asyncio.Event()
        self.entered: list[int] = []
        self.service.handler(f"{unique}.wait", name="wait")(self.wait)
        self.service.handler(f"{unique}.{{who}}.other", name="other")(self.other)

    async def wait(self, n: int) -> int:
        self.entered.append(n)
        await self.gate.wait()
        return n

    async def other(self, who: str, n: int) -> str:
        return f"{who} {n}"


async def listed(client: Client, server: Server, verb: str) -> list[str]:
    subject = f"$SRV.{verb}.desk.{server.services[0].id}"
    answer = json.loads((await client.connection.request(subject)).data)
    return [each["name"] for each in answer["endpoints"]]


async def test_what_came_is_answered_and_nothing_more_is_taken(
    client: Client, other: Client, unique: str
) -> None:
    """Also what waits for a slot."""
    desk = Desk(unique, max_concurrency=1)
    server = await other.serve(desk.service)
    calls = [asyncio.ensure_future(client.call(f"{unique}.wait", n, int)) for n in range(5)]
    await eventually(lambda: server.inflight == 5)
    removing = asyncio.ensure_future(server.remove("wait"))
    await eventually(lambda: f"{unique}.wait" not in interest(other))
    with pytest.raises(NoRespondersError):
        await client.call(f"{unique}.wait", 5, int)
    assert (removing.done(), server.inflight, desk.entered) == (False, 5, [0])
    desk.gate.set()
    await removing
    assert server.inflight == 0
    assert [await call for call in calls] == list(range(5))
    assert await client.call(f"{unique}.ada.other", 1, str) == "ada 1"
    await server.drain()


def interest(client: Client) -> set[str]:
    return {each.subject for each in client.connection.subscriptions}


async def test_discovery_lists_it_no_more_from_the_beginning_of_its_removal(
    client: Client, other: Client, unique: str
) -> None:
    desk = Desk(unique)
    server = await other.serve(desk.service)
    call = asyncio.ensure_future(client.call(f"{unique}.wait", 1, int))
    await eventually(lambda: bool(desk.entered))
    assert await listed(client, server, "SCHEMA") == ["wait", "other"]
    removing = asyncio.ensure_future(server.remove("wait"))
    await turns(2)
    for verb in ("INFO", "STATS", "SCHEMA"):
        assert await listed(client, server, verb) == ["other"]
    desk.gate.set()
    await removing
    assert await call == 1
    assert [each.name for each in server.services[0].contract.endpoints] == ["other"]
    assert [each.name for each in desk.service.contract.endpoints] == ["other"]
    assert {each for each in interest(other) if each.startswith(unique)} == {
        f"{unique}.*.other",
        f"{unique}.*.other._NATSRPC.large",
        f"{unique}.*.other._NATSRPC.cancel",
    }
    await server.drain()


@pytest.mark.parametrize("form", ["name", "template", "subject"])
async def test_it_is_named_by_name_or_by_subject(
    client: Client, other: Client, unique: str, form: str
) -> None:
    desk = Desk(unique)
    names = {"name": "other", "template": f"{unique}.{{who}}.other", "subject": f"{unique}.*.other"}
    async with other.serve(desk.service) as server:
        await server.remove(names[form])
        with pytest.raises(NoRespondersError):
            await client.call(f"{unique}.ada.other", 1)


async def test_it_can_be_added_again(client: Client, other: Client, unique: str) -> None:
    desk = Desk(unique)
    async with other.serve(desk.service) as server:
        for number in range(3):
            await server.remove("other")

            async def again(who: str, n: int, number: int = number) -> str:
                return f"{who} {n} again {number}"

            desk.service.handler(f"{unique}.{{who}}.other", name="other")(again)
            assert await listed(client, server, "INFO") == ["wait", "other"]
            found = await client.call(f"{unique}.ada.other", {"n": 1}, str)
            assert found == f"ada 1 again {number}"


async def test_unknown_and_shared_names_are_refused(other: Client, unique: str) -> None:
    desk = Desk(unique)
    desk.service.handler(f"{unique}.more", name="other")(desk.wait)
    async with other.serve(desk.service) as server:
        with pytest.raises(ConfigError, match=rf"no such endpoint; .*wait \({unique}.wait\)"):
            await server.remove("nothing")
        with pytest.raises(ConfigError, match=f"'{unique}.more' have that name; remove one by its"):
            await server.remove("other")
        await server.remove(f"{unique}.more")
        await server.remove("other")
        with pytest.raises(ConfigError, match="no such endpoint"):
            await server.remove("other")
    with pytest.raises(ConfigError, match="drained already"):
        await server.remove("wait")


async def test_what_does_not_end_in_time_is_cut_short(
    client: Client, other: Client, unique: str, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Desk(unique)
    async with other.serve(desk.service) as server:
        call = asyncio.ensure_future(client.call(f"{unique}.wait", 1, int))
        await eventually(lambda: bool(desk.entered))
        await server.remove("wait", timeout=0.0)
        with pytest.raises(UnavailableError):
            await call
        assert server.inflight == 0
        assert "endpoint wait is removed: 1 requests are cut short" in caplog.text
        assert await client.call(f"{unique}.ada.other", 1, str) == "ada 1"


async def test_a_cancelled_removal_goes_on(client: Client, other: Client, unique: str) -> None:
    desk = Desk(unique)
    async with other.serve(desk.service) as server:
        call = asyncio.ensure_future(client.call(f"{unique}.wait", 1, int))
        await eventually(lambda: bool(desk.entered))
        removing = asyncio.ensure_future(server.remove("wait"))
        await turns(5)
        removing.cancel()
        await asyncio.wait([removing])
        desk.gate.set()
        assert await call == 1
        await eventually(lambda: f"{unique}.wait._NATSRPC.cancel" not in interest(other))
        with pytest.raises(NoRespondersError):
            await client.call(f"{unique}.wait", 1)


async def test_a_drain_meanwhile_ends_the_removal_too(
    client: Client, other: Client, unique: str
) -> None:
    desk = Desk(unique)
    server = await other.serve(desk.service)
    call = asyncio.ensure_future(client.call(f"{unique}.wait", 1, int))
    await eventually(lambda: bool(desk.entered))
    removing = asyncio.ensure_future(server.remove("wait"))
    await turns(5)
    await server.drain(0.01)
    await removing
    with pytest.raises(UnavailableError):
        await call


async def test_streams_are_finished(client: Client, other: Client, unique: str) -> None:
    service, gate = Service("desk", version="1.0.0"), asyncio.Event()

    @service.handler(f"{unique}.items", name="items")
    async def items() -> AsyncIterator[int]:
        yield 1
        await gate.wait()
        yield 2

    async with other.serve(service) as server:
        found = []
        removing = None
        async for item in client.stream(items):
            found.append(item)
            if removing is None:
                removing = asyncio.ensure_future(server.remove("items"))
                await turns(5)
                gate.set()
        assert removing is not None
        await removing
        assert found == [1, 2]


async def test_the_other_server_of_a_service_is_left_alone() -> None:
    """It is removed from one server; the service itself forgets it for those that start later."""
    desk, broker = Desk("x"), Broker()
    async with (
        connect(**broker.options()) as first,
        connect(**broker.options()) as second,
        connect(**broker.options()) as client,
        first.serve(desk.service) as server,
        second.serve(desk.service) as remaining,
    ):
        await server.remove("other")
        assert await client.call("x.ada.other", 1, str) == "ada 1"
        desk.service.handler("x.new")(desk.wait)
        assert [each.name for each in server.services[0].contract.endpoints] == ["wait", "x_new"]
        names = [each.name for each in remaining.services[0].contract.endpoints]
        assert names == ["wait", "other", "x_new"]
        await remaining.remove("other")
        with pytest.raises(NoRespondersError):
            await client.call("x.ada.other", 1)
