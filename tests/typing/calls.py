"""What the type checker infers of calls; checked by `mypy --strict` over tests, never run."""

from __future__ import annotations

from typing import Any, Protocol, assert_type

from pydantic import BaseModel

from natsrpc.core import Msg
from natsrpc.rpc import Client, Context


class Question(BaseModel):
    topic: str


class Answer(BaseModel):
    text: str


class HelpDesk(Protocol):
    async def help(self, question: Question) -> Answer: ...

    async def add(self, a: int, b: int) -> int: ...


async def help(question: Question) -> Answer:
    return Answer(text=question.topic)


async def with_context(question: Question, context: Context, msg: Msg) -> Answer:
    return Answer(text=question.topic)


async def only_context(context: Context) -> float:
    return context.time_left() or 0.0


async def add(a: int, b: int) -> int:
    return a + b


async def nothing() -> None: ...


def plain(question: Question) -> list[Answer]:
    return []


async def by_subject(client: Client, question: Question) -> None:
    assert_type(await client.call("help", question, Answer), Answer)
    assert_type(await client.call("help", question, returns=Answer, timeout=1.0), Answer)
    assert_type(await client.call("help", question, list[Answer]), list[Answer])
    assert_type(await client.call("help", question), Any)
    assert_type(await client.call("help"), Any)


async def by_handler(client: Client, question: Question) -> None:
    assert_type(await client.call(help, question), Answer)
    assert_type(await client.call(help, question, timeout=None), Answer)
    assert_type(await client.call(with_context, question), Answer)
    assert_type(await client.call(add, {"a": 1, "b": 2}), int)
    assert_type(await client.call(plain, question), list[Answer])
    assert_type(await client.call(only_context), float)
    await client.call(nothing)


async def refused(client: Client) -> None:
    await client.call(help, "a string")  # type: ignore[arg-type]  # what must be refused
    await client.call(help)  # type: ignore[arg-type]  # what must be refused
    await client.call(help, Question(topic="x"), timeuot=1)  # type: ignore[call-overload]  # refused


async def by_proxy(client: Client, question: Question) -> None:
    desk = client.bind(HelpDesk)
    assert_type(desk, HelpDesk)
    assert_type(await desk.help(question), Answer)
    assert_type(await desk.add(1, b=2), int)
    await desk.help("a string")  # type: ignore[arg-type]  # what must be refused
