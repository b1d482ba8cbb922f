"""`Opening`: the object that `connect(...)` and its like return, to be awaited or entered."""

from __future__ import annotations

import warnings
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

C = TypeVar("C", bound=AbstractAsyncContextManager[Any])


class Opening(Coroutine[Any, Any, C]):
    """A connection, client or the like that is not open yet.

    `await` it for the open object, which the caller closes; or use it with `async with`, which
    leaves the block by the object's own `__aexit__`. Nothing happens before. It is a coroutine to
    all code that takes one: a task made of it runs it itself, so that a task cancelled before its
    first step does not leave it never awaited.

    Args:
        open_: opens it.
        call: the call that gave this, for who forgets to await it.
    """

    __slots__ = ("_open", "_opened", "_spelled", "_steps")

    def __init__(self, open_: Callable[[], Awaitable[C]], call: str = "connect(...)") -> None:
        self._open = open_
        self._spelled = call
        self._steps: Generator[Any, Any, C] | None = None
        self._opened: C | None = None

    def __await__(self) -> Generator[Any, Any, C]:
        self._steps = self._open().__await__()
        return self._steps

    def send(self, value: Any) -> Any:
        """Go on, as a coroutine does."""
        return (self._steps or self.__await__()).send(value)

    def throw(self, *error: Any) -> Any:
        """Go on with an error, as a coroutine does."""
        return (self._steps or self.__await__()).throw(*error)

    def close(self) -> None:
        """Go no further, as a coroutine does."""
        (self._steps or self.__await__()).close()

    async def __aenter__(self) -> C:
        self._opened = await self
        return self._opened

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._opened is not None:
            await self._opened.__aexit__(kind, error, trace)

    if not TYPE_CHECKING:  # a checker is to say itself that there is no such attribute

        def __getattr__(self, name: str) -> NoReturn:
            if name.startswith(("_", "cr_", "gi_")):  # what asyncio looks for
                raise AttributeError(name)
            raise AttributeError(f"no {name!r} before it is open: write {self._how()}")

    def __del__(self) -> None:
        if self._steps is None:
            text = f"{self._spelled} was never awaited: write {self._how()}"
            warnings.warn(text, RuntimeWarning, stacklevel=2, source=self)

    def _how(self) -> str:
        return f"'await {self._spelled}' or 'async with {self._spelled}'"
