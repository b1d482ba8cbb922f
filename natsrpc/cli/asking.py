"""One request whose answer may be a value or a stream: `natsrpc call` cannot know before.

The request opens a stream. An endpoint that does not stream, also one of another implementation,
answers an opening with its one reply. One that takes a stream gives credit for items: they are sent
then; where there are none, that is told at once, and not waited for. Of a stream of strangers,
which are plain messages, this sees the first: `Client.stream` reads those.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any

from natsrpc import codecs
from natsrpc.core import Connection, check_publish
from natsrpc.errors import ConfigError, NatsRpcError, NatsTimeoutError
from natsrpc.rpc.calling.blocks import with_headers
from natsrpc.rpc.calling.bound import BoundCall
from natsrpc.rpc.calling.outgoing import Outgoing

__all__ = ["answers"]


async def answers(
    connection: Connection,
    subject: str,
    request: Any,
    *,
    codec: codecs.Codec,
    timeout: float,
    headers: Mapping[str, str],
    items: Sequence[Any] | None = None,
) -> AsyncGenerator[bytes, None]:
    """The bytes of each message that answers a request, as they come.

    Args:
        connection: where to ask.
        subject: the endpoint's.
        request: the value to send, or bytes.
        codec: what the request is written in.
        timeout: seconds that each message may take.
        headers: headers of the request.
        items: what to send if the endpoint takes a stream.

    Raises:
        ConfigError: it takes a stream, and there are no items; or the other way round.
        NoRespondersError, NatsTimeoutError, RpcError: as `Client.stream`.
        BadSubjectError: it is no subject to send to.
        MaxPayloadError: the request is too large for one message.
    """
    bound = BoundCall(connection, check_publish(subject), Any, bytes, codec=codec)
    data = bound.encode(request)
    block, _ = bound.block(None)
    outgoing = Outgoing(connection, bound, timeout=None, idle_timeout=timeout)
    channel, ended, count = outgoing.channel, False, 0
    outgoing.open(data, with_headers(block, headers) if headers else block, None)
    writing = asyncio.ensure_future(_send(outgoing, subject, items, codec.bind(Any).encode))
    try:
        while True:
            while (item := channel.take()) is not None:
                count += 1
                yield item
            if not await channel.more():
                break
        ended = True
        if outgoing.has_reply:
            yield await outgoing.answer()
        if items and not channel.writer.credit:
            raise ConfigError(f"{subject!r} takes no stream of items: none was sent")
    except NatsTimeoutError as error:
        if count:
            raise
        text = f"no answer within {timeout:g} s"
        raise NatsTimeoutError(text, subject=subject) from error
    finally:
        writing.cancel()
        await asyncio.wait([writing])
        await outgoing.finish(ended)


async def _send(
    outgoing: Outgoing, subject: str, items: Sequence[Any] | None, encode: Callable[[Any], bytes]
) -> None:
    """Send the items, once the endpoint has said that it takes some."""
    channel = outgoing.channel
    try:
        await channel.ready()
        if channel.error is not None:
            return
        if items is None:
            raise ConfigError(f"{subject!r} takes a stream: --items gives the items to send")
        channel.writes = True
        for item in items:
            data = encode(item)
            if not channel.put(data):
                await channel.send(data)
        channel.end()
    except NatsRpcError as error:  # for the reader, if nothing else has failed before
        channel.fail(error)
