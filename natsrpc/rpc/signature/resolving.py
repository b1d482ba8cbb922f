"""Annotations that are text, turned into types: in the names of the code that wrote them.

The names are looked up as Python looks them up in code: those local to the functions around a
handler first (a handler inside a test function may name a model of that function), then those of
its module. Local names can be had only while the functions around it run, as they do when they
register it.
"""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from natsrpc.errors import ConfigError

from .layers import describe, layers, underlying

Names = dict[str, Any]


def resolve(function: Callable[..., Any], annotations: Names) -> Names:
    """The annotations of a callable ("return" included), with all text in them evaluated.

    Raises:
        ConfigError: a name in an annotation is not known; the parameter is named.
    """
    module = _module_names(function)
    local = _type_parameters(function) | _names_around(function)
    try:
        return _evaluate(annotations, module, local)
    except Exception:  # any name, attribute or operator of the text may fail
        local = _class_names(function) | _names_of_file(function) | local
    try:
        return _evaluate(annotations, module, local)
    except Exception as error:
        where = _unresolved(annotations, module, local)
        raise ConfigError(
            f"{where} of {describe(function)!r} has an annotation that cannot be resolved: "
            f"{error}; import or define the name before the handler is registered, and not only "
            "under TYPE_CHECKING"
        ) from error


def _evaluate(annotations: Names, module: Names, local: Names) -> Names:
    def holder() -> None: ...

    holder.__annotations__ = annotations
    return typing.get_type_hints(holder, module, local, include_extras=True)


def _unresolved(annotations: Names, module: Names, local: Names) -> str:
    """Which annotation does not resolve, in words."""
    for name, value in annotations.items():
        try:
            _evaluate({name: value}, module, local)
        except Exception:
            return "the result" if name == "return" else f"parameter {name!r}"
    return "a parameter"


def _module_names(function: Callable[..., Any]) -> Names:
    """The global names of all layers; those of the innermost, which wrote the annotations, win."""
    names: Names = {}
    for layer in layers(function):
        found = getattr(layer, "__globals__", None)
        if found is None and inspect.isclass(layer):
            found = vars(sys.modules.get(layer.__module__, object()))
        names |= found or {}
    return names


def _type_parameters(function: Callable[..., Any]) -> Names:
    """The parameters of a generic function, `def f[T](...)`."""
    inner = underlying(function)
    return {each.__name__: each for each in getattr(inner, "__type_params__", ())}


def _frames(function: Callable[..., Any]) -> Iterator[FrameType]:
    """The frames that are registering a function, of its own file, innermost first."""
    code = getattr(underlying(function), "__code__", None)
    frame = inspect.currentframe()
    while frame is not None:
        if code is None or frame.f_code.co_filename == code.co_filename:
            yield frame
        frame = frame.f_back


def _names_around(function: Callable[..., Any]) -> Names:
    """The local names of the functions that a function is defined in, as far as these run."""
    scopes = getattr(underlying(function), "__qualname__", "").split(".<locals>.")[:-1]
    around = {".<locals>.".join(scopes[: n + 1]) for n in range(len(scopes))}
    names: Names = {}
    found: set[str] = set()
    for frame in _frames(function):
        scope = frame.f_code.co_qualname
        if scope in around and scope not in found:
            found.add(scope)
            names = dict(frame.f_locals) | names
    return names


def _names_of_file(function: Callable[..., Any]) -> Names:
    """The local names of all frames of the function's file."""
    names: Names = {}
    for frame in _frames(function):
        names = dict(frame.f_locals) | names
    return names


def _class_names(function: Callable[..., Any]) -> Names:
    """The names in the class that a method is of."""
    owner = getattr(function, "__self__", None)
    if owner is None:
        return {}
    names: Names = {}
    for base in reversed((owner if inspect.isclass(owner) else type(owner)).__mro__):
        names |= vars(base)
    return names
