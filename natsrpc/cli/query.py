"""One question to all services: for `ls`, `info`, `stats`, `ping` and commands on contracts."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import datetime
from typing import Annotated, Any, TypeVar

import typer

from natsrpc.core import Connection, connect
from natsrpc.discovery import EndpointInfo, EndpointStats, ServiceIdentity

from .command import NotThereError
from .context import Destination
from .duration import parse_seconds
from .output import begin_screen, print_json, print_json_line, say

__all__ = [
    "AsJson",
    "Interval",
    "Name",
    "Timeout",
    "Watching",
    "ask",
    "connected",
    "marked",
    "watched",
]

Found = TypeVar("Found", bound=ServiceIdentity)

Name = Annotated[str, typer.Argument(help="Only services of this name.")]
Timeout = Annotated[str, typer.Option("--timeout", "-t", help="How long to wait for answers.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Watching = Annotated[
    bool, typer.Option("--watch", help="Show it again and again, until interrupted.")
]
Interval = Annotated[str, typer.Option(help="With --watch: the time between two looks.")]


@contextlib.asynccontextmanager
async def connected(destination: Destination) -> AsyncIterator[Connection]:
    """Connect for one command. A lost connection is not made anew: the command fails.

    Raises:
        NoServersError: no server could be reached.
    """
    options = {"name": "natsrpc", "allow_reconnect": False, **destination.options}
    async with connect(destination.servers, **options) as connection:
        yield connection


async def ask(
    question: Callable[..., Awaitable[list[Found]]],
    destination: Destination,
    name: str = "",
    *,
    timeout: str,
    json: bool,
) -> list[Found]:
    """Ask all services, or those of one name, and return their answers for the caller to print.

    With `json` the answers are printed here and the list is empty.

    Args:
        question: `ping`, `info` or `stats` of `natsrpc.discovery`.
        destination: the server to ask, and how to connect.
        name: the services' name; all if empty.
        timeout: the time to wait for answers, as in "2s".
        json: print the answers as JSON.

    Raises:
        NotThereError: a name was given and nobody answered.
        ConfigError: `timeout` is no duration.
        NatsError: NATS cannot be reached.
    """
    seconds = parse_seconds(timeout)
    async with connected(destination) as connection:
        found = await question(connection, name, timeout=seconds)
    if name and not found:
        raise NotThereError(f"no service {name!r} answered")
    if json:
        print_json([_plain(one) for one in found])
        return []
    if not found:
        say("no services answered")
    return found


def marked(text: str, endpoint: EndpointInfo | EndpointStats) -> str:
    """A name or subject of an endpoint; marked where nobody can call it, as in "bill (event)"."""
    kind = endpoint.metadata.get("natsrpc.kind")
    return f"{text} ({kind})" if kind else text


async def watched(
    question: Callable[..., Awaitable[list[Found]]],
    destination: Destination,
    name: str,
    show: Callable[[list[Found], float], None],
    *,
    timeout: str,
    interval: str,
    json: bool,
) -> None:
    """Ask again and again, and show each answer: on a terminal over the one before, in a pipe below
    it, with `json` as one line each. It ends by an interrupt.

    Args:
        question, destination, name, timeout: as for `ask`.
        show: prints what was found; it is given the seconds since the look before, 0 for the first.
        interval: the time between two looks, as in "2s".
        json: print the answers as JSON.

    Raises:
        NotThereError: a name was given and nobody answered the first time.
        ConfigError: `timeout` or `interval` is no duration.
        NatsError: NATS cannot be reached, or was lost.
    """
    seconds, pause = parse_seconds(timeout), parse_seconds(interval)
    loop, before = asyncio.get_running_loop(), 0.0
    async with connected(destination) as connection:
        while True:
            found = await question(connection, name, timeout=seconds)
            if name and not (found or before):  # later on it may come back
                raise NotThereError(f"no service {name!r} answered")
            now = loop.time()
            if json:
                print_json_line([_plain(one) for one in found])
            else:
                begin_screen()
                show(found, now - before if before else 0.0)
            before = now
            await asyncio.sleep(pause)


def _plain(value: Any) -> Any:
    """Dataclasses and read-only mappings as dicts, and moments as RFC 3339, for JSON."""
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if dataclasses.is_dataclass(value):
        found = {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        if "rtt" in found:  # the one figure whose name has no unit
            found["rtt_ms"] = round(1000 * found.pop("rtt"), 3)
        return found
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value
