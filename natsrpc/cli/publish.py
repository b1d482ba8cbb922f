"""`natsrpc publish`: publishes one event from the shell, once it is known who takes it."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import typer

from natsrpc import codecs, discovery
from natsrpc.core import AsyncError, Connection, ConnectionEvent, check_literal, matches
from natsrpc.describe import misfits
from natsrpc.errors import ConfigError, NatsError, PermissionsError
from natsrpc.rpc import connect

from .call import read_body, read_header, read_request
from .context import Destination
from .duration import parse_seconds
from .info import endpoints_of
from .output import print_json, say, show
from .query import AsJson

__all__ = ["publish"]


class Taker(NamedTuple):
    """A subscriber, or an endpoint, of a service that takes what is published."""

    service: str
    name: str
    subject: str
    kind: str

    def __str__(self) -> str:
        return f"{self.service}/{self.name}" + ("" if self.kind else " (which nobody hears answer)")


async def publish(
    destination: Destination,
    subject: Annotated[str, typer.Argument(help="Where to publish, without wildcards.")],
    body: Annotated[
        str | None,
        typer.Argument(help="The event as JSON; `-` reads it from stdin, `@FILE` from a file."),
    ] = None,
    header: Annotated[
        list[str] | None, typer.Option("--header", "-H", help="A header, as `Name: value`.")
    ] = None,
    codec: Annotated[str, typer.Option(help="How the bytes are made: json, msgpack, …")] = "json",
    raw: Annotated[bool, typer.Option("--raw", help="Send bytes as they are.")] = False,
    unchecked: Annotated[
        bool, typer.Option("--unchecked", help="Do not ask the services who takes it.")
    ] = False,
    timeout: Annotated[
        str, typer.Option("--timeout", "-t", help="How long to wait for services.")
    ] = "1s",
    json: AsJson = False,
) -> None:
    """Publish an event. A body that a service's subscriber would refuse is not sent.

    Who takes it is asked of the services: a subscriber that belongs to none is not known. Events
    are delivered at most once.
    """
    check_literal(subject)
    headers = dict(read_header(one) for one in header or ()) or None
    seconds = parse_seconds(timeout)
    value = read_request(read_body(body), raw=raw)
    chosen = codecs.get("raw" if raw else codec)
    takers: list[Taker] = []
    denied: list[PermissionsError] = []

    def hear(event: ConnectionEvent) -> None:
        error = event.error if isinstance(event, AsyncError) else None
        if isinstance(error, PermissionsError) and error.subject == subject:
            denied.append(error)

    options = {"name": "natsrpc publish", "on_error": _quiet, **destination.options}
    async with connect(destination.servers, codec=chosen, **options) as client:
        client.connection.link.add_listener(hear)
        if not unchecked:
            takers = await _takers(client.connection, subject, seconds)
            if not raw:
                await _check(client.connection, takers, value, seconds)
        await client.publish(subject, value, headers=headers)
        await client.connection.flush()
        if denied:  # the server says so before it answers the flush
            raise denied[0]
    size = len(chosen.bind(Any).encode(value))
    if json:
        print_json({"subject": subject, "bytes": size, "takers": [t._asdict() for t in takers]})
        return
    show(f"published {size} B" + (f" to {', '.join(map(str, takers))}" if takers else ""))


def _quiet(*_: object) -> None:
    """Nothing is logged: what concerns the command ends it."""


async def _takers(connection: Connection, subject: str, seconds: float) -> list[Taker]:
    """The subscribers and endpoints of all services that a subject leads to. Where there are none,
    and where services must not be asked, that is said."""
    try:
        services = await discovery.info(connection, timeout=seconds)
    except PermissionsError as error:
        say(f"who takes it is not known: {error}")
        return []
    found = {
        Taker(one.name, each.name, each.subject, each.metadata.get("natsrpc.kind", ""))
        for one in services
        for each in one.endpoints
        if matches(each.subject, subject)
    }
    if not found:
        say(f"no service has a subscriber to {subject!r}")
    return sorted(found)


async def _check(connection: Connection, takers: list[Taker], value: Any, seconds: float) -> None:
    """Refuse a value that one of the takers would surely refuse.

    Raises:
        ConfigError: one would.
    """
    for service in dict.fromkeys(taker.service for taker in takers):
        names = {(t.name, t.subject) for t in takers if t.service == service}
        for told in await _schemas(connection, service, seconds):
            for each in endpoints_of(told):
                if (str(each.get("name")), str(each.get("subject"))) not in names:
                    continue
                if wrong := misfits(each.get("request"), value):
                    raise ConfigError(
                        f"{service}/{each['name']} would refuse it: {'; '.join(wrong)}; "
                        "--unchecked sends it all the same"
                    )


async def _schemas(connection: Connection, service: str, seconds: float) -> list[dict[str, Any]]:
    try:
        return await discovery.schemas(connection, service, timeout=seconds)
    except NatsError:  # it tells no types, or must not be asked
        return []
