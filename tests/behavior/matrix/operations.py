"""What is asked of a service, in every way it may be reached; each checks what came of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

import natsrpc
from natsrpc import discovery

from .calculator import Calculator, DivisionError
from .cell import Cell, known

Operation = Callable[[Cell], Awaitable[None]]

LONG = 3000
"""Items of a long stream: many windows."""

LARGE = 2_500_000
"""Bytes of a body that no message takes."""


async def value(cell: Cell) -> None:
    assert await cell.caller.call(cell.subject("add"), {"a": 1, "b": 2}, int) == 3


async def typed_error(cell: Cell) -> None:
    with pytest.raises(DivisionError) as caught:
        await cell.caller.call(cell.subject("divide"), {"a": 7, "b": 0}, errors=(DivisionError,))
    assert (caught.value.code, caught.value.dividend) == (409, 7)


async def nested_call(cell: Cell) -> None:
    assert await cell.caller.call(cell.subject("nested"), 1, int) == 2


async def stream(cell: Cell) -> None:
    assert await read(cell, "count", 3) == [0, 1, 2]


async def long_stream(cell: Cell) -> None:
    assert await read(cell, "count", LONG) == list(range(LONG))


async def upload(cell: Cell) -> None:
    total = await cell.caller.upload(cell.subject("sum"), numbers(LONG), returns=int)
    assert total == sum(range(LONG))


async def both_ways(cell: Cell) -> None:
    echoed = cell.caller.stream(cell.subject("echo"), numbers(LONG), int)
    assert [number async for number in echoed] == list(range(LONG))


async def large_request(cell: Cell) -> None:
    assert await cell.caller.call(cell.subject("size"), bytes(LARGE), int, codec="msgpack") == LARGE


async def large_reply(cell: Cell) -> None:
    reply = await cell.caller.call(cell.subject("fill"), LARGE, bytes, codec="msgpack")
    assert reply == bytes(LARGE)


async def gather(cell: Cell) -> None:
    """Every instance answers; an export of single answers lets the first one through."""
    async with natsrpc.connect(cell.topology.worker, **cell.topology.worker_options) as client:
        other = Calculator(client)
        async with client.serve(other.service):
            await known(cell, client)
            single = cell.topology.rewrites and cell.topology.answers == 1
            found = await cell.caller.gather(
                cell.subject("who"), returns=int, timeout=0.2 if single else 5, max_responses=2
            )
    both = {id(cell.calculator), id(other)}
    assert (len(found), set(found) <= both) == (1, True) if single else set(found) == both


async def discover(cell: Cell) -> None:
    found = await discovery.info(cell.caller.connection, "calc", timeout=5, stall=0.05)
    assert [each.id for each in found] == [cell.server.services[0].id]
    assert "calc.add" in [endpoint.subject for endpoint in found[0].endpoints]


async def deadline(cell: Cell) -> None:
    with pytest.raises(natsrpc.DeadlineExceededError):
        await cell.caller.call(cell.subject("slow"), timeout=0.2)
    await ended(cell)


async def cancel(cell: Cell) -> None:
    """The handler ends; where its caller cannot name the request, at the deadline."""
    topology = cell.topology
    cannot_be_named = topology.rewrites or topology.one_token
    timeout = 0.4 if cannot_be_named else 60
    calling = asyncio.ensure_future(cell.caller.call(cell.subject("slow"), timeout=timeout))
    await asyncio.wait_for(cell.calculator.running.wait(), 2)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    await ended(cell)


async def leave(cell: Cell) -> None:
    """A stream that is left is closed at the worker."""
    async with contextlib.aclosing(cell.caller.stream(cell.subject("endless"))) as items:
        async for number in items:
            if number == 100:
                break
    await ended(cell)


async def ended(cell: Cell) -> None:
    await asyncio.wait_for(cell.calculator.ended.wait(), 1)


async def read(cell: Cell, name: str, to: int) -> list[int]:
    return [number async for number in cell.caller.stream(cell.subject(name), to, int)]


async def numbers(to: int) -> AsyncIterator[int]:
    for number in range(to):
        yield number


ALL: dict[str, Operation] = {
    each.__name__: each
    for each in (
        value,
        typed_error,
        nested_call,
        stream,
        long_stream,
        upload,
        both_ways,
        large_request,
        large_reply,
        gather,
        discover,
        deadline,
        cancel,
        leave,
    )
}

CONVERSATIONS = frozenset(
    {"stream", "long_stream", "upload", "both_ways", "large_request", "large_reply", "leave"}
)
"""The operations that take more than one answer."""
