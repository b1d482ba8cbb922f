"""Streams on the handler's side: an opening is acknowledged at once; items in, items out."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from typing import Any

from natsrpc.core import Msg
from natsrpc.errors import BadRequestError, DecodeError, RequestTooLargeError, RpcError

from ..contract import Context, Kind, Next, gives_stream, refused_request, takes_stream
from ..headers import frame
from ..streams import Channel, Conversations, Patience, Writer
from .decoding import LARGE_BODY, decode_large
from .terms import Terms

UNPROVEN_ITEMS = 1000
UNPROVEN_BYTES = 16 * 1024 * 1024
"""Items and bytes for an address of which nobody knows whose it is: that of a request that did not
open a stream, and that of an opening until its caller is heard at the stream's own address."""


class Incoming:
    """A stream at its worker, from its opening on; made before the request has a slot.

    `on_stop` is called when the caller wants no more, or is gone.

    Args:
        all_: the conversations of the connection.
        msg: the request.
        terms: its terms; without `credit` it opened no stream, and gets plain replies.
        deadline: its deadline, in `loop.time()`.
        kind: the endpoint's.
        max_body: the largest item taken.
        patience: how long the caller is waited for.
        admits: which addresses of the caller are sent to.
    """

    def __init__(
        self,
        all_: Conversations,
        msg: Msg,
        terms: Terms,
        deadline: float,
        kind: Kind,
        *,
        max_body: int,
        patience: Patience,
        admits: Callable[[bytes], bool],
    ) -> None:
        self._kind = kind
        items, bytes_ = terms.credit or (UNPROVEN_ITEMS, UNPROVEN_BYTES)
        self._is_open = terms.credit is not None
        self.deadline = deadline
        self.on_stop: Callable[[RpcError], object] = bool
        self.channel: Channel = Channel(
            all_,
            msg.raw_reply,
            on_stop=lambda error: self.on_stop(error),
            writer=Writer(min(items, UNPROVEN_ITEMS), min(bytes_, UNPROVEN_BYTES)),
            promised=terms.credit,
            admits=admits,
            limit=max_body,
            too_large=RequestTooLargeError,
            patience=patience,
            frames=self._is_open,
            request=msg,
        )
        if self._is_open:
            self.channel.acknowledge()

    async def run(
        self,
        context: Context,
        general: Next[Context],
        encode: Callable[[Context, Any], bytes],
        terms: Terms,
    ) -> tuple[bytes, bytes]:
        """Run the handler; the data, by `encode`, and the headers of what ends its answer.

        Raises:
            BadRequestError: the endpoint takes a stream, and the request opens none.
        """
        channel, kind = self.channel, self._kind
        if takes_stream(kind) and not self._is_open:
            raise BadRequestError("this endpoint takes a stream: the request must open one")
        context.stream = channel
        channel.writes = gives_stream(kind)
        if takes_stream(kind):
            channel.uploads = kind == "request_stream"
            channel.open_credit()
        result = await general(context)
        if gives_stream(kind):
            return b"", frame("end", channel.writer.sent) if self._is_open else b""
        return encode(context, result), terms.reply_headers

    def close(self) -> None:
        """Forget the caller's address, and give back what was reserved."""
        self.channel.close()


def request_items(context: Context) -> AsyncIterator[Any]:
    """The request stream of a handler, decoded."""
    decode = context.decode_item

    def read(data: bytes) -> Any:
        try:
            return decode(data) if len(data) < LARGE_BODY else decode_large(decode, data)
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
