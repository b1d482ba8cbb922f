"""`natsrpc info`: what a service offers."""

from __future__ import annotations

import json as json_module
from typing import Annotated

import typer

from natsrpc import discovery

from .asking import AsJson, Name, Timeout, check_found, connected, print_json, print_table
from .context import Place, parse_seconds

__all__ = ["info"]


async def info(
    place: Place,
    name: Name,
    timeout: Timeout = "2s",
    json: AsJson = False,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of requests and replies.")
    ] = False,
) -> None:
    """Show a service's instances and endpoints."""
    seconds = parse_seconds(timeout)
    async with connected(place) as connection:
        if schema:
            found = await discovery.schema(connection, name, timeout=seconds)
            print(json_module.dumps(found, indent=2, ensure_ascii=False))
            return
        instances = await discovery.info(connection, name, timeout=seconds)
    check_found(instances, name)
    if json:
        print_json(instances)
        return
    first = instances[0]
    print(f"{first.name} {first.version}  {first.description}".rstrip())
    for key, value in first.metadata.items():
        print(f"  {key}: {value}")
    print("instances " + ", ".join(sorted(one.id for one in instances)))
    print_table(
        ("endpoint", "subject", "queue group"),
        [(e.name, e.subject, e.queue_group or "none") for e in first.endpoints],
    )
