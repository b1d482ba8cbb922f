"""Plain handlers: in threads, bounded, with their context; a thread cannot be cancelled."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Annotated

import pytest

from natsrpc.errors import (
    CallCancelledError,
    DeadlineExceededError,
    InternalError,
    OverloadedError,
    RpcError,
    UnavailableError,
)
from natsrpc.rpc import Client, Context, Depends, Service, connect
from natsrpc.rpc.headers import inherited
from natsrpc.rpc.serving.server import THREADS
from natsrpc.rpc.serving.threads import Threads, thread_clock
from natsrpc.testing import Broker
from tests.core.harness import eventually, turns

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


async def test_context_variables_reach_the_thread_and_come_back() -> None:
    threads = Threads(1)
    variable.set("outer")

    def call() -> str:
        before = variable.get()
        variable.set("inner")
        return before

    assert await threads.run(call) == "outer"
    assert variable.get() == "inner"
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
        with pytest.raises(DeadlineExceededError):
            await client.call(work, timeout=0.05)
        assert not ended.is_set()
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


# seats


async def test_requests_wait_for_seats_in_their_order() -> None:
    threads = Threads(1)
    first = await threads.take()
    order: list[int] = []

    async def take(number: int) -> None:
        seat = await threads.take()
        order.append(number)
        seat.give_back()

    tasks = [asyncio.ensure_future(take(number)) for number in range(4)]
    await turns()
    tasks[1].cancel()
    await turns()
    assert order == []
    first.give_back()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert order == [0, 2, 3]
    threads.stop()


async def test_a_seat_given_to_one_that_is_cancelled_goes_on_to_the_next() -> None:
    threads = Threads(1)
    first = await threads.take()
    unlucky = asyncio.ensure_future(threads.take())
    await turns()
    first.give_back()
    unlucky.cancel()
    with pytest.raises(asyncio.CancelledError):
        await unlucky
    (await threads.take()).give_back()
    threads.stop()


async def test_calls_made_inside_handlers_have_seats_of_their_own() -> None:
    threads = Threads(1)
    outer = await threads.take()
    for depth in (2, 3):
        inherited.set((1e9, depth, b"", None))
        (await threads.take()).give_back()
    outer.give_back()
    threads.stop()


async def test_a_thread_has_the_clock_of_the_loop() -> None:
    loop = asyncio.get_running_loop()

    class Loop:
        __module__ = "uvloop"

    assert thread_clock(loop, loop.time) == loop.time
    assert thread_clock(Loop(), loop.time) == time.monotonic


# plain handlers under load


async def test_requests_with_a_pooled_connection_are_never_behind_those_that_wait_for_it() -> None:
    """More requests than threads each take the one connection in a plain dependency, and give it
    back in its second half: those that wait for it have all the threads but one."""
    connection = threading.Semaphore(1)

    def connected() -> Iterator[int]:
        connection.acquire()
        yield 1
        connection.release()

    def query(db: Annotated[int, Depends(connected)]) -> int:
        return db

    service = Service("pooled", version="1.0.0")

    @service.handler("plain")
    def plain(db: Annotated[int, Depends(connected)], found: Annotated[int, Depends(query)]) -> int:
        return db + found

    @service.handler("async")
    async def asynchronous(found: Annotated[int, Depends(query)]) -> int:
        await asyncio.sleep(0)
        return found

    async with service.test() as client:
        calls = [client.call(plain, timeout=20) for _ in range(3 * THREADS)]
        others = [client.call(asynchronous, timeout=20) for _ in range(3 * THREADS)]
        assert await asyncio.gather(*calls, *others) == [2] * len(calls) + [1] * len(others)


async def test_what_expires_or_is_cancelled_before_a_thread_takes_it_never_runs() -> None:
    release, ran = threading.Event(), list[int]()
    service = Service("busy", version="1.0.0")

    @service.handler("work")
    def work(n: int) -> int:
        ran.append(n)
        release.wait(10)
        return n

    async with service.test() as client:
        first = [asyncio.ensure_future(client.call(work, n, timeout=20)) for n in range(THREADS)]
        await eventually(lambda: len(ran) == THREADS)
        late = [client.call(work, 1000 + n, timeout=0.05) for n in range(THREADS)]
        cancelled = [asyncio.ensure_future(client.call(work, 2000 + n)) for n in range(THREADS)]
        await turns(50)
        for call in cancelled:
            call.cancel()
        for found in await asyncio.gather(*late, return_exceptions=True):
            assert isinstance(found, DeadlineExceededError)
        fresh = asyncio.ensure_future(client.call(work, 3000, timeout=20))
        await turns(20)
        release.set()
        assert await fresh == 3000
        assert sorted(await asyncio.gather(*first)) == list(range(THREADS))
    assert sorted(ran) == [*range(THREADS), 3000]


@pytest.mark.usefixtures("patient_callers")
async def test_plain_handlers_of_two_endpoints_share_the_threads_and_none_runs_late() -> None:
    release, ran = threading.Event(), list[str]()
    service = Service("busy", version="1.0.0")

    @service.handler("one")
    def one() -> None:
        ran.append("one")
        release.wait(10)

    @service.handler("two")
    def two() -> None:
        ran.append("two")

    async with service.test() as client:
        first = [asyncio.ensure_future(client.call(one, timeout=20)) for _ in range(THREADS)]
        await eventually(lambda: len(ran) == THREADS)
        with pytest.raises(DeadlineExceededError):
            await client.call(two, timeout=0.05)
        release.set()
        await asyncio.gather(*first)
        await client.call(two)
    assert ran.count("two") == 1


async def test_what_finds_no_thread_waits_in_the_row_and_is_refused_when_it_is_full() -> None:
    release, ran = threading.Event(), list[int]()
    service = Service("busy", version="1.0.0")

    @service.handler("work", max_waiting=8)
    def work(n: int) -> None:
        ran.append(n)
        release.wait(10)

    async with service.test() as client:
        calls = [asyncio.ensure_future(client.call(work, n)) for n in range(THREADS + 8)]
        await eventually(lambda: len(ran) == THREADS)
        await turns(50)
        with pytest.raises(OverloadedError):
            await client.call(work, 99)
        release.set()
        await asyncio.gather(*calls)
    assert len(ran) == THREADS + 8


@pytest.mark.usefixtures("patient_callers")
async def test_a_deadline_that_passed_while_the_loop_was_blocked_is_seen_in_the_thread() -> None:
    service = Service("blocked", version="1.0.0")
    ran: list[int] = []

    def block(context: Context) -> None:
        end = context.deadline
        assert end is not None
        while context.time_left():  # the loop sees no deadline meanwhile
            pass

    def plain(blocked: Annotated[None, Depends(block, thread=False)]) -> None:
        ran.append(2)

    @service.handler("work")
    def work(blocked: Annotated[None, Depends(block, thread=False)]) -> None:
        ran.append(1)

    @service.handler("other")
    async def other(plain: Annotated[None, Depends(plain)]) -> None:
        ran.append(3)

    async with service.test() as client:
        for handler in (work, other):
            with pytest.raises(DeadlineExceededError):
                await client.call(handler, timeout=0.05)
    assert ran == []


async def test_a_plain_function_that_gives_a_stream_runs_in_a_thread() -> None:
    service = Service("indirect", version="1.0.0")
    names: list[str] = []

    async def numbers() -> AsyncIterator[int]:
        yield 1
        yield 2

    @service.handler("stream")
    def stream() -> AsyncIterator[int]:
        names.append(threading.current_thread().name)
        return numbers()

    async with service.test() as client:
        assert [item async for item in client.stream(stream)] == [1, 2]
    assert "natsrpc-handler" in names[0]


# how a plain handler sees the end of its request


@pytest.mark.parametrize("end", ["cancel", "deadline", "abort"])
async def test_a_plain_handler_sees_that_nobody_waits_for_it(end: str) -> None:
    begun, seen = threading.Event(), list[str]()
    service = Service("watching", version="1.0.0")

    @service.handler("work")
    def work(context: Context) -> None:
        assert not context.cancelled
        context.raise_if_cancelled()
        begun.set()
        while not context.cancelled:
            time.sleep(0.001)  # why: a plain handler at work, which looks now and then
        try:
            context.raise_if_cancelled()
        except RpcError as error:
            seen.append(type(error).__name__)
            raise

    broker = Broker()
    async with (
        connect("nats://memory:4222", **broker.options()) as server,
        server.serve(service) as served,
        connect("nats://memory:4222", **broker.options()) as client,
    ):
        timeout = 0.05 if end == "deadline" else 20.0
        call = asyncio.ensure_future(client.call(work, timeout=timeout))
        await eventually(begun.is_set)
        if end == "cancel":
            call.cancel()
        elif end == "abort":
            await served.abort()
        with pytest.raises((asyncio.CancelledError, DeadlineExceededError, UnavailableError)):
            await call
        await eventually(lambda: served.inflight == 0)
    kinds = {"cancel": CallCancelledError, "deadline": DeadlineExceededError}
    assert seen == [kinds.get(end, UnavailableError).__name__]


async def test_the_time_that_is_left_can_be_asked_in_a_thread() -> None:
    service = Service("timely", version="1.0.0")

    @service.handler("left")
    def left(context: Context) -> float | None:
        return context.time_left()

    @service.handler("endless")
    def endless(context: Context) -> bool:
        return context.time_left() is None and not context.cancelled

    async with service.test() as client:
        found = await client.call(left, timeout=3)
        assert found is not None
        assert 0 < found <= 3
        assert (await client.connection.request("endless")).data == b"true"


async def test_work_after_the_answer_is_not_cancelled() -> None:
    service = Service("later", version="1.0.0")
    seen: list[object] = []

    @service.handler("work")
    async def work(context: Context) -> None:
        def after() -> None:
            context.raise_if_cancelled()
            seen.append((context.cancelled, context.time_left()))

        context.after_reply(after)

    async with service.test() as client:
        await client.call(work)
    assert seen == [(False, None)]
