"""Figures: how many requests, how long they took, how many are running, by endpoint and code.

| metric | labels |
|---|---|
| `natsrpc_server_requests_total` | service, endpoint, code: "200", or that of the error |
| `natsrpc_server_seconds` (histogram) | service, endpoint |
| `natsrpc_server_running` | service, endpoint |

What is refused before a handler runs (no free slot, a body that does not decode) does not come by
here; a service's own STATS count it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter
from typing import Any

from natsrpc.errors import ConfigError, RpcError
from natsrpc.rpc import Context, Service

try:
    from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
except ModuleNotFoundError as _error:
    raise ImportError(
        "natsrpc.observe.prometheus needs prometheus_client: pip install 'natsrpc[prometheus]'",
        name=_error.name,
    ) from _error

__all__ = ["Metrics"]

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The metrics of any number of services, in one registry.

    Args:
        registry: where they are kept; prometheus_client's own if not given.
        buckets: upper bounds of the histogram, in seconds.
    """

    def __init__(
        self, *, registry: CollectorRegistry = REGISTRY, buckets: Sequence[float] = BUCKETS
    ) -> None:
        labels = ("service", "endpoint")
        self._requests = Counter(
            "natsrpc_server_requests",
            "Requests that handlers answered.",
            (*labels, "code"),
            registry=registry,
        )
        self._seconds = Histogram(
            "natsrpc_server_seconds",
            "Seconds that handlers took.",
            labels,
            registry=registry,
            buckets=tuple(buckets),
        )
        self._running = Gauge(
            "natsrpc_server_running", "Requests being handled.", labels, registry=registry
        )

    def instrument(self, *services: Service) -> None:
        """Count what these services serve. Call it before they are served.

        Raises:
            ConfigError: a target is no service.
        """
        for service in services:
            if not isinstance(service, Service):
                raise ConfigError(f"instrument takes services, not {service!r}")
            service.middleware(self._count)

    async def _count(self, context: Context, call_next: Callable[[Context], Awaitable[Any]]) -> Any:
        labels = (context.service.name, context.endpoint.name)
        running = self._running.labels(*labels)
        code = "500"
        running.inc()
        start = perf_counter()
        try:
            response = await call_next(context)
            code = "200"
            return response
        except RpcError as error:
            code = str(error.code)
            raise
        except asyncio.CancelledError:  # its caller gave up, or its time was over
            late = context.time_left() == 0.0
            code = "504" if late else "499"
            raise
        finally:
            self._seconds.labels(*labels).observe(perf_counter() - start)
            self._requests.labels(*labels, code).inc()
            running.dec()
