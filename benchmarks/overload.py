"""A service under ten times its load: its memory, and the calls that it accepts and refuses.

One worker process runs ten handlers of 50 ms at once and lets ten more calls wait: its capacity is
200 calls a second. It is first called well below that, then at ten times that rate, whatever the
answers are. An accepted call may wait for its place in the queue and no longer; every other call
must be answered 429 at once; the worker's memory must not grow.

    python -m benchmarks.overload [--seconds 10]
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import time
from dataclasses import dataclass, field

import natsrpc
from benchmarks.memory import resident_bytes
from benchmarks.worker import percentile
from natsrpc.testing import NatsServer

WORK = 0.05
"""Seconds a handler takes."""

RUNNING = WAITING = 10
CAPACITY = RUNNING / WORK
QUEUEING = WAITING / CAPACITY
"""Seconds that the last call in the queue waits."""

PROGRAM = f"""
import asyncio, sys
import natsrpc

service = natsrpc.Service("overload", version="1.0.0")

@service.handler("overload.work", max_concurrency={RUNNING}, max_waiting={WAITING})
async def work() -> None:
    await asyncio.sleep({WORK})

natsrpc.run(service, servers=sys.argv[1], on_ready=lambda: print("ready", flush=True))
"""


@dataclass
class Found:
    """Seconds that each call took, by its outcome, and the worker's resident bytes."""

    unloaded: list[float] = field(default_factory=list)
    accepted: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    failed: list[Exception] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def offered(self) -> int:
        """The number of calls made under load."""
        return len(self.accepted) + len(self.refused) + len(self.failed)

    @property
    def bound(self) -> float:
        """Seconds that an accepted call may take: twice the unloaded time, and the queue."""
        return 2 * quantile(self.unloaded, 0.99) + QUEUEING

    @property
    def growth(self) -> int:
        """Bytes by which the worker grew from the first fifth of the load to the end."""
        settled = self.memory[len(self.memory) // 5 :]
        return settled[-1] - settled[0]

    def __str__(self) -> str:
        def ms(times: list[float]) -> str:
            return f"p50 {quantile(times, 0.5) * 1e3:.1f}, p99 {quantile(times, 0.99) * 1e3:.1f} ms"

        return (
            f"capacity {CAPACITY:.0f}/s, offered {self.offered / self.seconds:.0f}/s "
            f"for {self.seconds:.1f} s\n"
            f"unloaded  {ms(self.unloaded)}\n"
            f"accepted  {len(self.accepted) / self.seconds:.0f}/s, {ms(self.accepted)} "
            f"(bound {self.bound * 1e3:.1f} ms)\n"
            f"refused   {len(self.refused) / self.seconds:.0f}/s, {ms(self.refused)}\n"
            f"other errors {len(self.failed)}\n"
            f"worker's memory {self.memory[0] / 2**20:.1f} MiB at first, "
            f"{max(self.memory) / 2**20:.1f} at most, {self.growth / 2**10:+.0f} KiB once settled"
        )


def quantile(times: list[float], part: float) -> float:
    """Return the time that this part (0 to 1) of the times does not exceed."""
    return percentile(sorted(times), part)


async def load(client: natsrpc.Client, found: Found, pid: int, seconds: float) -> None:
    """Call below the capacity for a while, then at ten times the capacity for `seconds`."""

    async def one(accepted: list[float]) -> None:
        began = time.perf_counter()
        try:
            await client.call("overload.work", returns=None, timeout=5.0)
        except natsrpc.OverloadedError:
            found.refused.append(time.perf_counter() - began)
        except Exception as error:
            found.failed.append(error)
        else:
            accepted.append(time.perf_counter() - began)

    for _ in range(20):
        await asyncio.gather(*(one(found.unloaded) for _ in range(RUNNING // 2)))
    rate = 10 * CAPACITY
    calls: set[asyncio.Task[None]] = set()
    sent, began = 0, time.perf_counter()
    while (gone := time.perf_counter() - began) < seconds:
        while sent < gone * rate:
            call = asyncio.ensure_future(one(found.accepted))
            calls.add(call)
            call.add_done_callback(calls.discard)
            sent += 1
        if len(found.memory) < gone * 20:
            found.memory.append(resident_bytes(pid))
        await asyncio.sleep(0.001)
    found.seconds = time.perf_counter() - began
    await asyncio.gather(*calls)
    found.memory.append(resident_bytes(pid))


async def measure(url: str, seconds: float) -> Found:
    """Start a worker, put it under load, and end it."""
    found = Found()
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, url, stdout=subprocess.PIPE
    )
    try:
        assert worker.stdout is not None
        await asyncio.wait_for(worker.stdout.readline(), 30.0)
        async with natsrpc.connect(url) as client:
            await load(client, found, worker.pid, seconds)
    finally:
        worker.terminate()
        await worker.wait()
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overload")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long (default 10)")
    arguments = parser.parse_args()
    with NatsServer() as server:
        print(asyncio.run(measure(server.url, arguments.seconds)))


if __name__ == "__main__":
    main()
