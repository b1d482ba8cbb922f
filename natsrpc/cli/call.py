"""`natsrpc call`: one call from the shell, with a request and an answer in JSON, or as bytes."""

from __future__ import annotations

import base64
import json as json_module
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from natsrpc import codecs
from natsrpc.errors import ConfigError, DecodeError, RpcError
from natsrpc.rpc import Client, connect

from .asking import answers
from .command import exit_code
from .context import Destination
from .duration import parse_seconds
from .output import harmless, harmless_json, say
from .query import AsJson

__all__ = ["call", "print_bytes", "read_body", "read_header", "read_request"]

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
    request = read_request(read_body(body), raw=raw)
    chosen = codecs.get("raw" if raw else codec)
    reader = _Printer(None if raw else chosen, output, lines=stream or json, as_json=json)
    try:
        await _call(destination, subject, request, chosen, seconds, headers, reader, stream=stream)
    except RpcError as error:
        if not json:
            raise
        say(json_module.dumps({"error": _plain(error)}, ensure_ascii=False, default=str))
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


async def _call(
    destination: Destination,
    subject: str,
    request: Any,
    chosen: codecs.Codec,
    seconds: float,
    headers: dict[str, str],
    reader: _Printer,
    *,
    stream: bool,
) -> None:
    """Make the call; the reader is given the bytes of each answer."""
    async with connect(
        destination.servers, codec=chosen, name="natsrpc call", **destination.options
    ) as client:
        if stream:
            async for data in client.stream(
                subject, request, bytes, idle_timeout=seconds, headers=headers
            ):
                reader.take(data)
        elif _fits(client, chosen, request):
            found = answers(
                client.connection, subject, request, codec=chosen, timeout=seconds, headers=headers
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
        return sys.stdin.buffer.read()
    if text is not None and text.startswith("@"):
        try:
            return Path(text[1:]).read_bytes()
        except OSError as error:
            raise ConfigError(f"cannot read {text[1:]!r}: {error.strerror}") from None
    return (text or "").encode()


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
        if output:
            try:
                Path(output).write_bytes(b"")
            except OSError as error:
                raise ConfigError(f"cannot write {output!r}: {error.strerror}") from None

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

    def _release(self) -> None:
        first, self._first = self._first, None
        if first is not None:
            self._print(first, alone=False)

    def _print(self, data: bytes, *, alone: bool) -> None:
        if self._output:
            with open(self._output, "ab") as file:
                file.write(data)
            return
        try:
            value = data if self._decode is None else self._decode(data)
        except DecodeError:
            value = data
        if isinstance(value, bytes) and self._as_json:
            value = {"base64": base64.b64encode(value).decode()}
        if isinstance(value, bytes):
            print_bytes(value)
        elif value is not None or not alone:
            indent = 2 if alone and sys.stdout.isatty() else None
            text = json_module.dumps(value, ensure_ascii=False, indent=indent, default=str)
            print(harmless_json(text), flush=True)


def print_bytes(data: bytes) -> None:
    """Print bytes: as they are, or on a terminal as text that cannot act on it."""
    if sys.stdout.isatty():
        print(harmless(data.decode(errors="backslashreplace"), lines=True), flush=True)
    else:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
