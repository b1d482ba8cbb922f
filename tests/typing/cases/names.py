"""The names that users write in their own annotations, all from `natsrpc`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, assert_type

import natsrpc
from natsrpc import (
    Codec,
    Connection,
    ConnectionEvent,
    ConnectOptions,
    Context,
    Lifespan,
    Middleware,
    Msg,
    MsgCallback,
    Next,
    Options,
    Payload,
    RunningService,
    Server,
    Statistics,
)
from natsrpc.core import Disconnected

from .models import service


@asynccontextmanager
async def pool(service: natsrpc.Service) -> AsyncGenerator[list[str], None]:
    yield []


@asynccontextmanager
async def without_a_service() -> AsyncGenerator[None, None]:
    yield


async def log(context: Context, call_next: Next[Context]) -> Any:
    return await call_next(context)


def shout(msg: Msg) -> None:
    msg.respond_nowait(msg.data.upper())


lifespan: Lifespan = pool
middleware: Middleware[Context] = log
callback: MsgCallback = shout
payload: Payload = memoryview(b"x")
options = Options(name="me")
wanted: ConnectOptions = {"name": "me"}
natsrpc.Service("a", version="1.0.0", lifespan=lifespan, codec=natsrpc.codecs.get("json"))
wrong: Lifespan = without_a_service  # E: assignment, reportAssignmentType
text: Payload = "x"  # E: assignment, reportAssignmentType
misspelt: ConnectOptions = {"nmae": "me"}  # E: typeddict-unknown-key, reportAssignmentType
service.middleware(pool)  # E: type-var, reportArgumentType


def count(nc: Connection) -> int:
    found: Statistics = nc.stats()
    assert_type(nc.options, Options)
    return found.in_msgs


async def watch(nc: Connection) -> None:
    async for event in nc.events():
        tell(event)


def tell(event: ConnectionEvent) -> None:
    if isinstance(event, Disconnected):
        print(event.error)


def ids(server: Server) -> list[str]:
    running: list[RunningService] = server.services
    return [each.id for each in running]


def content_type(codec: Codec) -> str:
    return codec.content_type
