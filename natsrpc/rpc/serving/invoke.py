"""Calling a handler the general way: context, tokens, headers, dependencies, threads.

The endpoint takes shorter ways for handlers that need none of this. What a request needs is decided
once: an `Invoker` makes one function for its handler, the shortest that does it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import CoroutineType
from typing import Any

from natsrpc.errors import DecodeError

from ..contract import Context, Next, gives_stream, refused_request
from ..signature import MISSING, CallPlan, all_dependencies, identity, style
from .dependencies import Dependencies, Steps
from .life import Life, Runner
from .streams import answer_items, request_items
from .threads import Threads
from .writing import write_early

Read = Callable[[Context], dict[str, Any]]
"""Reads those arguments of a handler that are in the body."""


class Invoker:
    """Calls one handler with everything its plan names.

    It is made when its service has started: the values of the app are there. `call` is the function
    that does it.
    """

    def __init__(self, plan: CallPlan, dependencies: Dependencies, threads: Threads) -> None:
        self.plan: CallPlan = plan
        self.dependencies: Dependencies = dependencies
        self.threads: Threads = threads
        self._read_body = _body_reader(plan)
        self._sources = plan.sources
        if plan.stream is not None:
            self._sources += ((plan.stream.name, request_items),)
        self._function = _by_name(plan)
        self._in_thread = _is_plain(plan)
        self._overridden: tuple[Any, Next[Context]] | None = None
        self.call: Next[Context] = self._make(overrides=dependencies.overrides)

    def __call__(self, context: Context) -> Any:
        """Resolve dependencies, read the message, call."""
        return self.call(context)

    def _make(self, overrides: Any = None) -> Next[Context]:
        """The function that calls as the plan says, and has another one called while there are any
        `overrides`; or, without them, the one for the overrides of now."""
        steps = self.dependencies.steps(self.plan, overridden=overrides is None)
        if self._in_thread or not all(step.is_simple for step in steps.steps):
            return self._make_full(steps, overrides)
        return self._make_simple(steps, overrides)

    def _with_overrides(self, context: Context) -> Any:
        """Call with what stands in the place of dependencies in a test."""
        overrides = self.dependencies.overrides
        key = tuple((name, identity(function)) for name, function in overrides.items())
        if self._overridden is None or self._overridden[0] != key:
            self._overridden = key, self._make()
        return self._overridden[1](context)

    def _make_simple(self, steps: Steps, overrides: Any) -> Next[Context]:
        """For a handler all of whose dependencies are values, made on the event loop."""
        read_body, function, otherwise = self._read_body, self._function, self._with_overrides
        sources, streams = self._sources, gives_stream(self.plan.kind)
        made = tuple((step.make, step.waits) for step in steps.steps)
        named = steps.named

        async def call(context: Context) -> Any:
            if overrides:
                return await otherwise(context)
            values: list[Any] = []
            for make, waits in made:
                value = make(context, values)
                if waits or type(value) is CoroutineType:
                    value = await value
                values.append(value)
            arguments = read_body(context)
            for name, source in sources:
                arguments[name] = source(context)
            for name, slot in named:
                arguments[name] = values[slot]
            if streams:
                return await answer_items(context, function(**arguments))
            return await function(**arguments)

        return call

    def _make_full(self, steps: Steps, overrides: Any) -> Next[Context]:
        """For a handler with threads, or with dependencies that clean up."""
        threads, keeps = self.threads, self._keeps_thread(steps)

        async def call(context: Context) -> Any:
            if overrides:
                return await self._with_overrides(context)
            if not keeps:
                return await self._live(context, steps, threads)
            seat = await threads.take()
            try:
                return await self._live(context, steps, seat)
            finally:
                seat.give_back()

        return call

    def _keeps_thread(self, steps: Steps) -> bool:
        if self._in_thread and not gives_stream(self.plan.kind):
            return True
        return any(step.keeps_thread for step in steps.steps)

    async def _live(self, context: Context, steps: Steps, runner: Runner) -> Any:
        """Make the dependencies, read the message, call, write the answer, and leave the
        dependencies: in this order, so that who may not call learns nothing of what the body should
        be, and what cannot be written is an error that the dependencies see."""
        life, result = Life(runner), None
        error: BaseException | None = None
        try:
            values: list[Any] = []
            for step in steps.steps:
                values.append(await life.make(step, context, values))
            arguments = self._read_body(context)
            for name, source in self._sources:
                arguments[name] = source(context)
            for name, slot in steps.named:
                arguments[name] = values[slot]
            result = await self._call(context, arguments, runner)
            if life.is_used:
                write_early(context, result)
        except BaseException as failure:
            error = failure
        error = await life.leave(error)
        if error is None:
            return result
        try:
            raise error
        finally:
            del error  # which holds this frame

    async def _call(self, context: Context, arguments: dict[str, Any], runner: Runner) -> Any:
        function = self._function

        def call() -> Any:
            context.raise_if_cancelled()  # a thread may have taken it late
            return function(**arguments)

        streams = gives_stream(self.plan.kind)
        result = await runner.run(call) if self._in_thread else function(**arguments)
        if streams:
            return await answer_items(context, result)
        return await result if inspect.isawaitable(result) else result


def keeps_thread(plan: CallPlan) -> bool:
    """Whether a request of this handler keeps a thread for itself: no more of them run at once than
    there are threads."""
    if _is_plain(plan) and not gives_stream(plan.kind):
        return True
    return any(
        each.lifetime == "request" and each.thread and each.style in ("generator", "wrapped")
        for each in all_dependencies(plan.dependencies)
    )


def _is_plain(plan: CallPlan) -> bool:
    """Whether the handler's function is called in a thread."""
    if plan.is_async:
        return False
    return not gives_stream(plan.kind) or style(plan.function) == "plain"


def _by_name(plan: CallPlan) -> Callable[..., Any]:
    """The handler's function, called with names alone."""
    function, first = plan.function, plan.positional_only
    if not first:
        return function

    def call(**arguments: Any) -> Any:
        return function(*[arguments.pop(name) for name in first], **arguments)

    return call


def _body_reader(plan: CallPlan) -> Read:
    """What reads the arguments of a handler that are in the body."""
    if not plan.body:
        return lambda context: {}
    parameter = plan.body[0]
    name, has_default = parameter.name, parameter.default is not MISSING
    if not plan.whole:
        return _decoded

    def read(context: Context) -> dict[str, Any]:
        data = context.msg.data
        if has_default and not data:
            return {name: parameter.fresh()}
        try:
            return {name: context.decode(data)}
        except DecodeError as error:
            raise refused_request(error, context.service) from None

    return read


def _decoded(context: Context) -> Any:
    try:
        return context.decode(context.msg.data)
    except DecodeError as error:
        raise refused_request(error, context.service) from None
