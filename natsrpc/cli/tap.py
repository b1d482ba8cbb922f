"""`natsrpc tap`: shows the messages on a subject as they pass, their bodies read by their type."""

from __future__ import annotations

import base64
import json as json_module
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from natsrpc import codecs
from natsrpc.core import Msg, Subscription, connect
from natsrpc.errors import CodecError, NatsTimeoutError

from .context import Destination
from .duration import parse_seconds
from .output import print_json_line, say
from .query import AsJson

__all__ = ["tap"]

_LONGEST = 2000  # characters of a body that people are shown


async def tap(
    destination: Destination,
    subject: Annotated[str, typer.Argument(help="The subject; `*` and `>` match any tokens.")],
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=0, help="End after so many messages; 0 for never.")
    ] = 0,
    timeout: Annotated[
        str, typer.Option("--timeout", "-t", help="End when none came for so long.")
    ] = "",
    headers: Annotated[bool, typer.Option("--headers", "-H", help="Show all headers.")] = False,
    json: AsJson = False,
) -> None:
    """Show the messages on SUBJECT as they pass. It answers none, and takes none from anybody."""
    wait = parse_seconds(timeout) if timeout else None
    async with connect(
        destination.servers, **{"name": "natsrpc tap", **destination.options}
    ) as connection:
        subscription = await connection.subscribe(subject)
        await connection.flush()
        say(f"listening on {subject}")
        seen = 0
        while not limit or seen < limit:
            msg = await _next(subscription, wait)
            if msg is None:
                return
            seen += 1
            if json:
                print_json_line(_plain(msg))
            else:
                _show(msg, headers=headers)


async def _next(subscription: Subscription, wait: float | None) -> Msg | None:
    while True:
        try:
            return await subscription.next_msg(wait or 60.0)
        except NatsTimeoutError:
            if wait is not None:
                return None


def _value(msg: Msg) -> Any:
    """The body as a value: by its Content-Type, else as JSON or text; bytes if it is neither."""
    if not msg.data:
        return None
    codec = codecs.by_content_type(msg.headers.get("Content-Type") or "application/json")
    try:
        if codec is not None and codec.name != "raw":
            return codec.bind(Any).decode(msg.data)
    except (CodecError, ValueError):
        pass
    try:
        return msg.data.decode()
    except UnicodeDecodeError:
        return msg.data


def _kind(msg: Msg) -> str:
    if "Nats-Service-Error" in msg.headers:
        return "error"
    if frame := msg.headers.get("Natsrpc-Frame"):
        return f"frame {frame}"
    return "request" if msg.reply else "event"


def _plain(msg: Msg) -> dict[str, Any]:
    value = _value(msg)
    told: dict[str, Any] = {
        "time": _now(),
        "subject": msg.subject,
        "reply": msg.reply,
        "kind": _kind(msg),
        "headers": {name: msg.headers.get_all(name) for name in dict.fromkeys(msg.headers)},
        "bytes": len(msg.data),
    }
    if isinstance(value, bytes):
        told["base64"] = base64.b64encode(value).decode()
    else:
        told["value"] = value
    return told


def _show(msg: Msg, *, headers: bool) -> None:
    # as JSON no text of a stranger's can act on the terminal
    quoted = json_module.dumps(msg.subject)[1:-1]
    line = f"{_now()}  {_kind(msg)}  {quoted}  {len(msg.data)} B"
    if code := msg.headers.get("Nats-Service-Error-Code"):
        text = json_module.dumps(msg.headers.get("Nats-Service-Error") or "")
        line += f"  {json_module.dumps(code)[1:-1]} {text}"
    print(line)
    if headers:
        for name in dict.fromkeys(msg.headers):
            for each in msg.headers.get_all(name):
                print(f"    {json_module.dumps(name)[1:-1]}: {json_module.dumps(each)[1:-1]}")
    value = _value(msg)
    if isinstance(value, bytes):
        shown = value[: _LONGEST // 2].hex(" ")
    elif value is None:
        shown = ""
    else:
        shown = json_module.dumps(value, default=str)
    if shown:
        print("    " + shown[:_LONGEST] + (" …" if len(shown) > _LONGEST else ""))
    print(end="", flush=True)


def _now() -> str:
    moment = datetime.now(UTC).isoformat(timespec="milliseconds")
    return moment.replace("+00:00", "Z")
