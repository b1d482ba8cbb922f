"""`service.test()`: a handler's test needs no server, and sees what production's callers see."""

from __future__ import annotations

import asyncio

import pytest

import natsrpc
from natsrpc.errors import DeadlineExceededError, InternalError
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
