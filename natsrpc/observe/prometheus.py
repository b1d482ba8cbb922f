"""Metrics of what services serve. Programs make a `Metrics` and `instrument` services.

| metric | labels |
|---|---|
| `natsrpc_server_requests_total` | service, endpoint, code: "200", that of the error, "other" |
| `natsrpc_server_seconds` (histogram) | service, endpoint |
| `natsrpc_server_wait_seconds` (histogram) | service, endpoint |
| `natsrpc_server_running` | service, endpoint |
| `natsrpc_server_dropped_total` | service, endpoint |
| `natsrpc_connection_up` | |
| `natsrpc_connection_reconnects_total` | |
| `natsrpc_connection_slow_consumers_total` | |

Events are counted as requests are, with the name of their subscriber as the endpoint, and the label
`kind`, "event", which requests have not: a subscriber may have the name of an endpoint. What shares
its name with another of its kind is added up.

Requests that are refused before their handler runs (no free slot, an unknown codec) are counted by
code, too; their times are not. Only what found no free slot has waited. Dropped are messages that
neither ran nor could be answered: those without a reply subject that found no room to wait or whose
time was over, and those whose reply subject leads to the server's own subjects.

The codes of requests that were cancelled are "504" where their deadline had passed and "499" where
the caller gave up. The connections are those that the services are served on.

The figures are kept here (`natsrpc.observe.figures`), and shown to prometheus_client when it asks:
to count costs a fifth of what its own metrics cost. Only where its multiprocess mode is on, those
are used, so that the processes' files hold them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from natsrpc.errors import ConfigError
from natsrpc.rpc import EndpointContract, Meter, Service

from .figures import (
    BUCKETS,
    CONNECTION,
    ByCode,
    ConnectionFigures,
    EndpointFigures,
    Series,
    Sheet,
    help_of,
    labels_of,
)

try:
    from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
    from prometheus_client.core import Metric
    from prometheus_client.registry import Collector
except ModuleNotFoundError as _error:
    raise ImportError(
        "natsrpc.observe.prometheus needs prometheus_client: pip install 'natsrpc[prometheus]'",
        name=_error.name,
    ) from _error

__all__ = ["Metrics"]

_LABELS = ("service", "endpoint", "kind")
_FAMILIES: dict[str, tuple[str, tuple[str, ...]]] = {
    "natsrpc_server_requests": ("counter", (*_LABELS, "code")),
    "natsrpc_server_seconds": ("histogram", _LABELS),
    "natsrpc_server_wait_seconds": ("histogram", _LABELS),
    "natsrpc_server_running": ("gauge", _LABELS),
    "natsrpc_server_dropped": ("counter", _LABELS),
    "natsrpc_server_redelivered": ("counter", _LABELS),
    **{name: (kind, ()) for name, kind in CONNECTION.items()},
}
"""The metrics: of what kind they are, and the labels that they may have."""


class Metrics:
    """The metrics of any number of services, in one registry.

    Args:
        registry: the registry of prometheus_client; its global one if not given. A registry takes
            one `Metrics`: with a second one prometheus_client raises `ValueError`.
        buckets: the upper bounds of the histograms' buckets, in seconds.
    """

    def __init__(
        self, *, registry: CollectorRegistry = REGISTRY, buckets: Sequence[float] = BUCKETS
    ) -> None:
        self._meter: Callable[[str, EndpointContract], Meter]
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            shared = _Shared(registry, buckets)
            self._meter, self._connections = shared.meter, ConnectionFigures(shared.add)
            return
        sheet = Sheet()

        def meter(service: str, endpoint: EndpointContract) -> Meter:
            return EndpointFigures(sheet, labels_of(service, endpoint), buckets)

        self._meter = meter
        self._connections = ConnectionFigures.of(sheet)
        registry.register(_Shown(sheet))

    def instrument(self, *services: Service) -> None:
        """Count what these services serve.

        Raises:
            ConfigError: one of them is no service, or is served already.
        """
        for service in services:
            if not isinstance(service, Service):
                raise ConfigError(f"instrument takes services, not {service!r}")
            service.definition.check_not_served("instrument")
        for service in services:
            service.definition.meters.append(self._make)
            service.definition.on_client.append(self._connections.watch)

    def _make(self, service: str, endpoint: EndpointContract) -> Meter:
        return self._meter(service, endpoint)


class _Shown(Collector):
    """Shows a sheet to prometheus_client when it asks."""

    def __init__(self, sheet: Sheet) -> None:
        self._sheet = sheet

    def describe(self) -> Iterable[Metric]:
        """The families without their values, by which a registry refuses a second of a name."""
        return [_family(name) for name in _FAMILIES]

    def collect(self) -> Iterable[Metric]:
        """The families with the values of now. Called by the thread that serves the page."""
        found = {name: _family(name) for name in _FAMILIES}
        for series in self._sheet.series():
            _put(found[series.name], series)
        return found.values()


def _family(name: str) -> Any:
    return Metric(name, help_of(name), _FAMILIES[name][0])


def _put(family: Any, series: Series) -> None:
    name, labels = series.name, dict(series.labels)
    if series.kind == "counter":
        family.add_sample(f"{name}_total", labels, series.values[0])
    elif series.kind == "gauge":
        family.add_sample(name, labels, series.values[0])
    else:
        count = 0.0
        bounds = [*map(str, series.bounds), "+Inf"]
        for bound, value in zip(bounds, series.values, strict=False):
            count += value
            family.add_sample(f"{name}_bucket", {**labels, "le": bound}, count)
        family.add_sample(f"{name}_count", labels, count)
        family.add_sample(f"{name}_sum", labels, series.values[-1])


class _Shared:
    """The metrics as prometheus_client's own, for its multiprocess mode. All series of a metric
    have the same labels there: `kind` is empty for requests."""

    def __init__(self, registry: CollectorRegistry, buckets: Sequence[float]) -> None:
        self._made: dict[str, Any] = {}
        for name, (kind, labels) in _FAMILIES.items():
            given: Any = {"registry": registry}
            if kind == "gauge":  # of several processes: of those that live
                given["multiprocess_mode"] = "livesum"
            elif kind == "histogram":
                given["buckets"] = tuple(buckets)
            make: Any = {"counter": Counter, "gauge": Gauge, "histogram": Histogram}[kind]
            self._made[name] = make(name, help_of(name), labels, **given)

    def add(self, name: str, amount: float) -> None:
        """Add to a metric without labels."""
        self._made[name].inc(amount)

    def meter(self, service: str, endpoint: EndpointContract) -> Meter:
        """What counts the requests of one endpoint."""
        labels = labels_of(service, endpoint)
        return _SharedMeter(self._made, tuple(labels.get(name, "") for name in _LABELS))


class _SharedMeter:
    """A `Meter` that counts by prometheus_client's metrics, their labels looked up once."""

    def __init__(self, made: dict[str, Any], labels: tuple[str, ...]) -> None:
        def bound(name: str) -> Any:
            return made[f"natsrpc_server_{name}"].labels(*labels)

        running = bound("running")
        self._begin, self._end = running.inc, running.dec
        self._observe = bound("seconds").observe
        self.waited = bound("wait_seconds").observe
        self.dropped = bound("dropped").inc
        self.redelivered = bound("redelivered").inc
        self._codes: ByCode[Any] = ByCode(partial(made["natsrpc_server_requests"].labels, *labels))
        self.succeeded = self._codes[200].inc

    def began(self) -> None:
        """A handler begins."""
        self._begin()

    def ended(self, nanoseconds: int) -> None:
        """A handler ended after that time."""
        self._end()
        self._observe(nanoseconds / 1e9)

    def failed(self, code: int) -> None:
        """A request was answered with an error of that code."""
        self._codes[code].inc()
