"""Messages without a reply subject: they wait, and what is lost of them is counted and told."""

from __future__ import annotations

import asyncio
import logging
import pickle
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

import natsrpc
from natsrpc import discovery
from natsrpc.errors import MessagesLostError
from natsrpc.observe.prometheus import Metrics
from natsrpc.rpc import Client
from natsrpc.testing import Broker, Clock
from tests.core.harness import eventually


class Mail:
    """A service whose handlers wait to be let go, and what its people are told."""

    def __init__(self, **limits: Any) -> None:
        self.begun: list[int] = []
        self.done: list[int] = []
        self.go = asyncio.Event()
        self.told: list[MessagesLostError] = []
        self.service = natsrpc.Service("mail", version="1.0.0")
        for method in (self.placed, self.refused, self.fails, self.listed):
            self.service.handler(f"mail.{method.__name__}", **limits)(method)

    @asynccontextmanager
    async def served(self) -> AsyncIterator[Client]:
        """The client that serves it, whose connection is told what is lost."""
        async with (
            natsrpc.connect(**Broker().options(on_error=self.on_error)) as client,
            client.serve(self.service),
        ):
            yield client

    async def placed(self, number: int) -> None:
        self.begun.append(number)
        await self.go.wait()
        self.done.append(number)

    async def refused(self, number: int) -> None:
        raise natsrpc.ConflictError("no such order")

    async def fails(self, number: int) -> None:
        raise ZeroDivisionError("secret")

    async def listed(self, number: int) -> AsyncIterator[int]:
        yield number

    async def on_error(self, connection: object, subscription: object, error: Exception) -> None:
        assert isinstance(error, MessagesLostError), error
        self.told.append(error)


def totals(told: list[MessagesLostError]) -> tuple[int, int]:
    return sum(each.dropped for each in told), sum(each.failed for each in told)


async def test_a_burst_waits_and_each_of_it_is_handled() -> None:
    mail = Mail()
    async with mail.served() as client:
        for number in range(5000):
            await client.publish("mail.placed", number)
        await client.connection.flush()
        mail.go.set()
        await eventually(lambda: len(mail.done) == 5000)
    assert sorted(mail.done) == list(range(5000))
    assert mail.told == []


@pytest.mark.parametrize(
    ("name", "value", "code", "dropped", "failed"),
    [
        ("placed", {"not": "an int"}, 422, 0, 1),
        ("refused", 1, 409, 0, 1),
        ("fails", 1, 500, 0, 1),
        ("listed", 1, 400, 1, 0),
    ],
)
async def test_an_error_that_nobody_waits_for_is_told(
    name: str, value: Any, code: int, dropped: int, failed: int, caplog: pytest.LogCaptureFixture
) -> None:
    mail = Mail()
    async with mail.served() as client:
        await client.publish(f"mail.{name}", value)
        await eventually(lambda: bool(mail.told))
        (told,) = mail.told
        assert (told.endpoint, told.subject) == (name, f"mail.{name}")
        assert (told.dropped, told.failed, told.last.code) == (dropped, failed, code)
        assert isinstance(client.connection.last_error, MessagesLostError)
        again = pickle.loads(pickle.dumps(told))
        assert (type(again), str(again), vars(again).keys()) == (
            MessagesLostError, str(told), vars(told).keys()
        )  # fmt: skip
    lines = [each for each in caplog.records if "lost messages" in each.getMessage()]
    assert [each.levelno for each in lines] == [logging.WARNING]
    if code == 500:
        (crash,) = [each for each in caplog.records if each.exc_info]
        assert told.last.details["error_id"] in crash.getMessage()
        assert "secret" not in str(told)


async def test_without_a_callback_a_loss_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    mail = Mail()
    async with mail.service.test() as client:
        await client.publish("mail.refused", 1)
        await eventually(lambda: bool(caplog.records))
    assert len(caplog.records) == 1


async def test_a_flood_of_losses_is_told_once_a_second_and_none_is_left_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock.install()
    monkeypatch.setattr("natsrpc.rpc.serving.slots.MAX_EVENTS", 10)
    mail = Mail(max_concurrency=1, max_waiting=0)
    async with mail.served() as client:
        await client.publish("mail.placed", 0)
        await eventually(lambda: mail.begun == [0])  # the others find one slot taken
        for number in range(1, 1011):
            await client.publish("mail.placed", number)
        await client.connection.flush()
        await eventually(lambda: bool(mail.told))
        assert totals(mail.told) == (1, 0)
        await clock.advance(1.0)
        assert [each.dropped for each in mail.told] == [1, 999]
        await client.publish("mail.placed", 1)
        await client.connection.flush()
        mail.go.set()
        await eventually(lambda: len(mail.done) == 11)
    assert totals(mail.told) == (1001, 0)  # the end of the service tells the rest
    assert len([each for each in caplog.records if "lost" in each.getMessage()]) == 3


def counted(endpoint: discovery.EndpointStats) -> tuple[int, int]:
    return endpoint.natsrpc["refused"], endpoint.natsrpc["dropped"]


async def test_losses_are_figures_of_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("natsrpc.rpc.serving.slots.MAX_EVENTS", 2)
    mail = Mail(max_concurrency=1, max_waiting=0)
    registry = CollectorRegistry()
    Metrics(registry=registry).instrument(mail.service)
    async with mail.served() as client:
        await client.publish("mail.placed", 0)
        await eventually(lambda: mail.begun == [0])
        for number in range(1, 7):
            await client.publish("mail.placed", number)
        await client.publish("mail.refused", 1)
        await client.connection.publish("mail.refused", b"1", headers={"Content-Type": "no/such"})
        await client.connection.flush()
        (found,) = await discovery.stats(client.connection, "mail", timeout=1.0)
        mail.go.set()
    of = {each.name: each for each in found.endpoints}
    assert counted(of["placed"]) == (4, 4)
    assert (of["placed"].num_errors, of["placed"].last_error[:4]) == (4, "429:")
    assert counted(of["refused"]) == (1, 1)
    assert of["refused"].num_errors == 2
    for name, dropped in (("placed", 4), ("refused", 1)):
        labels = {"service": "mail", "endpoint": name}
        assert registry.get_sample_value("natsrpc_server_dropped_total", labels) == dropped


async def test_what_expires_unrun_is_told() -> None:
    clock = Clock.install()
    mail = Mail(max_concurrency=1, timeout=1.0)
    async with mail.served() as client:
        for number in range(3):
            await client.publish("mail.placed", number)
        await client.connection.flush()
        await clock.advance(1.0)
        await eventually(lambda: bool(mail.told))
        await clock.advance(1.0)
        assert totals(mail.told) == (2, 1)
        assert {each.last.code for each in mail.told} == {504}
        assert mail.done == []
