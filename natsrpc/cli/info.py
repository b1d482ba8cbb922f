"""`natsrpc info`: prints a service's instances and endpoints, or its JSON Schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from natsrpc import discovery
from natsrpc.discovery import EndpointInfo, ServiceInfo
from natsrpc.errors import NatsError, NoRespondersError

from .command import NotThereError
from .context import Destination
from .duration import parse_seconds
from .output import print_json, print_table, show
from .query import AsJson, Timeout, ask, connected, marked
from .types import in_words

__all__ = ["endpoints_of", "info"]

_TYPES_TIMEOUT = 1.0  # seconds to wait for the types, which are shown besides


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
    if not by_version:
        return
    types = await _types(destination, name)
    for _, instances in sorted(by_version.items()):
        _print(instances, types.get(instances[0].version, {}))


async def _types(destination: Destination, name: str) -> dict[str, dict[str, tuple[str, str]]]:
    """The types of each endpoint's request and reply in words, by version and subject; of services
    that tell none, nothing."""
    found: dict[str, dict[str, tuple[str, str]]] = {}
    try:
        async with connected(destination) as connection:
            for told in await discovery.schemas(connection, name, timeout=_TYPES_TIMEOUT):
                found[str(told.get("version"))] = {
                    str(each.get("subject")): _in_words(each) for each in endpoints_of(told)
                }
    except NatsError:
        pass  # it is not natsrpc's, or the server denies it
    return found


def endpoints_of(told: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The endpoints in what a service tells of its types, whatever else stands there."""
    found = told.get("endpoints")
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _in_words(told: dict[str, Any]) -> tuple[str, str]:
    request, reply = in_words(told.get("request")), in_words(told.get("response"))
    kind = str(told.get("kind"))
    if kind in ("request_stream", "both_stream"):
        request = f"stream of {in_words(told.get('items'), empty='any')}"
    if kind in ("response_stream", "both_stream"):
        reply = f"stream of {reply}"
    return request, reply


def shared_by(endpoint: EndpointInfo) -> str:
    """By what the instances share the messages: a queue group or, of a worker, a consumer."""
    stream, durable = (endpoint.metadata.get(f"natsrpc.{key}") for key in ("stream", "durable"))
    if stream and durable:
        return f"{stream}/{durable}"
    return endpoint.queue_group or "none"


def _print(instances: list[ServiceInfo], types: dict[str, tuple[str, str]]) -> None:
    """Show the instances of one version. All have the same endpoints: those of the first are
    shown."""
    first = instances[0]
    show(f"{first.name} {first.version}  {first.description}".rstrip())
    for key, value in first.metadata.items():
        show(f"  {key}: {value}")
    show("instances " + ", ".join(sorted(one.id for one in instances)))
    rows = [
        (marked(e.name, e), e.subject, shared_by(e), *types.get(e.subject, ("?", "?")))
        for e in first.endpoints
    ]
    columns = ("endpoint", "subject", "queue group", "request", "reply")
    if types:
        print_table(columns, rows, soft=("request", "reply"))
    else:
        print_table(columns[:3], [row[:3] for row in rows])
