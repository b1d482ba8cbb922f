"""`natsrpc stats`: how services are doing."""

from __future__ import annotations

from natsrpc import discovery

from .asking import AsJson, Name, Timeout, ask, print_table
from .context import Place

__all__ = ["stats"]


async def stats(
    place: Place, name: Name = "", timeout: Timeout = "2s", json: AsJson = False
) -> None:
    """Show the counters of each endpoint of each instance."""
    found = await ask(discovery.stats, place, name, timeout=timeout, json=json)
    rows = [
        (
            one.name,
            one.id,
            endpoint.name,
            endpoint.subject,
            endpoint.num_requests,
            endpoint.num_errors,
            round(endpoint.average_processing_time_ns / 1e6, 3),
            endpoint.last_error,
        )
        for one in sorted(found, key=lambda one: (one.name, one.id))
        for endpoint in one.endpoints
    ]
    columns = (
        "service",
        "instance",
        "endpoint",
        "subject",
        "requests",
        "errors",
        "avg ms",
        "last error",
    )
    if found:
        print_table(columns, rows)
