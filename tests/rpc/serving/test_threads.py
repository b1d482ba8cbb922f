"""Plain handlers: in threads, bounded, with their context; a thread cannot be cancelled."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time

import pytest

from natsrpc.errors import DeadlineExceededError, InternalError
from natsrpc.rpc import Client, Service
from natsrpc.rpc.serving.threads import Threads
from tests.core.harness import eventually, turns

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


async def test_context_variables_are_copied_into_the_thread() -> None:
    threads = Threads(1)
    variable.set("outer")

    def call() -> str:
        before = variable.get()
        variable.set("inner")
        return before

    assert await threads.run(call) == "outer"
    assert variable.get() == "outer"
    threads.stop()


async def test_no_more_threads_than_allowed() -> None:
    threads = Threads(2)
    running: set[int] = set()
    peak = 0
    lock, release = threading.Lock(), threading.Event()

    def call() -> None:
        nonlocal peak
        with lock:
            running.add(threading.get_ident())
            peak = max(peak, len(running))
        release.wait(10)
        with lock:
            running.discard(threading.get_ident())

    calls = [asyncio.ensure_future(threads.run(call)) for _ in range(10)]
    await eventually(lambda: len(running) >= 2)
    await turns(20)  # a third would have begun
    release.set()
    await asyncio.gather(*calls)
    assert peak == 2
    threads.stop()


async def test_cancelled_it_waits_for_the_thread_and_raises() -> None:
    threads = Threads(1)
    begun, release, ended = threading.Event(), threading.Event(), threading.Event()

    def call() -> None:
        begun.set()
        release.wait(10)
        ended.set()
        raise ValueError("nobody hears this")

    task = asyncio.ensure_future(threads.run(call))
    await eventually(begun.is_set)
    for _ in range(2):
        task.cancel()
        await turns()
    assert not task.done()
    release.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()
    threads.stop()


@pytest.mark.alone
@pytest.mark.live
async def test_the_deadline_is_answered_while_the_thread_runs_on(
    client: Client, other: Client, unique: str
) -> None:
    service = Service("blocking", version="1.0.0")
    release, ended = threading.Event(), threading.Event()

    @service.handler(unique, max_concurrency=1, max_waiting=0)
    def work() -> None:
        release.wait(10)
        ended.set()

    async with other.serve(service) as server:
        began = time.perf_counter()
        with pytest.raises(DeadlineExceededError):
            await client.call(work, timeout=0.05)
        assert time.perf_counter() - began < 0.15
        assert server.inflight == 1  # the slot is taken for as long as the thread runs
        release.set()
        await eventually(lambda: server.inflight == 0)
        assert ended.is_set()


@pytest.mark.live
async def test_what_a_plain_handler_raises_is_answered(client: Client, unique: str) -> None:
    service = Service("raising", version="1.0.0")

    @service.handler(unique)
    def work() -> None:
        raise StopIteration  # which no future takes

    async with client.serve(service):
        with pytest.raises(InternalError):
            await client.call(work)


@pytest.mark.live
async def test_a_plain_function_that_gives_a_coroutine_is_awaited(
    client: Client, unique: str
) -> None:
    async def inner(n: int) -> int:
        return n + 1

    service = Service("indirect", version="1.0.0")

    @service.handler(unique)
    def work(n: int) -> int:
        return inner(n)  # type: ignore[return-value]  # as an untyped decorator would

    async with client.serve(service):
        assert await client.call(unique, 1) == 2
