"""The values of `Depends` in a running service: made, kept as long as they live, and let go.

A value that lives as long as a request is made once in it, however often it is named; one that
lives as long as the app is made when the service starts. Which functions are called for a request,
and in which order, is decided once for each handler (`Dependencies.steps`): a request then has a
list of values, one for each step, and looks nothing up.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from ..contract import Context
from ..signature import CallPlan, Dependency, identity, substitute
from .life import Life, Make, Step
from .threads import Threads

Named = Iterable[tuple[str, Dependency]]


@dataclass(frozen=True, slots=True)
class Steps:
    """The dependencies of one handler, those that others need before those; and the handler's own
    parameters with the steps that give their values."""

    steps: tuple[Step, ...]
    named: tuple[tuple[str, int], ...]


class Starting(NamedTuple):
    """What is read, in place of a request's context, by what lives as long as the app."""

    client: Any


class Dependencies:
    """Resolves `Depends` for one running service: the app's values, and the overrides of tests."""

    def __init__(
        self, overrides: Mapping[Any, Callable[..., Any]], client: Any, threads: Threads
    ) -> None:
        self.overrides = overrides
        self._starting = Starting(client)
        self._replaced: dict[Any, Dependency] = {}
        self._app: dict[Any, Any] = {}
        self._life = Life(threads)

    async def start(self, plans: list[CallPlan]) -> None:
        """Make the values that live as long as the service."""
        for plan in plans:
            await self._start(plan.dependencies)

    async def _start(self, dependencies: Named) -> None:
        for _, each in dependencies:
            if each.lifetime != "app":
                await self._start(each.dependencies)
                continue
            effective = self._effective(each)
            await self._start(effective.dependencies)
            key = identity(effective.function)
            if key not in self._app:
                values: list[Any] = []
                for step in self._compile([("", each)], self._effective).steps:
                    values.append(await self._life.make(step, self._starting, values))
                self._app[key] = values[-1]

    def has(self, wanted: Dependency) -> bool:
        """Whether a value that lives as long as the service is there."""
        return identity(self._effective(wanted).function) in self._app

    async def stop(self) -> None:
        """Clean up, in the reverse order."""
        self._app.clear()
        error = await self._life.leave(None)
        if error is not None:
            raise error

    def steps(self, plan: CallPlan, *, overridden: bool = False) -> Steps:
        """What is to be done for each request of a handler, with or without the overrides of now.
        The service has started."""
        return self._compile(plan.dependencies, self._effective if overridden else _as_it_is)

    def _compile(self, dependencies: Named, effective: Callable[[Dependency], Dependency]) -> Steps:
        compiler = _Compiler(effective, self._app)
        named = tuple((name, compiler.add(each)) for name, each in dependencies)
        return Steps(tuple(compiler.steps), tuple((name, slot) for name, slot in named if name))

    def _effective(self, wanted: Dependency) -> Dependency:
        override = self.overrides.get(identity(wanted.function))
        if override is None:
            return wanted
        key = identity(override), wanted.lifetime, wanted.tokens, wanted.thread
        replaced = self._replaced.get(key)
        if replaced is None:
            replaced = self._replaced[key] = substitute(wanted, override)
        return replaced


class _Compiler:
    """Puts dependencies in the order in which they are made, each of them once."""

    def __init__(
        self, effective: Callable[[Dependency], Dependency], app: Mapping[Any, Any]
    ) -> None:
        self.steps: list[Step] = []
        self._effective = effective
        self._app = app
        self._slots: dict[Any, int] = {}

    def add(self, wanted: Dependency) -> int:
        """The slot of a dependency's value; those it needs come before it."""
        each = self._effective(wanted)
        key = identity(each.function)
        slot = self._slots.get(key)
        if slot is not None:
            return slot
        if key in self._app:
            step = Step(partial(_known, self._app[key]))
        else:
            inner = tuple((name, self.add(other)) for name, other in each.dependencies)
            step = _step(each, inner)
        self.steps.append(step)
        slot = self._slots[key] = len(self.steps) - 1
        return slot


def _as_it_is(wanted: Dependency) -> Dependency:
    return wanted


def _known(value: Any, context: Context, values: list[Any]) -> Any:
    return value


def _step(each: Dependency, inner: tuple[tuple[str, int], ...]) -> Step:
    function, style = each.function, each.style
    if style == "generator":
        function = contextlib.contextmanager(function)
    elif style == "async_generator":
        function = contextlib.asynccontextmanager(function)
    return Step(
        _maker(each, function, inner),
        waits=style == "async",
        enters=style not in ("plain", "async"),
        thread=each.thread and style in ("plain", "generator", "wrapped"),
    )


def _maker(
    each: Dependency, function: Callable[..., Any], inner: tuple[tuple[str, int], ...]
) -> Make:
    """The call of a dependency's function: made for the number of its parameters."""
    sources = each.sources
    if not sources and not inner:
        return lambda context, values: function()
    if not inner and len(sources) == 1:
        ((name, source),) = sources
        return lambda context, values: function(**{name: source(context)})

    def make(context: Context, values: list[Any]) -> Any:
        arguments = {name: source(context) for name, source in sources}
        for name, slot in inner:
            arguments[name] = values[slot]
        return function(**arguments)

    return make
