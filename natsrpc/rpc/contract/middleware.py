"""Middleware: functions around a call, folded into one function once, when a service starts.

Where there is none, nothing of this is on the path of a call.

A server-side middleware gets the request's `Context`, a client-side one the `Call`; both await
`call_next` with it, at most once, and return the response (or raise). Of a handler that streams the
response is None, when all its items are sent; of a client's stream it is an async generator, which
middleware may read through one of its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

C = TypeVar("C")

Next = Callable[[C], Awaitable[Any]]
"""What a middleware awaits: the next one, or the handler. It returns the response, or raises."""
Middleware = Callable[[C, Next[C]], Awaitable[Any]]
"""A function around calls: `async def f(context, call_next)`. That of a client gets a `Call`, where
that of a service gets the `Context`."""


def compose(middleware: Sequence[Middleware[C]], last: Next[C]) -> Next[C]:
    """One function that runs `middleware` from the outside in, then `last`."""
    composed = last
    for each in reversed(middleware):
        composed = _around(each, composed)
    return composed


def _around(middleware: Middleware[C], inner: Next[C]) -> Next[C]:
    def call(context: C) -> Awaitable[Any]:
        return middleware(context, inner)

    return call
