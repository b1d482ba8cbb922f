"""What one core carries: CPU of nats-server, of a worker and of a caller, by kind of message.

Each is a process of its own, and its CPU time is read before and after. So other work on the
machine makes it slower and changes the figures little: microseconds of CPU count, not of the clock.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
from collections.abc import AsyncIterator, Awaitable, Callable

import natsrpc
from natsrpc.server import NatsServer

from .servers import cpu_seconds, one_server

SECONDS = 1.5
ROUNDS = 5
IN_FLIGHT = 64
BODY = b"x" * 128

placed = natsrpc.Event("fleet.events.{by}", bytes)


async def serve(url: str, services: int) -> None:
    """The worker: calls, streams, and so many subscribers of the event; until stdin ends."""
    service = natsrpc.Service("fleet", version="1.0.0")

    @service.handler("fleet.add")
    async def add(a: int, b: int) -> int:
        return a + b

    @service.handler("fleet.echo")
    async def echo(data: bytes) -> bytes:
        return data

    @service.handler("fleet.count")
    async def count(to: int) -> AsyncIterator[bytes]:
        for _ in range(to):
            yield BODY

    async def note(event: bytes) -> None: ...

    for number in range(services):
        service.subscriber(placed, name=f"note{number}", max_waiting=1_000_000)(note)
    async with natsrpc.connect(url) as client, client.serve(service):
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)


Work = Callable[[natsrpc.Client, Callable[[], bool]], Awaitable[int]]


async def many(call: Callable[[], Awaitable[object]], going: Callable[[], bool]) -> int:
    async def one() -> int:
        count = 0
        while going():
            await call()
            count += 1
        return count

    return sum(await asyncio.gather(*(one() for _ in range(IN_FLIGHT))))


async def calls(client: natsrpc.Client, going: Callable[[], bool]) -> int:
    return await many(lambda: client.call("fleet.add", {"a": 1, "b": 2}, int), going)


async def raw_calls(client: natsrpc.Client, going: Callable[[], bool]) -> int:
    return await many(lambda: client.call("fleet.echo", BODY, bytes), going)


async def items(client: natsrpc.Client, going: Callable[[], bool]) -> int:
    count = 0
    while going():
        count += len([each async for each in client.stream("fleet.count", 5000, bytes)])
    return count


async def events(client: natsrpc.Client, going: Callable[[], bool]) -> int:
    count = 0
    while going():
        for _ in range(500):
            await client.publish(placed, BODY, tokens={"by": "me"})
        await client.connection.flush()
        count += 500
    return count


WORK: dict[str, tuple[Work, int]] = {
    "typed call, JSON, 64 in flight": (calls, 0),
    "call, 128 B as they are": (raw_calls, 0),
    "stream item, 128 B": (items, 0),
    "event, no subscriber": (events, 0),
    "event, 1 subscriber": (events, 1),
    "event, 4 subscribers": (events, 4),
}


async def measure(server: NatsServer, name: str) -> None:
    """One kind of work, in several windows: the median of each process's CPU."""
    work, subscribers = WORK[name]
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __spec__.name, "serve", server.url, str(subscribers),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    pids = (server.pid, worker.pid, os.getpid())
    found: list[list[float]] = []
    try:
        assert worker.stdout is not None
        assert await worker.stdout.readline() == b"ready\n"
        async with natsrpc.connect(server.url) as client:
            loop = asyncio.get_running_loop()
            for _ in range(ROUNDS + 1):
                end = loop.time() + SECONDS
                before = [cpu_seconds(pid) for pid in pids]
                count = await work(client, lambda end=end: loop.time() < end)  # type: ignore[misc]
                await asyncio.sleep(0.3)  # what the worker still has to do is counted as well
                spent = [cpu_seconds(pid) - was for pid, was in zip(pids, before, strict=True)]
                found.append([each / count * 1e6 for each in spent])
    finally:
        worker.terminate()
        await worker.wait()
    middle = [
        statistics.median(each) for each in zip(*found[1:], strict=True)
    ]  # the first warms up
    parts = ", ".join(
        f"{who} {cpu:5.1f} us ({1e6 / cpu:7,.0f} a core)"
        for who, cpu in zip(("server", "worker", "caller"), middle, strict=True)
        if cpu > 0.3
    )
    print(f"{name:32} {parts}", flush=True)


async def main(names: list[str]) -> None:
    for name in names or WORK:
        with one_server() as server:
            await measure(server, name)


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        asyncio.run(serve(sys.argv[2], int(sys.argv[3])))
    else:
        asyncio.run(main(sys.argv[1:]))
