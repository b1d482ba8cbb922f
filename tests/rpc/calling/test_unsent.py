"""An opening that cannot be sent leaves no conversation behind."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

import natsrpc
from natsrpc.testing import NatsServer
from tests.rpc.streams.adversity import nothing_is_left

TOO_LARGE = "." * 2_000_000


async def numbers() -> AsyncIterator[int]:
    yield 1


async def test_a_stream_whose_request_fits_no_message_leaves_nothing(
    nats_server: NatsServer,
) -> None:
    async with natsrpc.connect(nats_server.url) as client:
        for timeout in (None, 60.0):
            with pytest.raises(natsrpc.MaxPayloadError):
                await anext(client.stream("unsent", TOO_LARGE, timeout=timeout))
            with pytest.raises(natsrpc.MaxPayloadError):
                await client.upload("unsent", numbers(), TOO_LARGE, timeout=timeout)
        await nothing_is_left(client)


async def test_a_large_call_on_a_closed_connection_leaves_nothing(nats_server: NatsServer) -> None:
    client = await natsrpc.connect(nats_server.url)
    limit = client.connection.max_payload
    await client.close()
    with pytest.raises(natsrpc.ConnectionClosedError):
        await client.call("unsent", "." * (limit + 1))
    await nothing_is_left(client)
