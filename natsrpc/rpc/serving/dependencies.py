"""The values of `Depends` in a running service: made, kept as long as they live, and let go.

A value that lives as long as a request is made once in it, however often it is named; one that
lives as long as the app is made when the service starts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

from ..contract import Context
from ..signature import CallPlan, Dependency, identity, substitute


class Starting(NamedTuple):
    """What is read, in place of a request's context, by what lives as long as the app."""

    client: Any


class Dependencies:
    """Resolves `Depends` for one running service: the app's values, and the overrides of tests."""

    def __init__(self, overrides: Mapping[Any, Callable[..., Any]], client: Any) -> None:
        self._overrides = overrides
        self._starting = Starting(client)
        self._replaced: dict[Any, Dependency] = {}
        self._app: dict[Any, Any] = {}
        self._stack = contextlib.AsyncExitStack()

    async def start(self, plans: list[CallPlan]) -> None:
        """Make the values that live as long as the service."""
        for plan in plans:
            await self._start(plan.dependencies)

    async def _start(self, dependencies: tuple[tuple[str, Dependency], ...]) -> None:
        for _, each in dependencies:
            if each.lifetime == "app":
                await self.resolve(each, self._starting, self._app, self._stack)
            else:
                await self._start(each.dependencies)

    def has(self, wanted: Dependency) -> bool:
        """Whether a value that lives as long as the service is there."""
        return self._effective(wanted).function in self._app

    async def stop(self) -> None:
        """Clean up, in the reverse order."""
        await self._stack.aclose()
        self._app.clear()

    def _effective(self, wanted: Dependency) -> Dependency:
        override = self._overrides.get(identity(wanted.function)) if self._overrides else None
        if override is None:
            return wanted
        key = identity(override), wanted.lifetime, wanted.tokens
        replaced = self._replaced.get(key)
        if replaced is None:
            replaced = self._replaced[key] = substitute(wanted, override)
        return replaced

    async def resolve(
        self,
        wanted: Dependency,
        context: Context | Starting,
        values: dict[Any, Any],
        stack: contextlib.AsyncExitStack,
    ) -> Any:
        """The value of one dependency: made now, unless this request or the app has it already."""
        each = self._effective(wanted)
        function, key = each.function, identity(each.function)
        for known in (values, self._app):
            if key in known:
                return known[key]
        arguments = {name: source(cast(Context, context)) for name, source in each.sources}
        for name, inner in each.dependencies:
            arguments[name] = await self.resolve(inner, context, values, stack)
        if each.style == "async_generator":
            manager = contextlib.asynccontextmanager(function)(**arguments)
            value = await stack.enter_async_context(manager)
        elif each.style == "generator":
            value = stack.enter_context(contextlib.contextmanager(function)(**arguments))
        else:
            value = function(**arguments)
            if each.style == "async":
                value = await value
        values[key] = value
        return value
