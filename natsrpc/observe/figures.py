"""Figures of worker processes in shared memory: counters, gauges and histograms that one process
writes and its supervisor reads, also after the writer was killed.

A process writes into a *page* of its own: a file of doubles that is mapped into its memory (so a
count is one store, 0.1 us, and survives the process), and beside it a file that names them, a line
of JSON for each series. `Page` is the writer's side; `measure` has it count the requests of
services. A `Ledger` is the reader's: it adds up the pages of living processes and what dead ones
have left, without their gauges; `render` writes the sum as Prometheus reads it.

One thread writes a page, that of the event loop. A double is stored in one piece, so that a reader
never sees half of one.
"""

from __future__ import annotations

import contextlib
import json
import logging
import mmap
import os
import weakref
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from natsrpc.core import (
    AsyncError,
    Closed,
    Connected,
    Connection,
    ConnectionEvent,
    Disconnected,
    Reconnected,
    Status,
)
from natsrpc.errors import SlowConsumerError
from natsrpc.rpc import Client, EndpointContract, Service

__all__ = [
    "BUCKETS",
    "MAX_CODES",
    "OWN_CODES",
    "EndpointFigures",
    "Ledger",
    "Page",
    "Series",
    "measure",
    "render",
]

logger: logging.Logger = logging.getLogger("natsrpc.observe")

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""The upper bounds of histograms' buckets, in seconds."""


MAX_CODES = 32
"""Codes of one endpoint that are told apart: more are counted as `OTHER`. A service passes on the
codes of others, who may answer with any number."""

OWN_CODES = frozenset(
    (200, 400, 401, 403, 404, 409, 413, 415, 422, 429, 431, 499, 500, 502, 503, 504)
)
"""natsrpc's own codes, which tell whether a service is well: always told apart, whatever came
before."""

OTHER = "other"

Counted = TypeVar("Counted")


def help_of(name: str) -> str:
    """What a series is, for those who read a page of metrics."""
    return _HELP.get(name, name)


CAPACITY = 65_536
"""Doubles of a page: of what is not used the system keeps nothing."""

_CALLED = frozenset(("unary", "response_stream", "request_stream", "both_stream"))
_HELP = {
    "natsrpc_server_requests": "Requests that were answered, or ended without a reply subject.",
    "natsrpc_server_seconds": "Seconds that handlers took.",
    "natsrpc_server_running": "Requests being handled.",
    "natsrpc_server_wait_seconds": "Seconds that requests waited which found no free slot.",
    "natsrpc_connection_up": "Connections to a NATS server.",
    "natsrpc_connection_reconnects": "Connections that were lost and made again.",
    "natsrpc_connection_slow_consumers": "Times that messages were dropped unread.",
    "natsrpc_server_dropped": "Messages that neither ran nor could be answered.",
    "natsrpc_server_redelivered": "Messages that a worker was given again.",
    "natsrpc_pool_workers": "Worker processes by state.",
    "natsrpc_pool_restarts": "Workers that were replaced because they had ended unasked.",
}


@dataclass(slots=True)
class Series:
    """One series and its values. A histogram has a value for each bucket (one more than bounds,
    none counted in another), and then the sum."""

    name: str
    kind: str
    labels: Mapping[str, str]
    values: list[float]
    bounds: Sequence[float] = field(default_factory=tuple)

    @property
    def key(self) -> tuple[str, tuple[tuple[str, str], ...]]:
        """What makes it the same series in two processes."""
        return self.name, tuple(sorted(self.labels.items()))


class Figures(Protocol):
    """Where one process counts: a `Page` that others read, or a `Sheet` of its own."""

    @property
    def values(self) -> Any:
        """The values, by index: `values[index] += 1` counts."""
        ...

    def add(
        self, name: str, kind: str, labels: Mapping[str, str], bounds: Sequence[float] = ()
    ) -> int:
        """Begin a series of that kind ("counter", "gauge", "histogram"); the index of its first
        value."""
        ...


def _size(kind: str, bounds: Sequence[float]) -> int:
    return len(bounds) + 2 if kind == "histogram" else 1


class Sheet:
    """Figures that only this process reads."""

    def __init__(self) -> None:
        self.values: list[float] = []
        self._rows: list[tuple[int, str, str, Mapping[str, str], Sequence[float]]] = []

    def add(
        self, name: str, kind: str, labels: Mapping[str, str], bounds: Sequence[float] = ()
    ) -> int:
        """Begin a series; the index of its first value."""
        index = len(self.values)
        self.values.extend([0.0] * _size(kind, bounds))
        self._rows.append((index, name, kind, labels, bounds))
        return index

    def series(self) -> list[Series]:
        """All series with their values of now, those of endpoints that share a name added up. Any
        thread may ask."""
        total: dict[object, Series] = {}
        found = (
            Series(name, kind, labels, self.values[index : index + _size(kind, bounds)], bounds)
            for index, name, kind, labels, bounds in list(self._rows)
        )
        _add(total, found)
        return list(total.values())


class Page:
    """The figures of this process, which others read.

    Args:
        name: the path of the page without a suffix; `NAME.values` and `NAME.names` are made.

    `values` is a memoryview of doubles: `page.values[index] += 1` counts.

    Raises:
        OSError: the files cannot be made.
    """

    def __init__(self, name: str | Path) -> None:
        with open(f"{name}.values", "x+b") as file:
            file.truncate(CAPACITY * 8)
            self._map = mmap.mmap(file.fileno(), CAPACITY * 8)
        self.values: memoryview[float] = memoryview(self._map).cast("d")
        self._names = os.open(f"{name}.names", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._next = 0
        self._is_full = False

    def add(
        self, name: str, kind: str, labels: Mapping[str, str], bounds: Sequence[float] = ()
    ) -> int:
        """Begin a series of that kind ("counter", "gauge", "histogram"); the index of its first
        value. Where the page is full its values go nowhere, which is logged once."""
        size = _size(kind, bounds)
        index = self._next
        if index + size > CAPACITY - 64:
            if not self._is_full:
                logger.error("%d figures are too many: further series are not shown", index)
            self._is_full = True
            return CAPACITY - 64
        self._next += size
        line = json.dumps([index, name, kind, dict(labels), list(bounds)])
        os.write(self._names, line.encode() + b"\n")
        return index

    def close(self) -> None:
        """Let the memory go; the files stay."""
        self.values.release()
        self._map.close()
        os.close(self._names)


def labels_of(service: str, endpoint: EndpointContract) -> dict[str, str]:
    """The labels of an endpoint's series. A subscriber may have the name of an endpoint that is
    called, and so has a label more: `kind`, "event" or "worker"."""
    found = {"service": service, "endpoint": endpoint.name}
    return found if endpoint.kind in _CALLED else {**found, "kind": endpoint.kind}


class ByCode(Generic[Counted]):
    """What each code of an endpoint is counted by, made when the code is first answered: `make` is
    given the code as a label. For more than `MAX_CODES` it is one, whose label is `OTHER`; not so
    for `OWN_CODES`."""

    __slots__ = ("_made", "_make", "_other")

    def __init__(self, make: Callable[[str], Counted]) -> None:
        self._make = make
        self._made: dict[int, Counted] = {}
        self._other: Counted | None = None

    def __getitem__(self, code: int) -> Counted:
        found = self._made.get(code)
        if found is not None:
            return found
        if code in OWN_CODES or len(self._made) < MAX_CODES:
            found = self._made[code] = self._make(str(code))
            return found
        if self._other is None:
            self._other = self._make(OTHER)
        return self._other


class EndpointFigures:
    """Counts what one endpoint does: a `Meter` of `natsrpc.rpc`. All is bound when it is made; an
    error code's series begins when that code is first answered."""

    __slots__ = (
        "_bounds",
        "_codes",
        "_dropped",
        "_labels",
        "_ok",
        "_page",
        "_redelivered",
        "_running",
        "_seconds",
        "_sum",
        "_values",
        "_wait",
    )

    def __init__(self, page: Figures, labels: Mapping[str, str], bounds: Sequence[float]) -> None:
        self._page = page
        self._values = page.values
        self._labels = dict(labels)
        self._bounds = [bound * 1e9 for bound in bounds]
        self._codes = ByCode(self._begin)
        self._ok = self._codes[200]
        self._redelivered = page.add("natsrpc_server_redelivered", "counter", labels)
        self._running = page.add("natsrpc_server_running", "gauge", labels)
        self._dropped = page.add("natsrpc_server_dropped", "counter", labels)
        self._seconds = page.add("natsrpc_server_seconds", "histogram", labels, bounds)
        self._sum = self._seconds + len(bounds) + 1
        self._wait = page.add("natsrpc_server_wait_seconds", "histogram", labels, bounds)

    def _begin(self, code: str) -> int:
        labels = {**self._labels, "code": code}
        return self._page.add("natsrpc_server_requests", "counter", labels)

    def waited(self, seconds: float) -> None:
        """A request that had to wait for its slots has them after that time."""
        values, bounds = self._values, self._bounds
        values[self._wait + bisect_left(bounds, seconds * 1e9)] += 1.0
        values[self._wait + len(bounds) + 1] += seconds

    def redelivered(self) -> None:
        """A worker was given a message again."""
        self._values[self._redelivered] += 1.0

    def began(self) -> None:
        """A handler begins."""
        self._values[self._running] += 1.0

    def ended(self, nanoseconds: int) -> None:
        """A handler ended after that time."""
        values = self._values
        values[self._running] -= 1.0
        values[self._seconds + bisect_left(self._bounds, nanoseconds)] += 1.0
        values[self._sum] += nanoseconds / 1e9

    def succeeded(self) -> None:
        """A request was answered with its handler's result, or needed no answer."""
        self._values[self._ok] += 1.0

    def failed(self, code: int) -> None:
        """A request was answered with an error of that code."""
        self._values[self._codes[code]] += 1.0

    def dropped(self) -> None:
        """A message neither ran nor was answered."""
        self._values[self._dropped] += 1.0


CONNECTION = {
    "natsrpc_connection_up": "gauge",
    "natsrpc_connection_reconnects": "counter",
    "natsrpc_connection_slow_consumers": "counter",
}
"""What is counted of connections, and of what kind it is."""


class ConnectionFigures:
    """Counts what becomes of connections, however many, by `add(name, amount)`."""

    def __init__(self, add: Callable[[str, float], object]) -> None:
        self._add = add
        self._seen: weakref.WeakSet[Connection] = weakref.WeakSet()

    @classmethod
    def of(cls, page: Figures) -> ConnectionFigures:
        """Those that are counted into a page."""
        values = page.values
        places = {name: page.add(name, kind, {}) for name, kind in CONNECTION.items()}

        def add(name: str, amount: float) -> None:
            values[places[name]] += amount

        return cls(add)

    def watch(self, client: Client) -> None:
        """Count what becomes of a client's connection, from now on."""
        connection = client.connection
        if connection in self._seen:
            return
        self._seen.add(connection)
        is_up = connection.status is Status.CONNECTED
        self._add("natsrpc_connection_up", is_up)

        def hear(event: ConnectionEvent) -> None:
            nonlocal is_up
            if isinstance(event, (Connected, Reconnected, Disconnected, Closed)):
                was_up, is_up = is_up, isinstance(event, (Connected, Reconnected))
                self._add("natsrpc_connection_up", is_up - was_up)
                if isinstance(event, Reconnected):
                    self._add("natsrpc_connection_reconnects", 1.0)
            elif isinstance(event, AsyncError) and isinstance(event.error, SlowConsumerError):
                self._add("natsrpc_connection_slow_consumers", 1.0)

        connection.link.add_listener(hear)


def measure(page: Figures, *services: Service, bounds: Sequence[float] = BUCKETS) -> None:
    """Count into a page the requests of these services, and of endpoints they get later, and what
    becomes of the connections that they are served on.

    Raises:
        ConfigError: one of them is served already.
    """

    def make(service: str, endpoint: EndpointContract) -> EndpointFigures:
        return EndpointFigures(page, labels_of(service, endpoint), bounds)

    connections = ConnectionFigures.of(page)
    for service in services:
        service.definition.check_not_served("measure")
        service.definition.meters.append(make)
        service.definition.on_client.append(connections.watch)


class Ledger:
    """The sum of many processes' figures, kept by the one that outlives them."""

    def __init__(self) -> None:
        self._past: dict[object, Series] = {}

    def series(self, pages: Iterable[Path] = ()) -> list[Series]:
        """The series of these pages, whose processes live, added to those of the dead."""
        total = {key: _copy(series) for key, series in self._past.items()}
        for page in pages:
            _add(total, read(page))
        return list(total.values())

    def close(self, page: Path) -> None:
        """Take over what a process that is gone has counted, and remove its page. Its gauges end
        with it."""
        _add(self._past, (each for each in read(page) if each.kind != "gauge"))
        for suffix in (".values", ".names"):
            with contextlib.suppress(OSError):
                os.unlink(f"{page}{suffix}")


def read(page: Path) -> list[Series]:
    """The series of one page; none where its process has not made it."""
    try:
        lines = Path(f"{page}.names").read_bytes().splitlines(keepends=True)
        with (
            open(f"{page}.values", "rb") as data,
            mmap.mmap(data.fileno(), 0, access=mmap.ACCESS_READ) as memory,
            memoryview(memory) as raw,
            raw.cast("d") as values,
        ):
            # a line without its end: the writer was killed amid it
            return [_series(json.loads(line), values) for line in lines if line[-1:] == b"\n"]
    except (OSError, ValueError):  # a page that its process has not made, or not yet
        return []


def _series(
    line: tuple[int, str, str, dict[str, str], list[float]], values: memoryview[float]
) -> Series:
    index, name, kind, labels, bounds = line
    size = _size(kind, bounds)
    return Series(name, kind, labels, list(values[index : index + size]), bounds)


def _copy(series: Series) -> Series:
    return Series(series.name, series.kind, series.labels, list(series.values), series.bounds)


def _add(total: dict[object, Series], found: Iterable[Series]) -> None:
    for series in found:
        key = series.key
        known = total.get(key)
        if known is None or len(known.values) != len(series.values):
            total[key] = _copy(series)
        else:
            known.values = [a + b for a, b in zip(known.values, series.values, strict=True)]


def render(series: Iterable[Series]) -> str:
    """The series in Prometheus' text format."""
    families: dict[str, list[Series]] = {}
    for each in series:
        families.setdefault(each.name, []).append(each)
    return "".join(line + "\n" for name in sorted(families) for line in _family(families[name]))


def _family(members: list[Series]) -> Iterator[str]:
    first = members[0]
    name = first.name + ("_total" if first.kind == "counter" else "")
    yield f"# HELP {name} {help_of(first.name)}"
    yield f"# TYPE {name} {first.kind}"
    for each in sorted(members, key=lambda series: series.key):
        if each.kind != "histogram":
            yield f"{name}{_labels(each.labels)} {_number(each.values[0])}"
            continue
        count = 0.0
        bounds: list[Any] = [*each.bounds, "+Inf"]
        for bound, value in zip(bounds, each.values, strict=False):
            count += value
            told = bound if isinstance(bound, str) else _number(bound)
            yield f"{name}_bucket{_labels({**each.labels, 'le': told})} {_number(count)}"
        yield f"{name}_sum{_labels(each.labels)} {_number(each.values[-1])}"
        yield f"{name}_count{_labels(each.labels)} {_number(count)}"


def _labels(labels: Mapping[str, str]) -> str:
    told = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{told}}}" if told else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)
