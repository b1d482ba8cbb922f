"""`HandlerOptions`: what a handler may be given; and the mark by which a method carries them.

`natsrpc.endpoint` marks a method, `register` and `bind` read the marks of a class. The mark is an
attribute of the function, so that a subclass has those of its base; a method that overrides a
marked one stays the endpoint that it was, unless it is marked itself.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypedDict

from natsrpc.errors import ConfigError, RpcError

ATTRIBUTE = "__natsrpc_endpoint__"


class HandlerOptions(TypedDict, total=False):
    """The keyword arguments of `Service.handler`, which describes them."""

    name: str | None
    """The endpoint's name in listings."""

    queue_group: str | None
    """The group whose members share requests; None makes every instance answer."""

    metadata: Mapping[str, str] | None
    """What INFO shows of the endpoint."""

    errors: tuple[type[RpcError], ...]
    """The error classes that it raises."""

    max_concurrency: int | None
    """How many requests may run at once."""

    max_waiting: int | None
    """How many requests may wait for a slot."""

    timeout: float | None
    """Seconds after which a request is stopped."""

    idempotent: bool
    """Whether it may run twice for one call."""

    dependencies: Sequence[Any]
    """`Depends(...)` that run before each request, and whose values nobody reads."""


class Mark(NamedTuple):
    """What `natsrpc.endpoint` says of a method."""

    subject: str | None
    options: HandlerOptions


def set_mark(function: Callable[..., Any], mark: Mark) -> None:
    """Mark a function, or what a `staticmethod` or `classmethod` holds."""
    setattr(_plain(function), ATTRIBUTE, mark)


def mark_of(function: Any) -> Mark | None:
    """The mark of a function itself, None without one."""
    mark = vars(_plain(function)).get(ATTRIBUTE) if hasattr(_plain(function), "__dict__") else None
    return mark if isinstance(mark, Mark) else None


def _plain(function: Any) -> Any:
    """The function that a method, or a `staticmethod` or `classmethod`, holds."""
    return getattr(function, "__func__", function)


def is_method(value: Any) -> bool:
    """Whether what a class holds under a name is a method; nothing is evaluated."""
    return inspect.isfunction(value) or isinstance(value, (staticmethod, classmethod))


def public_methods(api: type) -> list[str]:
    """Names of the public methods that a class or Protocol has, those of base classes first.

    What a subclass has put something else in the place of, such as a property, is none.
    """
    names: dict[str, None] = {}
    for base in _bases(api):
        for name, value in vars(base).items():
            if not name.startswith("_") and is_method(value):
                names[name] = None
    return [name for name in names if is_method(inspect.getattr_static(api, name))]


def marked_methods(api: type) -> dict[str, Mark]:
    """The marks of a class by the names of its methods, those of base classes first.

    Raises:
        ConfigError: a marked method was replaced by something that is none.
    """
    marks: dict[str, Mark] = {}
    for base in _bases(api):
        for name, value in vars(base).items():
            mark = mark_of(value) if is_method(value) else None
            if mark is not None:
                marks[name] = mark
    for name in marks:
        if not is_method(inspect.getattr_static(api, name)):
            raise ConfigError(
                f"{api.__name__}.{name} takes the place of an endpoint and is no method: give it "
                "another name"
            )
    return marks


def _bases(api: type) -> list[type]:
    """The classes that methods are taken from, the last to be overridden last."""
    left_out = ("typing", "typing_extensions", "abc", "builtins")
    return [base for base in reversed(api.__mro__) if base.__module__ not in left_out]
