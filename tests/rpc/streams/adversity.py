"""Conversations of all kinds under whatever a network does to them, and what came of each.

`python -m tests.rpc.streams.adversity worker URL`, or `caller`, is a process to be killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import natsrpc
from natsrpc.rpc import Server
from natsrpc.rpc.streams import conversations_of
from tests.core.harness import eventually

ROOT = Path(__file__).parent.parent.parent.parent

CONFIG = "max_payload: 65536"
"""So that bodies and items come in parts without being very large."""

QUICK: dict[str, Any] = {
    "reconnect_wait": 0.02,
    "reconnect_jitter": 0.01,
    "max_reconnect_attempts": -1,
}

ENDS_WITHIN = 9.0
"""Seconds after the last trouble in which all must end: `presence`, and room for a slow machine."""


def item(number: int, width: int) -> str:
    """An item that tells its number, of a length that its number tells."""
    return f"{number}:" + "." * (number * 7919 % width)


async def items(count: int, width: int) -> AsyncIterator[str]:
    for number in range(count):
        yield item(number, width)


class WrongError(Exception):
    """What arrived is not what was sent."""


async def checked(found: AsyncIterator[str], width: int) -> AsyncIterator[str]:
    """Pass items on that come in order, each whole."""
    number = 0
    async for each in found:
        if each != item(number, width):
            raise WrongError(f"item {number} of width {width}: got {each[:20]!r}")
        number += 1
        yield each


class Ordeal:
    """A service named `ordeal`."""

    def __init__(self) -> None:
        self.service = natsrpc.Service("ordeal", version="1.0.0")
        for function in (self.reflect, self.download, self.upload, self.echo):
            self.service.handler(f"ordeal.{function.__name__}")(function)

    async def reflect(self, data: bytes) -> bytes:
        return data

    async def download(self, count: int, width: int) -> AsyncIterator[str]:
        async for each in items(count, width):
            yield each

    async def upload(self, found: AsyncIterator[str]) -> int:
        return len([each async for each in checked(found, await self._width(found))])

    async def echo(self, found: AsyncIterator[str]) -> AsyncIterator[str]:
        async for each in checked(found, await self._width(found)):
            yield each

    async def _width(self, found: AsyncIterator[str]) -> int:
        """The first item of an upload says how wide the others are."""
        return int(await anext(found))


async def with_width(count: int, width: int) -> AsyncIterator[str]:
    yield str(width)
    async for each in items(count, width):
        yield each


# the caller's side


async def call(client: natsrpc.Client, dice: random.Random) -> None:
    data = dice.randbytes(dice.choice([10, 10, 150_000, 900_000]))
    if await client.call("ordeal.reflect", data, bytes, codec="raw", timeout=2) != data:
        raise WrongError(f"{len(data)} bytes came back otherwise")


async def download(client: natsrpc.Client, dice: random.Random) -> None:
    count, width = size_of_stream(dice)
    request = {"count": count, "width": width}
    await whole(client.stream("ordeal.download", request, str), count, width)


async def upload(client: natsrpc.Client, dice: random.Random) -> None:
    count, width = size_of_stream(dice)
    told = await client.upload("ordeal.upload", with_width(count, width), returns=int)
    if told != count:
        raise WrongError(f"{told} of {count} items were counted")


async def echo(client: natsrpc.Client, dice: random.Random) -> None:
    count, width = size_of_stream(dice)
    await whole(client.stream("ordeal.echo", with_width(count, width), str), count, width)


async def whole(found: AsyncIterator[str], count: int, width: int) -> None:
    got = len([each async for each in checked(found, width)])
    if got != count:
        raise WrongError(f"{got} of {count} items, and no error")


def size_of_stream(dice: random.Random) -> tuple[int, int]:
    """Many small items, some of a few KiB, or few that come in parts."""
    return dice.choice([(dice.randrange(2000), 9), (dice.randrange(300), 5000), (4, 200_000)])


WORK = [call, download, upload, echo]


async def work_until(
    over: asyncio.Event, client: natsrpc.Client, dice: random.Random, ends: Counter[str]
) -> None:
    """One thing after another; each ends whole, or with an error of ours."""
    while not over.is_set():
        did = dice.choice(WORK)
        try:
            await did(client, dice)
        except natsrpc.InternalError as error:
            raise WrongError(f"the handler of {did.__name__} failed") from error
        except natsrpc.CallCancelledError as error:
            raise WrongError(f"nobody cancelled {did.__name__}") from error
        except natsrpc.NatsRpcError as error:
            ends[f"{did.__name__}: {type(error).__name__}: {error}"] += 1
            await asyncio.sleep(0.01)  # why: where nobody serves, this would spin
        else:
            ends["whole"] += 1


Trouble = Callable[[], Awaitable[None]]


async def endure(
    client: natsrpc.Client, dice: random.Random, troubles: list[Trouble], workers: int = 10
) -> Counter[str]:
    """Work, while one trouble comes after another; all work ends soon after the last one."""
    ends: Counter[str] = Counter()
    over = asyncio.Event()
    tasks = [
        asyncio.create_task(work_until(over, client, random.Random(dice.random()), ends))
        for _ in range(workers)
    ]
    try:
        for trouble in troubles:
            await asyncio.sleep(0.05 + 0.2 * dice.random())  # why: a moment of the seed's choice
            await trouble()
        over.set()
        began = time.perf_counter()
        done, late = await asyncio.wait(tasks, timeout=ENDS_WITHIN)
        for task in done:
            task.result()
        if late:
            raise WrongError(f"{len(late)} did not end: {[task.get_stack() for task in late]}")
        ends["seconds to the end"] = round(time.perf_counter() - began)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return ends


async def works_again(client: natsrpc.Client, dice: random.Random) -> None:
    """Wait until a worker is reached, then do all there is to do."""
    async with asyncio.timeout(10):
        while True:
            with contextlib.suppress(natsrpc.NatsRpcError):
                await client.call("ordeal.reflect", b"x", bytes, codec="raw", timeout=1)
                break
            await asyncio.sleep(0.02)  # why: until it is there again
    for did in WORK:
        await did(client, dice)


# what is left


def leftovers(client: natsrpc.Client, server: Server | None = None) -> dict[str, int]:
    """What conversations may leave behind on one side, where it is not zero."""
    link = client.connection.link
    all_ = conversations_of(link)
    found = {
        "conversations": len(all_),
        "sinks": len(link.requests.streams),
        "requests": len(link.requests.pending),
        "shares": all_.window.shares,
        "window": all_.window.size - all_.window.free,
        "account": all_.account.size - all_.account.free,
        "inflight": 0 if server is None else server.inflight,
    }
    return {name: number for name, number in found.items() if number}


async def nothing_is_left(client: natsrpc.Client, server: Server | None = None) -> None:
    await eventually(
        lambda: not leftovers(client, server), ENDS_WITHIN, what=f"{leftovers(client, server)}"
    )


@contextlib.asynccontextmanager
async def nothing_unhandled(timeout: float = 2.0) -> AsyncIterator[None]:
    """No exception reaches the event loop's handler, and no task is left."""
    seen: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: seen.append(context))
    before = asyncio.all_tasks()
    try:
        yield
        await eventually(lambda: asyncio.all_tasks() <= before, timeout, what="tasks are left")
    finally:
        loop.set_exception_handler(None)
    assert seen == []


# a worker or a caller in a process of its own


@contextlib.asynccontextmanager
async def process_of(role: str, url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that serves (`worker`), or calls without an end (`caller`), and has begun to."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, role, url, stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    try:
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), 20) == b"ready\n"
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def worker(url: str) -> None:
    ordeal = Ordeal()
    async with natsrpc.connect(url, **QUICK) as client, client.serve(ordeal.service) as server:

        async def left() -> dict[str, int]:
            return leftovers(client, server)

        probe = natsrpc.Service("probe", version="1.0.0")
        probe.handler("ordeal.left")(left)
        async with client.serve(probe):
            print("ready", flush=True)
            await asyncio.Event().wait()


async def caller(url: str) -> None:
    dice, never, ends = random.Random(), asyncio.Event(), Counter[str]()
    async with natsrpc.connect(url, **QUICK) as client:
        await works_again(client, dice)
        print("ready", flush=True)
        await asyncio.gather(*(work_until(never, client, dice, ends) for _ in range(10)))


if __name__ == "__main__":
    asyncio.run({"worker": worker, "caller": caller}[sys.argv[1]](sys.argv[2]))
