"""The cost of observing: the CPU that a call takes beyond one that nobody observes, on both sides.

Service and caller are in this one process, over a real server, so its CPU time is that of both
added. Windows of each kind take turns; the median of the rounds counts.

    python -m benchmarks.observing [--seconds 0.5] [--rounds 11]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import platform
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from prometheus_client import CollectorRegistry

import natsrpc
from natsrpc.observe import otel, prometheus
from natsrpc.observe.figures import Page, measure
from natsrpc.testing import NatsServer

INFLIGHT = 64

KINDS = {
    "nobody": "nobody observes",
    "prometheus": "Prometheus",
    "pool": "Prometheus, in a pool",
    "header": "a traceparent of the caller's own",
    "off": "OpenTelemetry, sampled out",
    "on": "OpenTelemetry, recorded",
}


def service_of(kind: str, folder: Path) -> tuple[natsrpc.Service, TracerProvider | None]:
    """A service that is observed in one way, and the tracer provider of its callers."""
    service = natsrpc.Service(kind, version="1.0.0")

    @service.handler(f"{kind}.echo")
    async def echo(number: int) -> int:
        return number

    if kind == "prometheus":
        prometheus.Metrics(registry=CollectorRegistry()).instrument(service)
    elif kind == "pool":
        measure(Page(folder / "page"), service)
    provider = {"off": TracerProvider(sampler=ALWAYS_OFF), "on": TracerProvider()}.get(kind)
    if provider is not None:
        otel.instrument(service, tracer_provider=provider)
    return service, provider


async def window(call: Callable[[int], Awaitable[object]], seconds: float) -> float:
    """Return the CPU microseconds of one call, with `INFLIGHT` of them in flight."""
    count = 0
    end = time.perf_counter() + seconds

    async def caller() -> None:
        nonlocal count
        while time.perf_counter() < end:
            await call(count)
            count += 1

    gc.collect()
    began = time.process_time()
    await asyncio.gather(*(caller() for _ in range(INFLIGHT)))
    return (time.process_time() - began) / count * 1e6


def call_of(kind: str, client: natsrpc.Client) -> Callable[[int], Awaitable[object]]:
    """How a kind is called."""
    subject = f"{kind}.echo"
    if kind != "header":
        return lambda number: client.call(subject, number, int)

    def call(number: int) -> Awaitable[object]:
        headers = {"traceparent": f"00-{number + 1:032x}-{number + 1:016x}-00"}
        return client.call(subject, number, int, headers=headers)

    return call


async def measured(seconds: float, rounds: int, folder: Path) -> dict[str, list[float]]:
    """The microseconds of each kind, round by round."""
    found: dict[str, list[float]] = {kind: [] for kind in KINDS}
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(NatsServer())
        calls = {}
        for kind in KINDS:
            service, provider = service_of(kind, folder)
            serving = await stack.enter_async_context(natsrpc.connect(server.url))
            await stack.enter_async_context(serving.serve(service))
            client = await stack.enter_async_context(natsrpc.connect(server.url))
            if provider is not None:
                otel.instrument(client, tracer_provider=provider)
            calls[kind] = call_of(kind, client)
            await window(calls[kind], seconds / 2)
        for _ in range(rounds):
            for kind, call in calls.items():
                found[kind].append(await window(call, seconds))
    return found


def main() -> None:
    """Measure, and print a row for each kind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.5, help="of one window")
    parser.add_argument("--rounds", type=int, default=11)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(measured(options.seconds, options.rounds, Path(folder)))
    plain = found["nobody"]
    print(f"{platform.python_implementation()} {platform.python_version()}, CPU us a call")
    for kind, label in KINDS.items():
        more = [each - base for each, base in zip(found[kind], plain, strict=True)]
        ratio = [each / base for each, base in zip(found[kind], plain, strict=True)]
        print(
            f"{label:36} {statistics.median(found[kind]):6.1f}"
            f"  {statistics.median(more):+6.1f}  {statistics.median(ratio):5.2f} x"
        )


if __name__ == "__main__":
    main()
