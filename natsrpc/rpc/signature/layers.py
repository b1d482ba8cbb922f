"""Callables seen through their clothing: methods, partials, decorators, objects with `__call__`."""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any

from natsrpc.errors import ConfigError


def describe(function: Callable[..., Any]) -> str:
    """The name of a callable in messages to people."""
    inner = function if inspect.isclass(function) else underlying(function)
    name: str = getattr(inner, "__qualname__", "") or type(function).__qualname__
    return name.removesuffix(".__call__").rpartition("<locals>.")[2]


def layers(function: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    """The callable, then what it wraps, down to the function that has the annotations."""
    while True:
        yield function
        if isinstance(function, functools.partial):
            function = function.func
        elif inspect.ismethod(function):
            function = function.__func__
        elif (wrapped := getattr(function, "__wrapped__", None)) is not None:
            function = wrapped
        elif inspect.isclass(function):
            function = function.__init__
        elif inspect.isclass(origin := typing.get_origin(function)):  # Repository[Order]
            function = origin
        elif not inspect.isroutine(function) and inspect.isfunction(type(function).__call__):
            function = type(function).__call__
        else:
            return


def underlying(function: Callable[..., Any]) -> Callable[..., Any]:
    """The innermost of `layers`."""
    return list(layers(function))[-1]


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling it gives something to await, at whichever layer that is written."""
    return any(inspect.iscoroutinefunction(layer) for layer in layers(function))


def identity(function: Callable[..., Any]) -> Any:
    """What a dependency is remembered by: itself, or its place in memory if it has no hash, as an
    instance of a plain dataclass. Its plan keeps it there."""
    try:
        hash(function)
    except TypeError:
        return "unhashable", id(function)
    return function


def fixed_keywords(function: Callable[..., Any]) -> set[str]:
    """The parameters that a `functools.partial`, at any layer, has decided."""
    found: set[str] = set()
    for layer in layers(function):
        if isinstance(layer, functools.partial):
            found |= layer.keywords.keys()
    return found


def check_wrappers(function: Callable[..., Any], positional: int, keywords: list[str]) -> None:
    """Refuse a decorator whose function does not take what the signature it shows promises.

    Args:
        function: the callable, with its decorators.
        positional: how many arguments are passed by position.
        keywords: the names of those that are passed by name.

    Raises:
        ConfigError: a layer would raise a TypeError whenever it is called.
    """
    first: list[None] = [None] * positional
    given: dict[str, None] = dict.fromkeys(keywords)
    for layer in layers(function):
        if isinstance(layer, functools.partial):
            first = [*[None] * len(layer.args), *first]
            given = dict.fromkeys(layer.keywords) | given
        elif inspect.ismethod(layer) or _is_instance(layer):
            first = [None, *first]
        elif inspect.isclass(layer):
            return
        elif inspect.isfunction(layer) and vars(layer).keys() & {"__wrapped__", "__signature__"}:
            try:
                _bare_signature(layer).bind(*first, **given)
            except TypeError as error:
                raise ConfigError(
                    f"a decorator of {describe(function)!r} cannot be called with the parameters "
                    f"that it shows: {error}; set its __signature__, or have it take **kwargs"
                ) from error


def _is_instance(layer: Callable[..., Any]) -> bool:
    return (
        not inspect.isclass(layer)
        and not inspect.isroutine(layer)
        and not hasattr(layer, "__wrapped__")
    )


def _bare_signature(function: types.FunctionType) -> inspect.Signature:
    """The signature of a function's own code, without what a decorator says of it."""
    bare = types.FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    bare.__kwdefaults__ = function.__kwdefaults__
    return inspect.signature(bare)
