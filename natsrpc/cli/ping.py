"""`natsrpc ping`: which instances are there, and how far away."""

from __future__ import annotations

from natsrpc import discovery

from .asking import AsJson, Name, Timeout, check_found, connected, print_json, print_table
from .command import say
from .context import Place, parse_seconds

__all__ = ["ping"]


async def ping(
    place: Place, name: Name = "", timeout: Timeout = "2s", json: AsJson = False
) -> None:
    """Show each instance and the time until its answer came."""
    async with connected(place) as connection:
        found = await discovery.ping(connection, name, timeout=parse_seconds(timeout))
    check_found(found, name)
    if json:
        print_json(found)
        return
    if not found:
        say("no services answered")
        return
    print_table(
        ("service", "version", "instance", "time"),
        [(one.name, one.version, one.id, f"{one.rtt * 1000:.1f} ms") for one in found],
    )
