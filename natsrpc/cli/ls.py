"""`natsrpc ls`: which services are there."""

from __future__ import annotations

from natsrpc import discovery
from natsrpc.discovery import ServiceInfo

from .asking import AsJson, Timeout, connected, print_json, print_table
from .command import say
from .context import Place, parse_seconds

__all__ = ["ls"]


async def ls(place: Place, timeout: Timeout = "2s", json: AsJson = False) -> None:
    """List the services that answer, with their instances and subjects."""
    async with connected(place) as connection:
        found = await discovery.info(connection, timeout=parse_seconds(timeout))
    if json:
        print_json(found)
        return
    if not found:
        say("no services answered")
        return
    by_kind: dict[tuple[str, str], list[ServiceInfo]] = {}
    for one in found:
        by_kind.setdefault((one.name, one.version), []).append(one)
    rows = []
    for (name, version), instances in sorted(by_kind.items()):
        subjects = sorted({e.subject for one in instances for e in one.endpoints})
        rows.append((name, version, len(instances), ", ".join(subjects), instances[0].description))
    print_table(("service", "version", "instances", "subjects", "description"), rows)
