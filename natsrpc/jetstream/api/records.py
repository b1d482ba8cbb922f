"""Records: frozen dataclasses that are objects on the wire, and how each field is read and written.

A field is made by `of(kind)`, and its kind checks, writes and reads its values. None stands for a
field that is not set, and is not written. What a record does not know is kept in its field `extra`
and written again, so a configuration of a newer server survives.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Hashable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeVar, cast

from natsrpc.errors import ConfigError, ConfigTypeError, JetStreamError

from .numbers import MOST, MOST_SECONDS
from .times import to_moment, to_ns, to_rfc3339, to_seconds

R = TypeVar("R")

_NONE = ("none", "default")


class Kind(NamedTuple):
    """How values of a field are checked, written and read. `what` names a good value."""

    what: str
    is_good: Callable[[Any], bool]
    write: Callable[[Any], Any]
    read: Callable[[Any], Any]


def _same(value: Any) -> Any:
    return value


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and -MOST_SECONDS <= value <= MOST_SECONDS


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -MOST <= value <= MOST


def _is_sequence(value: Any) -> bool:
    return _is_int(value) and value >= 0


def _is_list_of(is_good: Callable[[Any], bool]) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:
        if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
            return False
        return all(map(is_good, value))

    return check


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_aware(value: Any) -> bool:
    return isinstance(value, datetime) and value.tzinfo is not None


def is_texts(value: Any) -> bool:
    """Whether it is a mapping of str to str."""
    pairs = isinstance(value, Mapping) and value.items()
    return pairs is not False and all(_is_text(name) and _is_text(text) for name, text in pairs)


def _int(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{value!r} is no whole number")
    return int(value)


def _listed(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def read_list(value: Any) -> tuple[Any, ...]:
        return tuple(map(read, value or ()))

    return read_list


def _write_list(write: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def write_list(value: Any) -> list[Any]:
        return list(map(write, value))

    return write_list


TEXT = Kind("a str", _is_text, _same, str)
WHOLE = Kind("a whole number", _is_int, _same, _int)
SEQUENCE = Kind("a sequence, which is a whole number of at least 0", _is_sequence, _same, _int)
FLAG = Kind("True or False", lambda value: isinstance(value, bool), _same, bool)
SECONDS = Kind("a number of seconds", _is_number, to_ns, lambda value: to_seconds(_int(value)))
MOMENT = Kind("a datetime with a time zone", _is_aware, to_rfc3339, to_moment)
TEXTS = Kind("a sequence of str", _is_list_of(_is_text), _write_list(_same), _listed(TEXT.read))
WHOLES = Kind(
    "a sequence of whole numbers", _is_list_of(_is_int), _write_list(_same), _listed(_int)
)
INTERVALS = Kind(
    "a sequence of numbers of seconds",
    _is_list_of(_is_number),
    _write_list(to_ns),
    _listed(SECONDS.read),
)
MAPPING = Kind("a mapping of str to str", is_texts, dict, dict)
COUNTS = Kind("a mapping of str to int", lambda value: isinstance(value, Mapping), dict, dict)
ANY = Kind("anything", lambda value: True, _same, _same)


def choice(*values: str) -> Kind:
    """A field that is one of a few words. The server may know more of them."""
    return Kind(f"one of {', '.join(map(repr, values))}", values.__contains__, _same, str)


def one(class_: type[Any]) -> Kind:
    """A field that is a record."""
    return Kind(
        f"a {class_.__name__}",
        lambda value: isinstance(value, class_),
        lambda value: _filled(write(value)) or None,  # an empty one takes away what is there
        lambda value: read(class_, value),
    )


def _filled(raw: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in raw.items() if value != ""}


def many(class_: type[Any]) -> Kind:
    """A field that is a list of records."""
    return Kind(
        f"a sequence of {class_.__name__}",
        _is_list_of(lambda value: isinstance(value, class_)),
        _write_list(write),
        _listed(lambda value: read(class_, value)),
    )


def of(kind: Kind, default: Any = None, *, wire: str = "") -> Any:
    """A field of a record; `wire` is its name on the wire, if that is another."""
    metadata = {"kind": kind, "wire": wire}
    if isinstance(default, dict):
        return dataclasses.field(default_factory=dict, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@functools.cache
def _fields_of(class_: Hashable) -> dict[str, tuple[str, Kind]]:
    return {
        field.metadata["wire"] or field.name: (field.name, field.metadata["kind"])
        for field in dataclasses.fields(class_)  # type: ignore[arg-type]  # it is a record
        if "kind" in field.metadata
    }


def fields_of(class_: type[Any]) -> dict[str, tuple[str, Kind]]:
    """The fields of a record: for each name on the wire, the attribute and its kind."""
    return _fields_of(cast("Hashable", class_))


def check(record: Any) -> None:
    """Refuse values of the wrong type. Records that users make call it in `__post_init__`.

    Raises:
        ConfigTypeError: naming the record, its field, the value, and what was expected.
    """
    for attribute, kind in fields_of(type(record)).values():
        value = getattr(record, attribute)
        if value is not None and not kind.is_good(value):
            where = f"{type(record).__name__}({attribute}=...)"
            wrong = ConfigError if isinstance(value, str) and "one of" in kind.what else None
            raise (wrong or ConfigTypeError)(f"{where} must be {kind.what}, not {value!r}")
    if not isinstance(getattr(record, "extra", {}), Mapping):
        raise ConfigTypeError(f"{type(record).__name__}(extra=...) must be a mapping")


def write(record: Any) -> dict[str, Any]:
    """A record as an object for the wire: what is set, and what it keeps in `extra`."""
    raw: dict[str, Any] = dict(getattr(record, "extra", None) or {})
    for wire, (attribute, kind) in fields_of(type(record)).items():
        value = getattr(record, attribute)
        if value is not None:
            raw[wire] = kind.write(value)
    return raw


def read(class_: type[R], raw: Any) -> R:
    """An object from the wire as a record; what the record does not know goes into `extra`.

    Raises:
        JetStreamError: it is no object, or a field is not of its kind.
    """
    if not isinstance(raw, dict):
        raise JetStreamError(f"the server sent {raw!r} where a {class_.__name__} is expected")
    # Not by the constructor: it checks what users write, and a server may know more words.
    record = object.__new__(class_)
    known = fields_of(class_)
    for field in dataclasses.fields(class_):  # type: ignore[arg-type]  # it is one
        factory = field.default_factory
        value = factory() if factory is not dataclasses.MISSING else field.default
        object.__setattr__(record, field.name, value)
    extra = {}
    for wire, value in raw.items():
        if wire not in known:
            extra[wire] = value
        elif value is not None:
            attribute, kind = known[wire]
            try:
                object.__setattr__(record, attribute, kind.read(value))
            except (TypeError, ValueError, AttributeError, OverflowError) as error:
                text = f"the server sent {wire}={value!r}, where {kind.what} is expected"
                raise JetStreamError(text) from error
    if hasattr(record, "extra"):
        object.__setattr__(record, "extra", extra)
    return record


def overlay(record: Any, raw: Mapping[str, Any]) -> dict[str, Any]:
    """What the server has, with the fields that `record` sets put over it.

    A value that means what is there leaves it as it was written: a float cannot hold every number
    of nanoseconds, nor a datetime every time.
    """
    there = read(type(record), dict(raw))
    result = dict(raw)
    result.update(getattr(record, "extra", None) or {})
    for wire, (attribute, kind) in fields_of(type(record)).items():
        value = getattr(record, attribute)
        if value is None:
            continue
        written = kind.write(value)
        old = getattr(there, attribute)
        if old is None or kind.write(old) != written:
            result[wire] = written
    return {name: value for name, value in result.items() if value is not None}


def asks(value: Any) -> bool:
    """Whether a value asks for something: 0, false, "", empty and the words for none do not."""
    return bool(value) and value not in _NONE


def dropped(asked: Mapping[str, Any], got: Mapping[str, Any]) -> list[str]:
    """The fields that were asked for and are not in what the server made of it: it knows them not.

    What means "none" (0, false, "", empty) is never written by the server, so that proves nothing.
    """
    return [name for name, value in asked.items() if asks(value) and name not in got]


class Difference(NamedTuple):
    """A field that is not as it was asked for: its name on the wire, and both values as records
    have them."""

    name: str
    asked: Any
    found: Any


def differing(asked: R, there: R) -> list[Difference]:
    """The fields of a record that are set and have another value in a second one, as a server made
    it: what stands for its default there is no difference, nor is what it adds."""
    found = []
    for wire, (attribute, kind) in fields_of(type(asked)).items():
        value, has = getattr(asked, attribute), getattr(there, attribute)
        if value is None:
            continue
        written = None if has is None else kind.write(has)
        if not _is_same(wire, kind.write(value), written):
            found.append(Difference(wire, value, has))
    extra = getattr(there, "extra", None) or {}
    for wire, value in (getattr(asked, "extra", None) or {}).items():
        if not _is_same(wire, value, extra.get(wire)):
            found.append(Difference(wire, value, extra.get(wire)))
    return found


_FILLED_IN = {"duplicate_window", "num_replicas", "subjects", "first_seq"}
"""Fields for which a server takes an empty value as the word for its default."""
_UNORDERED = {"subjects", "tags"}


def _is_same(name: str, asked: Any, there: Any) -> bool:
    if isinstance(asked, dict) and isinstance(there, dict):  # the server adds facts of its own
        return all(_is_same(key, value, there.get(key)) for key, value in asked.items())
    if isinstance(asked, list) and isinstance(there, list) and asked:
        if name in _UNORDERED:
            return sorted(asked) == sorted(there)
        pairs = zip(asked, there, strict=False)
        return len(asked) == len(there) and all(_is_same("", *pair) for pair in pairs)
    if asked == there or (not asked and name in _FILLED_IN):
        return True
    return (not asked or asked in _NONE) and there in (None, -1, 0, "", *_NONE)
