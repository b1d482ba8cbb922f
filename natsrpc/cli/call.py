"""`natsrpc call`: one call from the shell, with a request and an answer in JSON, or as bytes."""

from __future__ import annotations

import errno
import json as json_module
import os
import sys
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from natsrpc import codecs
from natsrpc.errors import ConfigError, DecodeError, NatsRpcError, RpcError
from natsrpc.rpc import Client, connect

from .asking import answers
from .command import exit_code, interruptible
from .context import Destination
from .duration import parse_seconds
from .output import harmless, json_text, say
from .query import AsJson

__all__ = ["call", "print_bytes", "read_body", "read_header", "read_items", "read_request"]

_ROOM = 8192  # bytes of a message that are left for its headers


async def call(
    destination: Destination,
    subject: Annotated[str, typer.Argument(help="Where to send the request.")],
    body: Annotated[
        str | None,
        typer.Argument(help="The request as JSON; `-` reads it from stdin, `@FILE` from a file."),
    ] = None,
    header: Annotated[
        list[str] | None, typer.Option("--header", "-H", help="A header, as `Name: value`.")
    ] = None,
    timeout: Annotated[
        str,
        typer.Option("--timeout", "-t", help="How long to wait for the answer, or for an item."),
    ] = "5s",
    codec: Annotated[str, typer.Option(help="How the bytes are made: json, msgpack, …")] = "json",
    raw: Annotated[bool, typer.Option("--raw", help="Send and print bytes as they are.")] = False,
    items: Annotated[
        str | None,
        typer.Option(
            "--items",
            "-i",
            help="Items for an endpoint that takes a stream: a JSON list, or one on each line; "
            "`-` reads stdin, `@FILE` a file.",
        ),
    ] = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="One line for each item, also of a lone answer.")
    ] = False,
    output: Annotated[
        str, typer.Option("--output", "-o", help="Write the bytes of the answer to this file.")
    ] = "",
    json: AsJson = False,
) -> int:
    """Call SUBJECT and print the answer; of a stream, each item as it comes.

    With --json every answer and item is one line, bytes are {"base64": …}, an error of the service
    is a line on stderr.

    Exit codes: 2 usage, 3 nobody serves it, 4 it answered with an error, 5 no answer in time.
    """
    headers = dict(read_header(one) for one in header or ())
    seconds = parse_seconds(timeout)
    if items == body == "-":
        raise ConfigError("stdin cannot be the request and its items")
    request = read_request(read_body(body), raw=raw)
    chosen = codecs.get("raw" if raw else codec)
    sent = None if items is None else read_items(read_body(items), raw=raw)
    reader = _Printer(None if raw else chosen, output, lines=stream or json, as_json=json)
    asked = _Asked(subject, request, chosen, seconds, headers, sent)
    try:
        await _call(destination, asked, reader, stream=stream)
    except NatsRpcError as error:
        reader.fail()
        if not (json and isinstance(error, RpcError)):
            raise
        say(json_text({"error": _plain(error)}))
        return exit_code(error)
    reader.end()
    return 0


def _plain(error: RpcError) -> dict[str, Any]:
    return {
        "code": error.code,
        "name": error.name,
        "message": str(error),
        "details": error.details,
    }


class _Asked(NamedTuple):
    """What is called, and with what; `items` are None where none are given."""

    subject: str
    request: Any
    codec: codecs.Codec
    seconds: float
    headers: dict[str, str]
    items: list[Any] | None


async def _call(destination: Destination, asked: _Asked, reader: _Printer, *, stream: bool) -> None:
    """Make the call; the reader is given the bytes of each answer."""
    subject, request, chosen, seconds, headers, items = asked
    async with connect(
        destination.servers, codec=chosen, name="natsrpc call", **destination.options
    ) as client:
        if stream and items is None:
            async for data in client.stream(
                subject, request, bytes, idle_timeout=seconds, headers=headers
            ):
                reader.take(data)
        elif items is not None or _fits(client, chosen, request):
            found = answers(
                client.connection,
                subject,
                request,
                codec=chosen,
                timeout=seconds,
                headers=headers,
                items=items,
            )
            try:
                async for data in found:
                    reader.take(data)
            finally:
                await found.aclose()
        else:  # a body in parts is not one that opens a stream
            reader.take(
                await client.call(subject, request, bytes, timeout=seconds, headers=headers)
            )


def _fits(client: Client, codec: codecs.Codec, request: Any) -> bool:
    """Whether the request fits into one message."""
    limit = client.connection.max_payload - _ROOM
    return len(codec.bind(Any).encode(request)) <= limit


def read_body(text: str | None) -> bytes:
    """The bytes that an argument means: its text, stdin for `-`, a file's for `@FILE`.

    Raises:
        ConfigError: the file cannot be read.
    """
    if text == "-":
        with interruptible():
            return sys.stdin.buffer.read()
    if text is not None and text.startswith("@"):
        try:
            return Path(text[1:]).read_bytes()
        except OSError as error:
            raise ConfigError(f"cannot read {text[1:]!r}: {error.strerror}") from None
    return os.fsencode(text or "")


def read_request(data: bytes, *, raw: bool) -> Any:
    """The value to send: read as JSON, or the bytes themselves.

    Raises:
        ConfigError: it is no JSON.
    """
    if raw:
        return data
    if not data.strip():
        return None
    try:
        return json_module.loads(data)
    except ValueError as error:
        raise ConfigError(f"the request is no JSON: {error}; --raw sends it as it is") from None
    except RecursionError:
        raise ConfigError("the request is nested too deeply; --raw sends it as it is") from None


def read_items(data: bytes, *, raw: bool) -> list[Any]:
    """The items to send: the members of a JSON list, or else the values of each line; with `raw`
    the lines themselves.

    Raises:
        ConfigError: they are no JSON.
    """
    lines = [line for line in data.splitlines() if line.strip()]
    if raw:
        return lines
    if data.lstrip().startswith(b"[") and len(lines) > 1:  # a list over several lines
        try:
            return list(read_request(data, raw=False))
        except ConfigError:
            pass  # a list on each line
    found = [read_request(line, raw=False) for line in lines]
    return found[0] if len(found) == 1 and isinstance(found[0], list) else found


def read_header(text: str) -> tuple[str, str]:
    """The name and the value of a header.

    Raises:
        ConfigError: it is none.
    """
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise ConfigError(f"{text!r} is no header: expected `Name: value`")
    return name.strip(), value.strip()


class _Printer:
    """Prints what comes: values as JSON, bytes that are none as they are.

    The first item is held back until it is known whether it is the only one: a lone value is
    printed over several lines on a terminal, and a lone null not at all.
    """

    def __init__(
        self, codec: codecs.Codec | None, output: str, *, lines: bool, as_json: bool = False
    ) -> None:
        self._as_json = as_json
        self._decode = None if codec is None else codec.bind(Any).decode
        self._lines = lines
        self._first: bytes | None = None
        self._count = 0
        self._output = output
        self._mode = "wb"  # what the file held is gone with the first item, not before
        if reason := _unwritable(output) if output else 0:
            raise ConfigError(f"cannot write {output!r}: {os.strerror(reason)}")

    def take(self, data: bytes) -> None:
        """Print an item, or hold it back."""
        self._count += 1
        if self._lines or self._count > 1:
            self._release()
            self._print(data, alone=False)
        else:
            self._first = data

    def end(self) -> None:
        """No more come."""
        first, self._first = self._first, None
        if first is not None:
            self._print(first, alone=True)
        elif self._output and not self._count:
            self._write(b"")

    def fail(self) -> None:
        """It failed: what came before is no lone answer."""
        self._release()

    def _release(self) -> None:
        first, self._first = self._first, None
        if first is not None:
            self._print(first, alone=False)

    def _print(self, data: bytes, *, alone: bool) -> None:
        if self._output:
            self._write(data)
            return
        indent = 2 if alone and sys.stdout.isatty() else None
        try:
            value = data if self._decode is None else self._decode(data)
            text = "" if self._is_bare(value) else json_text(value, indent=indent)
        except (DecodeError, RecursionError):  # what JSON cannot show is shown as it came
            value, text = data, json_text(data)
        if self._is_bare(value):
            print_bytes(value)
        elif value is not None or not alone:
            print(text, flush=True)

    def _write(self, data: bytes) -> None:
        try:
            with open(self._output, self._mode) as file:
                file.write(data)
        except OSError as error:
            raise ConfigError(f"cannot write {self._output!r}: {error.strerror}") from None
        self._mode = "ab"

    def _is_bare(self, value: Any) -> bool:
        return isinstance(value, bytes) and not self._as_json


def _unwritable(path: str) -> int:
    """Why a file cannot be written, as an error number; 0 if it can. Nothing is made or changed."""
    if os.path.isdir(path):
        return errno.EISDIR
    where = path if os.path.lexists(path) else os.path.dirname(path) or "."
    if not os.path.exists(where):
        return errno.ENOENT
    return 0 if os.access(where, os.W_OK) else errno.EACCES


def print_bytes(data: bytes) -> None:
    """Print bytes: as they are, or on a terminal as text that cannot act on it."""
    if sys.stdout.isatty():
        print(harmless(data.decode(errors="backslashreplace"), lines=True), flush=True)
    else:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
