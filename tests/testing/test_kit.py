"""`service.test()`: a handler's test needs no server, and sees what production's callers see."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator
from typing import Any

import pytest

import natsrpc
from natsrpc.errors import DeadlineExceededError, InternalError, NotFoundError
from natsrpc.testing import Broker, Clock, serve_in_memory

service = natsrpc.Service("kit", version="1.0.0")


@service.handler("double")
async def double(number: int) -> int:
    return number * 2


@service.handler("broken")
async def broken(number: int) -> int:
    raise ZeroDivisionError(number)


@service.handler("slow")
async def slow(number: int) -> int:
    await asyncio.Event().wait()
    return number


async def test_a_handler_is_called_through_a_client() -> None:
    async with service.test() as client:
        assert await client.call(double, 21) == 42


async def test_the_handler_s_own_exception_is_not_the_caller_s() -> None:
    async with service.test() as client:
        with pytest.raises(InternalError) as caught:
            await client.call(broken, 1)
        assert not isinstance(caught.value, ZeroDivisionError)


async def test_deadlines_take_no_time() -> None:
    clock = Clock.install()
    async with service.test() as client:
        call = asyncio.create_task(client.call(slow, 1, timeout=30.0))
        await clock.advance(30.0)
        with pytest.raises(DeadlineExceededError):
            await call


async def test_the_options_are_the_client_s() -> None:
    broker = Broker()
    async with service.test(broker=broker, name="under test") as client:
        assert client.connection.options.name == "under test"
        assert broker.connections == 2


async def test_services_are_served_together() -> None:
    other = natsrpc.Service("other", version="1.0.0")

    @other.handler("triple")
    async def triple(number: int) -> int:
        return number * 3

    async with serve_in_memory(service, other) as client:
        assert await client.call(double, 2) + await client.call(triple, 2) == 10


# as separate as a server in another process

request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="unset")


async def test_the_caller_s_context_variables_do_not_reach_the_handler() -> None:
    apart = natsrpc.Service("apart", version="1.0.0")

    @apart.handler("seen")
    async def seen() -> str:
        return request_id.get()

    @apart.handler("plain")
    def plain() -> str:
        return request_id.get()

    @apart.handler("stream")
    async def stream() -> AsyncIterator[str]:
        yield request_id.get()

    request_id.set("before the service")
    async with apart.test() as client:
        request_id.set("before the call")
        assert await client.call(seen) == "unset"
        assert await client.call(plain) == "unset"
        assert [item async for item in client.stream(stream)] == ["unset"]


async def test_a_handler_s_context_variables_do_not_reach_its_caller_or_the_next_request() -> None:
    apart = natsrpc.Service("apart", version="1.0.0", max_concurrency=1)
    go_on = asyncio.Event()

    @apart.handler("set")
    async def change(user: str) -> str:
        before = request_id.get()
        request_id.set(user)
        await go_on.wait()
        return before

    async with apart.test() as client:
        calls = [asyncio.ensure_future(client.call(change, user)) for user in ("ada", "bob")]
        await asyncio.sleep(0)
        go_on.set()
        assert await asyncio.gather(*calls) == ["unset", "unset"]
    assert request_id.get() == "unset"


async def test_a_deadline_is_inherited_by_its_header_alone() -> None:
    apart = natsrpc.Service("apart", version="1.0.0")

    @apart.handler("left")
    async def left(context: natsrpc.Context) -> float | None:
        return context.time_left()

    async with apart.test() as client:
        reply = await client.connection.request("left", timeout=3)
        assert reply.data == b"null"
        found = await client.call(left, timeout=3)
        assert found is not None and found <= 3


async def test_objects_errors_and_tasks_are_not_shared_with_the_caller() -> None:
    apart = natsrpc.Service("apart", version="1.0.0")
    found: list[object] = []
    raised = NotFoundError("none")

    @apart.handler("give")
    async def give(value: list[int]) -> list[int]:
        found.extend((value, asyncio.current_task()))
        value.append(2)
        return value

    @apart.handler("fail")
    async def fail() -> None:
        raise raised

    sent = [1]
    async with apart.test() as client:
        answer = await client.call(give, sent)
        with pytest.raises(NotFoundError) as caught:
            await client.call(fail)
    assert (sent, answer) == ([1], [1, 2])
    assert answer is not found[0]
    assert found[1] is not asyncio.current_task()
    assert caught.value is not raised
    assert caught.value.__cause__ is None


async def test_a_shielded_call_is_cancelled_at_its_handler_by_nobody() -> None:
    apart = natsrpc.Service("apart", version="1.0.0")
    begun, go_on, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @apart.handler("work")
    async def work() -> None:
        begun.set()
        await go_on.wait()
        ended.set()

    async with apart.test() as client:
        call = asyncio.ensure_future(client.call(work))
        waiting = asyncio.ensure_future(_shielded(call))
        await begun.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        go_on.set()
        await call
    assert ended.is_set()


async def _shielded(call: asyncio.Future[None]) -> None:
    await asyncio.shield(call)


def test_a_service_under_test_that_was_not_entered_says_how() -> None:
    serving: Any = natsrpc.Service("calc", version="1.0.0").test()
    with pytest.raises(AttributeError, match=r"async with service\.test\(\) as client"):
        serving.call("calc.add")
