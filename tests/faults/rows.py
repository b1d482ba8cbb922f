"""The kinds of traffic: what is asked once, and what is a good end of it."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable

import natsrpc

from .worker import ITEMS, PAUSE, Happened, happened
from .world import TICKS, World

TIMEOUT = 2.0
"""Seconds that a call gives its answer."""

LARGE = 150_000
"""Bytes of a body that no message takes."""


class WrongError(Exception):
    """What came is not what was asked for: nothing explains that."""


Ask = Callable[[World, int], Awaitable[str]]


@dataclasses.dataclass(frozen=True)
class Row:
    """One kind of traffic.

    Attributes:
        name: as on the page.
        ask: asks once; returns how it ended, which is `good` or an end that has no error.
        good: the end that is hoped for.
        times: how often it may run; 0 is any number.
        is_sent: whether nobody answers.
    """

    name: str
    ask: Ask
    good: str = "value"
    times: int = 1
    is_sent: bool = False


def request(world: World, number: int) -> dict[str, int | str]:
    return {"number": number, "pad": world.pad}


def same(got: object, wanted: object) -> str:
    if got != wanted:
        raise WrongError(f"got {got!r:.60} for {wanted!r:.60}")
    return "value"


async def call(world: World, number: int) -> str:
    got = await world.caller.call("faults.call", request(world, number), int, timeout=TIMEOUT)
    return same(got, number)


contract = natsrpc.Service("contract", version="1.0.0")


@contract.handler("faults.idempotent", idempotent=True)
async def repeatable(number: int, pad: str = "") -> int:
    """Only called by: what the workers serve is declared in the same way."""
    return number


async def idempotent(world: World, number: int) -> str:
    got = await world.caller.call(repeatable, request(world, number), timeout=TIMEOUT)
    return same(got, number)


async def policy(world: World, number: int) -> str:
    patient = natsrpc.Policy(attempts=8, wait=0.05, max_wait=0.5)
    got = await world.caller.call(
        "faults.policy", request(world, number), int, timeout=TIMEOUT, policy=patient
    )
    return same(got, number)


async def stream(world: World, number: int) -> str:
    items = world.caller.stream("faults.stream", request(world, number), int)
    return same([item async for item in items], list(range(number, number + ITEMS)))


async def upload(world: World, number: int) -> str:
    async def items() -> AsyncIterator[int]:
        for index in range(ITEMS):
            yield number + index
            await asyncio.sleep(PAUSE / ITEMS)  # why: a fault finds it running

    got = await world.caller.upload("faults.upload", items(), returns=int)
    return same(got, sum(range(number, number + ITEMS)))


async def large(world: World, number: int) -> str:
    data = number.to_bytes(8, "big") + bytes(LARGE)
    got = await world.caller.call("faults.large", data, bytes, codec="raw", timeout=TIMEOUT)
    return same(got, data)


async def gather(world: World, number: int) -> str:
    got = await world.caller.gather(
        "faults.gather", request(world, number), returns=int, timeout=TIMEOUT, max_responses=2
    )
    errors = sorted({type(each).__name__ for each in got if isinstance(each, Exception)})
    values = [each for each in got if not isinstance(each, Exception)]
    same(set(values) - {number}, set())
    if len(values) >= 2:
        return "all"
    return " with ".join(["fewer", *errors])


async def publish(world: World, number: int) -> str:
    await world.caller.publish("faults.publish", request(world, number))
    return "accepted"


async def event(world: World, number: int) -> str:
    await world.caller.publish(happened, Happened(number=number, pad=world.pad))
    return "accepted"


async def subscription(world: World, number: int) -> str:
    """Another connection publishes, and is told by its server that the message is there."""
    try:
        await world.emitter.publish(TICKS, f"{number} {world.pad}".encode())
        await world.emitter.flush(TIMEOUT)
    except natsrpc.NatsRpcError:
        return "not accepted"
    return "accepted"


ROWS = {
    row.name: row
    for row in (
        Row("call", call),
        Row("idempotent", idempotent, times=0),
        Row("policy", policy),
        Row("stream", stream),
        Row("upload", upload),
        Row("large", large),
        Row("gather", gather, good="all", times=2),
        Row("publish", publish, good="accepted", is_sent=True),
        Row("event", event, good="accepted", is_sent=True),
        Row("subscription", subscription, good="accepted", is_sent=True),
    )
}
