"""Dataclasses that an import does not wait for.

`@dataclass(frozen=True, slots=True)` writes the methods of each class as source text and compiles
it: 0.45 ms a class, and 13 ms of an import. The methods of a `@record` are written once, here, and
look at the class's fields when they run: 0.07 ms a class. In return an instance takes one to three
microseconds to make, two to four times as long, so nothing that is made for a message is a record.

A record is a dataclass for all that ask: type checkers, `dataclasses.fields`, `replace`, `asdict`,
`match`, `help`, `copy` and `pickle`. It has no subclasses, and no fields but plain ones (no
`ClassVar`, `InitVar`, or `init=False`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, FrozenInstanceError, dataclass
from typing import TYPE_CHECKING, Any, Literal

__all__ = ["record"]

if TYPE_CHECKING:
    from dataclasses import dataclass as record
else:

    def record(
        *, slots: Literal[True], frozen: bool = False, kw_only: bool = False, eq: bool = True
    ) -> Callable[[type], type]:
        """As `dataclasses.dataclass` with the same arguments."""
        methods = dict(_METHODS)
        if frozen:
            methods |= {"__setattr__": _setattr, "__delattr__": _delattr}
        if eq:
            methods |= {"__eq__": _eq, "__hash__": _hash if frozen else None}
        make = dataclass(init=False, repr=False, eq=False, slots=slots, kw_only=kw_only)

        def decorate(cls: type) -> type:
            for name, method in methods.items():
                if name not in vars(cls):
                    setattr(cls, name, method)
            return make(cls)

        return decorate


def _init(self: Any, /, *positional: Any, **values: Any) -> None:
    cls = type(self)
    names = cls.__match_args__
    if len(positional) > len(names):
        count = f"{len(names)} positional arguments, not {len(positional)}"
        raise TypeError(f"{cls.__name__}() takes {count}")
    for name, value in zip(names, positional, strict=False):
        if name in values:
            raise TypeError(f"{cls.__name__}() got two values for {name!r}")
        values[name] = value
    for name, field in cls.__dataclass_fields__.items():
        if name in values:
            value = values.pop(name)
        elif field.default is not MISSING:
            value = field.default
        elif field.default_factory is not MISSING:
            value = field.default_factory()
        else:
            raise TypeError(f"{cls.__name__}() needs the argument {name!r}")
        object.__setattr__(self, name, value)
    for name in values:
        raise TypeError(f"{cls.__name__}() has no field {name!r}")
    if hasattr(cls, "__post_init__"):
        self.__post_init__()


def _values(self: Any) -> tuple[Any, ...]:
    return tuple([getattr(self, name) for name in self.__dataclass_fields__])


def _repr(self: Any) -> str:
    shown = [field.name for field in self.__dataclass_fields__.values() if field.repr]
    fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in shown)
    return f"{type(self).__qualname__}({fields})"


def _eq(self: Any, other: object) -> Any:
    return _values(self) == _values(other) if type(other) is type(self) else NotImplemented


def _hash(self: Any) -> int:
    return hash(_values(self))


def _setattr(self: Any, name: str, value: object) -> None:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _delattr(self: Any, name: str) -> None:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _setstate(self: Any, state: tuple[Any, ...]) -> None:
    for name, value in zip(self.__dataclass_fields__, state, strict=True):
        object.__setattr__(self, name, value)


class _Signature:
    """The parameters of `__init__`, put together when `help` or `inspect` asks."""

    def __get__(self, instance: object, cls: Any) -> inspect.Signature:
        return inspect.Signature([_parameter(each) for each in cls.__dataclass_fields__.values()])


def _parameter(field: Any) -> inspect.Parameter:
    kinds = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    default = field.default
    if default is MISSING:
        is_made = field.default_factory is not MISSING
        default = field.default_factory if is_made else inspect.Parameter.empty
    return inspect.Parameter(
        field.name, kinds[field.kw_only], default=default, annotation=field.type
    )


_METHODS: dict[str, Any] = {
    "__init__": _init,
    "__repr__": _repr,
    "__getstate__": _values,
    "__setstate__": _setstate,
    "__signature__": _Signature(),
}
