"""`natsrpc dead`: shows the dead letters of workers, and has their messages handled again."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Annotated, Any

import typer

from natsrpc.core import Connection
from natsrpc.durable import Letter, letters, read_letter, requeue
from natsrpc.errors import ConfigError, JetStreamError, MsgNotFoundError, StreamNotFoundError
from natsrpc.jetstream import JetStream, Stream

from .command import NotThereError, connecting, exit_code
from .context import Destination
from .output import harmless, print_json, print_json_line, print_table, say, show
from .query import AsJson, connected

__all__ = ["app"]

Where = Annotated[
    str, typer.Argument(metavar="WHERE", help="The stream of dead letters, or a subject of them.")
]
OfService = Annotated[str, typer.Option("--service", help="Only those that this service gave up.")]
OfWorker = Annotated[str, typer.Option("--worker", help="Only those that this worker gave up.")]

_COLUMNS = ("seq", "when", "worker", "message", "tries", "reason")
_LONGEST = 4000  # characters of a body that people are shown


async def ls(
    destination: Destination,
    where: Where,
    service: OfService = "",
    worker: OfWorker = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="So many at most.")] = 1000,
    json: AsJson = False,
) -> None:
    """List the dead letters of WHERE, the oldest first."""
    rows: list[tuple[object, ...]] = []
    async with connected(destination) as connection:
        _, found = await _letters(connection, where, service, worker)
        async for letter in found:
            if json:
                print_json_line(_plain(letter))
            rows.append(_row(letter))
            if len(rows) == limit:
                say(f"these are the first {limit}: give --limit for more")
                break
    if not json and rows:
        print_table(_COLUMNS, rows, soft=("reason",))
    if not rows:
        say(f"no dead letters in {where}")


async def show_letter(
    destination: Destination,
    where: Where,
    seq: Annotated[int, typer.Argument(min=1, help="The letter's number, as `ls` shows it.")],
    json: AsJson = False,
) -> None:
    """Show one dead letter: why its message was given up, where that was, and the message."""
    async with connected(destination) as connection:
        stream, _ = await _place(connection, where)
        letter = await _letter(stream, seq)
    if json:
        print_json(_plain(letter))
        return
    for key, value in _plain(letter).items():
        if key in ("headers", "value", "base64") or value in ("", None):
            continue
        show(f"{key.replace('_', ' ')}: {value}")
    for name, text in letter.headers.items():
        show(f"header {name}: {text}")
    try:
        body = harmless(letter.data.decode(), lines=True)
    except UnicodeDecodeError:
        body = letter.data.hex(" ")
    show("")
    show(body[:_LONGEST] + (" …" if len(body) > _LONGEST else ""))


async def requeue_letters(
    destination: Destination,
    where: Where,
    seqs: Annotated[
        list[int] | None, typer.Argument(metavar="[SEQ]...", help="The letters' numbers.")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    service: OfService = "",
    worker: OfWorker = "",
    json: AsJson = False,
) -> int:
    """Publish the messages of dead letters anew, and delete the letters.

    With --all those that are there when it begins. All consumers of a message's stream are given it
    again, not only the worker that gave it up.
    """
    if bool(seqs) is all_:
        raise ConfigError("name the letters by their numbers, or give --all")
    if seqs and (service or worker):
        raise ConfigError("--service and --worker choose among all: give --all, and no numbers")
    failed = done = 0
    missing: list[NotThereError] = []
    async with connected(destination) as connection:
        js = JetStream(connection)
        stream, found = await _letters(connection, where, service, worker)
        chosen = _numbered(stream, seqs, missing) if seqs else found
        async for letter in chosen:
            try:
                ack = await requeue(js, stream, letter)
            except JetStreamError as error:
                failed += 1
                say(f"letter {letter.seq} stays: {error}")
                continue
            done += 1
            if json:
                print_json_line({"seq": letter.seq, "stream": ack.stream, "stream_seq": ack.seq})
            else:
                show(f"{letter.seq}  {letter.origin_subject}  {ack.stream} {ack.seq}")
    if not done and not failed and not missing:
        say(f"no dead letters in {where}")
    return int(failed > 0) or (exit_code(missing[0]) if missing else 0)


async def _letters(
    connection: Connection, where: str, service: str, worker: str
) -> tuple[Stream, AsyncIterator[Letter]]:
    stream, subject = await _place(connection, where)

    async def chosen() -> AsyncIterator[Letter]:
        async for letter in letters(stream, subject):
            if service in ("", letter.service) and worker in ("", letter.worker):
                yield letter

    return stream, chosen()


async def _numbered(
    stream: Stream, seqs: list[int], missing: list[NotThereError]
) -> AsyncIterator[Letter]:
    """The letters with these numbers. Those that are not there are told, and are none of them."""
    for seq in seqs:
        try:
            yield await _letter(stream, seq)
        except NotThereError as error:
            missing.append(error)
            say(str(error))


async def _letter(stream: Stream, seq: int) -> Letter:
    try:
        letter = read_letter(await stream.get_msg(seq))
    except MsgNotFoundError as error:
        raise NotThereError(f"stream {stream.name!r} has no message {seq}") from error
    if letter is None:
        raise NotThereError(f"message {seq} of stream {stream.name!r} is no dead letter")
    return letter


async def _place(connection: Connection, where: str) -> tuple[Stream, str]:
    """The stream that is named, or that has the subject that is named."""
    js = JetStream(connection)
    if not set(where) & set(".*>"):
        try:
            return await js.stream(where), ">"
        except StreamNotFoundError:
            pass  # it may be a subject of one token
    try:
        return await js.stream(await js.stream_name_by_subject(where)), where
    except StreamNotFoundError as error:
        raise NotThereError(f"there is no stream {where!r}, and none has that subject") from error


def _row(letter: Letter) -> tuple[object, ...]:
    when = letter.time.isoformat(timespec="seconds").replace("+00:00", "Z")
    who = f"{letter.service}/{letter.worker}"
    what = f"{letter.origin_subject} ({letter.origin_stream} {letter.origin_seq})"
    return letter.seq, when, who, what, letter.deliveries, letter.reason


def _plain(letter: Letter) -> dict[str, Any]:
    told: dict[str, Any] = {
        "seq": letter.seq,
        "subject": letter.subject,
        "time": letter.time.isoformat().replace("+00:00", "Z"),
        "reason": letter.reason,
        "error_id": letter.error_id,
        "service": letter.service,
        "worker": letter.worker,
        "deliveries": letter.deliveries,
        "origin_stream": letter.origin_stream,
        "origin_consumer": letter.origin_consumer,
        "origin_subject": letter.origin_subject,
        "origin_seq": letter.origin_seq,
        "origin_time": letter.origin_time,
        "origin_msg_id": letter.origin_msg_id,
        "headers": {name: letter.headers.get_all(name) for name in letter.headers},
    }
    try:
        told["value"] = letter.data.decode()
    except UnicodeDecodeError:
        told["base64"] = base64.b64encode(letter.data).decode()
    return told


app: typer.Typer = typer.Typer(
    help="Show dead letters of workers, and give their messages back.", no_args_is_help=True
)
app.command("ls")(connecting(ls))
app.command("show")(connecting(show_letter))
app.command("requeue")(connecting(requeue_letters))
