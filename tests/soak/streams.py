"""Streams to be read slowly, left early, and killed; and what is left of them."""

from __future__ import annotations

import asyncio
import random
import resource
import signal
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from natsrpc.errors import NoRespondersError
from natsrpc.rpc import Client, Server, Service
from natsrpc.rpc.streams.window import WINDOW
from tests.core.harness import until_done

ROOT = Path(__file__).parent.parent.parent


class Source:
    """A service with streams that count what they yield and tell when they are closed."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.sent = 0
        self.closed = asyncio.Event()
        self.service = Service("source", version="1.0.0")
        group = self.service.group(prefix)
        for function in (self.count, self.forever, self.silent, self.echo):
            group.handler(function.__name__)(function)

    async def count(self, to: int) -> AsyncIterator[int]:
        for number in range(to):
            self.sent += 1
            yield number

    async def forever(self) -> AsyncIterator[int]:
        self.closed.clear()
        try:
            while True:
                self.sent += 1
                yield self.sent
        finally:
            self.closed.set()

    async def silent(self) -> AsyncIterator[int]:
        self.closed.clear()
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            self.closed.set()

    async def echo(self, items: AsyncIterator[int]) -> AsyncIterator[int]:
        async for item in items:
            yield item


async def ready(client: Client, source: Source) -> None:
    """Wait until the client's server has heard of the service, which may be on another one."""

    async def read_one() -> list[int]:
        return [number async for number in client.stream(source.count, 1)]

    await until_done(read_one, NoRespondersError)


def peak_mib() -> float:
    """The most memory this process ever had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1024 if sys.platform != "darwin" else peak / 1024 / 1024


@dataclass
class Long:
    """A stream read to its end."""

    items: int
    in_order: bool
    seconds: float
    growth_mib: float
    furthest_ahead: int


async def read_long(client: Client, source: Source, items: int) -> Long:
    """Read so many items; after a shorter stream, so that growth is the longer one's own."""
    _ = [number async for number in client.stream(source.count, 10_000)]
    source.sent = 0
    memory, began = peak_mib(), time.perf_counter()
    expected, in_order, ahead = 0, True, 0
    async for number in client.stream(source.count, items):
        in_order = in_order and number == expected
        expected += 1
        ahead = max(ahead, source.sent - expected)
    return Long(
        expected, in_order, time.perf_counter() - began, peak_mib() - memory, furthest_ahead=ahead
    )


@dataclass
class Slow:
    """A reader that is slower than the producer: items a second of either, and the lead."""

    producer: float
    reader: float
    furthest_ahead: int


async def read_slowly(client: Client, source: Source, items: int) -> Slow:
    """Read a stream of ints with the producer's own speed known, a hundred times slower."""
    began = time.perf_counter()
    async for number in client.stream(source.count, 5000):
        assert number >= 0
    fast = 5000 / (time.perf_counter() - began)
    source.sent = taken = ahead = 0
    stream = client.stream(source.forever)
    began = time.perf_counter()
    async for _ in stream:
        taken += 1
        ahead = max(ahead, source.sent - taken)
        if taken == items:
            break
        await asyncio.sleep(100 / fast)  # why: a reader a hundred times slower
    slow = taken / (time.perf_counter() - began)
    await stream.aclose()
    return Slow(fast, slow, ahead)


async def leave(way: str, client: Client, source: Source, stream: str, url: str) -> float:
    """Read a stream and leave it by "break", "cancel" or "kill"; seconds until it is closed."""
    if way == "kill":
        return await _kill(source, stream, url)
    started = asyncio.Event()

    async def read() -> None:
        async for _ in client.stream(f"{source.prefix}.{stream}"):
            started.set()
            if way == "break":
                break

    reader = asyncio.ensure_future(read())
    await asyncio.wait_for(started.wait(), 10)
    began = time.perf_counter()
    if way == "cancel":
        reader.cancel()
    await asyncio.gather(reader, return_exceptions=True)
    await asyncio.wait_for(source.closed.wait(), 10)
    return time.perf_counter() - began


PROGRAM = """
import asyncio, natsrpc

async def main():
    async with natsrpc.connect({url!r}) as client:
        async for _ in client.stream({subject!r}):
            print("reading", flush=True)
            await asyncio.sleep({pause})  # why: a slow reader

asyncio.run(main())
"""


async def _kill(source: Source, stream: str, url: str) -> float:
    program = PROGRAM.format(url=url, subject=f"{source.prefix}.{stream}", pause=0.05)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 20) == b"reading\n"
    process.send_signal(signal.SIGKILL)
    began = time.perf_counter()
    await asyncio.wait_for(source.closed.wait(), 10)
    seconds = time.perf_counter() - began
    await process.communicate()
    return seconds


@dataclass
class Tally:
    """Bidirectional streams, by how they ended."""

    whole: int = 0
    left: int = 0
    cancelled: int = 0
    items: int = 0


async def cancel_at_random(
    client: Client, source: Source, dice: random.Random, tally: Tally
) -> None:
    """64 bidirectional streams at once; two in three are left or cancelled somewhere."""
    await asyncio.gather(*[_one(client, source, dice, tally) for _ in range(64)])


async def _one(client: Client, source: Source, dice: random.Random, tally: Tally) -> None:
    way = dice.choice(["whole", "left", "cancelled"])
    count, stop = 4 * WINDOW, dice.randrange(4 * WINDOW)

    async def numbers() -> AsyncIterator[int]:
        for number in range(count):
            yield number

    async def read() -> int:
        got = 0
        stream = client.stream(source.echo, numbers())
        try:
            async for number in stream:
                assert number == got
                got += 1
                if way == "left" and got > stop:
                    break
        finally:
            tally.items += got
            await stream.aclose()
        return got

    task = asyncio.ensure_future(read())
    if way == "cancelled":
        await asyncio.sleep(dice.random() * 0.3)  # why: it is cancelled at any point
        task.cancel()
    result = (await asyncio.gather(task, return_exceptions=True))[0]
    if isinstance(result, asyncio.CancelledError):
        tally.cancelled += 1
    elif result == count:
        tally.whole += 1
    else:
        assert way == "left", result
        assert result == stop + 1
        tally.left += 1


def leftovers(server: Server, *clients: Client) -> dict[str, int]:
    """What streams may leave behind; all of it is zero at the end."""
    (running,) = server.services
    found = {
        "inflight": running.inflight,
        "taken": sum(len(each.taken) for each in running.endpoints),
        "streams": sum(len(each.connection.link.requests.streams) for each in clients),
        "requests": sum(len(each.connection.link.requests.pending) for each in clients),
    }
    return {name: number for name, number in found.items() if number}
