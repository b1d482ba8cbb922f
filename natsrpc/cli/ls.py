"""`natsrpc ls`: prints the services that answer, one line for each name and version."""

from __future__ import annotations

from natsrpc import discovery
from natsrpc.discovery import ServiceInfo

from .context import Destination
from .output import print_table
from .query import AsJson, Timeout, ask, marked

__all__ = ["ls"]


async def ls(destination: Destination, timeout: Timeout = "2s", json: AsJson = False) -> None:
    """List the services that answer, with their instances and subjects."""
    by_kind: dict[tuple[str, str], list[ServiceInfo]] = {}
    for one in await ask(discovery.info, destination, timeout=timeout, json=json):
        by_kind.setdefault((one.name, one.version), []).append(one)
    rows = []
    for (name, version), instances in sorted(by_kind.items()):
        subjects = sorted({marked(e.subject, e) for one in instances for e in one.endpoints})
        rows.append((name, version, len(instances), ", ".join(subjects), instances[0].description))
    if rows:
        print_table(("service", "version", "instances", "subjects", "description"), rows)
