"""The program of one worker process: a service or a caller of one peer. The driver starts it.

Commands come as JSON lines on stdin, answers go out as JSON lines on stdout. Between commands the
process does only the peer's own work.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.adapter import Call, load
from benchmarks.memory import peak_kib, resident_bytes


class Counter:
    """Counts the delivered messages; `done` is set when all expected ones have come."""

    def __init__(self) -> None:
        self.left = 0
        self.done = asyncio.Event()

    def expect(self, count: int) -> None:
        self.left = count
        self.done.clear()

    def seen(self, data: bytes) -> None:
        self.left -= 1
        if self.left == 0:
            self.done.set()


class Worker:
    """Carries out the driver's commands, one after the other: each is a method."""

    def __init__(self, peer: str) -> None:
        self._adapter = load(peer)
        self._counter = Counter()
        self._waiting: list[asyncio.Task[Any]] = []
        self._data = b""

    def offers(self, names: list[str]) -> dict[str, Any]:
        missing = [name for name in names if not hasattr(self._adapter, name)]
        return {"missing": missing, "version": str(self._adapter.version)}

    async def connect(self, url: str) -> None:
        await self._adapter.connect(url)

    async def start(self, method: str, subject: str) -> None:
        await getattr(self._adapter, method)(subject)

    async def subscribe(self, method: str, subject: str, count: int = 1) -> None:
        for _ in range(count):
            await getattr(self._adapter, method)(subject, self._counter.seen)

    async def usage(self) -> dict[str, float]:
        return {"cpu": time.process_time(), "peak_kib": peak_kib()}

    async def expect(self, count: int) -> None:
        self._counter.expect(count)

    async def all_seen(self, timeout: float) -> dict[str, float]:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._counter.done.wait(), timeout)
        return {"cpu": time.process_time(), "lost": self._counter.left}

    async def calls(
        self, method: str, subject: str, size: int | None, inflight: int, seconds: float
    ) -> dict[str, Any]:
        """Call for so many seconds from `inflight` tasks; return count, CPU, time and latencies."""
        call = self._call(method, subject, size)
        latencies: list[float] = []
        cpu, start = time.process_time(), time.perf_counter()
        end = start + seconds
        await asyncio.gather(*(_caller(call, end, latencies) for _ in range(inflight)))
        elapsed, cpu = time.perf_counter() - start, time.process_time() - cpu
        latencies.sort()
        return {
            "count": len(latencies),
            "elapsed": elapsed,
            "cpu": cpu,
            "p50": percentile(latencies, 0.50),
            "p99": percentile(latencies, 0.99),
        }

    async def publish(self, subject: str, size: int, count: int) -> dict[str, float]:
        """Publish so many messages, then flush."""
        publish = self._call("publish", subject, size)
        cpu, start = time.process_time(), time.perf_counter()
        for _ in range(count):
            await publish()
        await self._adapter.flush()
        return {
            "count": count,
            "cpu": time.process_time() - cpu,
            "elapsed": time.perf_counter() - start,
        }

    async def stored(self, job: str, size: int, count: int, tasks: int) -> dict[str, float]:
        """Do a job with JetStream so many times, by so many tasks at once."""
        if len(self._data) != size:  # kept: 16 MiB given back would change what a window finds
            self._data = b"x" * size
        method, data = getattr(self._adapter, job), self._data
        cpu, start = time.process_time(), time.perf_counter()
        await asyncio.gather(*(method(count // tasks, data) for _ in range(tasks)))
        return {"cpu": time.process_time() - cpu, "elapsed": time.perf_counter() - start}

    async def leave_waiting(self, subject: str, size: int, count: int) -> dict[str, float]:
        """Have `count` requests in flight that nobody answers; return their memory and CPU."""
        call = self._call("echo", subject, size)
        before, cpu = resident_bytes(), time.process_time()
        self._waiting = [asyncio.ensure_future(call()) for _ in range(count)]
        await asyncio.sleep(0)
        await self._adapter.flush()
        cpu = time.process_time() - cpu
        return {"count": count, "bytes": resident_bytes() - before, "cpu": cpu}

    async def subscribe_idle(self, subject: str, count: int) -> dict[str, float]:
        """Make `count` subscriptions; return their memory and CPU."""
        before, cpu = resident_bytes(), time.process_time()
        for number in range(count):
            method = self._adapter.subscribe_callback
            await method(f"{subject}.{number}", self._counter.seen)
        cpu = time.process_time() - cpu
        return {"count": count, "bytes": resident_bytes() - before, "cpu": cpu}

    async def close(self) -> None:
        for task in self._waiting:
            task.cancel()
        await asyncio.gather(*self._waiting, return_exceptions=True)
        await self._adapter.close()

    def _call(self, method: str, subject: str, size: int | None) -> Call:
        make = getattr(self._adapter, method)
        call: Call = make(subject) if size is None else make(subject, b"x" * size)
        return call


async def _caller(call: Call, end: float, latencies: list[float]) -> None:
    now = time.perf_counter
    started = now()
    while started < end:
        await call()
        ended = now()
        latencies.append(ended - started)
        started = ended


def percentile(ordered: list[float], share: float) -> float:
    """Return the value that a share (0 to 1) of the values does not exceed; 0 if there are none."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0


async def _serve(peer: str) -> None:
    worker = Worker(peer)
    loop = asyncio.get_running_loop()
    commands: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()

    def read() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(commands.put_nowait, json.loads(line))
        loop.call_soon_threadsafe(commands.put_nowait, None)

    threading.Thread(target=read, daemon=True).start()
    while (command := await commands.get()) is not None:
        print(json.dumps(await _answer(worker, command)), flush=True)


async def _answer(worker: Worker, command: dict[str, Any]) -> dict[str, Any]:
    method: Callable[..., Any] = getattr(worker, command.pop("do"))
    try:
        result = method(**command)
        if isinstance(result, Awaitable):
            result = await result
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}".split("\n", 1)[0]}
    return {"result": result}


def main() -> None:
    peer, loop = sys.argv[1:3]
    try:
        if loop == "uvloop":
            import uvloop  # noqa: PLC0415  an optional loop

            uvloop.run(_serve(peer))
        else:
            asyncio.run(_serve(peer))
    except ImportError as error:
        print(json.dumps({"error": f"not installed: {error}"}), flush=True)


if __name__ == "__main__":
    main()
