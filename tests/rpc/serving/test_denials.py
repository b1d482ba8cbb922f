"""A service whose endpoints a server denies, and gives back, while it runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

import pytest

from natsrpc import connect
from natsrpc.errors import NoRespondersError, PermissionsError
from natsrpc.rpc import Client, Service
from natsrpc.rpc.serving.denials import TELLING
from natsrpc.testing import NatsServer
from tests.core.harness import eventually

pytestmark = pytest.mark.live

USERS = """
    authorization {{ users: [
        {{ user: s, password: s, permissions: {{ publish: ">", subscribe: [{0}] }} }}
        {{ user: c, password: c }}
    ] }}
"""
ALL = USERS.format('">"')
BUT_ENDPOINTS = USERS.format('"_INBOX.>", "$SRV.>"')
LEAST = USERS.format('"calc.add", "_INBOX.>"')


@pytest.fixture
def server() -> Iterator[NatsServer]:
    with NatsServer(ALL) as server:
        yield server


def calc() -> Service:
    service = Service("calc", version="1.0.0")

    @service.handler("calc.add")
    async def add(a: int, b: int) -> int:
        return a + b

    return service


async def health(caller: Client) -> dict[str, object]:
    (stats,) = await caller.gather("$SRV.STATS.calc", max_responses=1)
    found: dict[str, object] = stats["endpoints"][0]["data"]["natsrpc"]["health"]
    return found


async def is_served(caller: Client) -> bool:
    try:
        return await caller.call("calc.add", {"a": 1, "b": 2}, int) == 3
    except NoRespondersError:
        return False


@pytest.mark.parametrize("reconnects", [False, True])
async def test_an_endpoint_that_is_taken_away_and_given_back_is_served_again(
    server: NatsServer, reconnects: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        connect(server.url, user="s", password="s", reconnect_wait=0.01) as worker,
        connect(server.url, user="c", password="c") as caller,
        worker.serve(calc()),
    ):
        assert await is_served(caller)
        assert (await health(caller))["status"] == "ok"
        with caplog.at_level(logging.WARNING, "natsrpc.rpc"):
            await asyncio.to_thread(server.reload, BUT_ENDPOINTS)
            await eventually(lambda: "cannot be reached on 'calc.add'" in caplog.text)
            assert not await is_served(caller)
            told = await health(caller)
            assert (told["status"], told["denied"]) == ("unwell", ["calc.add"])
            await asyncio.to_thread(server.reload, ALL)
            if reconnects:
                await worker.connection.force_reconnect()
            await eventually(lambda: is_served(caller))
            await eventually(lambda: "can be reached on 'calc.add' again" in caplog.text)
        assert (await health(caller))["status"] == "ok"
        # what it can do without came back with it: a request larger than a message is taken
        text = "x" * (2 * worker.connection.max_payload)
        with pytest.raises(Exception, match="integer"):
            await caller.call("calc.add", {"a": text, "b": 2}, int)


async def test_each_of_two_instances_on_one_connection_is_denied_and_given_back(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("natsrpc.rpc.serving.denials.FIRST_WAIT", 0.01)

    def doubler() -> Service:
        service = Service("doubler", version="1.0.0")

        @service.handler("double", queue_group=None)
        async def double(number: int) -> int:
            return 2 * number

        return service

    async with (
        connect(server.url, user="s", password="s") as worker,
        connect(server.url, user="c", password="c") as caller,
        worker.serve(doubler()) as first,
        worker.serve(doubler()) as second,
    ):
        assert await caller.gather("double", 1, max_responses=2) == [2, 2]
        await asyncio.to_thread(server.reload, BUT_ENDPOINTS)
        denials = [running.services[0].denials for running in (first, second)]
        await eventually(lambda: all(each.subjects for each in denials))
        with pytest.raises(PermissionsError):
            await worker.serve(doubler())
        await asyncio.to_thread(server.reload, ALL)
        await eventually(lambda: not any(each.subjects for each in denials))
        assert await caller.gather("double", 1, max_responses=2) == [2, 2]


async def test_a_service_that_is_denied_ends_all_the_same(server: NatsServer) -> None:
    async with (
        connect(server.url, user="s", password="s") as worker,
        connect(server.url, user="c", password="c") as caller,
    ):
        running = await worker.serve(calc())
        await asyncio.to_thread(server.reload, BUT_ENDPOINTS)
        await eventually(lambda: running.services[0].denials.subjects)
        await running.drain()
        await asyncio.to_thread(server.reload, ALL)
        await worker.connection.force_reconnect()
        await worker.connection.flush()
        assert not await is_served(caller)


async def test_an_endpoint_that_is_removed_while_it_is_denied_is_missed_no_more(
    server: NatsServer,
) -> None:
    service = calc()

    @service.handler("other", name="other")
    async def other() -> int:
        return 1

    async with (
        connect(server.url, user="s", password="s") as worker,
        connect(server.url, user="c", password="c") as caller,
        worker.serve(service) as running,
    ):
        await asyncio.to_thread(server.reload, USERS.format('"other", "_INBOX.>", "$SRV.>"'))
        await eventually(lambda: running.services[0].denials.subjects == ["calc.add"])
        await running.remove("add")
        assert (await health(caller))["status"] == "ok"
        await asyncio.to_thread(server.reload, ALL)
        await worker.connection.force_reconnect()
        await worker.connection.flush()
        assert not await is_served(caller)
        assert await caller.call("other", returns=int) == 1


async def test_what_it_can_do_without_comes_back_while_its_endpoints_stay(
    server: NatsServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        connect(server.url, user="s", password="s") as worker,
        connect(server.url, user="c", password="c") as caller,
        worker.serve(calc()),
    ):
        for _ in range(2):  # twice: what came back is told anew when it goes
            caplog.clear()
            with caplog.at_level(logging.WARNING, "natsrpc.rpc"):
                await asyncio.to_thread(server.reload, LEAST)
                await eventually(lambda: "does without" in caplog.text)
                assert await is_served(caller)
                await asyncio.to_thread(server.reload, ALL)
                await eventually(lambda: "again" in caplog.text)
            assert (await health(caller))["status"] == "ok"
            text = "x" * (2 * worker.connection.max_payload)
            with pytest.raises(Exception, match="integer"):
                await caller.call("calc.add", {"a": text, "b": 2}, int)


async def test_what_it_does_without_is_told_once_and_not_with_each_session(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with NatsServer(LEAST) as server:
        async with (
            connect(server.url, user="s", password="s", reconnect_wait=0.01) as worker,
            connect(server.url, user="c", password="c") as caller,
            worker.serve(calc()),
        ):
            await eventually(lambda: "does without" in caplog.text)
            for _ in range(2):
                await worker.connection.force_reconnect()
                await worker.connection.flush()
            assert await is_served(caller)
            await asyncio.sleep(2 * TELLING)  # why: whether more lines come
            assert caplog.text.count("does without") == 1
