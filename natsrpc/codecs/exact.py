"""Telling a right value by its class alone, without asking the serializer.

A serializer writes a wrong value too, with a warning; having it raise instead costs about a
microsecond. Where the class settles it (a scalar, a model, which was validated when it was made, a
list or dict of those), a test of the class is enough, and costs a tenth of that. A value that fails
the test may still be right: then the serializer is asked. It takes any object for a model, though,
and writes of its attributes those that it finds (`{}`, often): `model_test` is asked before.
"""

from __future__ import annotations

from collections.abc import Callable
from types import NoneType, UnionType
from typing import Annotated, Any, TypeAlias, Union, get_args, get_origin

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


def model_test(type_: Any) -> Test | None:
    """Return a test that every model in a value is an instance of its class; None without models.

    Unions are looked into where each choice is a class or a list or dict with models.
    """
    origin, args = get_origin(type_), get_args(type_)
    if origin is Annotated:
        return model_test(args[0])
    if isinstance(type_, type) and issubclass(type_, BaseModel):
        return lambda value: isinstance(value, type_)
    if isinstance(type_, type) and issubclass(type_, Fields):
        return _model_fields_test(type_)
    if origin is list or (origin is dict and args[0] is str):
        inner = model_test(args[-1])
        return None if inner is None else _items_test(origin, inner)
    if origin in (Union, UnionType):
        return _choices_test(args)
    return None


def _model_fields_test(type_: type[Fields]) -> Test | None:
    found = ((name, model_test(inner)) for name, (inner, _) in type_.parameters.items())
    tests = [(name, test) for name, test in found if test is not None]
    if not tests:
        return None
    return lambda value: all(test(value[name]) for name, test in tests if name in value)


def _items_test(kind: type[list[Any] | dict[Any, Any]], inner: Test) -> Test:
    def test(value: Any) -> bool:
        if not isinstance(value, kind):
            return False
        return all(map(inner, value.values() if isinstance(value, dict) else value))

    return test


def _choices_test(choices: tuple[Any, ...]) -> Test | None:
    models = [model_test(choice) for choice in choices]
    classes = tuple(c for c, test in zip(choices, models, strict=True) if test is None)
    tests = [test for test in models if test is not None]
    if not tests or not all(isinstance(each, type) and not get_args(each) for each in classes):
        return None
    return lambda value: isinstance(value, classes) or any(test(value) for test in tests)
