"""The service `desk`: for the people who look after dead letters, the events that workers gave up.

`natsrpc dead` does the same on the command line. A service of one's own can show what a letter
means, and says who may touch it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime

from pydantic import BaseModel

import natsrpc
from natsrpc import Client
from natsrpc.durable import Letter, read_letter, requeue
from natsrpc.durable import letters as letters_in
from natsrpc.errors import MsgNotFoundError
from natsrpc.jetstream import JetStream, Stream

from .api import letters


class DeadLetter(BaseModel):
    """An event that a worker gave up."""

    number: int
    worker: str
    reason: str
    deliveries: int
    since: datetime
    subject: str
    body: str


class NoSuchLetter(natsrpc.RpcError, code=404):
    """There is no letter of this number, or somebody else has dealt with it."""

    number: int


service = natsrpc.Service("desk", version="1.0.0", streams=[letters])


async def box(client: Client) -> Stream:
    """Open the stream of dead letters."""
    return await JetStream(client.connection).stream(letters.name)


async def one(number: int, client: Client) -> tuple[Stream, Letter]:
    """Read one letter."""
    stream = await box(client)
    try:
        letter = read_letter(await stream.get_msg(number))
    except MsgNotFoundError:
        letter = None
    if letter is None:
        raise NoSuchLetter(f"there is no letter {number}", number=number)
    return stream, letter


@service.handler("desk.letters", name="letters", idempotent=True)
async def listing(client: Client) -> AsyncIterator[DeadLetter]:
    """List the dead letters, the oldest first."""
    async for letter in letters_in(await box(client)):
        yield DeadLetter(
            number=letter.seq,
            worker=f"{letter.service}/{letter.worker}",
            reason=letter.reason,
            deliveries=letter.deliveries,
            since=letter.time,
            subject=letter.origin_subject,
            body=letter.data[:1000].decode(errors="replace"),
        )


@service.handler("desk.requeue", name="requeue", errors=(NoSuchLetter,))
async def again(number: int, client: Client) -> None:
    """Give an event to its workers again, and drop its letter."""
    stream, letter = await one(number, client)
    await requeue(JetStream(client.connection), stream, letter)


@service.handler("desk.drop", name="drop", errors=(NoSuchLetter,))
async def drop(number: int, client: Client) -> None:
    """Drop a letter: its event is not done, and never will be."""
    stream, letter = await one(number, client)
    await stream.delete_msg(letter.seq)
