"""`natsrpc ls`: which services are there."""

from __future__ import annotations

from natsrpc import discovery
from natsrpc.discovery import ServiceInfo

from .asking import AsJson, Timeout, ask, print_table
from .context import Place

__all__ = ["ls"]


async def ls(place: Place, timeout: Timeout = "2s", json: AsJson = False) -> None:
    """List the services that answer, with their instances and subjects."""
    by_kind: dict[tuple[str, str], list[ServiceInfo]] = {}
    for one in await ask(discovery.info, place, timeout=timeout, json=json):
        by_kind.setdefault((one.name, one.version), []).append(one)
    rows = []
    for (name, version), instances in sorted(by_kind.items()):
        subjects = sorted({e.subject for one in instances for e in one.endpoints})
        rows.append((name, version, len(instances), ", ".join(subjects), instances[0].description))
    if rows:
        print_table(("service", "version", "instances", "subjects", "description"), rows)
