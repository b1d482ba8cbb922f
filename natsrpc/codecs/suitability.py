"""Whether a default has its parameter's type, and whether a text can become a value of a type.

Signatures are checked by these questions when they are registered. They are answered by pydantic,
which is loaded only for those that a look at the classes does not settle.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from natsrpc.errors import ConfigTypeError

from . import registry


def holds(type_: Any, value: Any) -> bool:
    """Whether a value, as it is, is one of the type: no conversion would change it.

    A type that no schema can be made of is taken to hold everything.
    """
    if _is_settled(type_, value):
        return True
    try:
        typed: Any = importlib.import_module(".typed", __package__).Typed(type_, json=True)
    except ConfigTypeError:  # the codec of the service decides
        return True
    return any(_agrees(ask, type_, typed, value) for ask in _ASKED)


def _is_settled(type_: Any, value: Any) -> bool:
    """Whether the value is of the type by its class, and by those of its items."""
    if type_ is Any or type_ is object:
        return True
    if type_ is None:
        return value is None
    if type_ is float and type(value) is int:
        return True
    origin, args = get_origin(type_), get_args(type_)
    if origin is Annotated:
        return _is_settled(args[0], value)
    if origin in (Union, UnionType):
        return any(_is_settled(each, value) for each in args)
    if origin is not None:
        return type(value) is origin and _are_settled(args, value)
    try:
        return isinstance(value, type_)
    except TypeError:  # no class, or a Protocol or a TypedDict
        return False


def _are_settled(types: tuple[Any, ...], value: Any) -> bool:
    """Whether the items of a collection are of the types that are written in its brackets."""
    items: list[tuple[Any, ...]]
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list | set | frozenset | tuple):
        is_fixed = isinstance(value, tuple) and ... not in types
        items = [tuple(value)] if is_fixed else [(each,) for each in value]
        types = types if is_fixed else types[:1]
    else:
        return False
    return all(len(each) == len(types) and all(map(_is_settled, types, each)) for each in items)


def _by_serializer(type_: Any, typed: Any, value: Any) -> bool:
    if "literal" in typed.kinds or _is_class(type_):  # whose serializers let other values pass
        return False
    typed.check_presence(value)
    typed.serializer.to_python(value, warnings="error")
    return True


def _is_class(type_: Any) -> bool:
    """Whether a type is a class whose values are its instances."""
    try:
        return isinstance(type_, type) and not isinstance(None, type_)
    except TypeError:  # a Protocol, a TypedDict or a generic
        return False


def _by_validator(type_: Any, typed: Any, value: Any) -> bool:
    made = typed.validator.validate_python(value, strict=True)
    return type(made) is type(value) and bool(made == value)


def _by_both(type_: Any, typed: Any, value: Any) -> bool:
    bound = registry.get("json").bind(type_)
    made = bound.decode(bound.encode(value))
    return type(made) is type(value) and bool(made == value)


_ASKED = (_by_serializer, _by_validator, _by_both)


def _agrees(ask: Callable[[Any, Any, Any], bool], type_: Any, typed: Any, value: Any) -> bool:
    try:
        return ask(type_, typed, value)
    except Exception:  # a user's validator may raise anything at a value it does not expect
        return False


def reads_text(type_: Any) -> bool:
    """Whether some text can become a value of the type.

    Raises:
        ConfigTypeError: pydantic cannot make a schema of the type.
    """
    adapter: Any = importlib.import_module(".adapter", __package__).make_adapter(type_)
    takes_text: Callable[[Any], bool] = importlib.import_module(".rules", __package__).takes_text
    return takes_text(adapter.core_schema)
