"""`Client.gather`: one deadline for all instances, and what fails is an element of the list.

The instances are raw clients, which send what they like.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from natsrpc.core import Connection, Msg, connect
from natsrpc.errors import (
    ContractError,
    NatsTimeoutError,
    PermissionsError,
    ReplyTooLargeError,
    RpcError,
    SlowConsumerError,
    UnavailableError,
)
from natsrpc.rpc import Client
from natsrpc.rpc import connect as connect_client
from natsrpc.rpc.calling import gather
from natsrpc.rpc.streams import conversations_of
from natsrpc.testing import NatsServer
from tests.core.harness import eventually

pytestmark = pytest.mark.live

DENIED = """
authorization { users: [
    {user: c, password: c, permissions: {subscribe: ["_INBOX.>"], publish: ["nothing"]}}
] }
"""


class Instances:
    """Instances of one endpoint on one raw connection; they answer one after the other."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.answers: list[Callable[[Msg], Awaitable[None]]] = []
        self.credits: dict[int, Msg] = {}
        """The latest credit that the caller gave to each large answer."""

    async def answer(self, msg: Msg) -> None:
        for answer in self.answers:
            await answer(msg)

    def add_plain(self, data: bytes, headers: dict[str, str] | None = None) -> None:
        async def answer(msg: Msg) -> None:
            await self.connection.publish(msg.reply, data, headers=headers)

        self.answers.append(answer)

    async def add_large(self, number: int, size: int) -> None:
        """Offer a body, and note the credit that the caller gives for it."""
        address = self.connection.new_inbox()

        def note(msg: Msg) -> None:
            if (msg.headers.get("Natsrpc-Frame") or "").startswith("credit"):
                self.credits[number] = msg

        async def offer(msg: Msg) -> None:
            await self.say(msg.reply, f"large {size}", reply=address)

        await self.connection.subscribe(address, cb=note)
        self.answers.append(offer)

    async def say(self, to: str, frame: str, data: bytes = b"", reply: str | None = None) -> None:
        headers = {"Natsrpc-Frame": frame}
        await self.connection.publish(to, data, reply=reply, headers=headers)

    async def send_body(self, number: int, data: bytes) -> None:
        to = self.credits[number].reply
        await self.say(to, "item 1", data)
        await self.say(to, "end 1")


@pytest.fixture
async def instances(nats_server: NatsServer, unique: str) -> AsyncIterator[Instances]:
    async with connect(nats_server.url) as connection:
        instances = Instances(connection)
        await connection.subscribe(unique, cb=instances.answer)
        await connection.flush()
        yield instances


def nothing_left(client: Client) -> None:
    link = client.connection.link
    assert not conversations_of(link)
    assert not link.requests.streams
    assert not client.connection.subscriptions


async def test_a_body_that_does_not_come_takes_no_other_answer_along(
    client: Client, instances: Instances, unique: str
) -> None:
    loop = asyncio.get_running_loop()
    await instances.add_large(0, 10)
    instances.add_plain(b"1")
    start = loop.time()
    late, good = await client.gather(unique, None, int, timeout=0.5)
    assert 0.5 <= loop.time() - start < 5
    assert good == 1
    assert isinstance(late, NatsTimeoutError)
    nothing_left(client)


async def test_large_answers_are_received_at_the_same_time(
    client: Client, instances: Instances, unique: str
) -> None:
    """No body is sent before all are allowed to come."""
    for number in range(5):
        await instances.add_large(number, 1)
    instances.add_plain(b"9")
    asked = asyncio.ensure_future(client.gather(unique, None, int, timeout=10, max_responses=6))
    await eventually(lambda: len(instances.credits) == 5)
    for number in reversed(range(5)):
        await instances.send_body(number, b"%d" % number)
    assert await asked == [0, 1, 2, 3, 4, 9], "in the order in which they began to come"
    nothing_left(client)


async def test_many_late_bodies_do_not_stretch_the_time(
    client: Client, instances: Instances, unique: str
) -> None:
    loop = asyncio.get_running_loop()
    for number in range(20):
        await instances.add_large(number, 1)
    start = loop.time()
    found = await client.gather(unique, None, int, timeout=0.5)
    assert loop.time() - start < 5, "not 20 times as long"
    assert [type(each) for each in found] == [NatsTimeoutError] * 20
    nothing_left(client)


async def test_every_kind_of_failure_is_an_element(
    client: Client, instances: Instances, unique: str
) -> None:
    nobody = instances.connection.new_inbox()

    async def offer_and_be_gone(msg: Msg) -> None:
        await instances.say(msg.reply, "large 1", reply=nobody)

    error = {"Nats-Service-Error": "no", "Nats-Service-Error-Code": "418"}
    instances.add_plain(b"", error)
    instances.add_plain(b'"text"')
    instances.answers.append(offer_and_be_gone)
    await instances.add_large(3, 1 << 30)
    await instances.add_large(4, 1)
    await instances.add_large(5, 1)
    asked = asyncio.ensure_future(client.gather(unique, None, int, timeout=10, max_responses=6))
    await eventually(lambda: {4, 5} <= instances.credits.keys())
    to = instances.credits[4].reply
    await instances.connection.publish(to, b"", headers=error)
    await instances.connection.publish(instances.credits[5].reply, b"no frame")
    refused, misfit, gone, too_large, late, broken = await asked
    assert isinstance(refused, RpcError)
    assert isinstance(misfit, ContractError)
    assert isinstance(gone, UnavailableError)
    assert isinstance(too_large, ReplyTooLargeError)
    assert isinstance(late, RpcError)
    assert isinstance(broken, UnavailableError)
    assert refused.code == late.code == 418
    nothing_left(client)


async def test_a_bounded_number_of_bodies_is_received_at_a_time(
    client: Client, instances: Instances, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gather, "MAX_BODIES", 2)
    for number in range(4):
        await instances.add_large(number, 1)
    asked = asyncio.ensure_future(client.gather(unique, None, int, timeout=10, max_responses=4))
    for number in range(4):
        await eventually(lambda number=number: number in instances.credits)  # type: ignore[misc]
        await client.connection.flush()
        await instances.connection.flush()
        assert max(instances.credits) < number + 2
        await instances.send_body(number, b"%d" % number)
    assert await asked == [0, 1, 2, 3]


async def test_what_is_kept_has_a_limit(
    nats_server: NatsServer, instances: Instances, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gather, "MAX_BODY", 10)
    monkeypatch.setattr(gather, "LARGEST", 2)
    await instances.add_large(0, 9)
    for _ in range(2):
        instances.add_plain(b'"%b"' % (b"x" * 8))
    async with connect_client(nats_server.url, max_body=10) as client:
        asked = asyncio.ensure_future(client.gather(unique, None, str, timeout=10, max_responses=3))
        await eventually(lambda: 0 in instances.credits)
        await client.connection.flush()
        await instances.send_body(0, b'"1234567"')
        large, *plain = await asked
    assert isinstance(large, ReplyTooLargeError), "it is what came last"
    assert plain == ["x" * 8] * 2


async def test_no_more_are_waited_for_than_are_kept(
    client: Client, instances: Instances, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gather, "MAX_ANSWERS", 3)

    async def flood(msg: Msg) -> None:
        for _ in range(10):
            await instances.connection.publish(msg.reply, b"1")

    instances.answers.append(flood)
    assert await client.gather(unique, None, int, timeout=10) == [1, 1, 1]
    await eventually(lambda: not client.connection.subscriptions)


async def test_answers_that_were_dropped_take_no_other_answer_along(
    client: Client, instances: Instances, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More came in one turn of the loop than may wait."""

    async def many(*_: object, **__: object) -> AsyncIterator[Msg]:
        yield Msg(unique, b"1")
        raise SlowConsumerError("inbox", dropped=3)

    monkeypatch.setattr(client.connection, "request_many", many)
    good, dropped = await client.gather(unique, None, int, timeout=10)
    assert good == 1
    assert isinstance(dropped, SlowConsumerError)


async def test_a_cancelled_gather_leaves_nothing(
    client: Client, instances: Instances, unique: str
) -> None:
    await instances.add_large(0, 1)
    asked = asyncio.ensure_future(client.gather(unique, None, int, timeout=10))
    await eventually(lambda: 0 in instances.credits)
    asked.cancel()
    await asyncio.wait([asked])
    assert asked.cancelled()
    nothing_left(client)


async def test_without_a_connection_it_is_no_empty_list() -> None:
    server = NatsServer()
    server.start()
    async with connect_client(server.url, reconnect_wait=0.05) as client:
        server.stop()
        await eventually(lambda: not client.connection.is_connected)
        with pytest.raises(NatsTimeoutError, match="the connection was lost"):
            await client.gather("who", None, int, timeout=0.2)
        await client.close()


async def test_a_denied_request_fails_at_once() -> None:
    with NatsServer(DENIED) as server:
        async with connect_client(server.url, user="c", password="c") as client:
            async with asyncio.timeout(5):
                with pytest.raises(PermissionsError):
                    await client.gather("who", None, int, timeout=30)
