"""What the guards of the hot path count, each with both its ends in this process, over a server."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import urlsplit

from pydantic import BaseModel

import natsrpc
from natsrpc.core import Msg, connect

from .counting import Operation

BURST = 100
"""Messages published or delivered at a time, so that the turns of the loop are shared."""

AT_A_TIME = 64
"""Requests or calls in flight."""

HELD = 200
"""Messages or calls that are held at a time."""

DATA = bytes(128)

Begin: TypeAlias = Callable[[], Awaitable[object]]
"""Begins many calls or messages and leaves them unfinished; the result keeps them."""

service = natsrpc.Service("hops", version="1.0.0")


class Question(BaseModel):
    topic: str


class Answer(BaseModel):
    text: str


@service.handler("perf.help")
async def answer_question(question: Question) -> Answer:
    return Answer(text=question.topic)


@service.handler("perf.add")
async def add(a: int, b: int) -> int:
    return a + b


@asynccontextmanager
async def raw_request(url: str) -> AsyncIterator[Operation]:
    """A request, and its answer from a plain callback."""

    def answer(msg: Msg) -> None:
        msg.respond_nowait(msg.data)

    async with connect(url) as nc:
        await nc.subscribe("perf.raw", cb=answer)
        await nc.flush()
        yield lambda: nc.request("perf.raw", DATA)


@asynccontextmanager
async def typed_call(url: str) -> AsyncIterator[Operation]:
    """A call by subject, of an async handler, with models both ways and a deadline."""
    question = Question(topic="hops")
    async with natsrpc.connect(url) as client, client.serve(service):
        yield lambda: client.call("perf.help", question, Answer)


def many(
    start: Callable[[str], AbstractAsyncContextManager[Operation]],
) -> Callable[[str], AbstractAsyncContextManager[Operation]]:
    """The same, many at a time, each in a task: turns of the loop are shared."""

    @asynccontextmanager
    async def started(url: str) -> AsyncIterator[Operation]:
        async with start(url) as operation:
            yield lambda: asyncio.gather(*(operation() for _ in range(AT_A_TIME)))

    return started


@asynccontextmanager
async def publishing(url: str) -> AsyncIterator[Operation]:
    """A burst of publishes, and their way to the socket."""
    async with connect(url) as nc:

        async def burst() -> None:
            for _ in range(BURST):
                await nc.publish("perf.publish", DATA)
            await nc.flush()

        yield burst


@asynccontextmanager
async def delivery(url: str) -> AsyncIterator[Operation]:
    """A burst of messages to a plain callback, from a publisher that is no Python code."""
    frames = b"PUB perf.delivery %d\r\n%b\r\n" % (len(DATA), DATA) * BURST
    loop = asyncio.get_running_loop()
    left, all_here = 0, loop.create_future()

    def take(msg: Msg) -> None:
        nonlocal left
        left -= 1
        if not left:
            all_here.set_result(None)

    async with connect(url) as nc:
        await nc.subscribe("perf.delivery", cb=take)
        await nc.flush()
        where = urlsplit(url)
        with socket.create_connection((where.hostname, where.port)) as publisher:
            publisher.sendall(b'CONNECT {"verbose":false}\r\n')

            async def burst() -> None:
                nonlocal left, all_here
                left, all_here = BURST, loop.create_future()
                publisher.sendall(frames)
                await all_here

            yield burst


@dataclass(frozen=True, slots=True)
class Measured:
    """An operation, and of how many messages it is one."""

    start: Callable[[str], AbstractAsyncContextManager[Operation]]
    per: int = 1


OPERATIONS = {
    "raw request": Measured(raw_request),
    "typed call": Measured(typed_call),
    "raw requests, 64 at a time": Measured(many(raw_request), per=AT_A_TIME),
    "typed calls, 64 at a time": Measured(many(typed_call), per=AT_A_TIME),
    "publish": Measured(publishing, per=BURST),
    "delivery": Measured(delivery, per=BURST),
}


@asynccontextmanager
async def requests_in_flight(url: str) -> AsyncIterator[Begin]:
    """Requests that nobody answers, each in a task."""
    tasks: list[asyncio.Task[Msg]] = []
    async with connect(url) as nc:
        await nc.subscribe("perf.unanswered", cb=lambda msg: None)
        await nc.flush()

        async def begin() -> None:
            new = asyncio.create_task
            tasks.extend(new(nc.request("perf.unanswered", DATA)) for _ in range(HELD))
            await asyncio.sleep(0)  # all are sent in this turn, in front of the flush
            await nc.flush()

        yield begin
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


@asynccontextmanager
async def calls_in_flight(url: str) -> AsyncIterator[Begin]:
    """Calls whose handlers wait: the half of the caller and that of the service."""
    running, all_run, go_on = 0, asyncio.Event(), asyncio.Event()
    slow = natsrpc.Service("slow", version="1.0.0")

    @slow.handler("perf.slow", max_concurrency=2 * HELD)
    async def wait(question: Question) -> Answer:
        nonlocal running
        running += 1
        if running == HELD:
            all_run.set()
        await go_on.wait()
        return Answer(text=question.topic)

    tasks: list[asyncio.Task[Answer]] = []
    async with natsrpc.connect(url) as client, client.serve(slow):

        async def begin() -> None:
            new, question = asyncio.create_task, Question(topic="held")
            tasks.extend(new(client.call("perf.slow", question, Answer)) for _ in range(HELD))
            await all_run.wait()

        yield begin
        go_on.set()
        await asyncio.gather(*tasks)


@asynccontextmanager
async def messages_pending(url: str) -> AsyncIterator[Begin]:
    """Messages that wait in a subscription for someone to read them."""
    frames = b"PUB perf.pending %d\r\n%b\r\n" % (len(DATA), DATA) * HELD
    async with connect(url) as nc:
        sub = await nc.subscribe("perf.pending")
        await nc.flush()
        where = urlsplit(url)
        with socket.create_connection((where.hostname, where.port)) as publisher:

            async def begin() -> None:
                publisher.sendall(b'CONNECT {"verbose":false}\r\n' + frames)
                while sub.pending_msgs < HELD:
                    await nc.flush()

            yield begin


@asynccontextmanager
async def messages_unsent(url: str) -> AsyncIterator[Begin]:
    """Messages published in one turn of the loop, in front of their way to the socket."""
    async with connect(url) as nc:

        async def begin() -> None:
            for _ in range(HELD):
                await nc.publish("perf.unsent", DATA)

        yield begin


@asynccontextmanager
async def subscriptions_idle(url: str) -> AsyncIterator[Begin]:
    """Subscriptions that get nothing."""
    async with connect(url) as nc:

        def handle(msg: Msg) -> None:
            raise AssertionError("nobody publishes")

        async def begin() -> None:
            for number in range(HELD):
                await nc.subscribe(f"perf.idle.{number}", cb=handle)
            await nc.flush()

        yield begin


HELD_THINGS: dict[str, Callable[[str], AbstractAsyncContextManager[Begin]]] = {
    "request in flight": requests_in_flight,
    "call in flight": calls_in_flight,
    "message pending": messages_pending,
    "message unsent": messages_unsent,
    "subscription idle": subscriptions_idle,
}
