"""Services under test: `Service.test` gives a client with all that a client has."""

from __future__ import annotations

from typing import Protocol, assert_type

from natsrpc import Client, Service
from natsrpc.testing import Broker, serve_in_memory

from .models import Answer, Question, help

service = Service("tested", version="1.0.0")


class Desk(Protocol):
    async def help(self, question: Question) -> Answer: ...


async def a_test_has_a_client() -> None:
    async with service.test(broker=Broker(), codec="msgpack", name="test") as client:
        assert_type(client, Client)
        assert_type(await client.settled(timeout=1), list[BaseException])
        assert_type(await client.call(help, Question(topic="x")), Answer)
        assert_type(await client.bind(Desk).help(Question(topic="x")), Answer)
        await client.publish("desk.note", Question(topic="x"))
        await client.drain()


async def a_test_of_several_services_has_one() -> None:
    async with serve_in_memory(service, service, codec="msgpack") as client:
        assert_type(client, Client)


async def options_are_those_of_connect() -> None:
    async with service.test(naem="test"):  # E: call-arg, reportCallIssue
        pass
    async with service.test(broker="memory"):  # E: arg-type, reportArgumentType
        pass
