"""The service of the matrix: one endpoint for each thing that may be asked."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import natsrpc


class DivisionError(natsrpc.RpcError, code=409):
    """There is nothing to divide by."""

    dividend: int


class Calculator:
    """A service named `calc`, on one client; it tells when `calc.slow` was ended."""

    def __init__(self, client: natsrpc.Client) -> None:
        self.client = client
        self.running = asyncio.Event()
        self.ended = asyncio.Event()
        self.service = natsrpc.Service("calc", version="1.0.0")
        for function in (self.add, self.divide, self.nested, self.size, self.fill, self.slow,
                         self.count, self.sum, self.echo, self.endless):  # fmt: skip
            self.service.handler(f"calc.{function.__name__}")(function)
        self.service.handler("calc.who", queue_group=None)(self.who)

    async def add(self, a: int, b: int) -> int:
        return a + b

    async def divide(self, a: int, b: int) -> int:
        if b == 0:
            raise DivisionError("division by zero", dividend=a)
        return a // b

    async def nested(self, a: int) -> int:
        return await self.client.call("calc.add", {"a": a, "b": 1}, int)

    async def who(self) -> int:
        return id(self)

    async def size(self, data: bytes) -> int:
        return len(data)

    async def fill(self, size: int) -> bytes:
        return bytes(size)

    async def slow(self) -> None:
        with self._told():
            await asyncio.Event().wait()

    async def endless(self) -> AsyncIterator[int]:
        with self._told():
            number = 0
            while True:
                yield number
                number += 1

    async def count(self, to: int) -> AsyncIterator[int]:
        for number in range(to):
            yield number

    async def sum(self, numbers: AsyncIterator[int]) -> int:
        total = 0
        async for number in numbers:
            total += number
        return total

    async def echo(self, numbers: AsyncIterator[int]) -> AsyncIterator[int]:
        async for number in numbers:
            yield number

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        self.running.set()
        try:
            yield
        finally:
            self.ended.set()
