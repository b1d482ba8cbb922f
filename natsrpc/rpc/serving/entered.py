"""Dependencies that clean up: how they are entered, and how they are left.

An error goes through all of them, from the inside out. It is raised at each one's `yield`; one that
raises another error instead has that go on; one that catches it, and ends, does not undo it: the
request has failed, and the next ones see it, too. So no rollback is skipped, and no caller is told
that all is well, because a dependency swallowed what happened.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any, Protocol, TypeVar

from .threads import adopt

T = TypeVar("T")


class Runner(Protocol):
    """Runs plain functions in threads: `Threads`, or the seat of one request."""

    async def run(self, call: Callable[[], T], variables: contextvars.Context | None = None) -> T:
        """See `Seat.run`."""
        ...


class Entered(Protocol):
    """A dependency whose value is in use."""

    async def leave(self, error: BaseException | None) -> BaseException | None:
        """Have it clean up after `error`, or after success; the error to go on with."""


class EnteredAsync:
    """One that is entered and left on the event loop, by awaiting it."""

    __slots__ = ("_manager",)

    def __init__(self, manager: contextlib.AbstractAsyncContextManager[Any]) -> None:
        self._manager = manager

    async def leave(self, error: BaseException | None) -> BaseException | None:
        """See `Entered`."""
        try:
            await self._manager.__aexit__(*_facts(error))
        except BaseException as other:
            return _chained(other, error)
        return error


class EnteredPlain:
    """One that is entered and left by plain functions: in a thread, or in place, without a
    `runner`."""

    __slots__ = ("_manager", "_runner", "_variables")

    def __init__(
        self,
        manager: contextlib.AbstractContextManager[Any],
        runner: Runner | None = None,
        variables: contextvars.Context | None = None,
    ) -> None:
        self._manager = manager
        self._runner = runner
        self._variables = variables

    async def leave(self, error: BaseException | None) -> BaseException | None:
        """See `Entered`."""
        if self._runner is None or self._variables is None:
            return self._leave(error)
        # both halves share their context variables, so that the second may reset what the first set
        now = contextvars.copy_context()

        def leave() -> BaseException | None:
            adopt(now)
            return self._leave(error)

        try:
            return await self._runner.run(leave, self._variables)
        except BaseException as other:  # cancelled
            return _chained(other, error)

    def _leave(self, error: BaseException | None) -> BaseException | None:
        try:
            self._manager.__exit__(*_facts(error))
        except BaseException as other:
            return _chained(other, error)
        return error


def manager_of(result: Any) -> Any:
    """The context manager of what a generator's decorator gave: of the generator itself, or of what
    `contextmanager` or `asynccontextmanager` makes of it; None where it is another value."""
    if isinstance(result, Generator):
        return _again(contextlib.contextmanager, result)
    if isinstance(result, AsyncGenerator):
        return _again(contextlib.asynccontextmanager, result)
    return result if isinstance(result, _MANAGERS) else None


def is_plain(manager: Any) -> bool:
    """Whether a context manager of `manager_of` is entered without awaiting."""
    return isinstance(manager, _MANAGERS[0])


def _again(make: Callable[[Any], Any], generator: Any) -> Any:
    return make(lambda: generator)()


_MANAGERS = (
    type(_again(contextlib.contextmanager, None)),
    type(_again(contextlib.asynccontextmanager, None)),
)
"""The classes that `contextlib` gives no public name."""


def _facts(error: BaseException | None) -> tuple[Any, Any, Any]:
    return (None, None, None) if error is None else (type(error), error, error.__traceback__)


def _chained(other: BaseException, error: BaseException | None) -> BaseException:
    """`other`, raised in the place of `error`, with that to be seen behind it."""
    if other is not error and other.__context__ is None and other.__cause__ is None:
        other.__context__ = error
    return other
