"""Decoding large bodies: without the garbage collector, which is as before afterwards."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterator

import pytest
from pydantic_core import core_schema

from natsrpc.errors import InvalidRequestError
from natsrpc.rpc import Client, Service
from natsrpc.rpc.serving.decoding import LARGE_BODY, decode_large

LARGE = b"x" * LARGE_BODY


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    yield
    gc.enable()


def collects(data: bytes) -> bool:
    return gc.isenabled()


def test_the_collector_is_paused_for_large_bodies_alone() -> None:
    assert decode_large(collects, LARGE) is False
    assert gc.isenabled()
    assert decode_large(collects, LARGE[1:]) is True


def test_the_collector_goes_on_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError):
        decode_large(lambda data: 1 / 0, LARGE)
    assert gc.isenabled()


def test_a_collector_that_is_off_stays_off() -> None:
    gc.disable()
    assert decode_large(collects, LARGE) is False
    assert not gc.isenabled()


class Watched:
    """Notes whether the collector ran while it was validated."""

    seen: list[bool]

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> object:
        def check(value: str) -> str:
            cls.seen.append(gc.isenabled())
            return value

        return core_schema.no_info_after_validator_function(check, core_schema.str_schema())


@pytest.mark.live
async def test_large_requests_and_items_are_decoded_so(
    client: Client, other: Client, unique: str
) -> None:
    service = Service("decoding", version="1.0.0")
    Watched.seen = []

    @service.handler(f"{unique}.one")
    async def one(text: Watched) -> int:
        return len(Watched.seen)

    @service.handler(f"{unique}.many")
    async def many(texts: AsyncIterator[Watched]) -> int:
        return len([text async for text in texts])

    async def items() -> AsyncIterator[object]:
        yield "small"
        yield "x" * 3_000_000

    async with client.serve(service):
        assert await other.call(f"{unique}.one", "small", int) == 1
        assert await other.call(f"{unique}.one", "x" * 3_000_000, int) == 2
        assert await other.upload(f"{unique}.many", items(), returns=int) == 2
        assert Watched.seen == [True, False, True, False]
        with pytest.raises(InvalidRequestError):
            await other.call(f"{unique}.one", [1] * 2_000_000, int)
        assert gc.isenabled()
