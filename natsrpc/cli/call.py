"""`natsrpc call`: one call from the shell, with a request and an answer in JSON."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

from natsrpc.errors import ConfigError
from natsrpc.rpc import connect

from .context import Destination
from .duration import parse_seconds
from .output import harmless, harmless_json

__all__ = ["call"]


async def call(
    destination: Destination,
    subject: Annotated[str, typer.Argument(help="Where to send the request.")],
    body: Annotated[
        str | None, typer.Argument(help="The request as JSON; `-` reads it from stdin.")
    ] = None,
    header: Annotated[
        list[str] | None, typer.Option("--header", "-H", help="A header, as `Name: value`.")
    ] = None,
    timeout: Annotated[
        str, typer.Option("--timeout", "-t", help="How long to wait; with --stream, for an item.")
    ] = "5s",
    codec: Annotated[str, typer.Option(help="How the bytes are made: json, msgpack, …")] = "json",
    raw: Annotated[bool, typer.Option("--raw", help="Send and print bytes as they are.")] = False,
    stream: Annotated[
        bool, typer.Option("--stream", help="Print each item of a stream as it comes.")
    ] = False,
) -> None:
    """Call SUBJECT and print the answer."""
    text = sys.stdin.read() if body == "-" else body
    headers = dict(_header(one) for one in header or ())
    seconds = parse_seconds(timeout)
    request = _request(text, raw=raw)
    returns: Any = bytes if raw else Any
    async with connect(
        destination.servers,
        codec="raw" if raw else codec,
        name="natsrpc call",
        **destination.options,
    ) as client:
        if not stream:
            _print(await client.call(subject, request, returns, timeout=seconds, headers=headers))
            return
        # no answer within the time is the end of a call; a stream goes on for as long as items come
        async for item in client.stream(
            subject, request, returns, idle_timeout=seconds, headers=headers
        ):
            _print(item, indent=None)


def _request(text: str | None, *, raw: bool) -> Any:
    if raw:
        return (text or "").encode()
    if text is None or not text.strip():
        return None
    try:
        return json.loads(text)
    except ValueError as error:
        raise ConfigError(f"the request is no JSON: {error}; --raw sends it as it is") from None


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise ConfigError(f"{text!r} is no header: expected `Name: value`")
    return name.strip(), value.strip()


def _print(value: Any, *, indent: int | None = 2) -> None:
    if isinstance(value, bytes) and sys.stdout.isatty():
        print(harmless(value.decode(errors="backslashreplace"), lines=True), flush=True)
    elif isinstance(value, bytes):
        sys.stdout.buffer.write(value)
        sys.stdout.buffer.flush()
    elif value is not None or indent is None:
        indent = indent if sys.stdout.isatty() else None
        text = json.dumps(value, ensure_ascii=False, indent=indent, default=str)
        print(harmless_json(text), flush=True)
