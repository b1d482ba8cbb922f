"""Types and defaults of parameters, as pydantic means them, checked once at registration.

A `Field(...)` is taken apart; a default that is not of its type is refused; one that a handler
could change is copied for each request.
"""

from __future__ import annotations

import copy
import datetime
import decimal
import enum
import functools
import types
import typing
import uuid
from typing import Any

from natsrpc import codecs
from natsrpc.errors import ConfigError

from .aliases import base_of
from .annotations import UNANNOTATED, Parameter
from .markers import MISSING

_KEPT = (bool, int, float, str, bytes, type(None), type, types.FunctionType, enum.Enum)
"""Classes of values that nobody changes."""

_SCALARS = (bool, int, float, str, decimal.Decimal, uuid.UUID, datetime.date, datetime.time)
"""Types that no object is a value of. `datetime` is one of their subclasses."""


def described(where: str, parameter: Parameter) -> Parameter:
    """The parameter with its `Field(...)` taken apart, and a default that is right.

    Raises:
        ConfigError: the field or the default is wrong.
    """
    if parameter.type is UNANNOTATED:
        return parameter
    default = codecs.REQUIRED if parameter.default is MISSING else parameter.default
    try:
        found = codecs.described(parameter.type, default)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
    if found.default is codecs.REQUIRED:
        return parameter._replace(type=found.type, default=MISSING, names=found.names)
    check_default(where, found.type, found.default)
    default = found.default
    if _is_shared(default):
        default = _copied(where, default)
    elif not _is_hashed(default):
        _copied(where, default)  # pydantic does it: whether it can
    return parameter._replace(type=found.type, default=default, names=found.names)


def beside_tokens(parameter: Parameter) -> Parameter:
    """A lone parameter of the body beside others that are tokens of the subject.

    In the signature it looks like one of several, which are read by name: so a scalar is read from
    an object with its name, too. What such an object holds beside it is ignored, as elsewhere.
    """
    base = base_of(parameter.type)
    if isinstance(base, type) and issubclass(base, (*_SCALARS, datetime.timedelta, enum.Enum)):
        return parameter._replace(type=codecs.also_named(parameter.type, parameter.name))
    return parameter


def check_default(where: str, type_: Any, default: Any) -> None:
    """Refuse a default that is no value of the type.

    Raises:
        ConfigError: it is none.
    """
    if isinstance(default, codecs.Factory) or codecs.holds(type_, default):
        return
    cure = "give it a value of that type"
    if default is None:
        cure = f"annotate it as `{_spell(type_)} | None`, or leave the default out"
    elif default is ...:
        cure = "leave the default out: then the value must be sent"
    raise ConfigError(f"{where} has the default {default!r}, which is no {_spell(type_)}: {cure}")


def _spell(type_: Any) -> str:
    if typing.get_origin(type_) is typing.Annotated:
        return _spell(typing.get_args(type_)[0])
    if isinstance(type_, type) and not isinstance(type_, types.GenericAlias):
        return type_.__qualname__.rpartition("<locals>.")[2]
    return repr(type_).replace("typing.", "")


def alone(where: str, parameter: Parameter) -> Parameter:
    """A parameter that is no field of a body: its name in one means nothing, and its default is
    made for each request.

    Raises:
        ConfigError: it has an alias, or its default is made of other fields.
    """
    if parameter.names:
        raise ConfigError(
            f"{where} has the alias {parameter.names[0]!r}, but is no field of the body, so that "
            "nothing is read by that name: remove it, or mark the parameter Embed"
        )
    default = parameter.default
    if isinstance(default, codecs.Factory):
        if default.takes_data:
            raise ConfigError(
                f"{where} has a default that is made of the fields before it, but is no field of "
                "the body: expected a default_factory without a parameter"
            )
    elif default is not MISSING and not _is_hashed(default):
        default = _copied(where, default)
    return parameter._replace(default=default)


def _copied(where: str, default: Any) -> codecs.Factory:
    """A factory of copies of a default.

    Raises:
        ConfigError: it cannot be copied.
    """
    try:
        copy.deepcopy(default)
    except Exception as error:  # whatever a class of a user's raises
        raise ConfigError(
            f"{where} has the default {default!r}, which cannot be copied for each request: make "
            f"it by Field(default_factory=...) ({error})"
        ) from error
    return codecs.Factory(functools.partial(copy.deepcopy, default))


def _is_hashed(value: Any) -> bool:
    """Whether a value has a hash; pydantic copies those that have none."""
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _is_shared(value: Any) -> bool:
    """Whether a value has a hash and can be changed all the same: the hash is that of its place in
    memory."""
    if isinstance(value, (*_KEPT, codecs.Factory)) or type(value) is object:
        return False
    by_place: Any = object.__hash__
    return type(value).__hash__ is by_place
