"""Routers, marked methods, and the client that handlers are given."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, assert_type

import natsrpc
from natsrpc import Client, Context, Depends, Next

from .models import Answer, Question


def authorize(context: Context) -> None: ...


@asynccontextmanager
async def of_one(service: natsrpc.Service) -> AsyncGenerator[int, None]:
    yield 1


@asynccontextmanager
async def of_two(service: natsrpc.Service, client: Client) -> AsyncGenerator[int, None]:
    yield 1


@asynccontextmanager
async def of_three(service: natsrpc.Service, client: Client, no: int) -> AsyncGenerator[int, None]:
    yield 1


natsrpc.Service("a", version="1.0.0", lifespan=of_one, dependencies=[Depends(authorize)])
natsrpc.Service("a", version="1.0.0", lifespan=of_two)
natsrpc.Service("a", version="1.0.0", lifespan=of_three)  # E: arg-type, reportArgumentType

router = natsrpc.Router("desk", dependencies=[Depends(authorize)], errors=(natsrpc.NotFoundError,))
service = natsrpc.Service("helpdesk", version="1.0.0")


@router.handler("ask", timeout=1.0, idempotent=True)
async def ask(question: Question, client: Client, context: Context) -> Answer:
    context.after_reply(print, question.topic)
    context.after_reply(question)  # E: arg-type, reportArgumentType
    return await client.call("ask.another", question, Answer)


@router.handler("wrong", timout=1.0)  # E: call-arg, reportCallIssue, reportUntypedFunctionDecorator
async def wrong() -> None: ...


@router.middleware
async def middleware(context: Context, call_next: Next[Context]) -> Any:
    return await call_next(context)


def clock(client: Client) -> Client:
    return client


@service.handler("when", dependencies=[Depends(authorize)])
async def when(question: Question, own: Annotated[Client, Depends(clock)]) -> Answer:
    return Answer(text=question.topic)


router.include(natsrpc.Router())
service.include(router, prefix="v1")
service.include("desk")  # E: arg-type, reportArgumentType


class Desk:
    @natsrpc.endpoint("desk.ask", timeout=2.0, errors=(natsrpc.ForbiddenError,))
    async def ask(self, question: Question, context: Context) -> Answer:
        return Answer(text=question.topic)

    @natsrpc.endpoint()
    async def add(self, a: int, b: int = 0) -> int:
        return a + b

    @natsrpc.endpoint("desk.items")
    async def items(self, to: int) -> AsyncIterator[int]:
        yield to

    @natsrpc.endpoint(timout=1.0)  # E: call-arg, reportCallIssue, reportUntypedFunctionDecorator
    async def misspelt(self) -> None: ...


async def use(desk: Desk) -> None:
    async with service.test() as client, client.serve(service) as server:
        assert_type(client, Client)
        await client.publish("x", 1)
        await server.remove("ask")
        await server.remove(3)  # E: arg-type, reportArgumentType
        assert_type(await client.call(ask, Question(topic="x")), Answer)
        assert_type(await client.call(when, Question(topic="x")), Answer)
        assert_type(await client.call(Desk.ask, Question(topic="x")), Answer)
        assert_type(await client.call(desk.ask, Question(topic="x")), Answer)
        assert_type(await client.call(Desk.add, {"a": 1, "b": 2}), int)
        assert_type([item async for item in client.stream(Desk.items, 3)], list[int])
        assert_type(client.bind(Desk), Desk)
        assert_type(await client.bind(Desk).add(1), int)
        await client.call(desk.ask, 3)  # E: misc, reportGeneralTypeIssues
        await client.drain()
