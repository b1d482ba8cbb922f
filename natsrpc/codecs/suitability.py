"""Whether a default has its parameter's type, and whether a text can become a value of a type.

Signatures are checked by these questions when they are registered. They are answered by pydantic,
which is loaded only for those that a look at the classes does not settle.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import GenericAlias, UnionType
from typing import Any, Union, get_args, get_origin

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
    if type_ is Any or type_ is object:
        return True
    if get_origin(type_) in (Union, UnionType):
        return any(_is_settled(each, value) for each in get_args(type_))
    if type_ is float and type(value) is int:
        return True
    if type_ is None:
        return value is None
    if not isinstance(type_, type) or isinstance(type_, GenericAlias):
        return False
    try:
        return isinstance(value, type_)
    except TypeError:  # a Protocol or a TypedDict
        return False


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
