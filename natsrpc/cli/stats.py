"""`natsrpc stats`: prints the counters of each endpoint of each instance, once or repeatedly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from natsrpc import discovery
from natsrpc.discovery import ServiceStats

from .context import Destination
from .output import print_table
from .query import AsJson, Interval, Name, Timeout, Watching, ask, marked, watched

__all__ = ["stats"]

COLUMNS = (
    "service",
    "instance",
    "endpoint",
    "subject",
    "requests",
    "errors",
    "avg ms",
    "last error",
)


async def stats(
    destination: Destination,
    name: Name = "",
    timeout: Timeout = "2s",
    json: AsJson = False,
    watch: Watching = False,
    interval: Interval = "2s",
    top: Annotated[
        int, typer.Option(min=0, help="With --watch: only so many, the busiest first.")
    ] = 0,
) -> None:
    """Show the counters of each endpoint of each instance; --watch adds calls a second."""
    if watch:
        before: dict[tuple[str, str], int] = {}

        def show(found: list[ServiceStats], seconds: float) -> None:
            rows = _rows(found)
            rates = []
            for row in rows:
                key = str(row[1]), str(row[2])
                count = int(str(row[4]))
                rates.append(round((count - before.get(key, count)) / seconds) if seconds else 0)
                before[key] = count
            joined = [(*row[:4], rate, *row[4:]) for row, rate in zip(rows, rates, strict=True)]
            if top:
                joined = sorted(joined, key=lambda row: -int(str(row[4])))[:top]
            columns = (*COLUMNS[:4], "calls/s", *COLUMNS[4:])
            _print(columns, joined, live=True)

        await watched(
            discovery.stats, destination, name, show, timeout=timeout, interval=interval, json=json
        )
        return
    found = await ask(discovery.stats, destination, name, timeout=timeout, json=json)
    if found:
        _print(COLUMNS, _rows(found))


def _print(
    columns: Sequence[str], rows: Sequence[tuple[object, ...]], *, live: bool = False
) -> None:
    print_table(
        columns, rows, soft=("last error",), spare=("subject",), ids=("instance",), live=live
    )


def _rows(found: list[ServiceStats]) -> list[tuple[object, ...]]:
    return [
        (
            one.name,
            one.id,
            marked(endpoint.name, endpoint),
            endpoint.subject,
            endpoint.num_requests,
            endpoint.num_errors,
            round(endpoint.average_processing_time_ns / 1e6, 3),
            endpoint.last_error,
        )
        for one in sorted(found, key=lambda one: (one.name, one.id))
        for endpoint in one.endpoints
    ]
