"""The work that one contract may cause. It comes from a file or from the network, and a few lines
of it can name a tree of a billion nodes.

`diff` and `stub` take one for each document, so that a hostile one ends in an error within seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from natsrpc.errors import ConfigError

P = ParamSpec("P")
R = TypeVar("R")

WORK = 300_000
"""Steps of a few microseconds each; the contract of a large service takes some thousands."""


class Budget:
    """Counts steps, and raises when there were too many."""

    __slots__ = ("left",)

    def __init__(self, work: int = WORK) -> None:
        self.left: int = work

    def spend(self, steps: int = 1) -> None:
        """Take note of steps.

        Raises:
            ConfigError: the contract causes more than any honest one would.
        """
        self.left -= steps
        if self.left < 0:
            raise ConfigError("this contract is too large: its schemas unfold without end")


def bounded(function: Callable[P, R]) -> Callable[P, R]:
    """Have a function raise `ConfigError` where a contract is nested too deeply for it."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except RecursionError:
            pass
        raise ConfigError("this contract is nested too deeply")  # less its thousand frames

    return run
