"""`natsrpc permissions`: prints what nats-server must allow to those who use a service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from natsrpc.describe import Inboxes, Permissions, exports, imports, leading_wildcards
from natsrpc.describe import permissions as derive
from natsrpc.errors import ConfigError

from .context import Destination
from .contract import contract_of
from .duration import parse_seconds
from .output import print_json, say, show
from .query import AsJson, Timeout

__all__ = ["permissions"]

_TITLES = {
    "service": "serves {name}; connects with inbox_prefix={inbox!r}",
    "caller": "calls {name}; connects with inbox_prefix={inbox!r}",
    "publisher": "publishes the events that {name} handles",
    "observer": "finds {name}, and asks how it is; connects with inbox_prefix={inbox!r}",
}


async def permissions(
    destination: Destination,
    target: Annotated[
        str,
        typer.Argument(
            help="The name of a live service, a file from `contract export`, or `module:service`."
        ),
    ],
    service: Annotated[bool, typer.Option("--service", help="Only its own block.")] = False,
    caller: Annotated[bool, typer.Option("--caller", help="Only that of callers.")] = False,
    publisher: Annotated[
        bool, typer.Option("--publisher", help="Only that of those who publish its events.")
    ] = False,
    observer: Annotated[
        bool, typer.Option("--observer", help="Only that of those who find it, and its figures.")
    ] = False,
    inbox: Annotated[
        str, typer.Option(help="inbox_prefix of the service; else _INBOX.<its name>.")
    ] = "",
    caller_inbox: Annotated[
        str, typer.Option(help="inbox_prefix of its callers.")
    ] = "_INBOX.caller",
    observer_inbox: Annotated[
        str, typer.Option(help="inbox_prefix of observers.")
    ] = "_INBOX.observer",
    allow_responses: Annotated[
        bool, typer.Option("--allow-responses", help="Let answers go where a message says.")
    ] = False,
    account: Annotated[
        str, typer.Option(help="Print exports of this account, and imports of its callers'.")
    ] = "",
    json: AsJson = False,
    timeout: Timeout = "2s",
) -> None:
    """Print the least that nats-server must allow to serve TARGET, to call it, and to observe it.

    Each block goes behind the name and password of a user. With --account, what one account exports
    and another imports.
    """
    contract = await contract_of(destination, target, parse_seconds(timeout))
    wide = leading_wildcards(contract)
    if wide:
        text = "begin with a wildcard: whoever is allowed them is allowed nearly leading_wildcards"
        say(f"warning: {', '.join(map(repr, wide))} of {contract['name']!r} {text}")
    if account:
        _print_account(contract, account, json=json)
        return
    inboxes = Inboxes(inbox or f"_INBOX.{contract['name']}", caller_inbox, observer_inbox)
    chosen = {"service": service, "caller": caller, "publisher": publisher, "observer": observer}
    wanted = [role for role, is_wanted in chosen.items() if is_wanted]
    found = derive(contract, inboxes, allow_responses=allow_responses)
    for role in wanted:
        if role not in found:
            what = "events to handle" if role == "publisher" else "endpoints to call"
            raise ConfigError(f"{contract['name']!r} has no {what}: there is no {role} of it")
    roles = {role: found[role] for role in wanted or found}
    if json:
        print_json({role: each.plain() for role, each in roles.items()})
    else:
        _print_roles(contract["name"], inboxes, roles)


def _print_roles(name: str, inboxes: Inboxes, roles: Mapping[str, Permissions]) -> None:
    for place, (role, each) in enumerate(roles.items()):
        title = _TITLES[role].format(name=name, inbox=getattr(inboxes, role, ""))
        _show(*([""] if place else []), f"# {title}", each.config)


def _show(*blocks: str) -> None:
    for line in "\n".join(blocks).split("\n"):
        show(line)


def _print_account(contract: Mapping[str, Any], account: str, *, json: bool) -> None:
    if json:
        raise ConfigError("--account prints configuration: leave --json out")
    name, imported = contract["name"], imports(contract, account)
    _show(f"# the account that serves {name}", exports(contract), "")
    _show("# the account of callers", imported)
