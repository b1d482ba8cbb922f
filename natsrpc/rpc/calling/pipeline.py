"""All ways to call of one client, behind the middleware that it was given."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Awaitable
from typing import Any

from natsrpc import codecs
from natsrpc.core import Connection

from ..contract import Middleware, Next, compose
from ..headers import DeadlineClock
from ..streams import Patience
from .binding import Binder
from .call import Call
from .gather import Gather
from .observing import CallObserver
from .policy import Attempts, Policy
from .streams import Streams
from .unary import Unary


class Pipeline:
    """Makes the calls of one client. `around` is its middleware, folded; None without any."""

    def __init__(
        self,
        connection: Connection,
        codec: codecs.Codec,
        max_body: int,
        patience: Patience,
        deadline_clock: DeadlineClock,
    ) -> None:
        self.binder: Binder = Binder(connection, codec, max_body, patience, deadline_clock)
        self.attempts: Attempts = Attempts(connection)
        self.unary: Unary = Unary(connection, self.binder, self.attempts)
        self.around: Next[Call] | None = None
        self._streams = Streams(connection, self.binder, self.attempts)
        self._gather = Gather(connection, self.binder)
        self._middleware: list[Middleware[Call]] = []
        self.observer: CallObserver | None = None
        self._old_style = connection.options.old_style_requests
        self._decide()

    @property
    def policy(self) -> Policy | None:
        """The client's policy, for calls that name none and are made in the scope of none."""
        return self.attempts.default

    @policy.setter
    def policy(self, policy: Policy | None) -> None:
        self.attempts.default = policy
        self._decide()

    def _decide(self) -> None:
        """Let calls be made in place, or not, from now on."""
        around = self.around is not None or self.attempts.default is not None
        self.binder.makes_direct = not (around or self._old_style)

    def add(self, middleware: Middleware[Call]) -> None:
        """Put a middleware around all calls, inside of those that are there."""
        self._middleware.append(middleware)
        self._compose()

    def observe(self, observer: CallObserver | None) -> None:
        """Have an observer see all calls, from outside of all middleware, in the place of the one
        that there was."""
        self.observer = observer
        self.attempts.observe = None if observer is None else observer.attempts
        self.unary.headers = self._streams.headers = None if observer is None else observer.headers
        self._compose()

    def _compose(self) -> None:
        outer = [] if self.observer is None else [self.observer.call]
        around = [*outer, *self._middleware]
        self.around = compose(around, self._perform) if around else None
        self._decide()

    def perform(self, call: Call) -> Awaitable[Any]:
        """Make a call, by its `kind`; the response."""
        return (self._perform if self.around is None else self.around)(call)

    def stream(self, call: Call) -> AsyncGenerator[Any, None]:
        """Make a call that streams; its items."""
        return self._streams.stream(call) if self.around is None else _through(self.around, call)

    def _perform(self, call: Call) -> Awaitable[Any]:
        """The innermost of the middleware: the call itself."""
        if call.kind in ("call", "request"):
            return self.unary.perform(call)
        return self._perform_otherwise(call)

    async def _perform_otherwise(self, call: Call) -> Any:
        if call.kind == "stream":
            return self._streams.stream(call)
        if call.kind == "upload":
            return await self._streams.upload(call)
        return await self._gather.perform(call)


async def _through(call_next: Next[Call], call: Call) -> AsyncGenerator[Any, None]:
    """The items of a stream that middleware sees first."""
    async with contextlib.aclosing(await call_next(call)) as items:
        async for item in items:
            yield item
