"""A service in a thread of its own, as a blocking client meets it: somewhere else."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Generator

import natsrpc
from natsrpc import Context

service = natsrpc.Service("desk", version="1.0.0")


class SoldOutError(natsrpc.RpcError):
    code = 409


class Seen:
    """What the service met, to be waited for by other threads."""

    def __init__(self) -> None:
        self.started = threading.Event()
        self.cancelled = threading.Event()
        self.closed = threading.Event()
        self.yielded = 0
        self.taken: list[int] = []
        self.attempts = 0


seen = Seen()


@service.handler("desk.add")
async def add(a: int, b: int = 2) -> int:
    return a + b


@service.handler("desk.refuse")
async def refuse(item: str) -> str:
    raise SoldOutError(f"no {item}", details=[item])


@service.handler("desk.second_time")
async def second_time() -> int:
    seen.attempts += 1
    if seen.attempts % 2:
        raise natsrpc.OverloadedError("the first one is always refused")
    return seen.attempts


@service.handler("desk.hang")
async def hang() -> None:
    seen.started.set()
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        seen.cancelled.set()
        raise


@service.handler("desk.left")
async def left(context: Context) -> float | None:
    return context.time_left()


@service.handler("desk.echo_header")
async def echo_header(value: natsrpc.Msg) -> dict[str, str]:
    return {name: text for name, text in value.headers.items() if name.startswith("X-")}


@service.handler("desk.count")
async def count(n: int) -> AsyncIterator[int]:
    try:
        for number in range(n):
            seen.yielded = number + 1
            yield number
    finally:
        seen.closed.set()


@service.handler("desk.break_off")
async def break_off(n: int) -> AsyncIterator[int]:
    for number in range(n):
        yield number
    raise SoldOutError("no more")


@service.handler("desk.total")
async def total(numbers: AsyncIterator[int]) -> int:
    seen.started.set()
    try:
        async for number in numbers:
            seen.taken.append(number)
    except asyncio.CancelledError:
        seen.cancelled.set()
        raise
    return sum(seen.taken)


@service.handler("desk.full")
async def full(numbers: AsyncIterator[int]) -> int:
    async for _ in numbers:
        raise SoldOutError("no room")
    return 0


@service.handler("desk.double")
async def double(numbers: AsyncIterator[int]) -> AsyncIterator[int]:
    try:
        async for number in numbers:
            yield 2 * number
    finally:
        seen.closed.set()


@contextlib.contextmanager
def served(url: str, *services: natsrpc.Service) -> Generator[None, None, None]:
    """Serve in a thread until the block is left."""
    ready, over = threading.Event(), threading.Event()
    seen.__init__()  # type: ignore[misc]  # all of it anew

    async def main() -> None:
        client = await natsrpc.connect(url)
        await client.serve(*services or (service,))
        ready.set()
        await asyncio.to_thread(over.wait)
        await client.close()  # now: what hangs here is to hang

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    try:
        assert ready.wait(10)
        yield
    finally:
        over.set()
        thread.join()
