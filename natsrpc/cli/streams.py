"""`natsrpc streams`: compares the streams that services declare with those on the server, and
brings the server's to what is declared."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from natsrpc.durable import Applied, apply, differences_of, fixed_because, merged
from natsrpc.errors import ConfigError, StreamDifference
from natsrpc.jetstream import JetStream, StreamConfig

from .command import connecting
from .context import Destination
from .output import print_json, print_table
from .query import AsJson, connected
from .target import load_services

__all__ = ["app"]

Targets = Annotated[
    list[str], typer.Argument(help="`module:service` or `path/to/file.py:service`; several.")
]
Factory = Annotated[
    bool, typer.Option("--factory", help="Targets name functions that make the services.")
]
_COLUMNS = ("stream", "what", "field", "declared", "found", "note")


async def diff_streams(
    destination: Destination,
    targets: Targets,
    factory: Factory = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit with 1 if a stream differs or is missing.")
    ] = False,
    json: AsJson = False,
) -> int:
    """Compare the streams that the services of TARGETS declare with those on the server."""
    wanted = _declared(targets, factory=factory)
    found: dict[str, list[StreamDifference] | None] = {}
    async with connected(destination) as connection:
        js = JetStream(connection)
        for config in wanted:
            found[config.name] = await differences_of(js, config)
    if json:
        print_json([_plain_diff(*each) for each in found.items()])
    else:
        rows = [row for each in found.items() for row in _diff_rows(*each)]
        print_table(_COLUMNS, rows, soft=("declared", "found", "note"))
    return int(exit_code and any(each is None or each for each in found.values()))


async def apply_streams(
    destination: Destination,
    targets: Targets,
    factory: Factory = False,
    json: AsJson = False,
) -> int:
    """Make the streams that the services of TARGETS declare, and change those that differ.

    A lower limit drops what is beyond it. What cannot be changed is told, and the exit code is 1.
    """
    wanted = _declared(targets, factory=factory)
    async with connected(destination) as connection:
        js = JetStream(connection)
        found = [await apply(js, config) for config in wanted]
    if json:
        print_json([_plain_applied(each) for each in found])
    else:
        rows = [row for each in found for row in _applied_rows(each)]
        print_table(_COLUMNS, rows, soft=("declared", "found", "note"))
    return int(not all(each.is_whole for each in found))


def _declared(targets: list[str], *, factory: bool) -> list[StreamConfig]:
    """The streams of all services, each once.

    Raises:
        ConfigError: a target is wrong, services declare a stream differently, or none does.
    """
    services = [each for target in targets for each in load_services(target, factory=factory)]
    found = [each.config for each in merged([each.definition for each in services]).values()]
    if not found:
        names = ", ".join(service.name for service in services)
        raise ConfigError(f"no stream is declared by {names}: Service(..., streams=[...]) does it")
    return found


def _diff_rows(name: str, differences: list[StreamDifference] | None) -> list[tuple[object, ...]]:
    if differences is None:
        return [(name, "missing", "", "", "", "")]
    if not differences:
        return [(name, "same", "", "", "", "")]
    return [_row("differs", each, _note(each)) for each in differences]


def _note(difference: StreamDifference) -> str:
    why = fixed_because(difference)
    return f"cannot be changed: {why}" if why else ""


def _applied_rows(applied: Applied) -> list[tuple[object, ...]]:
    rows = [_row("changed", each, "") for each in applied.changed]
    rows += [_row("refused", each, f"cannot be changed: {why}") for each, why in applied.refused]
    if applied.reason or not rows:
        rows.append((applied.stream, applied.action, "", "", "", applied.reason))
    return rows


def _row(what: str, each: StreamDifference, note: str) -> tuple[object, ...]:
    return each.stream, what, each.field, _text(each.declared), _text(each.found), note


def _text(value: Any) -> str:
    if value is None:
        return "not set"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _plain_diff(name: str, differences: list[StreamDifference] | None) -> dict[str, Any]:
    state = "missing" if differences is None else "differs" if differences else "same"
    told = [{**_plain(each), "note": _note(each)} for each in differences or ()]
    return {"stream": name, "state": state, "differences": told}


def _plain_applied(applied: Applied) -> dict[str, Any]:
    return {
        "stream": applied.stream,
        "action": applied.action,
        "changed": [_plain(each) for each in applied.changed],
        "refused": [{**_plain(each), "note": why} for each, why in applied.refused],
        "reason": applied.reason,
    }


def _plain(difference: StreamDifference) -> dict[str, Any]:
    told = difference._asdict()
    del told["stream"]
    return told


app: typer.Typer = typer.Typer(
    help="Compare declared streams with the server's, and bring those up to date.",
    no_args_is_help=True,
)
app.command("diff")(connecting(diff_streams))
app.command("apply")(connecting(apply_streams))
