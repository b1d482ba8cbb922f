"""Objects whose methods are endpoints: `endpoint` marks a method, `methods_of` finds them."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, Unpack

from natsrpc.errors import ConfigError, ConfigTypeError

from ..signature import (
    HandlerOptions,
    Mark,
    describe,
    marked_methods,
    place_of,
    public_methods,
    set_mark,
)
from ..signature import names as naming
from .level import check_options

F = TypeVar("F", bound=Callable[..., Any])


class Method(NamedTuple):
    """A method to serve: where, and with which options."""

    function: Callable[..., Any]
    subject: str
    options: HandlerOptions


def endpoint(subject: str | None = None, **options: Unpack[HandlerOptions]) -> Callable[[F], F]:
    """Mark a method of a class as an endpoint; `service.register` serves it on an instance.

    Of a class with marked methods only those are served. A method that overrides a marked one is
    the same endpoint, unless it is marked itself.

    Args:
        subject: where it is called; the method's name if not given.
        **options: those of `Service.handler`.

    Raises:
        ConfigError: an option is refused, or it is no method.
    """
    if callable(subject) or isinstance(subject, (staticmethod, classmethod)):
        raise ConfigTypeError("endpoint takes a subject: write @natsrpc.endpoint() with brackets")
    if subject is not None:
        naming.parse_template(subject)
    check_options(f"endpoint {subject!r}", options)

    def decorate(function: F) -> F:
        inner = getattr(function, "__func__", function)
        if not inspect.isfunction(inner):
            raise ConfigTypeError(f"endpoint marks methods, not {function!r}")
        owner = inner.__qualname__.rpartition(".")[0]
        if not owner or owner.endswith("<locals>"):
            raise ConfigError(
                f"{place_of(inner)} is no method, and endpoint marks methods of a class: write "
                "@service.handler(...) or @router.handler(...)"
            )
        set_mark(function, Mark(subject, options))
        return function

    return decorate


def methods_of(instance: object, api: type | None) -> list[Method]:
    """The methods of an object that are to be served: the marked ones, or all public ones.

    Raises:
        ConfigError: it is a class or a function, lacks a method of `api`, or has nothing to serve.
    """
    _check_object(instance)
    kind = type(instance)
    marks = {**(marked_methods(api) if api else {}), **marked_methods(kind)}
    names = public_methods(kind) if api is None else public_methods(api)
    if marks:
        names = list(marks) if api is None else [name for name in names if name in marks]
    if not names:
        raise ConfigError(f"{kind.__name__!r} has no public methods to serve")
    found = []
    for name in names:
        static = inspect.getattr_static(instance, name, None)
        if isinstance(static, property) or not callable(method := getattr(instance, name, None)):
            raise ConfigError(f"{kind.__name__!r} has no method {name!r}")
        mark = marks.get(name) or Mark(None, {})
        found.append(Method(method, name if mark.subject is None else mark.subject, mark.options))
    return found


def _check_object(instance: object) -> None:
    if inspect.isclass(instance):
        raise ConfigError(f"register an instance of {instance.__name__!r}, not the class")
    if inspect.isroutine(instance):
        raise ConfigError(
            f"{describe(instance)!r} is a function, and register serves the methods of an object: "
            f"write service.handler(...)({describe(instance)})"
        )
    if isinstance(instance, types.ModuleType):
        raise ConfigError(
            f"{instance.__name__!r} is a module, and register serves the methods of an object: "
            "make a Router in the module, and include that"
        )
