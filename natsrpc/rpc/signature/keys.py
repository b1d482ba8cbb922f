"""The key of an event: the field of its values that tells one from another.

It is checked against the event's type where the event is declared, as far as that has fields, and
read from each value that is enqueued.
"""

from __future__ import annotations

import contextlib
import datetime
import decimal
import enum
import types
import typing
import uuid
from collections.abc import Callable, Mapping
from typing import Any, get_origin

from natsrpc.errors import ConfigError, ConfigTypeError, EncodeError

from .aliases import base_of, model_fields, plain

_SCALARS = (str, int, uuid.UUID, decimal.Decimal, datetime.date, enum.Enum)
_EXPECTED = "a str, int, UUID, Decimal, date, datetime or enum"
_WITHOUT_FIELDS = (str, bytes, int, float, complex, list, tuple, set, frozenset, *_SCALARS[2:])


def check_key(subject: str, type_: Any, key: object) -> str:
    """Refuse a key that values of an event's type cannot have.

    Raises:
        ConfigError: a field is missing, or of a type that is no key; all fields are named.
        ConfigTypeError: it is no text.
    """
    where = f"key of event {subject!r}"
    if not isinstance(key, str):
        raise ConfigTypeError(f"{where} is {key!r}: expected the name of a field, as 'order_id'")
    if not all(key.split(".")):
        raise ConfigError(f"bad {where}: {key!r}: expected a field, as 'order_id' or 'order.id'")
    inner = type_
    for name in key.split("."):
        fields = _fields(inner)
        if fields is None:
            return key
        if name not in fields:
            there = ", ".join(fields) or "none"
            text = f"bad {where}: {key!r}: {_spelled(inner)} has no field {name!r}"
            raise ConfigError(f"{text}; it has: {there}")
        inner = fields[name]
    found = base_of(plain(inner))
    if isinstance(found, type) and not _may_be_key(found):
        text = f"bad {where}: {key!r} is of type {_spelled(found)}"
        raise ConfigError(f"{text}; expected {_EXPECTED}")
    return key


def _may_be_key(type_: type) -> bool:
    return type_ is object or (issubclass(type_, _SCALARS) and type_ is not bool)


def _fields(type_: Any) -> Mapping[str, Any] | None:
    """The fields of a type with their types; None where only a value tells what it has."""
    base = base_of(plain(type_))
    cls = get_origin(base) or base
    if not isinstance(cls, type) or cls is types.UnionType:
        return None
    named = getattr(getattr(cls, "DESCRIPTOR", None), "fields_by_name", None)
    if isinstance(named, Mapping):  # a protobuf message
        return dict.fromkeys(named, Any)
    structs = dict.fromkeys(getattr(cls, "__struct_fields__", ()), Any)
    known = {name: annotation for name, annotation, _ in model_fields(cls)} or structs
    if not known:
        return {} if issubclass(cls, _WITHOUT_FIELDS) else None
    hints: dict[str, Any] = {}
    with contextlib.suppress(Exception):  # a name that is not there: its values tell
        hints = typing.get_type_hints(cls, include_extras=True)
    found = {name: hints.get(name, annotation) for name, annotation in known.items()}
    return {name: Any if isinstance(each, str) else each for name, each in found.items()}


def key_reader(subject: str, key: str) -> Callable[[Any], str]:
    """The function that reads the key of a value, as text.

    It raises an `EncodeError` for a value that has none.
    """
    path = key.split(".")

    def read(value: Any) -> str:
        found = value
        for name in path:
            found = _step(subject, key, found, name)
        text = _text(found)
        if not text:
            what = type(found).__name__ if found is not None else "None"
            what = "empty" if found == "" else what
            raise EncodeError(f"key {key!r} of event {subject!r} is {what}: expected {_EXPECTED}")
        return text

    return read


def _step(subject: str, key: str, value: Any, name: str) -> Any:
    try:
        return value[name] if isinstance(value, Mapping) else getattr(value, name)
    except (KeyError, AttributeError):
        text = f"key {key!r} of event {subject!r}: {type(value).__name__} has no {name!r}"
        raise EncodeError(text) from None


def _text(value: Any) -> str:
    """A value as the text of a key; "" for one that is none."""
    if isinstance(value, enum.Enum):
        return _text(value.value)
    if isinstance(value, datetime.date):
        return value.isoformat()
    return str(value) if isinstance(value, _SCALARS) and not isinstance(value, bool) else ""


def _spelled(type_: Any) -> str:
    return type_.__qualname__ if isinstance(type_, type) else str(type_)
