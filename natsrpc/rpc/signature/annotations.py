"""A callable's parameters with their annotations resolved, whatever kind of callable it is.

Functions, bound methods, partials, decorated functions and objects with `__call__` all come out as
one list of `Parameter`s. String annotations are resolved in the globals of the function that wrote
them and, where that fails, in the local names of the code that is registering it (so a handler
written inside a test function may name a model of that test function).
"""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from natsrpc.errors import ConfigError

from .markers import FACTORIES, MARKERS, MISSING, Marker

UNANNOTATED: Any = object()
"""The parameter, or the result, has no annotation."""


class Parameter(NamedTuple):
    """One parameter: its type without `Annotated` markers of ours, its default, its marker."""

    name: str
    type: Any
    default: Any
    marker: Marker | None
    positional_only: bool


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
        elif hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        elif inspect.isclass(function):
            function = function.__init__
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


def caller_names(function: Callable[..., Any]) -> dict[str, Any]:
    """Local names of the frames that are registering `function`, from its own file."""
    code = getattr(underlying(function), "__code__", None)
    frames: list[Mapping[str, Any]] = []
    frame = inspect.currentframe()
    while frame is not None:
        if code is None or frame.f_code.co_filename == code.co_filename:
            frames.append(frame.f_locals)
        frame = frame.f_back
    names: dict[str, Any] = {}
    for local in reversed(frames):
        names.update(local)
    return names


def hints(function: Callable[..., Any]) -> dict[str, Any]:
    """The resolved annotations of a callable, "return" included.

    Raises:
        ConfigError: a name in an annotation is not known; the parameter is named.
    """
    inner = underlying(function)
    try:
        return typing.get_type_hints(inner, include_extras=True)
    except (NameError, TypeError, AttributeError):
        names = caller_names(function)
    try:
        return typing.get_type_hints(inner, localns=names, include_extras=True)
    except Exception as error:
        where = _unresolved(inner, names)
        raise ConfigError(
            f"{where} of {describe(function)!r} has an annotation that cannot be resolved: {error}"
        ) from error


def _unresolved(inner: Callable[..., Any], names: dict[str, Any]) -> str:
    """Which annotation does not resolve, in words."""
    for name, value in getattr(inner, "__annotations__", {}).items():
        if not isinstance(value, str):
            continue
        try:
            while isinstance(value, str):  # a quoted name is a string within the string
                # the program's own source
                value = eval(value, {**getattr(inner, "__globals__", {}), **names})
        except Exception:
            return "the result" if name == "return" else f"parameter {name!r}"
    return "a parameter"


def parameters(function: Callable[..., Any]) -> tuple[list[Parameter], Any]:
    """The parameters a caller fills in, and the return annotation.

    Raises:
        ConfigError: there is no signature to read, it takes `*args` or `**kwargs`, or a parameter
            carries two markers.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{describe(function)!r} has no signature that can be read") from error
    resolved = hints(function)
    found = []
    fixed = function.keywords if isinstance(function, functools.partial) else {}
    for name, parameter in signature.parameters.items():
        if name in fixed:
            continue  # a partial's keyword: already decided
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ConfigError(
                f"parameter {name!r} of {describe(function)!r} takes any number of arguments: "
                "name each of them"
            )
        found.append(_parameter(function, parameter, resolved.get(name, UNANNOTATED)))
    returns = resolved.get("return", UNANNOTATED)
    return found, returns


def _parameter(
    function: Callable[..., Any], parameter: inspect.Parameter, annotation: Any
) -> Parameter:
    markers: list[Marker] = []
    type_ = annotation
    extras: list[Any] = []
    if typing.get_origin(annotation) is typing.Annotated:
        type_, *extras = typing.get_args(annotation)
        markers = [extra for extra in extras if isinstance(extra, MARKERS)]
        others = [extra for extra in extras if not isinstance(extra, MARKERS)]
        if others:
            type_ = typing.Annotated[(type_, *others)]
    default = MISSING if parameter.default is parameter.empty else parameter.default
    if isinstance(default, MARKERS):
        markers.append(default)
        default = MISSING
    where = f"parameter {parameter.name!r} of {describe(function)!r}"
    if len(markers) > 1:
        names = [type(marker).__name__.removesuffix("Marker") for marker in markers]
        raise ConfigError(f"{where} is marked {' and '.join(names)}: expected one marker")
    for factory in FACTORIES:
        if default is factory or factory in extras:
            raise ConfigError(f"{where} names {factory.__name__}: call it, {factory.__name__}(...)")
    return Parameter(
        name=parameter.name,
        type=type_,
        default=default,
        marker=markers[0] if markers else None,
        positional_only=parameter.kind is parameter.POSITIONAL_ONLY,
    )
