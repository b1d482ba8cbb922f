"""`natsrpc info`: prints a service's instances and endpoints, or its JSON Schema."""

from __future__ import annotations

from typing import Annotated

import typer

from natsrpc import discovery
from natsrpc.discovery import ServiceInfo
from natsrpc.errors import NoRespondersError

from .context import Destination
from .duration import parse_seconds
from .output import print_json, print_table, show
from .query import AsJson, NotThereError, Timeout, ask, connected, marked

__all__ = ["info"]


async def info(
    destination: Destination,
    name: Annotated[str, typer.Argument(help="The service's name, as `natsrpc ls` shows it.")],
    timeout: Timeout = "2s",
    json: AsJson = False,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of requests and replies.")
    ] = False,
) -> None:
    """Show a service's instances and endpoints."""
    if schema:
        seconds = parse_seconds(timeout)
        async with connected(destination) as connection:
            try:
                print_json(await discovery.schema(connection, name, timeout=seconds))
            except NoRespondersError as error:
                raise NotThereError(f"no service {name!r} answered") from error
        return
    by_version: dict[str, list[ServiceInfo]] = {}
    for one in await ask(discovery.info, destination, name, timeout=timeout, json=json):
        by_version.setdefault(one.version, []).append(one)
    for _, instances in sorted(by_version.items()):
        _print(instances)


def _print(instances: list[ServiceInfo]) -> None:
    """Show the instances of one version. All have the same endpoints: those of the first are
    shown."""
    first = instances[0]
    show(f"{first.name} {first.version}  {first.description}".rstrip())
    for key, value in first.metadata.items():
        show(f"  {key}: {value}")
    show("instances " + ", ".join(sorted(one.id for one in instances)))
    print_table(
        ("endpoint", "subject", "queue group"),
        [(marked(e.name, e), e.subject, e.queue_group or "none") for e in first.endpoints],
    )
