"""`Life`: what is made for a request, or for the app, and let go at its end."""

from __future__ import annotations

import contextvars
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..contract import Context
from .entered import Entered, EnteredAsync, EnteredPlain, Runner, is_plain, manager_of

__all__ = ["Life", "Make", "Runner", "Step"]

Make = Callable[[Any, list[Any]], Any]
"""Calls a dependency's function, for a request and with the values of the steps before."""


@dataclass(frozen=True, slots=True)
class Step:
    """One dependency of a request: `make` calls its function.

    `waits` tells that the result is to be awaited; `enters` that it is to be entered, if it is a
    generator or what a decorator made of one; `thread` that all this happens in a thread.
    """

    make: Make
    waits: bool = False
    enters: bool = False
    thread: bool = False

    @property
    def is_simple(self) -> bool:
        """Whether its value is the result of `make`, awaited if it `waits`."""
        return not (self.enters or self.thread)

    @property
    def keeps_thread(self) -> bool:
        """Whether something is left to be done in a thread when the request ends."""
        return self.enters and self.thread


class Life:
    """The dependencies in use by one request, or by the app.

    Args:
        runner: what runs plain functions in threads: of a request that keeps a thread, its seat.
    """

    __slots__ = ("_entered", "_runner")

    def __init__(self, runner: Runner) -> None:
        self._entered: list[Entered] = []
        self._runner = runner

    @property
    def is_used(self) -> bool:
        """Whether anything is to be left."""
        return bool(self._entered)

    async def make(self, step: Step, context: Any, values: list[Any]) -> Any:
        """The value of a step; `context` is that of the request, or what the app has in its
        place."""
        if step.thread:
            result = await self._make_in_thread(step, context, values)
        else:
            result = step.make(context, values)
        if step.waits or inspect.iscoroutine(result):
            result = await result
        return await self._enter(result) if step.enters else result

    async def _make_in_thread(self, step: Step, context: Any, values: list[Any]) -> Any:
        """Call and, if it is a plain generator, enter it in a thread."""
        variables = contextvars.copy_context()
        managers: list[Any] = []

        def make() -> Any:
            if isinstance(context, Context):
                context.raise_if_cancelled()
            result = step.make(context, values)
            manager = manager_of(result) if step.enters else None
            if manager is None or not is_plain(manager):
                return result
            value = manager.__enter__()
            managers.append(manager)
            return _Done(value)

        try:
            return await self._runner.run(make, variables)
        finally:  # also if it was cancelled, and ended in the thread all the same
            for manager in managers:
                self._entered.append(EnteredPlain(manager, self._runner, variables))

    async def _enter(self, result: Any) -> Any:
        if isinstance(result, _Done):
            return result.value
        manager = manager_of(result)
        if manager is None:
            return result
        if is_plain(manager):
            value = manager.__enter__()
            self._entered.append(EnteredPlain(manager))
            return value
        value = await manager.__aenter__()
        self._entered.append(EnteredAsync(manager))
        return value

    async def leave(self, error: BaseException | None) -> BaseException | None:
        """Leave all of them, the last one first; the error that is left, if one is."""
        while self._entered:
            error = await self._entered.pop().leave(error)
        return error


class _Done:
    """The value of a generator that was entered already."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value
