"""`X-Request-Id` travels with the calls that a handler makes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

import pytest

import natsrpc
from natsrpc.core import encode_headers
from natsrpc.rpc import current_request
from natsrpc.rpc.headers import request_id_line


@pytest.mark.parametrize(
    ("headers", "line"),
    [
        ({}, b""),
        ({"X-Request-Id": "7"}, b"X-Request-Id: 7\r\n"),
        ({"A": "b", "x-request-ID": "a b", "C": "d"}, b"X-Request-Id: a b\r\n"),
        ({"X-Request-Id": ""}, b""),
        ({"X-Request-Id": "x" * 257}, b""),
        ({"Other": "X-Request-Id: 7"}, b""),
    ],
)
def test_the_line_of_a_header_block(headers: dict[str, str], line: bytes) -> None:
    assert request_id_line(encode_headers(headers) if headers else b"") == line


async def test_it_goes_from_hop_to_hop_and_a_call_may_set_its_own() -> None:
    service = natsrpc.Service("hops", version="1.0.0")

    @service.handler("hops.outer", name="outer")
    async def outer(client: natsrpc.Client, own: Annotated[str, natsrpc.Embed]) -> list[str | None]:
        headers = {"X-Request-Id": own} if own else None
        return [
            await client.call("hops.inner", returns=str | None, headers=headers),
            *[each async for each in client.stream("hops.items", returns=str | None)],
        ]

    @service.handler("hops.inner", name="inner")
    def inner(context: natsrpc.Context) -> str | None:
        return context.headers.get("X-Request-Id")

    @service.handler("hops.items", name="items")
    async def items(context: natsrpc.Context) -> AsyncIterator[str | None]:
        yield context.headers.get("X-Request-Id")

    async with service.test() as client:
        headers = {"X-Request-Id": "7"}
        assert await client.call("hops.outer", {"own": ""}, list, headers=headers) == ["7", "7"]
        assert await client.call("hops.outer", {"own": "8"}, list, headers=headers) == ["8", "7"]
        assert await client.call("hops.outer", {"own": ""}, list) == [None, None]


async def test_the_current_request_is_known_to_those_who_write_logs() -> None:
    service = natsrpc.Service("known", version="1.0.0")

    @service.handler("known.here", name="here")
    async def here() -> list[str | None]:
        request = current_request()
        assert request is not None
        return [request.service, request.endpoint, request.headers.get("A")]

    assert current_request() is None
    async with service.test() as client:
        found = await client.call("known.here", returns=list, headers={"A": "b"})
    assert found == ["known", "here", "b"]
