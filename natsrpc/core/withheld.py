"""Errors without the frames whose variables are secrets.

Tracebacks with the values of variables are written by some loggers and error trackers. What reads
passwords, keys and URLs is decorated here: an error of ours that it raises says all there is to say
by its text, and leaves these frames behind.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from natsrpc.errors import NatsRpcError

P = ParamSpec("P")
R = TypeVar("R")


def withheld(function: Callable[P, R]) -> Callable[P, R]:
    """Have what a plain function raises forget the function's frame, and those below."""

    @functools.wraps(function)
    def call(*args: P.args, **options: P.kwargs) -> R:
        try:
            return function(*args, **options)
        except NatsRpcError as error:
            failure = error.with_traceback(None)
        del args, options
        raise failure

    return call


def withheld_async(
    function: Callable[P, Coroutine[Any, Any, R]],
) -> Callable[P, Coroutine[Any, Any, R]]:
    """The same for a coroutine function."""

    @functools.wraps(function)
    async def call(*args: P.args, **options: P.kwargs) -> R:
        try:
            return await function(*args, **options)
        except NatsRpcError as error:
            failure = error.with_traceback(None)
        del args, options
        raise failure

    return call
