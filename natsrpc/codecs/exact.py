"""Telling a right value by its class alone, without asking the serializer.

A serializer writes a wrong value too, with a warning; having it raise instead costs about a
microsecond. Where the class settles it (a scalar, a model, which was validated when it was made, a
list or dict of those), a test of the class is enough, and costs a tenth of that. A value that fails
the test may still be right: then the serializer is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from types import NoneType, UnionType
from typing import Any, TypeAlias, Union, get_args, get_origin

from pydantic import BaseModel

from .fields import Fields

Test: TypeAlias = Callable[[Any], bool]

_SCALARS = (int, str, bool, float)
_STR = frozenset({str})


def is_exact_class(type_: Any) -> bool:
    """Whether a value of exactly this class is a valid one."""
    return isinstance(type_, type) and (type_ in _SCALARS or issubclass(type_, BaseModel))


def exact_test(type_: Any) -> Test | None:
    """Return the test for a composite type, or None where classes do not settle it."""
    if isinstance(type_, type) and issubclass(type_, Fields):
        return _fields_test(type_)
    origin, args = get_origin(type_), get_args(type_)
    if origin is list and is_exact_class(args[0]):
        return _list_test(args[0])
    if origin is dict and args[0] is str and is_exact_class(args[1]):
        return _dict_test(args[1])
    if origin in (Union, UnionType) and all(arg is NoneType or is_exact_class(arg) for arg in args):
        return _union_test(args)
    return None


def _fields_test(type_: type[Fields]) -> Test | None:
    classes = tuple((name, cls) for name, (cls, _) in type_.parameters.items())
    if not all(is_exact_class(cls) for _, cls in classes):
        return None

    def test(value: Any) -> bool:
        if type(value) is not dict or len(value) != len(classes):
            return False
        for name, cls in classes:  # noqa: SIM110 - a generator would cost as much as the loop
            if type(value.get(name)) is not cls:
                return False
        return True

    return test


def _list_test(cls: type) -> Test:
    only = frozenset({cls})
    return lambda value: type(value) is list and only.issuperset(map(type, value))


def _dict_test(cls: type) -> Test:
    only = frozenset({cls})
    return lambda value: (
        type(value) is dict
        and _STR.issuperset(map(type, value))
        and only.issuperset(map(type, value.values()))
    )


def _union_test(classes: tuple[type, ...]) -> Test:
    only = frozenset(classes)
    return lambda value: type(value) in only
