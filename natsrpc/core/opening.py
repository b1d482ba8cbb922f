"""What `connect(...)` returns: await it, or enter it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Generic, TypeVar

C = TypeVar("C", bound=AbstractAsyncContextManager[Any])


class Opening(Generic[C]):
    """Something on its way to being open.

    `await` it for the open object, which the caller closes; or use it with `async with`, which
    leaves the block by the object's own `__aexit__`.
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
            await self._opened.__aexit__(kind, error, trace)
