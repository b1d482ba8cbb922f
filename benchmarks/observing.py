"""The cost of observing: the CPU that a call takes beyond one that nobody observes, on both sides.

Service and caller are in this one process, over a real server, so its CPU time is that of both
added. Windows of each kind take turns; the median of the rounds counts. With 64 calls in flight the
cost is held against `LIMITS`; one call at a time takes more of everything, for it runs from cold
caches, and is measured besides. What OpenTelemetry itself takes for the two spans of a call and
their header, by its own functions and without any call, is measured, too: it is part of the cost.
`benchmarks.page` puts the figures on the page.

    python -m benchmarks.observing [--seconds 0.5] [--rounds 11] [--json FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import gc
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from opentelemetry import context, propagate, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind
from prometheus_client import CollectorRegistry

import natsrpc
from natsrpc.observe import otel, prometheus
from natsrpc.observe.figures import Page, measure
from natsrpc.testing import NatsServer

INFLIGHT = (64, 1)

KINDS = {
    "nobody": "nobody observes",
    "prometheus": "Prometheus",
    "pool": "Prometheus, in a pool",
    "header": "a traceparent of the caller's own",
    "off": "OpenTelemetry, sampled out",
    "on": "OpenTelemetry, recorded",
}
LIMITS = {"prometheus": 5.0, "pool": 10.0, "off": 30.0, "on": 60.0}
"""Microseconds that observing may take of a call, with `INFLIGHT[0]` of them in flight."""

Rounds = dict[int, dict[str, list[float]]]
"""Microseconds a call: by how many are in flight, by kind, round by round."""


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


async def window(call: Callable[[int], Awaitable[object]], seconds: float, in_flight: int) -> float:
    """Return the CPU microseconds of one call, with so many of them in flight."""
    count = 0
    gc.collect()
    end = time.perf_counter() + seconds

    async def caller() -> None:
        nonlocal count
        while not count or time.perf_counter() < end:
            await call(count)
            count += 1

    began = time.process_time()
    await asyncio.gather(*(caller() for _ in range(in_flight)))
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


async def measured(seconds: float, rounds: int, folder: Path) -> Rounds:
    """Measure all kinds."""
    found: Rounds = {number: {kind: [] for kind in KINDS} for number in INFLIGHT}
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
            await window(calls[kind], seconds / 2, INFLIGHT[0])
        for number in INFLIGHT:
            for _ in range(rounds):
                for kind, call in calls.items():
                    found[number][kind].append(await window(call, seconds, number))
    return found


def alone(provider: TracerProvider, seconds: float) -> float:
    """The CPU microseconds that OpenTelemetry takes for a call's two spans and their header."""
    tracer = trace.get_tracer("alone", tracer_provider=provider)
    attributes = {"rpc.system.name": "natsrpc", "rpc.method": "service/echo"}

    def call() -> None:
        client = tracer.start_span("service/echo", kind=SpanKind.CLIENT, attributes=attributes)
        headers: dict[str, str] = {}
        with trace.use_span(client, end_on_exit=True):
            propagate.inject(headers)
        token = context.attach(propagate.extract(headers, context.Context()))
        server = tracer.start_span("service/echo", kind=SpanKind.SERVER, attributes=attributes)
        with trace.use_span(server, end_on_exit=True):
            pass
        context.detach(token)

    found = []
    for _ in range(5):
        count, began = 0, time.process_time()
        while time.process_time() < began + seconds / 5:
            for _ in range(100):
                call()
            count += 100
        found.append((time.process_time() - began) / count * 1e6)
    return statistics.median(found)


def cost(rounds: dict[str, list[float]], kind: str) -> float:
    """The microseconds that a kind takes beyond a call that nobody observes: the median."""
    return statistics.median(
        mine - plain for mine, plain in zip(rounds[kind], rounds["nobody"], strict=True)
    )


def told(found: Rounds, own: dict[str, float]) -> dict[str, Any]:
    """The figures as plain data, with where they come from."""
    return {
        "about": {
            "python": platform.python_version(),
            "cpus": os.cpu_count(),
            "system": f"{platform.system()} {platform.machine()}",
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        },
        "observing": [
            {
                "kind": kind,
                "title": title,
                "limit": LIMITS.get(kind),
                "alone_us": own.get(kind),
                "in_flight": {
                    str(number): {
                        "cpu_us": statistics.median(found[number][kind]),
                        "more_us": cost(found[number], kind),
                        "rounds": found[number][kind],
                    }
                    for number in INFLIGHT
                },
            }
            for kind, title in KINDS.items()
        ],
    }


def show(figures: dict[str, Any]) -> bool:
    """Print a row for each kind; whether all are within their limits."""
    print(f"Python {figures['about']['python']}, CPU us a call")
    heads = [f"{number} in flight" for number in INFLIGHT]
    print(f"{'':36}" + "".join(f"{head:>20}" for head in heads) + f"{'limit':>8}{'alone':>8}")
    well = True
    for row in figures["observing"]:
        cells = [row["in_flight"][str(number)] for number in INFLIGHT]
        limit = row["limit"]
        well = well and (limit is None or cells[0]["more_us"] <= limit)
        print(
            f"{row['title']:36}"
            + "".join(f"{cell['cpu_us']:12.1f} {cell['more_us']:+7.1f}" for cell in cells)
            + ("" if limit is None else f"{limit:8.0f}")
            + ("" if row["alone_us"] is None else f"{row['alone_us']:8.1f}")
        )
    return well


def main() -> None:
    """Measure, and print; exit with 1 if a cost is over its limit."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.observing", description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.5, help="a window (default 0.5)")
    parser.add_argument("--rounds", type=int, default=11, help="windows of each (default 11)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(measured(options.seconds, options.rounds, Path(folder)))
    own = {
        "off": alone(TracerProvider(sampler=ALWAYS_OFF), options.seconds),
        "on": alone(TracerProvider(), options.seconds),
    }
    figures = told(found, own)
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    sys.exit(0 if show(figures) else 1)


if __name__ == "__main__":
    main()
