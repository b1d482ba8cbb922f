"""`natsrpc info`: what a service offers."""

from __future__ import annotations

import json as json_module
from typing import Annotated

import typer

from natsrpc import discovery
from natsrpc.errors import NoRespondersError

from .asking import AsJson, NotThereError, Timeout, check_found, connected, print_json, print_table
from .context import Place, parse_seconds

__all__ = ["info"]


async def info(
    place: Place,
    name: Annotated[str, typer.Argument(help="The service's name, as `natsrpc ls` shows it.")],
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
            try:
                found = await discovery.schema(connection, name, timeout=seconds)
            except NoRespondersError as error:
                raise NotThereError(f"no service {name!r} answered") from error
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
