"""`natsrpc contract`: exports a service's contract as a document, and compares two of them."""

from __future__ import annotations

import dataclasses
import json as json_module
import sys
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from natsrpc import discovery
from natsrpc.describe import (
    ContractDiff,
    asyncapi,
    document,
    openapi,
    read_document,
    version_numbers,
)
from natsrpc.describe import diff as compare
from natsrpc.errors import ConfigError, NoRespondersError

from .command import NotThereError, connecting, interruptible
from .context import Destination
from .duration import parse_seconds
from .output import harmless_json, print_json, print_table, say, show
from .query import AsJson, Timeout, connected
from .target import load_services

__all__ = ["app", "contract_of", "write"]

_MAX_TEXT = 32 * 1024 * 1024
_WAYS = "a file that `export` wrote, `module:service`, or the name of a live service"
Output = Annotated[str, typer.Option("--output", "-o", help="Write to this file.")]


class Format(Enum):
    """The forms that a contract is written in."""

    NATSRPC = "natsrpc"
    ASYNCAPI = "asyncapi"
    OPENAPI = "openapi"


async def export(
    destination: Destination,
    target: Annotated[str, typer.Argument(help="`module:service`, or the name of a live service.")],
    format: Annotated[
        Format, typer.Option(help="natsrpc can be compared with; openapi is what a gateway serves.")
    ] = Format.NATSRPC,
    output: Output = "",
    timeout: Timeout = "2s",
) -> None:
    """Write the contract of TARGET as a JSON document, to be kept and compared with."""
    found = await contract_of(destination, target, parse_seconds(timeout))
    if format is Format.ASYNCAPI:
        found = asyncapi(found)
    elif format is Format.OPENAPI:
        found = _openapi(found)
    write(harmless_json(json_module.dumps(found, indent=2, ensure_ascii=False)) + "\n", output)


def _openapi(found: dict[str, Any]) -> dict[str, Any]:
    """The document of one service as a gateway serves it."""
    version, description = found["version"], found["description"]
    return openapi([found], title=found["name"], version=version, description=description)


async def diff(
    destination: Destination,
    old: Annotated[str, typer.Argument(help=f"The contract that callers rely on: {_WAYS}.")],
    new: Annotated[str, typer.Argument(help="The contract to compare with it.")],
    json: AsJson = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit with 1 if callers of OLD break.")
    ] = False,
    check_version: Annotated[
        bool, typer.Option("--check-version", help="Exit with 1 if NEW's version is too low.")
    ] = False,
    timeout: Timeout = "2s",
) -> int:
    """Tell what changed from OLD to NEW, what of it breaks callers, and which version it needs."""
    seconds = parse_seconds(timeout)
    before = await contract_of(destination, old, seconds)
    after = await contract_of(destination, new, seconds)
    found = compare(before, after)
    if json:
        print_json(_plain(found))
    else:
        _print(after["name"], found)
    return int((exit_code and found.breaks) or (check_version and not found.sufficient))


async def contract_of(destination: Destination, target: str, timeout: float) -> dict[str, Any]:
    """Return the contract's document from a file, from a module, or from a live service.

    Args:
        destination: the server to ask for a live service.
        target: a file (`-` is stdin), `module:service`, or the name of a live service.
        timeout: seconds to wait for answers.

    Raises:
        ConfigError: the file or module has no contract, or several.
        NotThereError: no service of that name answered.
        NatsError: NATS cannot be reached.
    """
    if target == "-" or target.endswith(".json") or _is_document(target):
        return _read(target)
    if any(mark in target for mark in ".:/\\"):
        services = load_services(target)
        if len(services) > 1:
            names = ", ".join(service.name for service in services)
            raise ConfigError(f"{target!r} holds several services ({names}): name one of them")
        return document(services[0].contract)
    async with connected(destination) as connection:
        try:
            found = await discovery.schemas(connection, target, timeout=timeout)
            if not found:  # nobody told its schema: a direct request says why
                found = [await discovery.schema(connection, target, timeout=timeout)]
        except NoRespondersError as error:
            raise NotThereError(f"no service {target!r} answered") from error
    return _newest(target, [read_document(each) for each in found])


def _newest(name: str, found: list[dict[str, Any]]) -> dict[str, Any]:
    """The contract of the highest version. Warns where the instances keep different ones."""
    keys = [json_module.dumps(each, sort_keys=True) for each in found]
    contracts = dict(zip(keys, found, strict=True))
    chosen = max(contracts.values(), key=lambda each: version_numbers(each["version"]))
    if len(contracts) > 1:
        counts = ", ".join(f"{keys.count(k)} of {c['version']}" for k, c in contracts.items())
        text = f"warning: instances of {name!r} keep different contracts ({counts})"
        say(f"{text}: taking one of {chosen['version']}")
    return chosen


def _is_document(target: str) -> bool:
    return not target.endswith(".py") and Path(target).is_file()


def _read(target: str) -> dict[str, Any]:
    try:
        return read_document(json_module.loads(_text(target)))
    except RecursionError:
        raise ConfigError(f"{target!r} cannot be read as a contract: nested too deeply") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{target!r} cannot be read as a contract: {error}") from None


def _text(target: str) -> str:
    if target == "-":
        with interruptible():
            text = sys.stdin.read(_MAX_TEXT + 1)
    else:
        with open(target, encoding="utf-8") as file:
            text = file.read(_MAX_TEXT + 1)
    if len(text) > _MAX_TEXT:
        raise ConfigError("it is larger than any contract")
    return text


def write(text: str, output: str) -> None:
    """Write text to the file `output`, or to stdout if that is empty.

    Raises:
        ConfigError: the file cannot be written.
    """
    if not output:
        sys.stdout.write(text)
        return
    try:
        Path(output).write_text(text, "utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write {output!r}: {error.strerror}") from None
    say(f"wrote {output}")


def _print(name: str, found: ContractDiff) -> None:
    show(f"{name} {found.old_version} -> {found.new_version}")
    if not found.changes:
        show("no changes")
        return
    print_table(
        ("step", "where", "what"),
        [("breaks" if c.breaks else c.step, c.where, c.text) for c in found.changes],
        soft=("what",),
    )
    verdict = "is enough" if found.sufficient else "is too low"
    show(f"needs version {found.needed}: {found.new_version} {verdict}")


def _plain(found: ContractDiff) -> dict[str, Any]:
    changes = [{**dataclasses.asdict(each), "breaks": each.breaks} for each in found.changes]
    return {**dataclasses.asdict(found), "breaks": found.breaks, "changes": changes}


app: typer.Typer = typer.Typer(
    help="Export contracts, and tell what breaks from one to another.", no_args_is_help=True
)
app.command("export")(connecting(export))
app.command("diff")(connecting(diff))
