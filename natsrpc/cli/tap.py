"""`natsrpc tap`: shows the messages on a subject as they pass, their bodies read by their type."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from natsrpc import codecs
from natsrpc.core import Msg, Subscription, connect
from natsrpc.errors import CodecError, NatsTimeoutError

from .context import Destination
from .duration import parse_seconds
from .output import json_text, say, show
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
                show(_document(msg))
            else:
                _show(msg, headers=headers)


async def _next(subscription: Subscription, wait: float | None) -> Msg | None:
    while True:
        try:
            return await subscription.next_msg(60.0 if wait is None else wait)
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
    except (CodecError, ValueError, RecursionError):
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


def _document(msg: Msg) -> str:
    """A message as one line of JSON."""
    told: dict[str, Any] = {
        "time": _now(),
        "subject": msg.subject,
        "reply": msg.reply,
        "kind": _kind(msg),
        "headers": {name: msg.headers.get_all(name) for name in dict.fromkeys(msg.headers)},
        "bytes": len(msg.data),
    }
    value = _value(msg)
    if not isinstance(value, bytes):
        try:
            return json_text({**told, "value": value})
        except RecursionError:  # it is nested more deeply than anything that can be shown
            value = msg.data
    return json_text({**told, "base64": base64.b64encode(value).decode()})


def _show(msg: Msg, *, headers: bool) -> None:
    line = f"{_now()}  {_kind(msg)}  {msg.subject}  {len(msg.data)} B"
    if code := msg.headers.get("Nats-Service-Error-Code"):
        line += f"  {code} {json_text(msg.headers.get('Nats-Service-Error') or '')}"
    show(line)
    if headers:
        for name in dict.fromkeys(msg.headers):
            for each in msg.headers.get_all(name):
                show(f"    {name}: {each}")
    if shown := _shown(msg):
        show("    " + shown[:_LONGEST] + (" …" if len(shown) > _LONGEST else ""))


def _shown(msg: Msg) -> str:
    """The body for people: as JSON, or else its bytes."""
    value = _value(msg)
    if value is None:
        return ""
    if not isinstance(value, bytes):
        try:
            return json_text(value)
        except RecursionError:
            value = msg.data
    return value[:_LONGEST].hex(" ")


def _now() -> str:
    moment = datetime.now(UTC).isoformat(timespec="milliseconds")
    return moment.replace("+00:00", "Z")
