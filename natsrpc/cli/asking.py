"""What `ls`, `info`, `stats` and `ping` share: a connection, the wait for answers, the printing."""

from __future__ import annotations

import contextlib
import dataclasses
import json as json_module
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from natsrpc.core import Connection, connect
from natsrpc.discovery import ServiceIdentity
from natsrpc.errors import NatsRpcError

from .command import say
from .context import Place, parse_seconds

__all__ = [
    "AsJson",
    "Name",
    "NotThereError",
    "Timeout",
    "ask",
    "connected",
    "print_json",
    "print_table",
]

Found = TypeVar("Found", bound=ServiceIdentity)

Name = Annotated[str, typer.Argument(help="Only services of this name.")]
Timeout = Annotated[str, typer.Option("--timeout", "-t", help="How long to wait for answers.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class NotThereError(NatsRpcError):
    """No instance of the service that was named answered."""


@contextlib.asynccontextmanager
async def connected(place: Place) -> AsyncIterator[Connection]:
    """A connection for one command."""
    options = {"name": "natsrpc", "allow_reconnect": False, **place.options}
    async with connect(place.servers, **options) as connection:
        yield connection


async def ask(
    question: Callable[..., Awaitable[list[Found]]],
    place: Place,
    name: str = "",
    *,
    timeout: str,
    json: bool,
) -> list[Found]:
    """What is left to print of the answers: nothing, where they are printed as JSON.

    Raises:
        NotThereError: nobody answered to that name.
    """
    seconds = parse_seconds(timeout)
    async with connected(place) as connection:
        found = await question(connection, name, timeout=seconds)
    if name and not found:
        raise NotThereError(f"no service {name!r} answered")
    if json:
        print_json([_plain(one) for one in found])
        return []
    if not found:
        say("no services answered")
    return found


def print_json(value: object) -> None:
    """Print plain data as JSON for people to read."""
    print(json_module.dumps(value, indent=2, ensure_ascii=False, default=str))


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows in aligned columns; numbers to the right."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        numbers = all(isinstance(row[index], int | float) for row in rows)
        table.add_column(column, no_wrap=True, justify="right" if numbers else "left")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    # what services say of themselves is text: "[red]" is no color and ":b:" no emoji in it
    width = None if Console().is_terminal else 10_000  # a pipe has none: nothing is cut off there
    Console(highlight=False, markup=False, emoji=False, width=width).print(table)
