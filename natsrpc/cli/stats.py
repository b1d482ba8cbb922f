"""`natsrpc stats`: prints the counters of each endpoint of each instance."""

from __future__ import annotations

from natsrpc import discovery

from .context import Destination
from .output import print_table
from .query import AsJson, Name, Timeout, ask, marked

__all__ = ["stats"]


async def stats(
    destination: Destination, name: Name = "", timeout: Timeout = "2s", json: AsJson = False
) -> None:
    """Show the counters of each endpoint of each instance."""
    found = await ask(discovery.stats, destination, name, timeout=timeout, json=json)
    rows = [
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
