"""Streams on the handler's side: a request that opens one, its items in, the answer's items out."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from typing import Any

from natsrpc.core import Connection, Msg
from natsrpc.errors import BadRequestError, DecodeError, RequestTooLargeError

from ..contract import Context, Next, gives_stream, refused_request, takes_stream
from ..headers import control
from ..streams import UNLIMITED, Channel, Reader
from .terms import Terms


async def serve_stream(
    connection: Connection,
    context: Context,
    general: Next[Context],
    terms: Terms,
    stop: Callable[[], object],
    max_body: int,
) -> tuple[bytes, bytes]:
    """Run a handler that streams; the data and headers of what ends its answer.

    Args:
        connection: what the stream is carried by.
        context: the request's.
        general: the handler, with everything around it.
        terms: the request's.
        stop: called when the caller wants no more, or is gone.
        max_body: the largest item taken.

    Raises:
        BadRequestError: the endpoint takes a stream, and the request opens none.
    """
    kind = context.endpoint.kind
    credit = terms.credit
    if credit is None:
        if takes_stream(kind):
            raise BadRequestError("this endpoint takes a stream: the request must open one")
        credit = UNLIMITED
    channel = Channel(
        connection,
        context.msg.raw_reply,
        credit=credit,
        on_stop=stop,
        on_reply=_ignore,
        reader=Reader(limit=max_body, too_large=RequestTooLargeError),
        splits=terms.credit is not None,
    )
    context.stream = channel
    try:
        channel.writes = gives_stream(kind)
        if takes_stream(kind):
            channel.open_credit()
        result = await general(context)
        if gives_stream(kind):
            return b"", control("end", channel.writer.sent)
        return terms.encode(result), terms.reply_headers
    finally:
        channel.close()


def _ignore(msg: Msg) -> None:
    """A message that is no frame is not meant for a handler's side."""


def request_items(context: Context) -> AsyncIterator[Any]:
    """The request stream of a handler, decoded."""
    decode = context.decode_item

    def read(data: bytes) -> Any:
        try:
            return decode(data)
        except DecodeError as error:
            raise refused_request(error, context.service) from None

    channel: Channel = context.stream
    return channel.items(read)


async def answer_items(context: Context, result: Any) -> None:
    """Send what a handler yields, as fast as the caller takes it; close it in any case."""
    if inspect.isawaitable(result):
        result = await result
    channel: Channel = context.stream
    put, encode = channel.put, context.encode
    try:
        async for item in result:
            data = encode(item)
            if not put(data):
                await channel.send(data)
    finally:
        if hasattr(result, "aclose"):
            await result.aclose()
