"""What the other cases call: models, handlers and the API of a service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Protocol

from pydantic import BaseModel

import natsrpc
from natsrpc import Context, Depends, Header, Msg, RpcError, Token
from natsrpc.errors import ContractError, NatsError

Failure = RpcError | ContractError | NatsError


class Question(BaseModel):
    topic: str


class Answer(BaseModel):
    text: str


service = natsrpc.Service("helpdesk", version="1.0.0")


@service.handler("help")
async def help(question: Question) -> Answer:
    return Answer(text=question.topic)


@service.handler("add")
async def add(a: int, b: int = 0) -> int:
    return a + b


@service.handler("reset")
async def reset() -> None: ...


@service.handler("uptime")
async def uptime(context: Context) -> float:
    return context.time_left() or 0.0


@service.handler("whole")
async def whole(
    question: Question,
    context: Context,
    msg: Msg,
    language: Annotated[str, Header("Accept-Language")] = "en",
) -> Answer:
    return Answer(text=question.topic)


@service.handler("orders.{user}.get")
async def order(question: Question, user: Annotated[str, Token("user")]) -> list[Answer]:
    return [Answer(text=user)]


@service.handler("depending")
async def depending(question: Question, who: str = Depends(lambda: "me")) -> str:
    return who


@service.handler("plain", errors=(natsrpc.NotFoundError,), max_concurrency=3)
def plain(question: Question) -> list[Answer]:
    return []


@service.group("files").handler()
def count() -> int:
    return 0


@service.handler("ticks")
async def ticks() -> AsyncIterator[int]:
    yield 1


@service.handler("changes")
async def changes(since: int) -> AsyncIterator[Answer]:
    yield Answer(text=str(since))


@service.handler("changes.of")
async def changes_of(since: int, context: Context) -> AsyncIterator[Answer]:
    yield Answer(text=str(since))


@service.handler("shout")
async def shout(words: AsyncIterator[str]) -> AsyncIterator[str]:
    async for word in words:
        yield word.upper()


@service.handler("total")
async def total(numbers: AsyncIterator[int]) -> int:
    return sum([number async for number in numbers])


class HelpDesk(Protocol):
    async def help(self, question: Question) -> Answer: ...

    async def add(self, a: int, b: int = 0) -> int: ...

    def changes(self, since: int) -> AsyncIterator[Answer]: ...

    async def total(self, numbers: AsyncIterator[int]) -> int: ...


class Desk:
    async def help(self, question: Question) -> Answer:
        return Answer(text=question.topic)
