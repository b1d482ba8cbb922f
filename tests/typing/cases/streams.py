"""Streams: the type of an item, and what is refused."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, assert_type

from natsrpc import Client, Policy, RpcError
from natsrpc.errors import ContractError, NatsError

from .models import Answer, HelpDesk, Question, changes, changes_of, help, shout, ticks, total


async def numbers() -> AsyncIterator[int]:
    yield 1


async def words() -> AsyncIterator[str]:
    yield "a"


async def by_subject(client: Client) -> None:
    assert_type(client.stream("changes", 1, Answer), AsyncGenerator[Answer, None])
    assert_type(client.stream("changes", returns=Answer), AsyncGenerator[Answer, None])
    assert_type(client.stream("changes", 1), AsyncGenerator[Any, None])
    async for change in client.stream("changes", 1, Answer, idle_timeout=5.0):
        assert_type(change, Answer)


async def by_handler(client: Client) -> None:
    async for change in client.stream(changes, 1):
        assert_type(change, Answer)
    async for change in client.stream(changes_of, 1, timeout=10.0):
        assert_type(change, Answer)
    async for tick in client.stream(ticks):
        assert_type(tick, int)
    async for word in client.stream(shout, words()):
        assert_type(word, str)
    async for word in client.stream(shout, items=words(), policy=Policy()):
        assert_type(word, str)
    assert_type(await client.upload(total, numbers()), int)
    assert_type(await client.upload("total", numbers(), returns=int), int)
    assert_type(await client.upload("total", numbers()), Any)


async def from_everybody(client: Client) -> None:
    question = Question(topic="types")
    found = await client.gather(help, question)
    assert_type(found, list[Answer | RpcError | ContractError | NatsError])
    for answer in found:
        if not isinstance(answer, (RpcError, ContractError, NatsError)):
            assert_type(answer, Answer)
    by_subject = await client.gather("help", question, Answer, stall=0.1)
    assert_type(by_subject, list[Answer | RpcError | ContractError | NatsError])
    assert_type(await client.gather("help", question), list[Any])
    await client.gather(help, "a string")  # E: arg-type, reportCallIssue


async def by_proxy(client: Client) -> None:
    desk = client.bind(HelpDesk)
    async for change in desk.changes(1):
        assert_type(change, Answer)
    assert_type(await desk.total(numbers()), int)
    desk.changes("yesterday")  # E: arg-type, reportArgumentType
    await desk.total(words())  # E: arg-type, reportArgumentType


async def refused(client: Client) -> None:
    client.stream(changes, "yesterday")  # E: arg-type, reportCallIssue
    client.stream(shout, items=numbers())  # E: arg-type, reportCallIssue
    client.stream(help, 1)  # E: arg-type, reportCallIssue
    await client.upload(total, words())  # E: arg-type, reportCallIssue
    client.stream(changes, 1, idle_timeuot=1.0)  # E: call-overload, reportCallIssue
    async for change in client.stream(changes, 1):
        print(change.txet)  # E: attr-defined, reportAttributeAccessIssue
