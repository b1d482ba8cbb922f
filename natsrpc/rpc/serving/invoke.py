"""Calling a handler the general way: context, tokens, headers, dependencies, threads.

The endpoint takes shorter ways for handlers that need none of this.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable
from typing import Any

from natsrpc.errors import DecodeError

from ..contract import Context, gives_stream, refused_request
from ..signature import MISSING, CallPlan
from .dependencies import Dependencies
from .streams import answer_items, request_items
from .threads import Threads


class Invoker:
    """Calls one handler with everything its plan names."""

    __slots__ = ("dependencies", "plan", "threads")

    def __init__(self, plan: CallPlan, dependencies: Dependencies, threads: Threads) -> None:
        self.plan: CallPlan = plan
        self.dependencies: Dependencies = dependencies
        self.threads: Threads = threads

    async def __call__(self, context: Context) -> Any:
        """Resolve dependencies, read the message, call: who may not call learns nothing of what
        the body should be."""
        plan = self.plan
        if not plan.dependencies:
            return await self._call(context, self._read(context))
        values: dict[Callable[..., Any], Any] = {}
        found: dict[str, Any] = {}
        async with contextlib.AsyncExitStack() as stack:
            for name, wanted in plan.dependencies:
                found[name] = await self.dependencies.resolve(wanted, context, values, stack)
            found.pop("", None)  # of those that no parameter takes
            return await self._call(context, self._read(context) | found)

    def _read(self, context: Context) -> dict[str, Any]:
        """The arguments that are read from the message."""
        plan = self.plan
        arguments = self._read_body(context) if plan.body else {}
        for name, source in plan.sources:
            arguments[name] = source(context)
        if plan.stream is not None:
            arguments[plan.stream.name] = request_items(context)
        return arguments

    def _read_body(self, context: Context) -> dict[str, Any]:
        plan = self.plan
        if plan.whole:
            parameter = plan.body[0]
            if not context.msg.data and parameter.default is not MISSING:
                return {parameter.name: parameter.fresh()}
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
