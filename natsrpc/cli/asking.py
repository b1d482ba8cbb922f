"""One request whose answer may be a value or a stream: `natsrpc call` cannot know before.

The request opens a stream. An endpoint that does not stream, also one of another implementation,
answers an opening with its one reply. Of a stream of strangers, which are plain messages, this sees
the first: `Client.stream` reads those.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any

from natsrpc import codecs
from natsrpc.core import Connection, check_publish
from natsrpc.errors import NatsTimeoutError
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
) -> AsyncGenerator[bytes, None]:
    """The bytes of each message that answers a request, as they come.

    Args:
        connection: where to ask.
        subject: the endpoint's.
        request: the value to send, or bytes.
        codec: what the request is written in.
        timeout: seconds that each message may take.
        headers: headers of the request.

    Raises:
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
    except NatsTimeoutError as error:
        if count:
            raise
        text = f"no answer within {timeout:g} s"
        raise NatsTimeoutError(text, subject=subject) from error
    finally:
        await outgoing.finish(ended)
