"""How long the other side of a conversation is waited for: options of clients and services."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from natsrpc import rpc
from natsrpc.core import Msg
from natsrpc.errors import ConfigError, UnavailableError
from natsrpc.rpc import Client, Service, Stopping, serve_until
from natsrpc.testing import NatsServer
from tests.core.harness import eventually

pytestmark = pytest.mark.live

BAD: list[Any] = [0, -1, "1", None, True, float("inf"), float("nan")]


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("name", ["open_timeout", "presence_timeout", "progress_timeout"])
async def test_what_is_no_positive_number_is_refused(client: Client, name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"{name} is .*: expected a positive number"):
        rpc.connect(**{name: value})
    with pytest.raises(ConfigError, match=name):
        Client(client.connection, **{name: value})
    if name != "open_timeout":
        with pytest.raises(ConfigError, match=name):
            Service("x", version="1.0.0", **{name: value})


@pytest.mark.alone
async def test_a_worker_that_says_nothing_is_waited_for_as_long_as_was_said(
    nats_server: NatsServer, client: Client, unique: str
) -> None:
    await client.connection.subscribe(unique, cb=lambda msg: None)
    async with rpc.connect(nats_server.url, open_timeout=0.5) as caller:
        began = time.monotonic()
        with pytest.raises(UnavailableError, match=r"no worker answered within 0\.5 s"):
            await anext(caller.stream(unique, returns=int))
        assert time.monotonic() - began < 2.5


async def test_a_stranger_that_falls_silent_is_waited_for_as_long_as_progress_may_take(
    nats_server: NatsServer, client: Client, unique: str
) -> None:
    async def answer(msg: Msg) -> None:
        for data in (b"1", b"2"):
            await client.connection.publish(msg.reply, data)

    await client.connection.subscribe(unique, cb=answer)
    options: Any = {"presence_timeout": 0.3, "progress_timeout": 1.0}
    async with rpc.connect(nats_server.url, **options) as caller:
        stream = caller.stream(unique, returns=int)
        assert [await anext(stream), await anext(stream)] == [1, 2]
        with pytest.raises(UnavailableError, match="nothing was heard of the other side for 1 s"):
            await asyncio.wait_for(anext(stream), 5)


async def test_a_worker_that_falls_silent_is_waited_for_as_long_as_was_said(
    nats_server: NatsServer, client: Client, unique: str
) -> None:
    async def acknowledge(msg: Msg) -> None:
        for word in ("ack 0", "alive 0"):
            headers = {"Natsrpc-Frame": word}
            await client.connection.publish(msg.reply, reply="nobody.asks", headers=headers)

    await client.connection.subscribe(unique, cb=acknowledge)
    await client.connection.subscribe("nobody.asks", cb=lambda msg: None)
    async with rpc.connect(nats_server.url, presence_timeout=1.0) as caller:
        with pytest.raises(UnavailableError, match="nothing was heard of the other side for 1 s"):
            await asyncio.wait_for(anext(caller.stream(unique, returns=int)), 4)


@pytest.mark.parametrize("option", ["presence_timeout", "progress_timeout"])
async def test_a_service_waits_for_a_caller_as_long_as_was_said(
    client: Client, other: Client, unique: str, option: str
) -> None:
    options: dict[str, Any] = {option: 1.0}
    service = Service("patient", version="1.0.0", **options)
    ended: list[BaseException] = []

    @service.handler(unique)
    async def total(items: AsyncIterator[int]) -> int:
        try:
            return sum([item async for item in items])
        except BaseException as error:
            ended.append(error)
            raise

    evil = other.connection

    async def here(msg: Msg) -> None:
        if msg.reply and option == "progress_timeout":
            await evil.publish(msg.reply, reply=msg.subject, headers={"Natsrpc-Frame": "alive 0"})

    async with client.serve(service) as server:
        inbox = evil.new_inbox()
        await evil.subscribe(f"{inbox}.*", cb=here)
        headers = {"Natsrpc-Frame": "open 32 262144"}
        await evil.publish(unique, reply=f"{inbox}.1", headers=headers)
        await eventually(lambda: bool(ended), timeout=4)
        await eventually(lambda: server.inflight == 0)


async def test_a_process_that_serves_takes_the_options_of_a_client(
    nats_server: NatsServer, unique: str
) -> None:
    service = Service("process", version="1.0.0")
    stopping = Stopping()
    options: dict[str, Any] = {"presence_timeout": 0}
    with pytest.raises(ConfigError, match="presence_timeout"):
        await serve_until(stopping, service, servers=nats_server.url, **options)
    code = await serve_until(
        stopping,
        service,
        servers=nats_server.url,
        codec="msgpack",
        max_body=1,
        open_timeout=1.0,
        presence_timeout=1.0,
        progress_timeout=1.0,
        on_ready=stopping.drain.set,
    )
    assert code == 0


async def test_the_client_of_a_test_takes_them_too(unique: str) -> None:
    service = Service("tested", version="1.0.0")

    @service.handler(unique)
    async def one() -> int:
        return 1

    async with service.test(open_timeout=0.3, max_body=5) as tested:
        await tested.connection.subscribe("silent", cb=lambda msg: None)
        with pytest.raises(UnavailableError, match=r"within 0\.3 s"):
            await anext(tested.stream("silent", returns=int))
    options: dict[str, Any] = {"progress_timeout": -1}
    with pytest.raises(ConfigError):
        async with service.test(**options):
            pass
