"""What a callable is as a dependency: how its code is written, whatever it is wrapped in."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Literal

from .layers import layers

Style = Literal["plain", "async", "generator", "async_generator", "wrapped", "wrapped_async"]
"""How a dependency is written.

- `plain`, `async`: its result, awaited if it is `async`, is the value.
- `generator`, `async_generator`: it yields the value, and cleans up after that.
- `wrapped`: a decorator stands around a generator (`@contextmanager` is one): what the decorator
  made of it is seen when it is called. `wrapped_async` is the same around anything async, which may
  be called on the event loop.
"""


def style(function: Callable[..., Any]) -> Style:
    """How a callable is written, looked at through partials, methods, `__call__` and decorators."""
    if inspect.isclass(function):
        return "plain"
    written = [_written(layer) for layer in layers(function) if inspect.isfunction(layer)]
    if not written:
        return "plain"
    runs, *inner = written
    # a generator that is wrapped by one is a generator; the code that runs decides
    if runs in ("generator", "async_generator"):
        return runs
    if any(each != "plain" for each in inner):
        if runs == "async" and not any("generator" in each for each in inner):
            return "async"
        is_async = runs == "async" or any("async" in each for each in inner)
        return "wrapped_async" if is_async else "wrapped"
    return runs


def _written(function: Any) -> Literal["plain", "async", "generator", "async_generator"]:
    if inspect.isasyncgenfunction(function):
        return "async_generator"
    if inspect.isgeneratorfunction(function):
        return "generator"
    return "async" if inspect.iscoroutinefunction(function) else "plain"
