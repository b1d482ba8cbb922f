"""Calls that stream: `Client.stream` and `Client.upload`."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from dataclasses import replace
from functools import partial
from typing import Any

from natsrpc.core import Connection
from natsrpc.errors import ConfigTypeError

from .binding import Binder
from .bound import BoundCall
from .call import Call
from .observing import GivenHeaders
from .outgoing import Outgoing, stream_items
from .policy import Attempts, Policy

_END: Any = object()


class Streams:
    """The part of a client that makes calls with a stream on either side."""

    def __init__(self, connection: Connection, binder: Binder, attempts: Attempts) -> None:
        self._connection = connection
        self._binder = binder
        self._attempts = attempts
        self.headers: Callable[[GivenHeaders], GivenHeaders] | None = None

    def stream(self, call: Call) -> AsyncGenerator[Any, None]:
        """The items of a stream, which is opened with the first one."""
        bound = self._binder.find(call, streams=True)
        policy = self._attempts.chosen(call.policy)
        if policy is None or call.items is not None:
            return stream_items(partial(self._open, bound, call, call.timeout))
        return self._opened_by(policy, bound, call)

    async def _opened_by(
        self, policy: Policy, bound: BoundCall, call: Call
    ) -> AsyncGenerator[Any, None]:
        """The items of a stream that is tried again until its first one."""
        policy = replace(policy, hedge_after=None, attempt_timeout=None)

        async def attempt(seconds: float | None) -> tuple[AsyncGenerator[Any, None], Any]:
            found = stream_items(partial(self._open, bound, call, seconds))
            try:
                return found, await anext(found, _END)
            except BaseException:
                await found.aclose()
                raise

        rest, item = await self._attempts.run(
            policy,
            attempt,
            subject=bound.subject,
            timeout=call.timeout,
            idempotent=bound.idempotent,
        )
        async with contextlib.aclosing(rest):
            if item is _END:
                return
            yield item
            async for item in rest:
                yield item

    async def upload(self, call: Call) -> Any:
        """Send a stream of requests, and wait for its one answer."""
        bound = self._binder.find(call, streams=True)
        return await self._open(bound, call, call.timeout).answer()

    def _open(self, bound: BoundCall, call: Call, timeout: float | None) -> Outgoing:
        given = call.headers if self.headers is None else self.headers(call.headers)
        data, block, wait = bound.prepare(call.request, timeout, given)
        if call.items is not None and not isinstance(call.items, AsyncIterable):
            raise ConfigTypeError(
                f"items are {type(call.items).__name__}: expected an async iterable, "
                "such as an `async def` with `yield` makes"
            )
        outgoing = Outgoing(
            self._connection,
            bound,
            timeout=wait,
            idle_timeout=call.idle_timeout,
            gives_stream=call.kind == "stream",
        )
        outgoing.open(data, block, call.items)
        return outgoing
