"""The functions that `subscriber` takes, for type checkers.

The package imports this under `TYPE_CHECKING` alone: nothing makes these classes when it runs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Concatenate, ParamSpec, Protocol, TypeVar, overload

from natsrpc.core import Msg

from ..contract import Context

T = TypeVar("T")
X = TypeVar("X")
Y = TypeVar("Y")
P = ParamSpec("P")
R = TypeVar("R", bound=Awaitable[None] | None)


class Subscribing(Protocol[T]):
    """Decorates a function that takes an event of this type as its first, second or third
    parameter, or reads none.

    What comes out is the function itself. That it is shown without the name of the parameter for
    the event is what it takes to look at that parameter's type.
    """

    # fmt: off
    @overload
    def __call__(self, function: Callable[Concatenate[T, P], R], /
                 ) -> Callable[Concatenate[T, P], R]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[X, T, P], R], /
                 ) -> Callable[Concatenate[X, T, P], R]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[X, Y, T, P], R], /
                 ) -> Callable[Concatenate[X, Y, T, P], R]: ...
    @overload
    def __call__(self, function: Callable[[Msg], R], /) -> Callable[[Msg], R]: ...
    @overload
    def __call__(self, function: Callable[[Context], R], /) -> Callable[[Context], R]: ...
    @overload
    def __call__(self, function: Callable[[], R], /) -> Callable[[], R]: ...
    # fmt: on
