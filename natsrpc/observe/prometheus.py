"""Metrics of the requests that services serve. Programs make a `Metrics` and `instrument` services.

| metric | labels |
|---|---|
| `natsrpc_server_requests_total` | service, endpoint, code: "200", or the code of the error |
| `natsrpc_server_seconds` (histogram) | service, endpoint |
| `natsrpc_server_running` | service, endpoint |
| `natsrpc_server_dropped_total` | service, endpoint |

Events are counted as requests are, with the name of their subscriber as the endpoint.

A request that is refused before its handler runs (no free slot, an unknown codec) is not counted
by code; the service's own STATS count it. Dropped are messages that neither ran nor could be
answered: those without a reply subject that found no room to wait or whose time was over, and
those whose reply subject leads to the server's own subjects.

The codes of requests that were cancelled are "504" where their deadline had passed and "499" where
the caller gave up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from time import perf_counter
from typing import Any

from natsrpc.errors import ConfigError, RpcError
from natsrpc.rpc import Context, Service, relayed

try:
    from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
except ModuleNotFoundError as _error:
    raise ImportError(
        "natsrpc.observe.prometheus needs prometheus_client: pip install 'natsrpc[prometheus]'",
        name=_error.name,
    ) from _error

__all__ = ["Metrics"]

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""The upper bounds of the histogram's buckets unless told otherwise, in seconds."""


class Metrics:
    """The metrics of any number of services, in one registry.

    Args:
        registry: the registry of prometheus_client; its global one if not given. A registry takes
            one `Metrics`: with a second one prometheus_client raises `ValueError`.
        buckets: the upper bounds of the histogram's buckets, in seconds.
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
            "natsrpc_server_running",
            "Requests being handled.",
            labels,
            registry=registry,
            multiprocess_mode="livesum",  # of several processes: what those that live handle
        )

        self._dropped = Counter(
            "natsrpc_server_dropped",
            "Messages that neither ran nor could be answered.",
            labels,
            registry=registry,
        )

    def instrument(self, *services: Service) -> None:
        """Count the requests of these services.

        Call it before they are served: middleware that is added later has no effect on them.

        Raises:
            ConfigError: one of them is no service.
        """
        for service in services:
            if not isinstance(service, Service):
                raise ConfigError(f"instrument takes services, not {service!r}")
            service.middleware(self._count)
            service.definition.on_dropped.append(partial(self._count_dropped, service.name))

    def _count_dropped(self, service: str, endpoint: str) -> None:
        self._dropped.labels(service, endpoint).inc()

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
        except Exception as error:
            answer = relayed(error) or error  # as the endpoint answers
            if isinstance(answer, RpcError):
                code = str(answer.code)
            raise
        except asyncio.CancelledError:  # the caller gave up, or the deadline passed
            late = context.time_left() == 0.0
            code = "504" if late else "499"
            raise
        finally:
            self._seconds.labels(*labels).observe(perf_counter() - start)
            self._requests.labels(*labels, code).inc()
            running.dec()
