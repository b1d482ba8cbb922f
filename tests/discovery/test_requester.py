"""Asking `$SRV`: who answers is not known, nor how much."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from natsrpc import discovery
from natsrpc.core import Connection, Msg, connect
from natsrpc.discovery import requester
from natsrpc.testing import NatsServer
from tests.core.harness import eventually

Question = Callable[[Connection], Awaitable[list[Any]]]


def identity(number: int) -> bytes:
    return json.dumps({"name": "fleet", "id": f"i{number}", "version": "1.0.0"}).encode()


SIZE = len(identity(0))


async def ping(connection: Connection) -> list[Any]:
    return list(await discovery.ping(connection, "fleet", timeout=10, stall=0.2))


async def schemas(connection: Connection) -> list[Any]:
    return list(await discovery.schemas(connection, "fleet", timeout=10, stall=0.2))


async def answering(connection: Connection, count: int) -> None:
    """One who answers as if it were so many instances."""

    async def answer(msg: Msg) -> None:
        for number in range(count):
            await msg.respond(identity(number))

    await connection.subscribe("$SRV.*.fleet", cb=answer)
    await connection.flush()


@pytest.mark.parametrize("question", [ping, schemas])
@pytest.mark.parametrize(("name", "bound"), [("MAX_ANSWERS", 7), ("MAX_BYTES", 7 * SIZE)])
async def test_discovery_takes_so_many_instances(
    nats_server: NatsServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    question: Question,
    name: str,
    bound: int,
) -> None:
    monkeypatch.setattr(requester, name, bound)
    async with connect(nats_server.url) as other, connect(nats_server.url) as connection:
        await answering(other, 10)
        assert len(await question(connection)) == 7
        assert [each.message for each in caplog.records] == [
            f"took 7 answers to '$SRV.{'PING' if question is ping else 'SCHEMA'}.fleet' and no "
            "more: ask for one name, or one instance"
        ]
        await eventually(lambda: connection.link.inbox_requests.deadlines == {}, what="its end")


@pytest.mark.parametrize("question", [ping, schemas])
async def test_as_many_as_that_are_taken_in_silence(
    nats_server: NatsServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    question: Question,
) -> None:
    monkeypatch.setattr(requester, "MAX_ANSWERS", 10)
    async with connect(nats_server.url) as other, connect(nats_server.url) as connection:
        await answering(other, 10)
        assert len(await question(connection)) == 10
    assert caplog.records == []
