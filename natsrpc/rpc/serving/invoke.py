"""Calling a handler the general way: dependencies, context, tokens, headers, threads.

The endpoint takes shorter ways for handlers that need none of this.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from natsrpc.errors import DecodeError

from ..contract import Context, gives_stream, refused_request
from ..signature import MISSING, CallPlan, Dependency, substitute
from .streams import answer_items, request_items


class Threads:
    """The bounded pool that plain (not async) handlers run in; made when first needed."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._pool: concurrent.futures.ThreadPoolExecutor | None = None

    async def run(self, call: Callable[[], Any]) -> Any:
        """Run `call` in a thread, with a copy of the current context variables.

        A thread cannot be stopped: when cancelled, this waits for it to end before it raises, so
        that the handler's slot stays taken for as long as it really runs.
        """
        if self._pool is None:
            # taken from the package as late as this, it is loaded as late as this
            self._pool = concurrent.futures.ThreadPoolExecutor(
                self.limit, thread_name_prefix="natsrpc-handler"
            )
        context = contextvars.copy_context()
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._pool, context.run, _guarded, call)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            while not future.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait([future])
            if not future.cancelled():
                future.exception()  # retrieved: nobody else will
            raise

    def stop(self) -> None:
        """Let the threads go once they are idle."""
        if self._pool is not None:
            self._pool.shutdown(wait=False)


def _guarded(call: Callable[[], Any]) -> Any:
    """Call; a `StopIteration`, which no future can carry, becomes a `RuntimeError`: else its waiter
    would never wake."""
    try:
        return call()
    except StopIteration as error:
        raise RuntimeError("the handler raised StopIteration") from error


class Dependencies:
    """Resolves `Depends` for one running service: the app's values, and the overrides of tests."""

    def __init__(self, overrides: Mapping[Callable[..., Any], Callable[..., Any]]) -> None:
        self._overrides = overrides
        self._replaced: dict[Any, Dependency] = {}
        self._app: dict[Callable[..., Any], Any] = {}
        self._stack = contextlib.AsyncExitStack()

    async def start(self, plans: list[CallPlan]) -> None:
        """Make the values that live as long as the service."""
        for plan in plans:
            await self._start(plan.dependencies)

    async def _start(self, dependencies: tuple[tuple[str, Dependency], ...]) -> None:
        for _, each in dependencies:
            if each.lifetime == "app":
                await self.resolve(each, None, self._app, self._stack)
            else:
                await self._start(each.dependencies)

    async def stop(self) -> None:
        """Clean up, in the reverse order."""
        await self._stack.aclose()
        self._app.clear()

    def _effective(self, wanted: Dependency) -> Dependency:
        override = self._overrides.get(wanted.function) if self._overrides else None
        if override is None:
            return wanted
        key = override, wanted.lifetime, wanted.tokens
        replaced = self._replaced.get(key)
        if replaced is None:
            replaced = self._replaced[key] = substitute(wanted, override)
        return replaced

    async def resolve(
        self,
        wanted: Dependency,
        context: Context | None,
        values: dict[Callable[..., Any], Any],
        stack: contextlib.AsyncExitStack,
    ) -> Any:
        """The value of one dependency: made now, unless this request or the app has it already."""
        each = self._effective(wanted)
        function = each.function
        for known in (values, self._app):
            if function in known:
                return known[function]
        arguments = {name: source(context) for name, source in each.sources if context is not None}
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
        values[function] = value
        return value


class Invoker:
    """Calls one handler with everything its plan names."""

    __slots__ = ("dependencies", "plan", "threads")

    def __init__(self, plan: CallPlan, dependencies: Dependencies, threads: Threads) -> None:
        self.plan: CallPlan = plan
        self.dependencies: Dependencies = dependencies
        self.threads: Threads = threads

    async def __call__(self, context: Context) -> Any:
        """Decode the body, resolve the rest, call."""
        plan = self.plan
        arguments = self._read_body(context) if plan.body else {}
        for name, source in plan.sources:
            arguments[name] = source(context)
        if plan.stream is not None:
            arguments[plan.stream.name] = request_items(context)
        if not plan.dependencies:
            return await self._call(context, arguments)
        values: dict[Callable[..., Any], Any] = {}
        async with contextlib.AsyncExitStack() as stack:
            for name, wanted in plan.dependencies:
                arguments[name] = await self.dependencies.resolve(wanted, context, values, stack)
            return await self._call(context, arguments)

    def _read_body(self, context: Context) -> dict[str, Any]:
        plan = self.plan
        if plan.whole:
            parameter = plan.body[0]
            if not context.msg.data and parameter.default is not MISSING:
                return {parameter.name: parameter.default}
        try:
            value = context.decode(context.msg.data)
        except DecodeError as error:
            raise refused_request(error, context.service) from None
        return {plan.body[0].name: value} if plan.whole else value

    async def _call(self, context: Context, arguments: dict[str, Any]) -> Any:
        plan = self.plan
        first = [arguments.pop(name) for name in plan.positional_only]
        if gives_stream(plan.kind):
            return await answer_items(context, plan.function(*first, **arguments))
        if plan.is_async:
            return await plan.function(*first, **arguments)
        result = await self.threads.run(functools.partial(plan.function, *first, **arguments))
        return await result if inspect.isawaitable(result) else result
