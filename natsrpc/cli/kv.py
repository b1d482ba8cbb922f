"""`natsrpc kv`: reads, sets and watches the keys of a key-value bucket."""

from __future__ import annotations

import base64
import json as json_module
from typing import Annotated, Any

import typer

from natsrpc.errors import ConfigError
from natsrpc.jetstream import Entry, JetStream, KeyWatcher

from .call import print_bytes, read_body
from .command import connecting
from .context import Destination
from .output import harmless, print_json, print_json_line, say, show
from .query import AsJson, connected

__all__ = ["app"]

Bucket = Annotated[str, typer.Argument(help="The bucket.")]
Key = Annotated[str, typer.Argument(metavar="KEY", help="The key.")]

_LONGEST = 2000  # characters of a value that people are shown


async def get(
    destination: Destination,
    bucket: Bucket,
    name: Key,
    revision: Annotated[int, typer.Option(min=0, help="That revision, and not the last.")] = 0,
    json: AsJson = False,
) -> None:
    """Print the value of KEY: its bytes as they are, or with --json all that is known of it."""
    async with connected(destination) as connection:
        kv = await JetStream(connection).key_value(bucket)
        entry = await kv.get(name, revision or None)
    if json:
        print_json(_plain(entry))
    else:
        print_bytes(entry.value)


async def put(
    destination: Destination,
    bucket: Bucket,
    name: Key,
    value: Annotated[str, typer.Argument(help="The value; `-` reads stdin, `@FILE` a file.")],
    create: Annotated[bool, typer.Option("--create", help="Only if it has no value.")] = False,
    last: Annotated[
        int, typer.Option(min=-1, help="Only if that is its last revision; 0: it never had one.")
    ] = -1,
    json: AsJson = False,
) -> None:
    """Set KEY to VALUE, and print its new revision."""
    if create and last >= 0:
        raise ConfigError("--create and --last exclude each other")
    data = read_body(value)
    async with connected(destination) as connection:
        kv = await JetStream(connection).key_value(bucket)
        if create:
            revision = await kv.create(name, data)
        elif last >= 0:
            revision = await kv.update(name, data, last=last)
        else:
            revision = await kv.put(name, data)
    if json:
        print_json({"bucket": bucket, "key": name, "revision": revision})
    else:
        show(str(revision))


async def watch(
    destination: Destination,
    bucket: Bucket,
    keys: Annotated[
        list[str] | None, typer.Argument(help="Keys, or filters as `a.*` and `a.>`; all if none.")
    ] = None,
    history: Annotated[bool, typer.Option("--history", help="Begin with all revisions.")] = False,
    updates_only: Annotated[
        bool, typer.Option("--updates-only", help="Begin with what is new.")
    ] = False,
    once: Annotated[
        bool, typer.Option("--once", help="End when all that is there was shown.")
    ] = False,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=0, help="End after so many entries; 0 for never.")
    ] = 0,
    json: AsJson = False,
) -> None:
    """Show the values of KEYS, and then each change, until interrupted."""
    if once and updates_only:
        raise ConfigError("--once and --updates-only exclude each other")
    async with connected(destination) as connection:
        kv = await JetStream(connection).key_value(bucket)
        watcher = kv.watch(keys or ">", include_history=history, updates_only=updates_only)
        async with watcher:
            if updates_only:
                say(f"watching {bucket}")
            await _show_all(watcher, bucket, once=once, limit=limit, json=json)


async def _show_all(
    watcher: KeyWatcher, bucket: str, *, once: bool, limit: int, json: bool
) -> None:
    seen = 0
    async for entry in watcher:
        if entry is None:
            if once:
                return
            say(f"watching {bucket}")
            continue
        _show(entry, json=json)
        seen += 1
        if seen == limit:
            return


def _show(entry: Entry, *, json: bool) -> None:
    if json:
        print_json_line(_plain(entry))
        return
    value = ""
    if entry.operation == "PUT":
        try:
            value = harmless(entry.value.decode())
        except UnicodeDecodeError:
            value = entry.value.hex(" ")
    shown = value[:_LONGEST] + (" …" if len(value) > _LONGEST else "")
    when = entry.created.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    key = json_module.dumps(entry.key)[1:-1]
    show(f"{when}  {entry.operation}  {key}  {entry.revision}  {shown}".rstrip())


def _plain(entry: Entry) -> dict[str, Any]:
    told: dict[str, Any] = {
        "bucket": entry.bucket,
        "key": entry.key,
        "revision": entry.revision,
        "created": entry.created.isoformat().replace("+00:00", "Z"),
        "operation": entry.operation,
    }
    try:
        told["value"] = entry.value.decode()
    except UnicodeDecodeError:
        told["base64"] = base64.b64encode(entry.value).decode()
    return told


app: typer.Typer = typer.Typer(help="Read, set and watch keys.", no_args_is_help=True)
app.command("get")(connecting(get))
app.command("put")(connecting(put))
app.command("watch")(connecting(watch))
