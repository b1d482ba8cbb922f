"""`natsrpc ls`: prints the services that answer, one line for each name and version, once or again
and again."""

from __future__ import annotations

from natsrpc import discovery
from natsrpc.discovery import ServiceInfo

from .context import Destination
from .output import print_table
from .query import AsJson, Interval, Timeout, Watching, ask, marked, watched

__all__ = ["ls"]


async def ls(
    destination: Destination,
    timeout: Timeout = "2s",
    json: AsJson = False,
    watch: Watching = False,
    interval: Interval = "2s",
) -> None:
    """List the services that answer, with their instances and subjects."""
    if watch:
        await watched(
            discovery.info,
            destination,
            "",
            lambda found, _: _print(found, live=True),
            timeout=timeout,
            interval=interval,
            json=json,
        )
        return
    found = await ask(discovery.info, destination, timeout=timeout, json=json)
    if found:
        _print(found)


def _print(found: list[ServiceInfo], *, live: bool = False) -> None:
    by_kind: dict[tuple[str, str], list[ServiceInfo]] = {}
    for one in found:
        by_kind.setdefault((one.name, one.version), []).append(one)
    rows = []
    for (name, version), instances in sorted(by_kind.items()):
        subjects = sorted({marked(e.subject, e) for one in instances for e in one.endpoints})
        rows.append((name, version, len(instances), ", ".join(subjects), instances[0].description))
    print_table(
        ("service", "version", "instances", "subjects", "description"),
        rows,
        soft=("subjects", "description"),
        live=live,
    )
