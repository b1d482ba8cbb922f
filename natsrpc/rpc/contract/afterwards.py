"""`Afterwards`: the functions that a handler wants called once its answer is out.

`Context.after_reply` fills it, the endpoint takes them out one by one, and ends it. Nothing is
added to one that has ended: that would never run.
"""

from __future__ import annotations

import contextvars
import inspect
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from natsrpc.errors import ConfigError, ConfigTypeError


class Later(NamedTuple):
    """A function to call, its arguments, and the context variables that it sees."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    variables: contextvars.Context


class Afterwards:
    """What one request leaves to be done after its answer, in the order given."""

    __slots__ = ("_is_over", "_waiting")

    def __init__(self) -> None:
        self._waiting: deque[Later] = deque()
        self._is_over = False

    def add(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        """Add a function, with the context variables of the one who calls this.

        Raises:
            ConfigTypeError: it is none.
            ConfigError: the request is over.
        """
        if not callable(function):
            if inspect.iscoroutine(function):
                function.close()  # the error says all; it was never awaited on purpose
            raise ConfigTypeError(
                f"after_reply got {function!r}: expected a function, followed by its arguments, as "
                "in after_reply(send, address)"
            )
        if self._is_over:
            raise ConfigError(
                "after_reply was called when the request was over: call it before the handler "
                "returns, or in a function that runs after the reply"
            )
        self._waiting.append(Later(function, args, contextvars.copy_context()))

    def take(self) -> Later | None:
        """The next one to run; None, and no more can be added, if there is none."""
        if self._waiting:
            return self._waiting.popleft()
        self._is_over = True
        return None


OVER: Afterwards = Afterwards()
"""That of a request that is over: nothing can be added to it."""

OVER.take()
