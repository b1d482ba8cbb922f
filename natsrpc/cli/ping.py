"""`natsrpc ping`: which instances are there, and how far away."""

from __future__ import annotations

from natsrpc import discovery

from .asking import AsJson, Name, Timeout, ask, print_table
from .context import Place

__all__ = ["ping"]


async def ping(
    place: Place, name: Name = "", timeout: Timeout = "2s", json: AsJson = False
) -> None:
    """Show each instance and the time until its answer came."""
    if found := await ask(discovery.ping, place, name, timeout=timeout, json=json):
        print_table(
            ("service", "version", "instance", "time"),
            [(one.name, one.version, one.id, f"{one.rtt * 1000:.1f} ms") for one in found],
        )
