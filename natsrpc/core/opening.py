"""What `connect(...)` returns: await it, or enter it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar


class Closable(Protocol):
    """Anything with an asynchronous `close`."""

    async def close(self) -> None:
        """Release everything held."""


C = TypeVar("C", bound=Closable)


class Opening(Generic[C]):
    """Something on its way to being open.

    `await` it for the open object, which the caller closes; or use it with `async with`, which
    closes it at the end of the block.
    """

    __slots__ = ("_open", "_opened")

    def __init__(self, open_: Callable[[], Awaitable[C]]) -> None:
        self._open = open_
        self._opened: C | None = None

    def __await__(self) -> Generator[Any, None, C]:
        return self._open().__await__()

    async def __aenter__(self) -> C:
        self._opened = await self._open()
        return self._opened

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._opened is not None:
            await self._opened.close()
