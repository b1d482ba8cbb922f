"""The cost of blocking: the CPU of a call of `natsrpc.sync` over that of the async client.

The service runs in a process of its own, so this process's CPU time is that of the caller alone.
Windows of these alternate, each of calls that are made one after the other:

- async calls, in a loop that does nothing else;
- blocking calls;
- blocking calls by 16 threads that share one client;
- connections, each made for one blocking call.

    python -m benchmarks.blocking [--seconds 0.5] [--rounds 9] [--limit 2.5]
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import platform
import statistics
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import natsrpc
import natsrpc.sync
from natsrpc.testing import NatsServer

THREADS = 16

service = natsrpc.Service("blocking", version="1.0.0")


@service.handler("blocking.add")
async def add(a: int, b: int) -> int:
    """Answer at once."""
    return a + b


NUMBERS = {"a": 1, "b": 2}


def serve(url: str, ready: Any, over: Any) -> None:
    """Serve, in a process of its own."""

    async def main() -> None:
        async with natsrpc.connect(url) as client, client.serve(service):
            ready.set()
            await asyncio.to_thread(over.wait)

    asyncio.run(main())


def window(call: Callable[[], object], seconds: float) -> float:
    """Return the CPU microseconds of one call."""
    count = 0
    end = time.perf_counter() + seconds
    began = time.process_time()
    while time.perf_counter() < end:
        call()
        count += 1
    return (time.process_time() - began) / count * 1e6


async def async_window(client: natsrpc.Client, seconds: float) -> float:
    """As `window`, of async calls."""
    count = 0
    end = time.perf_counter() + seconds
    began = time.process_time()
    while time.perf_counter() < end:
        await client.call(add, NUMBERS)
        count += 1
    return (time.process_time() - began) / count * 1e6


def threads_window(client: natsrpc.sync.Client, seconds: float) -> float:
    """As `window`, of calls by many threads at once."""
    counts: list[int] = []
    end = time.perf_counter() + seconds

    def work() -> None:
        count = 0
        while time.perf_counter() < end:
            client.call(add, NUMBERS)
            count += 1
        counts.append(count)

    began = time.process_time()
    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return (time.process_time() - began) / sum(counts) * 1e6


def measure(url: str, seconds: float, rounds: int) -> dict[str, list[float]]:
    """Return the CPU microseconds of each kind of call, a window of each in turns."""
    found: dict[str, list[float]] = {"async": [], "blocking": [], "threads": [], "connecting": []}

    def connecting() -> None:
        with natsrpc.sync.connect(url) as client:
            client.call(add, NUMBERS)

    with asyncio.Runner() as runner, natsrpc.sync.connect(url) as client:

        async def connected() -> natsrpc.Client:
            return await natsrpc.connect(url)

        other = runner.run(connected())
        for number in range(rounds + 1):
            row = {
                "async": runner.run(async_window(other, seconds)),
                "blocking": window(lambda: client.call(add, NUMBERS), seconds),
                "threads": threads_window(client, seconds),
                "connecting": window(connecting, seconds),
            }
            if number:  # the first of each warms up
                for name, value in row.items():
                    found[name].append(value)
        runner.run(other.close())
    return found


def main() -> None:
    """Measure, print a table, and fail if a blocking call costs more than the limit."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.blocking")
    parser.add_argument("--seconds", type=float, default=0.5, help="a window (default 0.5)")
    parser.add_argument("--rounds", type=int, default=9, help="windows of each (default 9)")
    parser.add_argument("--limit", type=float, default=2.5, help="blocking over async, at most")
    arguments = parser.parse_args()
    processes = multiprocessing.get_context("spawn")
    with NatsServer() as server:
        ready, over = processes.Event(), processes.Event()
        worker = processes.Process(target=serve, args=(server.url, ready, over))
        worker.start()
        try:
            ready.wait()
            found = measure(server.url, arguments.seconds, arguments.rounds)
        finally:
            over.set()
            worker.join()
    print(f"CPython {platform.python_version()}: CPU of the caller, a call")
    base = statistics.median(found["async"])
    for name, values in found.items():
        middle = statistics.median(values)
        print(
            f"{name:11} {middle:8.1f} us ({min(values):.1f} to {max(values):.1f}) "
            f"= {middle / base:.2f} x async"
        )
    ratio = statistics.median(found["blocking"]) / base
    if ratio > arguments.limit:
        sys.exit(f"a blocking call costs {ratio:.2f} x an async one: more than {arguments.limit}")


if __name__ == "__main__":
    main()
