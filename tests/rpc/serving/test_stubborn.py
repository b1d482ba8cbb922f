"""Handlers that run on in spite of their cancellation, and wait for what nothing else holds."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref
from collections.abc import Callable

import pytest

import natsrpc
from natsrpc import Client, Context, Service
from natsrpc.errors import DeadlineExceededError
from natsrpc.jetstream import StreamConfig
from natsrpc.testing import Broker, Clock
from tests.core.harness import eventually


class Stubborn:
    """A handler that is only ended by `end`, and then counts."""

    def __init__(self) -> None:
        self.ended = 0
        self.task: Callable[[], object] = object
        self._event: Callable[[], asyncio.Event | None] = lambda: None

    async def wait(self) -> None:
        is_over = asyncio.Event()
        self.task = weakref.ref(asyncio.current_task())  # there is one
        self._event = weakref.ref(is_over)
        while not is_over.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await is_over.wait()
        self.ended += 1

    async def end(self) -> None:
        """Let it go on, unless a collection of garbage has ended it already."""
        gc.collect()
        event = self._event()
        assert event is not None, "a collection of garbage has ended it"
        event.set()
        await eventually(lambda: self.ended == 1)


def called(service: Service, stubborn: Stubborn) -> None:
    @service.handler("work")
    async def work() -> None:
        await stubborn.wait()


def told(service: Service, stubborn: Stubborn) -> None:
    @service.subscriber("work", timeout=1.0)
    async def work() -> None:
        await stubborn.wait()


def put_to_work(service: Service, stubborn: Stubborn) -> None:
    @service.worker("work", stream="WORK", durable="work", timeout=1.0)
    async def work() -> None:
        await stubborn.wait()


def left_for_later(service: Service, stubborn: Stubborn) -> None:
    @service.handler("work")
    async def work(context: Context) -> None:
        context.after_reply(stubborn.wait)


async def call(client: Client) -> None:
    with pytest.raises(DeadlineExceededError):
        await client.call("work", timeout=1.0)


async def call_in_time(client: Client) -> None:
    await client.call("work")


async def publish(client: Client) -> None:
    await client.publish("work")


async def enqueue(client: Client) -> None:
    await client.enqueue("work")


KINDS = {
    "call": (called, call),
    "event": (told, publish),
    "work": (put_to_work, enqueue),
    "after_reply": (left_for_later, call_in_time),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_no_collection_of_garbage_ends_a_handler(kind: str) -> None:
    clock, stubborn = Clock.install(), Stubborn()
    stream = StreamConfig(name="WORK", subjects=["work"])
    streams = [stream] if kind == "work" else []
    service = Service("stubborn", version="1.0.0", streams=streams)
    declare, ask = KINDS[kind]
    declare(service, stubborn)
    async with natsrpc.connect(**Broker().options()) as client:
        server = await client.serve(service)
        asking = asyncio.ensure_future(ask(client))
        for _ in range(10):
            await clock.advance(0.5)
        await asking
        draining = asyncio.ensure_future(server.drain(1.0))
        for _ in range(10):
            await clock.advance(0.5)
        await draining
        assert server.inflight == 1
        await stubborn.end()
        await eventually(lambda: server.inflight == 0)
    gc.collect()
    assert stubborn.task() is None  # it is held no longer than it runs
