"""`natsrpc ping`: prints each instance and the time until its answer came."""

from __future__ import annotations

from natsrpc import discovery

from .context import Destination
from .output import print_table
from .query import AsJson, Name, Timeout, ask

__all__ = ["ping"]


async def ping(
    destination: Destination, name: Name = "", timeout: Timeout = "2s", json: AsJson = False
) -> None:
    """Show each instance and the time until its answer came."""
    if found := await ask(discovery.ping, destination, name, timeout=timeout, json=json):
        print_table(
            ("service", "version", "instance", "time"),
            [(one.name, one.version, one.id, f"{one.rtt * 1000:.1f} ms") for one in found],
            ids=("instance",),
        )
