"""`Reader`: what is here is taken at once, what is not is waited for, and nothing twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from natsrpc.sync.reader import MOST, Reader


class Source:
    """Items that are here as soon as they are put."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[int | Exception | None] = asyncio.Queue()
        self.closed = asyncio.Event()
        self.reader = Reader(self.items())

    async def items(self) -> AsyncGenerator[int, None]:
        try:
            while (item := await self.queue.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            self.closed.set()

    def put(self, *items: int | Exception | None) -> None:
        for item in items:
            self.queue.put_nowait(item)


async def test_what_is_here_comes_together_and_the_first_is_waited_for() -> None:
    source = Source()
    source.put(1, 2, 3)
    assert await source.reader.take() == [1, 2, 3]
    waiting = asyncio.ensure_future(source.reader.take())
    await asyncio.sleep(0)
    assert not waiting.done()
    source.put(4)
    assert await waiting == [4]
    source.put(5, None)
    assert await source.reader.take() == [5]
    assert await source.reader.take() == []
    assert await source.reader.take() == []


async def test_no_more_than_some_come_together() -> None:
    source = Source()
    source.put(*range(2 * MOST + 1), None)
    assert await source.reader.take() == list(range(MOST))
    assert await source.reader.take() == list(range(MOST, 2 * MOST))
    assert await source.reader.take() == [2 * MOST]
    assert await source.reader.take() == []


async def test_an_error_comes_after_the_items_before_it() -> None:
    source = Source()
    source.put(1, 2, LookupError("nothing there"))
    assert await source.reader.take() == [1, 2]
    with pytest.raises(LookupError):
        await source.reader.take()
    assert await source.reader.take() == []


@pytest.mark.parametrize("items", [(), (1,), (1, None), (1, LookupError("unseen"))])
async def test_closing_ends_the_generator_wherever_it_is(items: tuple[int, ...]) -> None:
    source = Source()
    source.put(1, *items)
    assert (await source.reader.take())[0] == 1
    await source.reader.close()
    assert source.closed.is_set()
    assert await source.reader.take() == []


async def test_a_cancelled_take_ends_the_generator() -> None:
    source = Source()
    source.put(1)
    assert await source.reader.take() == [1]
    waiting = asyncio.ensure_future(source.reader.take())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert source.closed.is_set()
