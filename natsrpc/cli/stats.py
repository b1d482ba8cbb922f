"""`natsrpc stats`: how services are doing."""

from __future__ import annotations

from natsrpc import discovery

from .asking import AsJson, Name, Timeout, check_found, connected, print_json, print_table
from .command import say
from .context import Place, parse_seconds

__all__ = ["stats"]


async def stats(
    place: Place, name: Name = "", timeout: Timeout = "2s", json: AsJson = False
) -> None:
    """Show the counters of each endpoint of each instance."""
    async with connected(place) as connection:
        found = await discovery.stats(connection, name, timeout=parse_seconds(timeout))
    check_found(found, name)
    if json:
        print_json(found)
        return
    if not found:
        say("no services answered")
        return
    rows = [
        (
            one.name,
            one.id,
            endpoint.name,
            endpoint.num_requests,
            endpoint.num_errors,
            round(endpoint.average_processing_time_ns / 1e6, 3),
            endpoint.last_error,
        )
        for one in sorted(found, key=lambda one: (one.name, one.id))
        for endpoint in one.endpoints
    ]
    columns = ("service", "instance", "endpoint", "requests", "errors", "avg ms", "last error")
    print_table(columns, rows)
